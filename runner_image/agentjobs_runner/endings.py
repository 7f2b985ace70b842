"""How a start ended, as a value, and the exception that carries one through ADK.

Made by `classify`, `answer` and whatever refuses a configuration; reported by `attempt`. Standard library only.
"""

import os
from dataclasses import dataclass
from typing import Final

from agentjobs import contract
from agentjobs.contract import ErrorClass, Result, Verdict

FENCED: Final = "Fenced"


@dataclass(frozen=True, slots=True)
class Ending:
    """The one thing a runner reports. `result` goes with Succeed and is None otherwise; the delay is in seconds."""

    verdict: Verdict
    reason: str
    message: str
    delay_seconds: float | None = None
    result: Result | None = None


class StartEnded(Exception):
    """Raised by our own code where it already knows how the start ends."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.message)
        self.ending = ending


class ProviderFailed(Exception):
    """A provider sent an error in an answer of status 200, whole or in the midst of a stream; `body` holds it."""

    def __init__(self, body: object) -> None:
        inner = body.get("error", body) if isinstance(body, dict) else body
        self.body = inner if isinstance(inner, dict) else {"message": inner} if isinstance(inner, str) else {}
        super().__init__(str(self.body.get("message") or "no reason given"))


class NotAnAnswer(Exception):
    """A provider's address answered 200 with something that no model says; `text` is what came."""

    def __init__(self, text: object) -> None:
        self.text = str(text)
        super().__init__(self.text[:200])


def config_invalid(message: str) -> StartEnded:
    """The job's definition is wrong; it would fail the same way again."""
    return StartEnded(Ending(Verdict.FAIL, ErrorClass.CONFIG_INVALID, message))


def module_not_found(message: str) -> StartEnded:
    """A module or attribute that the job names does not exist in its image."""
    return StartEnded(Ending(Verdict.FAIL, ErrorClass.MODULE_NOT_FOUND, message))


def model_auth(field: str, model: str, variable: str) -> StartEnded:
    """The pod's environment holds no key for a model."""
    said = f"{field}: model {model!r} needs credentials; {key_cure(variable)}"
    return StartEnded(Ending(Verdict.FAIL, ErrorClass.MODEL_AUTH, said))


def key_cure(variable: str) -> str:
    """Say what helps a job whose model finds no key in the environment."""
    if os.environ.get(contract.ENV_MODELS_URL):
        return (
            f"runtime.env says that the job asks this provider itself: put {variable} into it, from a Secret, "
            "or leave the provider's variables out of it, and the installation's model proxy asks with its own key"
        )
    return f"set {variable}: for `agentjobs run --local` in your shell; without a model proxy in runtime.env"


def malformed_call(tool: str, arguments: str) -> StartEnded:
    """A model called `tool`, empty for an unknown one, with arguments that are not a JSON object: not to be guessed."""
    called = f"tool {tool}" if tool else "a tool"
    message = f"the model called {called} with arguments that are not a JSON object: {arguments[:200]!r}"
    return StartEnded(Ending(Verdict.RETRY, ErrorClass.RESULT_ERROR, message))


def lost_call() -> StartEnded:
    """A model's turn ended in order to call tools, and no call came: the text beside it is not an answer."""
    message = "the model stopped to call a tool, but its provider sent no call"
    return StartEnded(Ending(Verdict.RETRY, ErrorClass.RESULT_ERROR, message))


def content_blocked(message: str) -> StartEnded:
    """The model or its provider declined to answer; it would decline again."""
    return StartEnded(Ending(Verdict.FAIL, ErrorClass.CONTENT_BLOCKED, message))


def cut_off() -> StartEnded:
    """A stream ended without saying why: the rest of the answer is missing."""
    message = "the model's stream ended before its answer was complete"
    return StartEnded(Ending(Verdict.RETRY, ErrorClass.MODEL_UNAVAILABLE, message))


def journal_unavailable(message: str) -> Ending:
    """The gateway could not be reached for longer than `contract.GATEWAY_PATIENCE_SECONDS`."""
    return Ending(Verdict.SNOOZE, ErrorClass.JOURNAL_UNAVAILABLE, message, delay_seconds=30.0)


def progress_timeout(limit: str, running: str) -> Ending:
    """The agent gave no sign of progress for `timeouts.progress`."""
    doing = f"; {running} did not end" if running else ""
    message = f"no progress for {limit}{doing}. Raise timeouts.progress if that is how long it takes"
    return Ending(Verdict.RETRY, ErrorClass.PROGRESS_TIMEOUT, message)


def fenced(message: str) -> Ending:
    """Another pod holds this start. `attempt` does not report it: whatever we say would be about that pod's work."""
    return Ending(Verdict.RETRY, FENCED, message)


def interrupted(message: str) -> Ending:
    """The pod was told to stop; the operator finds out by whom and decides by that."""
    return Ending(Verdict.SNOOZE, ErrorClass.INTERRUPTED, message, delay_seconds=5.0)


def told_itself_to_stop() -> Ending:
    """Code of the agent sent its own process SIGTERM or SIGINT: no fault of the cluster's."""
    message = "the agent's code told its own process to stop, by SIGTERM or SIGINT"
    return Ending(Verdict.RETRY, ErrorClass.AGENT_ERROR, message)
