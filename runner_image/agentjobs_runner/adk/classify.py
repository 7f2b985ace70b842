"""Maps an error to the start's ending: by origin, then by type, then by status or code, and by words last.

Called by `engine` with the exception from ADK. Providers' errors are handled in `provider_errors`, finish reasons in
`finish_reasons`, definitions that can never work in `invalid_definitions`; engine-independent rules are in
`agentjobs_runner.classify`. Pure except for the clock, which is passed in. To add a case, add a row there or here and
to tests/unit/runner/adk.
"""

import json
import re
from datetime import datetime
from typing import Final

from google.adk.agents.invocation_context import LlmCallsLimitExceededError
from google.genai import errors
from pydantic import ValidationError

from agentjobs.contract import ErrorClass, Verdict
from agentjobs_runner.adk.invalid_definitions import invalid_definition
from agentjobs_runner.classify import described, disk_failed, ending_of
from agentjobs_runner.endings import Ending, NotAnAnswer, ProviderFailed, key_cure
from agentjobs_runner.frames import Frame, frames_of, own_frame
from agentjobs_runner.modules import first_problems
from agentjobs_runner.origins import AGENT, Cause, Source, origin_of
from agentjobs_runner.provider_errors import head, judge, read, refusal, status_of
from agentjobs_runner.redaction import safe_str

_KEY: Final = re.compile(r"API[ _]?key|credentials|Missing key inputs", re.IGNORECASE)
# Clients have their own exceptions, of httpx or their own, and are not loaded for every job.
_CLIENTS: Final = (
    "aiohttp.",
    "anthropic.",
    "google.auth.",
    "httpcore.",
    "httpcore2.",
    "httpx.",
    "httpx2.",
    "litellm.",
    "openai.",
)
_TIMEOUTS: Final = frozenset({"APITimeoutError", "Timeout", "TimeoutException"})
_UNREACHABLE: Final = frozenset({"APIConnectionError", "ClientError", "HTTPError", "TransportError"})
_LOGINS: Final = frozenset({"DefaultCredentialsError", "RefreshError"})
_READERS: Final = (
    "google.genai.",
    "google.adk.integrations.openai.",
    "google.adk.models.",
    "openai.",
    "anthropic.",
    "agentjobs_runner.adk.openai_",
    "agentjobs_runner.adk.anthropic_",
)
_TRANSFER: Final = re.compile(
    r"Transfer target agent '([^']*)' not found|Agent '?([\w-]+)'? not found in the agent tree"
)
_PLUGIN: Final = re.compile(r"Error in plugin '([^']*)' during '([^']*)' callback")


def classify(error: BaseException, *, now: datetime) -> Ending:
    """Return the ending of a start for `error`.

    Args:
        error: from ADK or from loading the agent; plugins and task groups may have wrapped it.
        now: for a Retry-After that is a date.
    """
    return ending_of(error, lambda cause: _known(cause, now), _unknown)


def _known(cause: Cause, now: datetime) -> Ending | None:
    """The ending for an error that is conclusive by itself."""
    error, source = cause.error, cause.origin.source
    if isinstance(error, LlmCallsLimitExceededError):
        return Ending(
            Verdict.FAIL,
            ErrorClass.BUDGET_EXCEEDED,
            f"{error}; raise agent.runConfig.max_llm_calls or reduce the work",
        )
    if (invalid := invalid_definition(cause)) is not None:
        return invalid
    # Including errors of a tool's code that called a model itself.
    if status_of(error) is not None and (refused := refusal(read(error, now))) is not None:
        return refused
    if source is Source.TOOL:
        return None
    if isinstance(error, ProviderFailed):
        return judge(read(error, now), "the model's provider sent an error in its answer")
    if isinstance(error, NotAnAnswer):
        return _unreadable(head(error.text))
    if source is Source.MODEL or isinstance(error, errors.APIError):
        status = status_of(error)
        if status is not None:
            return judge(read(error, now), f"the model's provider answered {status}")
    if source is Source.MODEL:
        return _model_call(error) or _agent(error)
    return _agent(error)


def _unreadable(why: str) -> Ending:
    message = f"the model's answer cannot be read: {why}"
    return Ending(Verdict.RETRY, ErrorClass.MODEL_UNAVAILABLE, message)


