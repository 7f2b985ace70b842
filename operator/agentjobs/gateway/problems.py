"""Error responses: one format for every error, one status for every kind of error.

`{"reason": "Fenced", "message": "A sentence that names the cure."}`. Reasons are stable CamelCase words for programs;
messages are for people. Routes raise `Problem`, or let an `AgentJobsError` pass.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from agentjobs import errors
from agentjobs.problem import Problem, busy, unavailable

logger = logging.getLogger(__name__)

# Reasons for refusals of the web framework, by status.
_FRAMEWORK_REASONS: Final[Mapping[int, str]] = {404: "NotFound", 405: "MethodNotAllowed"}


def json_answer(content: Any) -> Response:
    """Return a JSON response whose parts may be `msgspec.Raw`, which are sent unchanged."""
    return Response(msgspec.json.encode(content), media_type="application/json")


def answer(problem: Problem) -> JSONResponse:
    """Return the response for a Problem."""
    return JSONResponse({"reason": problem.reason, "message": problem.message}, problem.status, headers=problem.headers)


def crash() -> Problem:
    """Return the Problem for an unexpected error (500)."""
    return Problem(500, "InternalError", "The gateway failed; its log has the reason.")


def from_error(error: errors.AgentJobsError) -> Problem:
    """Return the Problem for an error of an adapter. Its message is shown to the caller."""
    match error:
        case errors.Fenced():
            return Problem(409, "Fenced", str(error) or "Another pod has claimed this start; stop.")
        case errors.Busy():
            return busy(503, str(error), error.retry_after)
        case errors.TooManyRequests():
            return unavailable("A server behind the gateway is overloaded.", retry_after=error.retry_after)
        case errors.Unavailable():
            return unavailable("A server behind the gateway is unavailable; try again.")
        case errors.NotFound():
            return Problem(404, "NotFound", str(error) or "No such object.")
        case errors.Gone():
            return Problem(410, "Gone", str(error) or "The requested page is too old; start again with the first page.")
        case errors.Conflict():
            return Problem(409, "Conflict", str(error) or "Another client changed the object; read it again.")
        case errors.Denied():
            # The gateway's own rights; the caller's are checked in auth.py. An administrator can grant them.
            return unavailable("The gateway lacks rights on a server behind it; its log has the reason.")
        case errors.JournalFull():
            return Problem(413, "JournalFull", str(error))
        case errors.TooLarge():
            return Problem(413, "TooLarge", str(error))
        case errors.Invalid() | errors.Misconfigured():
            return Problem(422, "Invalid", str(error) or "The content was refused.")
        case _:
            return crash()


def add_answers(app: FastAPI) -> None:
    """Give every error response the same shape."""

    @app.exception_handler(Problem)
    async def refused(_: Request, problem: Problem) -> Response:
        return answer(problem)

    @app.exception_handler(errors.AgentJobsError)
    async def failed(_: Request, error: errors.AgentJobsError) -> Response:
        problem = from_error(error)
        if problem.status >= 500:
            logger.warning("request.failed", extra={"error": type(error).__name__, "detail": str(error)})
        return answer(problem)

    @app.exception_handler(Exception)
    async def crashed(_: Request, __: Exception) -> Response:
        # Starlette sends this response and raises the error again; AccessLog logs it.
        return answer(crash())

    @app.exception_handler(HTTPException)
    async def unrouted(request: Request, error: HTTPException) -> Response:
        reason = _FRAMEWORK_REASONS.get(error.status_code, "BadRequest")
        message = f"{request.method} {request.url.path[:200]}: {error.detail}; /openapi.json lists all routes."
        return answer(Problem(error.status_code, reason, message, headers=error.headers))

    @app.exception_handler(RequestValidationError)
    async def invalid_request(_: Request, error: RequestValidationError) -> Response:
        # The route and the check of the caller's rights both read the namespace and the name.
        faults = dict.fromkeys(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()
        )
        return answer(Problem(400, "BadRequest", f"The request is invalid: {'; '.join(faults)[:1000]}."))
