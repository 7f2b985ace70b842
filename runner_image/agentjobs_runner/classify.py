"""From what went wrong to how the start ends: the table of error classes, in one place.

Called once by `engine` with the exception that came out of ADK, and by `answer` for errors that ADK reports as events.
Pure but for the clock that is passed in. To add a case, add a row here and to tests/unit/runner/test_classify.py.
"""

import errno
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from google.adk.agents.invocation_context import LlmCallsLimitExceededError
from google.genai import errors
from pydantic import ValidationError

from agentjobs.contract import MAX_DELAY_SECONDS, ErrorClass, Verdict
from agentjobs_runner.control import Cancel, Permanent, Snooze
from agentjobs_runner.endings import Ended, Ending, StreamFailed
from agentjobs_runner.modules import first_problems
from agentjobs_runner.steps import Origin
from agentjobs_runner.wording import shown

# A rate limit that does not say how long (api reference, error classes).
RATE_LIMIT_SECONDS: Final = 30.0
MAX_CHAIN: Final = 20

_CONTEXT: Final = re.compile(
    r"context (?:window|length)|(?:token|input) (?:count|limit).*exceed|exceeds? the maximum number of tokens"
    r"|too many tokens|prompt is too long|input is too long",
    re.IGNORECASE | re.DOTALL,
)
_FILTERED: Final = re.compile(r"content_filter|content_policy|content management policy", re.IGNORECASE)
_KEY: Final = re.compile(r"API[ _]?key|API_KEY_INVALID|credentials|Missing key inputs", re.IGNORECASE)
_BLOCKED: Final = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "MODEL_ARMOR",
        "JAILBREAK",
    }
)
_DISK: Final = frozenset({errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT, errno.EMFILE, errno.ENFILE})

_STATUS: Final[dict[int, tuple[Verdict, ErrorClass]]] = {
    401: (Verdict.FAIL, ErrorClass.MODEL_AUTH),
    403: (Verdict.FAIL, ErrorClass.MODEL_AUTH),
    408: (Verdict.RETRY, ErrorClass.MODEL_TIMEOUT),
    409: (Verdict.RETRY, ErrorClass.MODEL_UNAVAILABLE),
    413: (Verdict.FAIL, ErrorClass.CONTEXT_TOO_LONG),
    425: (Verdict.RETRY, ErrorClass.MODEL_UNAVAILABLE),
    429: (Verdict.SNOOZE, ErrorClass.MODEL_RATE_LIMITED),
    499: (Verdict.RETRY, ErrorClass.MODEL_UNAVAILABLE),
    504: (Verdict.RETRY, ErrorClass.MODEL_TIMEOUT),
}
# What providers call an error in the midst of a stream, whose HTTP status was 200, and the status it would have had.
_STREAMED: Final = {
    "api_error": 500,
    "authentication_error": 401,
    "context_length_exceeded": 400,
    "invalid_request_error": 400,
    "not_found_error": 404,
    "overloaded_error": 529,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "request_too_large": 413,
    "server_error": 500,
    "timeout_error": 504,
}
# Clients bring their own exceptions, of httpx or its successor or their own, and are not loaded for every job.
_CLIENTS: Final = ("anthropic", "httpcore", "httpcore2", "httpx", "httpx2", "litellm", "openai")
_TIMEOUTS: Final = frozenset({"APITimeoutError", "Timeout", "TimeoutException"})
_UNREACHABLE: Final = frozenset({"APIConnectionError", "HTTPError", "TransportError"})
_READERS: Final = (
    "google.genai.",
    "google.adk.integrations.openai.",
    "google.adk.models.",
    "openai.",
    "anthropic.",
    "agentjobs_runner.openai_",
)


def classify(error: BaseException, origin: Callable[[BaseException], Origin | None], *, now: datetime) -> Ending:
    """Say how a start ends that `error` ended.

    Args:
        error: what came out of ADK or of loading the agent; plugins and task groups may have wrapped it.
        origin: where an exception was raised, as far as that was seen.
        now: for a Retry-After that is a date.
    """
    try:
        return _classified(error, origin, now)
    except BaseException as broken:  # exceptions are user code's, too: their properties may raise what they like
        said = f"the agent's code raised {type(error).__name__}, which cannot be read: {type(broken).__name__}"
        return Ending(Verdict.RETRY, ErrorClass.AGENT_ERROR, said)


def _classified(error: BaseException, origin: Callable[[BaseException], Origin | None], now: datetime) -> Ending:
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, Ended):
            return cause.ending
        if (asked := _asked(cause)) is not None:
            return asked
    for cause in causes:
        if (known := _known(cause, origin(cause), now)) is not None:
            return known
    where = next((found for cause in causes if (found := origin(cause)) is not None), Origin.AGENT)
    return _unknown(causes[0], where)


