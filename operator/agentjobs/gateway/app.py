"""Puts the gateway together: routes, error responses, health, metrics, the OpenAPI document.

serve.py and tests call `create_app`. A new group of routes is one module with a router, its name here, and what it
needs in services.py.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final, Literal

from fastapi import APIRouter, Depends, FastAPI, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.types import ASGIApp

import agentjobs
from agentjobs.gateway import (
    actions_api,
    changes_api,
    cluster_api,
    history_api,
    kept_api,
    me_api,
    models_api,
    notifications_api,
    overview_api,
    runner_api,
    session_api,
    triggers_api,
    user_session_api,
)
from agentjobs.gateway.access_log import AccessLog
from agentjobs.gateway.document import complete_openapi
from agentjobs.gateway.parameters import refuse_unknown
from agentjobs.gateway.problems import add_answers
from agentjobs.gateway.rights import counted
from agentjobs.gateway.services import Services
from agentjobs.problem import Problem
from agentjobs.readiness import Readiness

Audience = Literal["runners", "people"]
EVERYBODY: Final[Collection[Audience]] = ("runners", "people")
# Filled once: FastAPI makes a model of each parameter, 0.2 s for all routes.
_ROUTES: Final[Mapping[Audience, APIRouter]] = {
    "runners": APIRouter(),
    "people": APIRouter(dependencies=[Depends(counted), Depends(refuse_unknown)]),
}
for _group in (runner_api, session_api, kept_api):
    _ROUTES["runners"].include_router(_group.router)
for _group in (
    me_api,
    changes_api,
    history_api,
    user_session_api,
    models_api,
    notifications_api,
    overview_api,
    triggers_api,
    actions_api,
    cluster_api,
):
    _ROUTES["people"].include_router(_group.router)


def create_app(
    services: Services,
    *,
    check_history: Callable[[], Awaitable[None]],
    audience: Collection[Audience] = EVERYBODY,
) -> ASGIApp:
    """Return the gateway as an ASGI application.

    Database and API server may be unavailable: requests that need them get 503, and /readyz reports it.

    Args:
        check_history: raises errors.Unavailable while the database is unavailable or not migrated.
        audience: whose routes the application has.
    """
    app = FastAPI(title="AgentJobs gateway", version=agentjobs.__version__, docs_url=None, redoc_url=None)
    app.state.services = services
    for route_audience, router in _ROUTES.items():
        if route_audience in audience:
            app.router.routes.extend(router.routes)
    checks = {"database": check_history, "API server": services.check_api_server}
    readiness = Readiness(checks, name="gateway", clock=services.clock)
    _add_health(app, readiness=readiness, registry=services.metrics.registry)
    add_answers(app)
    complete_openapi(app)
    return AccessLog(app, metrics=services.metrics)


def _add_health(app: FastAPI, *, readiness: Readiness, registry: CollectorRegistry) -> None:
    @app.get("/healthz", tags=["health"])
    async def healthz() -> dict[str, bool]:
        """The process lives."""
        return {"ok": True}

    @app.get("/readyz", tags=["health"])
    async def readyz() -> dict[str, bool]:
        """Whether database and API server respond; 503 names the one that does not, and the log has the reason."""
        if waiting := " and ".join(await readiness.problems()):
            # Anyone may read this, and the reason has names of hosts, users and versions.
            message = f"Waiting for the {waiting}; the gateway's log has the reason."
            raise Problem(503, "NotReady", message, headers={"Retry-After": "2"})
        return {"ok": True}

    @app.get("/metrics", tags=["health"], response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Prometheus metrics."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
