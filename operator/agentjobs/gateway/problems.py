"""The gateway's refusals: one shape for every error body, one status for every kind of error.

`{"reason": "Fenced", "message": "A sentence that names the cure."}`. Reasons are stable CamelCase words a program may
match on; messages are for people. Routes raise `Problem` or let an `AgentJobsError` pass; nothing here reads a request.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.responses import JSONResponse, Response

from agentjobs import errors

# Long enough that a fleet of runners does not hammer a database that is coming up, short beside their two minutes of
# patience.
RETRY_AFTER_SECONDS: Final = 2


class Problem(Exception):
    """A refusal with its HTTP status; raised anywhere below a route, answered at one place."""

    def __init__(self, status: int, reason: str, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.headers = dict(headers or {})

    def answer(self) -> JSONResponse:
        """Return the response for this refusal."""
        return JSONResponse({"reason": self.reason, "message": self.message}, self.status, headers=self.headers)


def json_answer(content: Any) -> Response:
    """Return an answer whose parts may be `msgspec.Raw`: what is stored goes out as the text it is."""
    return Response(msgspec.json.encode(content), media_type="application/json")


def unauthorized(message: str) -> Problem:
    """We do not know who asks (401)."""
    return Problem(401, "Unauthorized", message, headers={"WWW-Authenticate": "Bearer"})


def forbidden(message: str) -> Problem:
    """We know who asks, and they may not (403)."""
    return Problem(403, "Forbidden", message)


def unavailable(message: str, *, retry_after: float = RETRY_AFTER_SECONDS) -> Problem:
    """Ask again later (503)."""
    return Problem(503, "Unavailable", message, headers={"Retry-After": str(max(1, math.ceil(retry_after)))})


def busy(status: int, message: str, retry_after: float) -> Problem:
    """The caller (429), or all callers together (503), have as much under way as they may."""
    headers = {"Retry-After": str(max(1, math.ceil(retry_after)))}
    return Problem(status, "TooManyRequests" if status == 429 else "Busy", message, headers=headers)


def crash() -> Problem:
    """We met something nobody foresaw (500)."""
    return Problem(500, "InternalError", "The gateway failed; its log has the reason.")


def from_error(error: errors.AgentJobsError) -> Problem:
    """Translate what an adapter raised; its message must be fit for the caller's eyes, as all of ours are."""
    match error:
        case errors.Fenced():
            return Problem(409, "Fenced", str(error) or "Another pod holds this start; stop.")
        case errors.Busy():
            return busy(503, str(error), error.retry_after)
        case errors.TooManyRequests():
            return unavailable("A server behind the gateway asked to slow down.", retry_after=error.retry_after)
        case errors.Unavailable():
            return unavailable("A server behind the gateway cannot answer now; try again.")
        case errors.NotFound():
            return Problem(404, "NotFound", str(error) or "No such object.")
        case errors.Gone():
            return Problem(410, "Gone", str(error) or "The requested page is too old; start again from the first.")
        case errors.Conflict():
            return Problem(409, "Conflict", str(error) or "Another client wrote first; read again.")
        case errors.Denied():
            # Our own rights, not the caller's: those are checked in auth.py. An administrator can grant them.
            return unavailable("The gateway lacks rights on a server behind it; its log says which.")
        case errors.JournalFull():
            return Problem(413, "JournalFull", str(error))
        case errors.TooLarge():
            return Problem(413, "TooLarge", str(error))
        case errors.Invalid():
            return Problem(422, "Invalid", str(error) or "The content was refused.")
        case _:
            return crash()


# Reasons for what the web framework itself refuses, by status.
FRAMEWORK_REASONS: Final[Mapping[int, str]] = {404: "NotFound", 405: "MethodNotAllowed"}
