"""Puts the pages together: the routes of all of them, static files, and what people see when something is wrong."""

import functools
from collections.abc import Sequence
from typing import Final

import httpx
from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute
from starlette.staticfiles import StaticFiles

from agentjobs.dashboard.pages import (
    actions,
    bulk,
    installation,
    job,
    job_actions,
    job_files,
    jobs,
    models,
    overview,
    queues,
    reasons,
    schedules,
    templates,
)
from agentjobs.dashboard.problems import add_answers
from agentjobs.dashboard.rendering import FOLDER, Pages, environment
from agentjobs.dashboard.sign_in import oidc_routes
from agentjobs.dashboard.sign_in import routes as sign_in
from agentjobs.dashboard.sign_in.ways import Ways

ROUTERS: Final = (
    actions.router,
    bulk.router,
    installation.router,
    job.router,
    job_actions.router,
    job_files.router,
    jobs.router,
    models.router,
    overview.router,
    queues.router,
    reasons.router,
    schedules.router,
    templates.router,
)
"""Of all pages. A new page is one module with a router, and its place here."""


def create_pages(http: httpx.AsyncClient, ways: Ways | None = None) -> FastAPI:
    """Return the application of the pages; who is signed in is in the state of each request (identity.py).

    Args:
        http: where REST is.
        ways: how people sign in; None: by a token.
    """
    # Its redirects have scheme and host, of which we do not know what browsers see; ours (problems.py) have neither.
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.state.http = http
    app.state.pages = Pages(environment())
    app.state.ways = ways or Ways()
    app.router.routes.extend(_routes())
    app.mount("/static", StaticFiles(directory=FOLDER / "static"))
    add_answers(app)
    return app


@functools.cache
def _routes() -> Sequence[BaseRoute]:
    """Return the routes of all pages, made once: FastAPI makes a model of each parameter."""
    made = APIRouter()
    for router in (sign_in.router, oidc_routes.router, *ROUTERS):
        made.include_router(router)
    return made.routes
