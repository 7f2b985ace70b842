"""What is played: each situation with its name, its gateway, and what a program must do in it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from agentjobs.cli.conformance import demands, scripts
from agentjobs.cli.conformance.faults import everywhere, succeeds
from agentjobs.cli.conformance.player import Scene
from agentjobs.cli.conformance.seen import Judgement, Seen
from agentjobs.cli.conformance.stage import Script, Stage, an_attempt
from agentjobs.contract import Attempt

_GRACE: Final = 12.0
_BUSY_SECONDS: Final = 33.0
_LONG_TEXT: Final = 'Grüße "quoted" \\ back\tslashed\n' * 400


@dataclass(frozen=True, slots=True)
class Work:
    """The jobs that a program is given.

    `busy` is one on which it is at work for longer than half a minute, for the situations that need it; None where the
    program is kept at work by models that take their time.
    """

    plain: Attempt
    busy: Attempt | None = None
    engine: str = ""
    limit: float = 60.0


@dataclass(frozen=True, slots=True)
class Situation:
    """One thing that can happen to a program. Times are in seconds."""

    name: str
    about: str
    judge: Callable[[Seen], Iterable[str]]
    script: Callable[[Stage], Script] = scripts.usual
    skip: Callable[[Seen], str] = lambda seen: ""
    """Why what was seen says nothing; empty where it does."""
    change: Callable[[Attempt], Attempt] = lambda given: given
    said: str = "Hello from the model."
    hold: float = 0.0
    """How long the program is to be at work; 0 for as long as it likes."""
    grace: float = 30.0
    stop: Callable[[Stage], float | None] | None = None
    opens_after: float = 0.0
    tls: str = ""
    takes: float = 0.0
    """How long it takes beside the program's own work."""
    is_long: bool = False
    """Whether it takes minutes: played when asked for."""
    needs_schema: bool = False

    def scene(self, work: Work) -> Scene:
        """Return how it is played with these jobs."""
        busy = work.busy if self.hold else None
        return Scene(
            attempt=self.change(an_attempt(busy or work.plain)),
            script=self.script,
            said=self.said,
            hold=self.hold,
            works_long=busy is not None,
            limit=work.limit + self.takes + (self.hold if busy is None else 2 * self.hold),
            grace=self.grace,
            stop=self.stop,
            opens_after=self.opens_after,
            tls=self.tls,
            engine=work.engine,
        )

    def judged(self, seen: Seen) -> Judgement:
        """Say what was wrong."""
        faults = everywhere(seen)
        skipped = self.skip(seen)
        if not skipped:
            faults += self.judge(seen)
        return Judgement(tuple(dict.fromkeys(faults)), skipped)


def _with_result(given: Attempt) -> Attempt:
    return {**given, "result": scripts.OTHERS}


def _with_long_texts(given: Attempt) -> Attempt:
    spec: dict[str, Any] = given["resolved"]["spec"]
    if "container" not in (spec.get("agent") or {}):
        return given  # a script may go by the message
    changed = {**spec, "input": {**(spec.get("input") or {}), "message": _LONG_TEXT}}
    return {**given, "resolved": {**given["resolved"], "spec": changed}}


SITUATIONS: Final[tuple[Situation, ...]] = (
    Situation("success", "nothing goes wrong", succeeds),
    Situation(
        "long-texts",
        "message and answer are long, with quotes and newlines",
        succeeds,
        change=_with_long_texts,
        said=_LONG_TEXT,
    ),
    Situation(
        "already-answered",
        "the attempt has the job's result: run nothing",
        demands.repeats_the_final_result,
        change=_with_result,
    ),
    Situation(
        "fenced-at-the-claim", "another pod holds the start: 409", demands.is_fenced, scripts.fenced_at_the_claim
    ),
    Situation(
        "fenced-later", "another pod has taken the start: 409 after the claim", demands.is_fenced, scripts.fenced_later
    ),
    Situation(
        "fenced-at-work",
        "the same while it works: the heartbeat hears of it",
        demands.is_fenced_at_work,
        scripts.fenced_at_work,
        demands.never_at_work,
        hold=_BUSY_SECONDS,
    ),
    Situation(
        "away-at-the-start",
        "the gateway comes some seconds later",
        succeeds,
        scripts.away_at_the_start,
        opens_after=3.0,
        takes=15.0,
    ),
    Situation(
        "away-in-the-middle",
        "the gateway is away for 5 s after the claim",
        succeeds,
        scripts.away_from_the_claim_on,
        takes=20.0,
    ),
    Situation(
        "away-at-the-result",
        "the result has to be sent again and again",
        demands.reports_the_same,
        scripts.away_at_the_result,
        takes=30.0,
    ),
    Situation(
        "away-for-good",
        "no result can be stored, ever",
        demands.gives_up_late,
        scripts.never_takes_a_result,
        takes=180.0,
        is_long=True,
    ),
    Situation(
        "too-many-requests",
        "429: Retry-After says when to ask again",
        demands.waits_as_asked,
        scripts.too_many,
        takes=30.0,
    ),
    Situation(
        "result-refused",
        "the gateway refuses the result: 422",
        demands.takes_what_is_refused_for_a_failure,
        scripts.refuses_the_result,
    ),
    Situation("another-is-final", "another start's result is final", succeeds, scripts.another_result_is_final),
    Situation(
        "told-to-stop",
        "SIGTERM while it works",
        demands.is_interrupted,
        skip=demands.not_stopped_at_work,
        hold=_BUSY_SECONDS,
        grace=_GRACE,
        stop=scripts.stop_at_work,
    ),
    Situation(
        "told-to-stop-early",
        "SIGTERM before there is an attempt",
        demands.is_no_success,
        scripts.never_answers,
        grace=_GRACE,
        stop=scripts.stop_at_the_claim,
    ),
    Situation(
        "told-to-stop-late",
        "SIGTERM while the result cannot be stored",
        demands.is_no_success,
        scripts.never_takes_a_result,
        grace=_GRACE,
        stop=scripts.stop_at_the_report,
    ),
    Situation(
        "token-renewed",
        "the token's file has a new one, the old one is refused",
        demands.reads_the_token_anew,
        scripts.renews_the_token,
    ),
    Situation("heartbeat", "it works for 33 s", succeeds, skip=demands.never_at_work, hold=_BUSY_SECONDS),
    Situation("tls", "https, with an authority of the installation's own", succeeds, tls="own"),
    Situation(
        "tls-of-another",
        "https, with a certificate that is not to be trusted",
        demands.trusts_nobody_else,
        tls="other",
        grace=_GRACE,
        stop=scripts.stop_at_the_handshake,
        takes=10.0,
    ),
    Situation(
        "budget",
        "the model proxy says 402: the job's budget is used up",
        demands.is_over_budget,
        scripts.budget_is_spent,
        demands.asked_no_model,
        takes=30.0,
    ),
    Situation("structured", "the job has output.schema", demands.fits_the_schema, needs_schema=True),
)
