"""Error pages, and the redirect to the sign-in page for a person who is not signed in."""

import logging
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from agentjobs.dashboard.identity import SignInNeeded
from agentjobs.dashboard.pages.dependencies import pages_of
from agentjobs.dashboard.pages.parameters import RefusedParameters
from agentjobs.dashboard.sign_in.pages import hop, ways_of
from agentjobs.dashboard.sign_in.return_path import own_path
from agentjobs.dashboard.texts import link
from agentjobs.problem import Problem

logger = logging.getLogger(__name__)

PASSING: Final = frozenset({429, 502, 503})
"""Statuses that may pass soon: the page reloads itself."""
AGAIN_SECONDS: Final = 5
_FILTERS: Final = {"queues": "queue", "schedules": "schedule", "templates": "template"}
"""First parts of paths of objects that jobs name, and the filter of the list of jobs for each."""
_REASONS: Final = {404: "NotFound", 405: "MethodNotAllowed"}


def add_answers(app: FastAPI) -> None:
    """Give every refusal its page."""

    @app.exception_handler(SignInNeeded)
    async def sign_in(request: Request, _: SignInNeeded) -> Response:
        return _to_sign_in(request)

    @app.exception_handler(Problem)
    async def refused(request: Request, problem: Problem) -> Response:
        if problem.status != 401:
            return problem_page(request, problem)
        answer = _to_sign_in(request)
        ways_of(request).sessions.end(request, answer)  # its token is no longer valid
        return answer

    @app.exception_handler(RefusedParameters)
    async def refused_parameters(request: Request, problem: RefusedParameters) -> Response:
        return problem_page(request, problem, known=problem.known)

    @app.exception_handler(HTTPException)
    async def unrouted(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404 and request.method == "GET" and (path := _without_slash(request)):
            return RedirectResponse(path, 307)
        message = "Page not found." if error.status_code == 404 else str(error.detail)
        reason = _REASONS.get(error.status_code, "BadRequest")
        return problem_page(request, Problem(error.status_code, reason, message, headers=error.headers))

    @app.exception_handler(RequestValidationError)
    async def invalid_request(request: Request, error: RequestValidationError) -> Response:
        message = "; ".join(f"{item['loc'][-1]}: {item['msg']}" for item in error.errors())
        return problem_page(request, Problem(400, "BadRequest", message[:1000]))

    @app.exception_handler(Exception)
    async def crashed(request: Request, _: Exception) -> Response:
        # Starlette sends this answer and raises the error again, which _Watched logs.
        return problem_page(request, Problem(500, "InternalError", "The dashboard failed. Its log has the reason."))


def _without_slash(request: Request) -> str:
    """Return the address without a slash at its end; empty where it has none."""
    path = request.url.path
    if path == "/" or not path.endswith("/"):
        return ""
    return own_path(path.rstrip("/") + (f"?{request.url.query}" if request.url.query else ""))


def problem_page(request: Request, problem: Problem, *, known: str = "") -> Response:
    """Return the page of a problem. Where the problem may pass, the browser reloads it.

    Args:
        known: the same page without the refused parameters.
    """
    again = problem.status in PASSING and request.method == "GET"
    jobs = _jobs_of_missing(request) if problem.status == 404 else ""
    shown = {"problem": problem, "again": again, "known": known, "jobs": jobs}
    answer = pages_of(request).render(request, "problem.html", status=problem.status, **shown)
    answer.headers.update(problem.headers)
    if again:
        answer.headers["Refresh"] = str(_seconds(problem))
    return answer


def _jobs_of_missing(request: Request) -> str:
    """Return the list of the jobs of the object that was not found: pages of jobs link to it also after its deletion.

    Empty for other pages.
    """
    named = _FILTERS.get(request.url.path.split("/")[1])
    namespace, name = (request.path_params.get(part) for part in ("namespace", "name"))
    return link("jobs", namespace=namespace, **{named: name}) if named and namespace and name else ""


def _seconds(problem: Problem) -> int:
    retry_after = {name.lower(): value for name, value in problem.headers.items()}.get("retry-after", "")
    return max(AGAIN_SECONDS, min(int(retry_after), 600)) if retry_after.isdecimal() else AGAIN_SECONDS


def _to_sign_in(request: Request) -> Response:
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if request.headers.get("hx-request"):
        # For an open page: htmx would show the sign-in page inside it.
        shown = request.headers.get("hx-current-url", "")
        here = wanted if not shown else "/" + shown.partition("://")[2].partition("/")[2].partition("#")[0]
        return Response(status_code=401, headers={"HX-Redirect": _sign_in(here)})
    if request.method != "GET":
        return RedirectResponse(_sign_in("/"), 303)
    if request.headers.get("sec-fetch-site") == "cross-site":
        # A link on another site: the browser sends our cookies only with a request that a page of ours makes.
        return hop(request, wanted)
    return RedirectResponse(_sign_in(wanted), 303)


def _sign_in(wanted: str) -> str:
    return link("sign-in", to=wanted if wanted != "/" else None)
