"""Translates responses of an API server into our errors, and returns the server's message of an error. Does no I/O."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from agentjobs.errors import (
    AgentJobsError,
    AlreadyExists,
    Conflict,
    Denied,
    Gone,
    Invalid,
    NotFound,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)

_BY_CODE: Final[Mapping[int, type[AgentJobsError]]] = {
    401: Unauthenticated,
    403: Denied,
    404: NotFound,
    408: Unavailable,
    409: Conflict,
    410: Gone,
    429: TooManyRequests,
}
_OF_CONTENT: Final = (400, 422)
# Refusals of a valid object by admission: a webhook (also one that does not support dry runs), a plugin or policy.
# Their codes vary: 422 is the default of a ValidatingAdmissionPolicy.
_BY_ADMISSION: Final = re.compile(r'admission webhook "|\S+ "[^"]*" is forbidden: ')
# Enough of a proxy's HTML page to recognize it; a Status message of the API server is passed on completely.
_FOREIGN_TEXT_LIMIT: Final = 300


def error_of(code: int, raw: bytes | str, *, request: str, retry_after: str | None = None) -> AgentJobsError:
    """Return (not raise) the error for a response.

    Args:
        code: the HTTP status.
        raw: the body: a `v1.Status`, or the response of a proxy in between.
        request: verb and object, for the beginning of the message.
        retry_after: the Retry-After header as sent.
    """
    status = _status(raw)
    if status is None:
        text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
        return _build(code, "", f"{request}: HTTP {code}: {text[:_FOREIGN_TEXT_LIMIT].strip()}", retry_after, None)
    return error_of_status(status, request=request, code=code, retry_after=retry_after)


def error_of_status(
    status: Mapping[str, Any], *, request: str, code: int | None = None, retry_after: str | None = None
) -> AgentJobsError:
    """Return the error of a `v1.Status`, from a body or an ERROR event of a watch."""
    code = code or _integer(status.get("code")) or 500
    reason = str(status.get("reason") or "")
    details = status.get("details")
    seconds = details.get("retryAfterSeconds") if isinstance(details, Mapping) else None
    message = str(status.get("message") or reason or "no message")
    description = f"{request}: HTTP {code}: {message}"
    if code in _OF_CONTENT and _BY_ADMISSION.match(message):
        return Denied(description)
    return _build(code, reason, description, retry_after, seconds)


def message_of(error: AgentJobsError) -> str:
    """Return the server's message in one of these errors, without the request."""
    request, prefix, rest = str(error).partition(": HTTP ")
    code, colon, message = rest.partition(": ")
    return message if prefix and colon and code.isdigit() and "\n" not in request else str(error)


def _build(code: int, reason: str, message: str, retry_after: str | None, seconds: object) -> AgentJobsError:
    if code == 429:
        return TooManyRequests(message, _seconds(retry_after, seconds))
    if code == 409 and reason == "AlreadyExists":
        return AlreadyExists(message)
    if reason == "Expired":  # a too old continue token or resourceVersion, with any code
        return Gone(message)
    fallback: type[AgentJobsError] = Invalid if 400 <= code < 500 else Unavailable
    return _BY_CODE.get(code, fallback)(message)


def _seconds(header: str | None, detail: object) -> float:
    """Parse Retry-After in seconds; the HTTP-date form, which the API server does not use, counts as 1."""
    for value in (header, detail):
        number = _integer(value)
        if number is not None and number > 0:
            return float(number)
    return 1.0


def _integer(value: object) -> int | None:
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else None


def _status(raw: bytes | str) -> Mapping[str, Any] | None:
    try:
        body = json.loads(raw)
    except ValueError:
        return None
    return body if isinstance(body, dict) and body.get("kind") == "Status" else None
