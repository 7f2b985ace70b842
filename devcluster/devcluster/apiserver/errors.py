"""Errors of the API server, as `Status` objects of the Kubernetes API. Pure.

Reasons and codes are those of the Kubernetes API conventions; messages name the object, the error and, where it helps,
the solution.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from devcluster.apiserver.kinds import Kind

Cause = dict[str, str]
"""One entry of `details.causes`: reason, message, field."""

_REASONS: Final = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class StatusError(Exception):
    """A refused request.

    Args:
        code: the HTTP status.
        message: for users.
        reason: for clients; empty for the usual one of the code.
        details: name, group, kind, causes, retryAfterSeconds.
    """

    def __init__(self, code: int, message: str, *, reason: str = "", details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason or _REASONS.get(code, "Unknown")
        self.details = details

    def status(self) -> dict[str, Any]:
        """Return the Status object."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason != "Unknown":
            body["reason"] = self.reason
        if self.details:
            body["details"] = self.details
        body["code"] = self.code
        return body


def not_found(kind: Kind, name: str) -> StatusError:
    """There is no object with that name."""
    return StatusError(
        404, f'{kind.qualified_name} "{name}" not found', details=_details(kind.group, kind.plural, name)
    )


def already_exists(kind: Kind, name: str, *, going: bool = False) -> StatusError:
    """There is an object with that name; `going` means that it is being deleted."""
    message = f'{"object is being deleted: " if going else ""}{kind.qualified_name} "{name}" already exists'
    return StatusError(409, message, reason="AlreadyExists", details=_details(kind.group, kind.plural, name))


def conflict(kind: Kind, name: str, why: str) -> StatusError:
    """A precondition failed."""
    message = f'Operation cannot be fulfilled on {kind.qualified_name} "{name}": {why}'
    return StatusError(409, message, details=_details(kind.group, kind.plural, name))


def invalid(kind: Kind, name: str, causes: Sequence[Cause]) -> StatusError:
    """The content is invalid; `causes` has all errors."""
    texts = [f"{cause['field']}: {cause['message']}" if cause.get("field") else cause["message"] for cause in causes]
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    subject = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    details = _details(kind.group, kind.kind, name) | {"causes": list(causes)}
    return StatusError(422, f'{subject} "{name}" is invalid: {listed}', details=details)


def version_required(kind: Kind, name: str) -> StatusError:
    """A PUT without resourceVersion for a kind that needs it; as on a real server, the message names the resource."""
    problem = {"reason": "FieldValueInvalid", "field": "metadata.resourceVersion"}
    problem["message"] = "Invalid value: 0: must be specified for an update"
    message = f'{kind.qualified_name} "{name}" is invalid: {problem["field"]}: {problem["message"]}'
    return StatusError(422, message, details=_details(kind.group, kind.plural, name) | {"causes": [problem]})


def bad_option(options: str, field: str, value: object, accepted: Sequence[str]) -> StatusError:
    """A query parameter has an unsupported value; `options` is its kind: CreateOptions, ListOptions, …"""
    listed = ", ".join(f'"{each}"' for each in accepted)
    return _bad_options(
        options,
        cause("FieldValueNotSupported", field, f"Unsupported value: {quoted(value)}: supported values: {listed}"),
    )


def forbidden_option(options: str, field: str, why: str) -> StatusError:
    """A query parameter is not allowed with the others."""
    return _bad_options(options, cause("FieldValueForbidden", field, f"Forbidden: {why}"))


def _bad_options(options: str, problem: Cause) -> StatusError:
    message = f'{options}.meta.k8s.io "" is invalid: {problem["field"]}: {problem["message"]}'
    return StatusError(422, message, details=_details("meta.k8s.io", options, "") | {"causes": [problem]})


def forbidden(kind: Kind, name: str, why: str) -> StatusError:
    """The request is forbidden."""
    message = f'{kind.qualified_name} "{name}" is forbidden: {why}'
    return StatusError(403, message, details=_details(kind.group, kind.plural, name))


def bad_request(message: str) -> StatusError:
    """The request cannot be read."""
    return StatusError(400, message)


def unsupported(got: str, accepted: Iterable[str]) -> StatusError:
    """The content type of the body is not supported."""
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    return StatusError(415, f"{message}; got {got or 'none'}")


def cause(reason: str, field: str, message: str) -> Cause:
    """Return a cause."""
    return {"reason": reason, "message": message, "field": field}


def required(field: str, message: str = "") -> Cause:
    """A required field is missing."""
    return cause("FieldValueRequired", field, f"Required value: {message}" if message else "Required value")


def bad_value(field: str, value: object, message: str) -> Cause:
    """The value of a field is invalid."""
    return cause("FieldValueInvalid", field, f"Invalid value: {quoted(value)}: {message}")


def immutable(field: str, value: object) -> Cause:
    """A field is immutable."""
    return bad_value(field, value, "field is immutable")


def quoted(value: object) -> str:
    """Return a value for a message, cut to a readable length."""
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _details(group: str, kind: str, name: str) -> dict[str, Any]:
    details: dict[str, Any] = {"name": name} if name else {}
    if group:
        details["group"] = group
    return details | {"kind": kind}
