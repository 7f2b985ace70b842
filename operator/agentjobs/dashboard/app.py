"""Puts the pages together: routes, what every answer carries, and what people see when something is wrong."""

import logging
from typing import Final

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from agentjobs.dashboard.identity import SignInNeeded
from agentjobs.dashboard.pages import overview, reasons
from agentjobs.dashboard.rendering import FOLDER, Pages, environment, link
from agentjobs.problem import Problem

logger = logging.getLogger(__name__)

ROUTERS: Final = (overview.router, reasons.router)
"""Of all pages. A new page is one module with a router, and its place here."""


def create_pages(http: httpx.AsyncClient) -> FastAPI:
    """Return the application of the pages; who is signed in is in the state of each request (identity.py).

    Args:
        http: where REST is.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.http = http
    app.state.pages = Pages(environment())
    for router in ROUTERS:
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"))
    _add_answers(app)
    return app


def _add_answers(app: FastAPI) -> None:
    pages: Pages = app.state.pages

    @app.exception_handler(SignInNeeded)
    async def sign_in(request: Request, _: SignInNeeded) -> Response:
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(link("sign-in", to=wanted if wanted != "/" else None), 303)

    @app.exception_handler(Problem)
    async def refused(request: Request, problem: Problem) -> Response:
        if problem.status == 401:
            return await sign_in(request, SignInNeeded())
        return _problem_page(pages, request, problem)

    @app.exception_handler(HTTPException)
    async def unrouted(request: Request, error: HTTPException) -> Response:
        said = "There is no such page." if error.status_code == 404 else str(error.detail)
        return _problem_page(pages, request, Problem(error.status_code, "NotFound", said))

    @app.exception_handler(RequestValidationError)
    async def misasked(request: Request, error: RequestValidationError) -> Response:
        said = "; ".join(f"{item['loc'][-1]}: {item['msg']}" for item in error.errors())
        return _problem_page(pages, request, Problem(400, "BadRequest", said[:1000]))


def _problem_page(pages: Pages, request: Request, problem: Problem) -> Response:
    answer = pages.render(request, "problem.html", status=problem.status, problem=problem)
    answer.headers.update(problem.headers)
    return answer