def _model_call(error: BaseException) -> Ending | None:
    """The ending for errors of a model call without an HTTP status."""
    text = described(error)
    if isinstance(error, TimeoutError) or _is_client_error(error, _TIMEOUTS):
        return Ending(Verdict.RETRY, ErrorClass.MODEL_TIMEOUT, f"the model did not answer in time: {text}")
    if isinstance(error, OSError) or _is_client_error(error, _UNREACHABLE):
        return Ending(
            Verdict.RETRY, ErrorClass.MODEL_UNAVAILABLE, f"the model's provider{_host(error)} cannot be reached: {text}"
        )
    if isinstance(error, json.JSONDecodeError):
        return _unreadable(f"it is not JSON: {head(error.doc)}" if error.doc else text)
    unreadable = (ValidationError, UnicodeDecodeError, errors.UnknownApiResponseError)
    stumbled = isinstance(error, (AttributeError, IndexError, KeyError, TypeError)) and _raised_in_reader(error)
    if isinstance(error, unreadable) or stumbled:
        return _unreadable(text)
    if type(error).__name__ in _LOGINS or (isinstance(error, ValueError) and _KEY.search(text)):
        cure = key_cure("GOOGLE_API_KEY")
        return Ending(Verdict.FAIL, ErrorClass.MODEL_AUTH, f"the model needs credentials: {text}; {cure}")
    return None


def _host(error: BaseException) -> str:
    """Return the request's host; clients store it on the error or on its cause."""
    for holder in (error, error.__cause__):
        try:
            return f" at {holder.request.url.host}"  # type: ignore[union-attr]
        except (AttributeError, RuntimeError):  # httpx raises if there is no request
            continue
    return ""


def _is_client_error(error: BaseException, names: frozenset[str]) -> bool:
    kinds = type(error).__mro__
    return any(kind.__name__ in names and f"{kind.__module__}.".startswith(_CLIENTS) for kind in kinds)


def _raised_in_reader(error: BaseException) -> bool:
    """Whether a provider's client or ADK's parser failed on JSON of an unknown shape."""
    passed = frames_of(error)
    return bool(passed) and passed[-1].module.startswith(_READERS)


def _agent(error: BaseException) -> Ending | None:
    """Endings for errors with the same meaning everywhere except in tools."""
    text = described(error)
    if isinstance(error, ValidationError) and _judged_an_answer(error):
        problems = first_problems(error)
        return Ending(Verdict.RETRY, ErrorClass.RESULT_ERROR, f"the answer does not match {error.title}: {problems}")
    if isinstance(error, ValueError) and (transfer := _TRANSFER.search(text)):
        message = f"the model transferred to agent {transfer[1] or transfer[2]!r}, which does not exist"
        return Ending(Verdict.RETRY, ErrorClass.RESULT_ERROR, message)
    return disk_failed(error)


def _judged_an_answer(error: ValidationError) -> bool:
    """Whether ADK raised it for an agent's output_schema; user code validates other things, too."""
    passed = [frame for frame in frames_of(error) if not frame.module.startswith("pydantic")]
    return bool(passed) and passed[-1].module == "google.adk.utils._schema_utils"


def _unknown(found: list[Cause]) -> Ending:
    cause, plugin = _past_plugin(found)
    if origin_of(cause.error) is None and cause.origin == AGENT:
        # An error raised while handling a tool's error hides it; the first one is more useful.
        cause = next((deeper for deeper in found if origin_of(deeper.error) is not None), cause)
    error, origin = cause.error, cause.origin
    # A library's error is shown with the user's line that led to it.
    frame = next((frame for at in found if at.is_explicit and (frame := own_frame(at.error)) is not None), None)
    text = f"{described(error)} ({frame})" if frame else described(error)
    if origin.source is Source.TOOL:
        return Ending(Verdict.RETRY, ErrorClass.TOOL_ERROR, f"tool {origin.name} failed: {text}")
    if origin.source is Source.MODEL:
        return Ending(Verdict.RETRY, ErrorClass.AGENT_ERROR, f"the model's class failed: {text}")
    return Ending(Verdict.RETRY, ErrorClass.AGENT_ERROR, f"{plugin or _failed_part(error)} failed: {text}")


def _past_plugin(found: list[Cause]) -> tuple[Cause, str]:
    """The first error below ADK's wrapper for plugin errors, and a description of the plugin."""
    match = _PLUGIN.match(safe_str(found[0].error)) if isinstance(found[0].error, RuntimeError) else None
    if match is None or len(found) == 1:
        return found[0], ""
    return found[1], f"plugin {match[1]} in {match[2]}"


def _failed_part(error: BaseException) -> str:
    """The failed part of the agent, as far as the traceback shows it."""
    part = ""
    for frame in frames_of(error):
        if frame.is_own:
            return f"callback {frame.function}" if part == "callback" else part or "the agent's code"
        part = _part(frame) or part
    return part if part and part != "callback" else "the agent's code"


def _part(frame: Frame) -> str:
    if frame.module == "google.adk.utils._callback_pipeline":
        return "callback"
    if frame.module == "google.adk.workflow._function_node":
        name = getattr(frame.local("self"), "name", "")
        return f"node {name}" if name else ""
    return ""
