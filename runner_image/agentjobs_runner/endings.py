"""A start's ending as a value, and the exception that carries it through ADK.

Created by `classify`, `answer` and configuration checks; reported by `attempt`. Standard library only.
"""

import os
from dataclasses import dataclass
from typing import Final

from agentjobs import contract
from agentjobs.contract import ErrorClass, Result, Verdict

FENCED: Final = "Fenced"


@dataclass(frozen=True, slots=True)
class Ending:
    """The runner's report. `result` belongs to Succeed and is None otherwise; the delay is in seconds."""

    verdict: Verdict
    reason: str
    message: str
    delay_seconds: float | None = None
    result: Result | None = None


class StartEnded(Exception):
    """Raised by our own code when it already knows the start's ending."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.message)
        self.ending = ending


class ProviderFailed(Exception):
    """A provider sent an error with status 200, alone or within a stream; it is in `body`."""

    def __init__(self, body: object) -> None:
        inner = body.get("error", body) if isinstance(body, dict) else body
        self.body = inner if isinstance(inner, dict) else {"message": inner} if isinstance(inner, str) else {}
        super().__init__(str(self.body.get("message") or "no reason given"))


class NotAnAnswer(Exception):
    """A provider's address answered 200 with something that is not a model's answer; it is in `text`."""

    def __init__(self, text: object) -> None:
        self.text = str(text)
        super().__init__(self.text[:200])


def config_invalid(message: str) -> StartEnded:
    """The job's definition is invalid; it would fail again."""
    return StartEnded(Ending(Verdict.FAIL, ErrorClass.CONFIG_INVALID, message))


def module_not_found(message: str) -> StartEnded:
    """A module or attribute of the job does not exist in its image."""
    return StartEnded(Ending(Verdict.FAIL, ErrorClass.MODULE_NOT_FOUND, message))


def model_auth(field: str, model: str, variable: str) -> StartEnded:
    """The pod's environment has no key for a model."""
    message = f"{field}: model {model!r} needs credentials; {key_cure(variable)}"
    return StartEnded(Ending(Verdict.FAIL, ErrorClass.MODEL_AUTH, message))


def key_cure(variable: str) -> str:
    """Return the cure for a missing key."""
    if os.environ.get(contract.ENV_MODELS_URL):
        return (
            f"runtime.env makes the job call this provider itself: put {variable} into it, from a Secret, "
            "or remove the provider's variables, so that the installation's model proxy is used"
        )
    return f"set {variable}: for `agentjobs run --local` in your shell; without a model proxy in runtime.env"


def malformed_call(tool: str, arguments: str) -> StartEnded:
    """A model called `tool` (empty if unknown) with arguments that are not a JSON object."""
    called = f"tool {tool}" if tool else "a tool"
    message = f"the model called {called} with arguments that are not a JSON object: {arguments[:200]!r}"
    return StartEnded(Ending(Verdict.RETRY, ErrorClass.RESULT_ERROR, message))


def lost_call() -> StartEnded:
    """A model's turn ended in order to call tools, but without a call: its text is not an answer."""
    message = "the model stopped to call a tool, but its provider sent no call"
    return StartEnded(Ending(Verdict.RETRY, ErrorClass.RESULT_ERROR, message))


def content_blocked(message: str) -> StartEnded:
    """The model or its provider declined to answer, and would decline again."""
    return StartEnded(Ending(Verdict.FAIL, ErrorClass.CONTENT_BLOCKED, message))


def cut_off() -> StartEnded:
    """A stream ended without a finish reason: the rest of the answer is missing."""
    message = "the model's stream ended before its answer was complete"
    return StartEnded(Ending(Verdict.RETRY, ErrorClass.MODEL_UNAVAILABLE, message))


def journal_unavailable(message: str) -> Ending:
    """The gateway was unavailable for longer than `contract.GATEWAY_TIMEOUT_SECONDS`."""
    return Ending(Verdict.SNOOZE, ErrorClass.JOURNAL_UNAVAILABLE, message, delay_seconds=30.0)


def progress_timeout(limit: str, running: str) -> Ending:
    """The agent made no progress for `timeouts.progress`."""
    doing = f"; {running} did not end" if running else ""
    message = f"no progress for {limit}{doing}. Raise timeouts.progress if it needs that long"
    return Ending(Verdict.RETRY, ErrorClass.PROGRESS_TIMEOUT, message)


def fenced(message: str) -> Ending:
    """Another pod holds this start. `attempt` does not report it, because a report would apply to that pod's work."""
    return Ending(Verdict.RETRY, FENCED, message)


def interrupted(message: str) -> Ending:
    """The pod was stopped; the operator determines why."""
    return Ending(Verdict.SNOOZE, ErrorClass.INTERRUPTED, message, delay_seconds=5.0)


def stopped_by_own_signal() -> Ending:
    """The agent's code sent its own process SIGTERM or SIGINT."""
    message = "the agent's code stopped its own process with SIGTERM or SIGINT"
    return Ending(Verdict.RETRY, ErrorClass.AGENT_ERROR, message)