def soft(code: str, message: str) -> Ending:
    """Say how a start ends whose model answered with an error code instead of raising."""
    said = f"the model's answer ended with {code}" + (f": {message}" if message and message != code else "")
    if code.isdigit() and 400 <= int(code) <= 599:
        verdict, reason = _by_status(int(code), message)
        delay = RATE_LIMIT_SECONDS if verdict is Verdict.SNOOZE else None
        return Ending(verdict, reason, said, delay_seconds=delay)
    if _word(code) in _BLOCKED:
        return Ending(Verdict.FAIL, ErrorClass.CONTENT_BLOCKED, said)
    return Ending(Verdict.RETRY, ErrorClass.RESULT_ERROR, said)


def is_blocked(finish_reason: object) -> bool:
    """Whether a model's answer was stopped by its provider's rules, though a part of it may have come."""
    return finish_reason is not None and _word(finish_reason) in _BLOCKED


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and what caused it, members of groups included, outermost first; bounded: chains may be circles."""
    pending, seen = [error], set[int]()
    while pending and len(seen) < MAX_CHAIN:
        current = pending.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, BaseExceptionGroup):
            pending[:0] = current.exceptions
        else:
            yield current
        following = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
        if following is not None:
            pending.append(following)


def _asked(error: BaseException) -> Ending | None:
    """What user code asked for by raising one of our exceptions."""
    match error:
        case Snooze():
            delay = min(error.after_seconds, MAX_DELAY_SECONDS)
            return Ending(Verdict.SNOOZE, ErrorClass.SNOOZED, error.reason, delay_seconds=delay)
        case Cancel():
            return Ending(Verdict.CANCEL, ErrorClass.CANCELLED, error.reason)
        case Permanent():
            return Ending(Verdict.FAIL, ErrorClass.PERMANENT, error.reason)
        case _:
            return None


def _known(error: BaseException, origin: Origin | None, now: datetime) -> Ending | None:
    """The ending of an error that tells by itself what it is."""
    if isinstance(error, LlmCallsLimitExceededError):
        return Ending(
            Verdict.FAIL, ErrorClass.BUDGET_EXCEEDED, f"{error}; raise ADK's max_llm_calls or shorten the work"
        )
    if origin is Origin.TOOL:
        return None
    if isinstance(error, StreamFailed):
        return _broken_off(error)
    status = _status(error)
    if status is not None and (origin is Origin.MODEL or isinstance(error, errors.APIError)):
        return _http(error, status, now)
    if origin is Origin.MODEL:
        return _model_call(error)
    return _agent(error)


def _http(error: BaseException, status: int, now: datetime) -> Ending:
    text = _api_message(error)
    verdict, reason = _by_status(status, text)
    delay = (_retry_after(error, now) or RATE_LIMIT_SECONDS) if verdict is Verdict.SNOOZE else None
    return Ending(verdict, reason, f"the model's provider answered {status}: {text}", delay_seconds=delay)


def _broken_off(error: StreamFailed) -> Ending:
    words = (error.body.get("code"), error.body.get("type"))
    status = next((_STREAMED[word] for word in words if isinstance(word, str) and word in _STREAMED), 500)
    text = _api_message(error)
    verdict, reason = _by_status(status, text)
    delay = RATE_LIMIT_SECONDS if verdict is Verdict.SNOOZE else None
    return Ending(verdict, reason, f"the model's provider broke off its answer: {text}", delay_seconds=delay)


def _by_status(status: int, text: str) -> tuple[Verdict, ErrorClass]:
    if status in _STATUS:
        return _STATUS[status]
    if status >= 500:
        return Verdict.RETRY, ErrorClass.MODEL_UNAVAILABLE
    if _KEY.search(text):
        return Verdict.FAIL, ErrorClass.MODEL_AUTH
    if _CONTEXT.search(text):
        return Verdict.FAIL, ErrorClass.CONTEXT_TOO_LONG
    if _FILTERED.search(text):
        return Verdict.FAIL, ErrorClass.CONTENT_BLOCKED
    return Verdict.FAIL, ErrorClass.MODEL_BAD_REQUEST


def _model_call(error: BaseException) -> Ending | None:
    """Errors of a model call without an HTTP status."""
    said = _said(error)
    if isinstance(error, TimeoutError) or _is_client_error(error, _TIMEOUTS):
        return Ending(Verdict.RETRY, ErrorClass.MODEL_TIMEOUT, f"the model did not answer in time: {said}")
    if isinstance(error, OSError) or _is_client_error(error, _UNREACHABLE):
        return Ending(Verdict.RETRY, ErrorClass.MODEL_UNAVAILABLE, f"the model's provider cannot be reached: {said}")
    unreadable = (ValidationError, json.JSONDecodeError, UnicodeDecodeError, errors.UnknownApiResponseError)
    stumbled = isinstance(error, (AttributeError, IndexError, KeyError, TypeError)) and _raised_in_reader(error)
    if isinstance(error, unreadable) or stumbled:
        return Ending(Verdict.RETRY, ErrorClass.MODEL_UNAVAILABLE, f"the model's answer cannot be read: {said}")
    if type(error).__name__ == "DefaultCredentialsError" or (isinstance(error, ValueError) and _KEY.search(said)):
        cure = "put GOOGLE_API_KEY into runtime.env, from a Secret"
        return Ending(Verdict.FAIL, ErrorClass.MODEL_AUTH, f"the model needs credentials: {said}; {cure}")
    return _agent(error)


def _is_client_error(error: BaseException, names: frozenset[str]) -> bool:
    kinds = type(error).__mro__
    return any(kind.__name__ in names and kind.__module__.partition(".")[0] in _CLIENTS for kind in kinds)


def _raised_in_reader(error: BaseException) -> bool:
    """Whether a provider's client or ADK's reader of it stumbled itself: over JSON that is none of its shapes."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback is not None and str(traceback.tb_frame.f_globals.get("__name__", "")).startswith(_READERS)


