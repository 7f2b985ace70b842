"""The proxy's errors in each provider's format, so that clients raise their usual exceptions."""

import math
from typing import Any, Final

import msgspec

from agentjobs.contract import GROUP, ErrorClass, refusal_code, refusal_identifier
from agentjobs.proxy.apis.api import CallRefusal

_GOOGLE_STATUS: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def no_such_path() -> CallRefusal:
    """The path does not exist, or is not passed on."""
    message = "The model proxy does not pass this path on; it only serves this API's calls of models."
    return CallRefusal(404, ErrorClass.MODEL_BAD_REQUEST, message)


def bad_request(reason: str) -> CallRefusal:
    """The request must not be passed on."""
    return CallRefusal(400, ErrorClass.MODEL_BAD_REQUEST, f"The model proxy rejected the request: {reason}.")


def code_of(refusal: CallRefusal) -> str:
    """Return the code by which the runner identifies the class."""
    return refusal_code(refusal.error_class)


def google_error(refusal: CallRefusal) -> dict[str, Any]:
    """Return an error in the format of Google's APIs: the class is the reason of an ErrorInfo."""
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code_of(refusal), "domain": GROUP}
    details: list[dict[str, Any]] = [info]
    if refusal.retry_after is not None:
        delay = f"{max(1, math.ceil(refusal.retry_after))}s"
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    status = _GOOGLE_STATUS.get(refusal.status, "INTERNAL")
    return {"code": refusal.status, "message": refusal.message, "status": status, "details": details}


def openai_error(refusal: CallRefusal) -> dict[str, Any]:
    """Return an error in OpenAI's format: the class is its code and its type."""
    code = code_of(refusal)
    return {"message": refusal.message, "type": code, "param": None, "code": code}


def anthropic_error(refusal: CallRefusal) -> dict[str, Any]:
    """Return an error in Anthropic's format: the class is its type."""
    return {"type": code_of(refusal), "message": refusal.message}


def claude_code_details(refusal: CallRefusal) -> dict[str, Any]:
    """Return what Claude Code passes on of an error: an identifier without headers, so it also contains the delay.

    The type must stay known to older clients; Claude Code does not treat it as an identifier.
    """
    return {"details": {"error_code": refusal_identifier(refusal.error_class, refusal.retry_after)}}


def document(value: dict[str, Any]) -> bytes:
    """Return the bytes of a response body."""
    return msgspec.json.encode(value)


def event(value: dict[str, Any], *, name: str = "") -> bytes:
    """Return a server-sent event. It begins with an empty line, because the previous event may be incomplete."""
    head = f"event: {name}\n".encode() if name else b""
    return b"\n\n" + head + b"data: " + msgspec.json.encode(value) + b"\n\n"
