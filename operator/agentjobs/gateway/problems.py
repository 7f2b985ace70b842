"""The gateway's refusals: one shape for every error body, one status for every kind of error.

`{"reason": "Fenced", "message": "A sentence that names the cure."}`. Reasons are stable CamelCase words a program may
match on; messages are for people. Routes raise `Problem` or let an `AgentJobsError` pass; nothing here reads a request.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.responses import JSONResponse, Response

from agentjobs import errors
from agentjobs.problem import Problem, busy, unavailable


def json_answer(content: Any) -> Response:
    """Return an answer whose parts may be `msgspec.Raw`: what is stored goes out as the text it is."""
    return Response(msgspec.json.encode(content), media_type="application/json")


def answer(problem: Problem) -> JSONResponse:
    """Return the response for a refusal."""
    return JSONResponse({"reason": problem.reason, "message": problem.message}, problem.status, headers=problem.headers)


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
