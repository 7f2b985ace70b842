"""The situations: each with its name, its gateway, and what a program must do."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from agentjobs.cli.conformance import requirements, scripts
from agentjobs.cli.conformance.faults import everywhere, succeeds
from agentjobs.cli.conformance.observations import Judgement, Observations
from agentjobs.cli.conformance.player import Scene
from agentjobs.cli.conformance.stage import Script, Stage, an_attempt
from agentjobs.contract import Attempt

_GRACE: Final = 12.0
_BUSY_SECONDS: Final = 33.0
_LONG_TEXT: Final = 'Grüße "quoted" \\ back\tslashed\n' * 400


@dataclass(frozen=True, slots=True)
class Work:
    """The jobs that a program gets.

    `busy` takes longer than half a minute, for the situations that need it; None if slow model answers keep the program
    busy.
    """

    plain: Attempt
    busy: Attempt | None = None
    engine: str = ""
    limit: float = 60.0


@dataclass(frozen=True, slots=True)
class Situation:
    """Something that can happen to a program. Times are in seconds."""

    name: str
    about: str
    judge: Callable[[Observations], Iterable[str]]
    script: Callable[[Stage], Script] = scripts.usual
    skip: Callable[[Observations], str] = lambda seen: ""
    """Why the observations cannot be judged; empty if they can."""
    change: Callable[[Attempt], Attempt] = lambda given: given
    answer: str = "Hello from the model."
    hold: float = 0.0
    """How long the program must work; 0 for any time."""
    grace: float = 30.0
    stop: Callable[[Stage], float | None] | None = None
    opens_after: float = 0.0
    tls: str = ""
    takes: float = 0.0
    """How long it takes in addition to the program's own work."""
    is_long: bool = False
    """Whether it takes minutes and is only played on request."""
    needs_schema: bool = False

    def scene(self, work: Work) -> Scene:
        """Return how to play it with these jobs."""
        busy = work.busy if self.hold else None
        return Scene(
            attempt=self.change(an_attempt(busy or work.plain)),
            script=self.script,
            answer=self.answer,
            hold=self.hold,
            works_long=busy is not None,
            limit=work.limit + self.takes + (self.hold if busy is None else 2 * self.hold),
            grace=self.grace,
            stop=self.stop,
            opens_after=self.opens_after,
            tls=self.tls,
            engine=work.engine,
        )

    def judged(self, seen: Observations) -> Judgement:
        """Return the faults."""
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
        return given  # a script may depend on the message
    changed = {**spec, "input": {**(spec.get("input") or {}), "message": _LONG_TEXT}}
    return {**given, "resolved": {**given["resolved"], "spec": changed}}


SITUATIONS: Final[tuple[Situation, ...]] = (
    Situation("success", "no failures", succeeds),
    Situation(
        "long-texts",
        "message and answer are long, with quotes and newlines",
        succeeds,
        change=_with_long_texts,
        answer=_LONG_TEXT,
    ),
    Situation(
        "already-answered",
        "the attempt already has the job's result",
        requirements.repeats_the_final_result,
        change=_with_result,
    ),
    Situation(
        "fenced-at-the-claim", "another pod holds the start: 409", requirements.is_fenced, scripts.fenced_at_the_claim
    ),
    Situation(
        "fenced-later",
        "another pod has taken the start: 409 after the claim",
        requirements.is_fenced,
        scripts.fenced_later,
    ),
    Situation(
        "fenced-at-work",
        "409 while it works: the heartbeat is answered with it",
        requirements.is_fenced_at_work,
        scripts.fenced_at_work,
        requirements.never_at_work,
        hold=_BUSY_SECONDS,
    ),
    Situation(
        "unavailable-at-start",
        "the gateway starts some seconds later",
        succeeds,
        scripts.unavailable_at_start,
        opens_after=3.0,
        takes=15.0,
    ),
    Situation(
        "unavailable-after-claim",
        "the gateway is unavailable for 5 s after the claim",
        succeeds,
        scripts.unavailable_after_claim,
        takes=20.0,
    ),
    Situation(
        "unavailable-at-result",
        "the result has to be sent several times",
        requirements.reports_the_same,
        scripts.unavailable_at_result,
        takes=30.0,
    ),
    Situation(
        "unavailable-forever",
        "no result can ever be stored",
        requirements.gives_up_late,
        scripts.never_takes_a_result,
        takes=180.0,
        is_long=True,
    ),
    Situation(
        "too-many-requests",
        "429 with Retry-After",
        requirements.waits_before_retries,
        scripts.too_many,
        takes=30.0,
    ),
    Situation(
        "result-refused",
        "the gateway rejects the result: 422",
        requirements.treats_a_rejected_result_as_failure,
        scripts.refuses_the_result,
    ),
    Situation("another-is-final", "another start's result is final", succeeds, scripts.another_result_is_final),
    Situation(
        "sigterm",
        "SIGTERM while it works",
        requirements.is_interrupted,
        skip=requirements.not_stopped_at_work,
        hold=_BUSY_SECONDS,
        grace=_GRACE,
        stop=scripts.stop_at_work,
    ),
    Situation(
        "sigterm-early",
        "SIGTERM before it has its attempt",
        requirements.is_no_success,
        scripts.never_answers,
        grace=_GRACE,
        stop=scripts.stop_at_the_claim,
    ),
    Situation(
        "sigterm-late",
        "SIGTERM while the result cannot be stored",
        requirements.is_no_success,
        scripts.never_takes_a_result,
        grace=_GRACE,
        stop=scripts.stop_at_the_report,
    ),
    Situation(
        "token-renewed",
        "the token is renewed, the old one is rejected",
        requirements.reads_the_token_again,
        scripts.renews_the_token,
    ),
    Situation("heartbeat", "it works for 33 s", succeeds, skip=requirements.never_at_work, hold=_BUSY_SECONDS),
    Situation("tls", "https, with the installation's own CA", succeeds, tls="own"),
    Situation(
        "tls-untrusted",
        "https, with an untrusted certificate",
        requirements.trusts_no_other_server,
        tls="other",
        grace=_GRACE,
        stop=scripts.stop_at_the_handshake,
        takes=10.0,
    ),
    Situation(
        "budget",
        "the model proxy answers 402: the job's budget is used up",
        requirements.is_over_budget,
        scripts.budget_is_spent,
        requirements.called_no_model,
        takes=30.0,
    ),
    Situation("structured", "the job has output.schema", requirements.fits_the_schema, needs_schema=True),
)