def _agent(error: BaseException) -> Ending | None:
    """Errors that mean the same wherever they come from, tools excepted."""
    said = _said(error)
    if isinstance(error, ValueError) and re.match(r"ValueError: Model \S+ not found", said):
        return Ending(Verdict.FAIL, ErrorClass.CONFIG_INVALID, said)
    if isinstance(error, KeyError) and "Context variable not found" in said:
        cure = "set it in input.state, or write {key?}"
        return Ending(
            Verdict.FAIL, ErrorClass.CONFIG_INVALID, f"an instruction reads state that is not there: {said}; {cure}"
        )
    if isinstance(error, ValidationError):
        problems = first_problems(error)
        return Ending(Verdict.RETRY, ErrorClass.RESULT_ERROR, f"the answer does not fit {error.title}: {problems}")
    if isinstance(error, OSError) and error.errno in _DISK:
        return Ending(Verdict.RETRY, ErrorClass.IO, said)
    return None


def _unknown(error: BaseException, origin: Origin) -> Ending:
    said = _said(error)
    match origin:
        case Origin.TOOL:
            return Ending(Verdict.RETRY, ErrorClass.TOOL_ERROR, f"a tool failed: {said}")
        case Origin.MODEL:
            return Ending(Verdict.RETRY, ErrorClass.AGENT_ERROR, f"the model's class failed: {said}")
        case Origin.AGENT:
            return Ending(Verdict.RETRY, ErrorClass.AGENT_ERROR, f"the agent's code failed: {said}")


def _status(error: BaseException) -> int | None:
    """The HTTP status of a provider's error: `code` in google-genai, `status_code` in the others."""
    for name in ("code", "status_code"):
        value = getattr(error, name, None)
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599:
            return value
    return None


def _body(error: BaseException) -> dict[str, Any]:
    """What the provider said of its error; the clients of OpenAI and Anthropic keep it, one without its frame."""
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else None
    return inner if isinstance(inner, dict) else {}


def _api_message(error: BaseException) -> str:
    """The provider's own words. Clients' str() repeats the whole body, ADK's puts an advertisement before it."""
    said = _body(error)
    if said.get("message"):
        code = said.get("code")
        return f"{code}: {said['message']}" if isinstance(code, str) else str(said["message"])
    message = getattr(error, "message", None)
    details = json.dumps(getattr(error, "details", None), default=str)
    known = "API_KEY_INVALID " if "API_KEY_INVALID" in details else ""
    return f"{known}{message}" if message else f"{known}{error}"


def _retry_after(error: BaseException, now: datetime) -> float | None:
    """Seconds that the provider asked us to wait: the Retry-After header, or google.rpc.RetryInfo in the body."""
    # LiteLLM keeps the provider's headers beside a response of its own making.
    sources: tuple[Any, ...] = (
        getattr(getattr(error, "response", None), "headers", None),
        getattr(error, "litellm_response_headers", None),
    )
    words = [headers.get("retry-after") for headers in sources if headers is not None]
    seconds = next((found for word in words if word and (found := _seconds(str(word), now)) is not None), None)
    if seconds is None:
        seconds = _retry_info(getattr(error, "details", None))
    return None if seconds is None else min(max(seconds, 1.0), MAX_DELAY_SECONDS)


def _seconds(header: str, now: datetime) -> float | None:
    # RFC 9110 10.2.3 knows whole seconds and dates; providers send fractions as well.
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", header):
        return float(header)
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return None
    return (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()


def _retry_info(details: Any) -> float | None:
    body = details.get("error", details) if isinstance(details, dict) else {}
    for item in (body.get("details") if isinstance(body, dict) else None) or ():
        delay = str(item.get("retryDelay", "")) if isinstance(item, dict) else ""
        if re.fullmatch(r"\d{1,9}(\.\d{1,9})?s", delay):
            return float(delay[:-1])
    return None


def _word(code: object) -> str:
    # ADK gives strings and members of enums, whose str() differs between versions of Python.
    return str(getattr(code, "value", code)).rpartition(".")[2].upper()


def _said(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r})"
    text = shown(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
