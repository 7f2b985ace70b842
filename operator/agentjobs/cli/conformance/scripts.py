"""A gateway's special answers in situations, and when programs are stopped.

Each situation gets a new script, which may remember its answers.
"""

import itertools
from typing import Final

from agentjobs.cli.conformance.observations import Call, first
from agentjobs.cli.conformance.stage import CUT, LOST, Reply, Script, Stage, refusal
from agentjobs.contract import Result, Verdict

RETRY_SECONDS: Final = 2.0
"""The value of Retry-After."""
SOON: Final = 2.0
"""Seconds between a request and what then happens."""
OTHERS: Final = Result(text="The answer of another start.", structured=None, outcome="approved", usage={})
_UNAVAILABLE_SECONDS: Final = 5.0
_LONG: Final = 20.0
_UNAVAILABLE: Final = refusal(503, "Unavailable", "The database is not available.")
_BAD: Final = Reply(502, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"})
# A proxy in front of a gateway may answer instead: 200, and not JSON.
_NOT_THE_GATEWAY: Final = Reply(200, b"<html>Please sign in.</html>", {"Content-Type": "text/html"})
_FENCED: Final = refusal(409, "Fenced", "Another pod holds this start.")


def usual(stage: Stage) -> Script:
    """No special answers."""
    return lambda call: None


def fenced_at_the_claim(stage: Stage) -> Script:
    """Another pod already holds the start."""
    return lambda call: _FENCED if call.claims else None


def fenced_later(stage: Stage) -> Script:
    """Another pod takes the start after the claim."""
    return lambda call: None if call.claims else _FENCED


def fenced_at_work(stage: Stage) -> Script:
    """Fenced after some seconds: early requests are still accepted."""

    def script(call: Call) -> Reply | None:
        claimed = first(stage.calls, lambda earlier: earlier.claims and earlier.status == 200)
        return _FENCED if claimed is not None and call.at > claimed.at + SOON and not call.claims else None

    return script


def unavailable_after_claim(stage: Stage) -> Script:
    """The gateway is unavailable for some seconds after the claim."""
    answers = itertools.cycle((CUT, _UNAVAILABLE))

    def script(call: Call) -> Reply | None:
        claimed = first(stage.calls, lambda earlier: earlier.claims and earlier.status == 200)
        if claimed is None or call.at > claimed.at + _UNAVAILABLE_SECONDS:
            return None
        return next(answers)

    return script


def unavailable_at_start(stage: Stage) -> Script:
    """The scene first refuses connections; then the gateway is not ready yet."""
    answers = iter((CUT, _UNAVAILABLE, _BAD, _NOT_THE_GATEWAY))
    return lambda call: next(answers, None) if call.claims else None


def unavailable_at_result(stage: Stage) -> Script:
    """Storing the result fails in every way; finally it is stored, but the response is lost."""
    answers = iter((CUT, _UNAVAILABLE, _BAD, _NOT_THE_GATEWAY, refusal(500, "InternalError", "A bug."), LOST))
    return lambda call: next(answers, None) if call.reports else None


def never_takes_a_result(stage: Stage) -> Script:
    """The gateway is unavailable for results."""
    return lambda call: _UNAVAILABLE if call.reports else None


def never_answers(stage: Stage) -> Script:
    """The gateway is unavailable."""
    return lambda call: _UNAVAILABLE


def refuses_the_result(stage: Stage) -> Script:
    """The gateway rejects a result."""

    def script(call: Call) -> Reply | None:
        if call.reports and call.document().get("verdict") == Verdict.SUCCEED:
            return refusal(422, "Invalid", "The result was rejected.")
        return None

    return script


def too_many(stage: Stage) -> Script:
    """Rejects the first request of each kind."""
    known = set[tuple[str, str]]()

    def script(call: Call) -> Reply | None:
        kind = (call.method, call.path)
        if kind in known:
            return None
        known.add(kind)
        return refusal(429, "TooManyRequests", "Try again later.", retry_after=f"{RETRY_SECONDS:.0f}")

    return script


def another_result_is_final(stage: Stage) -> Script:
    """Another start's result is stored just before."""

    def script(call: Call) -> Reply | None:
        if call.reports:
            stage.final = OTHERS
        return None

    return script


def renews_the_token(stage: Stage) -> Script:
    """The token is renewed at the claim."""

    def script(call: Call) -> Reply | None:
        if call.claims:
            stage.renew_token()
        return None

    return script


def budget_is_spent(stage: Stage) -> Script:
    """Model calls are rejected because of the job's budget."""
    stage.budget_spent = True
    return lambda call: None


def stop_at_work(stage: Stage) -> float | None:
    """Soon after the first model call; for a long job, at the latest some seconds after the claim."""
    called = first(stage.calls, lambda call: call.of_models)
    if called is not None:
        return called.at + SOON
    claimed = first(stage.calls, lambda call: call.claims and call.status == 200)
    return claimed.at + 2 * SOON if claimed is not None and stage.works_long else None


def stop_at_the_report(stage: Stage) -> float | None:
    """Soon after the first report."""
    reported = first(stage.calls, lambda call: call.reports)
    return None if reported is None else reported.at + SOON


def stop_at_the_claim(stage: Stage) -> float | None:
    """Soon after the program requested its attempt."""
    claimed = first(stage.calls, lambda call: call.claims)
    return None if claimed is None else claimed.at + SOON


def stop_at_the_handshake(stage: Stage) -> float | None:
    """Soon after the first failed connection; for a program that makes none, after a while."""
    failed_at = stage.shaken_off or (stage.calls[0].at if stage.calls else None)
    return stage.began + _LONG if failed_at is None else failed_at + SOON
