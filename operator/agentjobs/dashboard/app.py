"""Puts the pages together: all routes, static files, and error pages."""

import httpx
from fastapi import APIRouter, FastAPI
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

# Filled once: FastAPI makes a model of each parameter. A new page is one module with a router and its name here.
_ROUTES = APIRouter()
for _group in (
    sign_in,
    oidc_routes,
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
):
    _ROUTES.include_router(_group.router)


def create_pages(http: httpx.AsyncClient, ways: Ways | None = None) -> FastAPI:
    """Return the application of the pages. The person who is signed in is in the state of each request (identity.py).

    Args:
        http: where REST is.
        ways: the ways to sign in; None for a token only.
    """
    # FastAPI's redirects have a scheme and a host, which may not be those that browsers use. Ours are in problems.py.
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.state.http = http
    app.state.pages = Pages(environment())
    app.state.ways = ways or Ways()
    app.router.routes.extend(_ROUTES.routes)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"))
    add_answers(app)
    return app
