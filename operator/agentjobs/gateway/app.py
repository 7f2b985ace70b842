"""Puts the gateway together: routes, error responses, health, metrics, the OpenAPI document.

serve.py and tests call `create_app`. A new group of routes is one module with a router, one line here, and what it
needs in services.py.
"""

import functools
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final, Literal

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

import agentjobs
from agentjobs import errors
from agentjobs.auth import Authenticator, Reviewer
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
from agentjobs.gateway.change_feed import ChangeFeed
from agentjobs.gateway.document import complete_openapi
from agentjobs.gateway.limits import READS_AT_ONCE, Intake
from agentjobs.gateway.metrics import GatewayMetrics
from agentjobs.gateway.problems import FRAMEWORK_REASONS, answer, crash, from_error
from agentjobs.gateway.rights import counted
from agentjobs.gateway.services import GatewayHistory, Services
from agentjobs.gateway.traffic import Traffic
from agentjobs.gateway.triggers.answering import SignedCalls
from agentjobs.gateway.triggers.file import Triggers
from agentjobs.gateway.user_limits import Streams, UserLimits
from agentjobs.kube.callers import Callers
from agentjobs.problem import Problem
from agentjobs.readiness import Readiness
from agentjobs.tracing import Spans

logger = logging.getLogger(__name__)

Audience = Literal["runners", "people"]
EVERYBODY: Final[Collection[Audience]] = ("runners", "people")


_ROUTERS: Final[Sequence[tuple[Audience, APIRouter]]] = (
    ("runners", runner_api.router),
    ("runners", session_api.router),
    ("runners", kept_api.router),
    ("people", me_api.router),
    ("people", changes_api.router),
    ("people", history_api.router),
    ("people", user_session_api.router),
    ("people", models_api.router),
    ("people", notifications_api.router),
    ("people", overview_api.router),
    ("people", triggers_api.router),
    ("people", actions_api.router),
    ("people", cluster_api.router),
)


def create_app(
    history: Callable[[str], GatewayHistory],
    kube: Reviewer,
    *,
    check_history: Callable[[], Awaitable[None]],
    metrics: GatewayMetrics,
    spans: Spans | None = None,
    clock: Callable[[], float] = time.monotonic,
    check_addresses: bool = True,
    callers: Callers | None = None,
    signed_calls: SignedCalls | None = None,
    audience: Collection[Audience] = EVERYBODY,
    changes: ChangeFeed | None = None,
    streams: Streams | None = None,
    user_limits: UserLimits | None = None,
    reads_at_once: int = READS_AT_ONCE,
) -> ASGIApp:
    """Return the gateway as an ASGI application.

    Database and API server may be unavailable: requests that need them get 503, and /readyz reports it.

    Args:
        history: creates the history of the cluster with the given uid.
        metrics: the metrics; `/metrics` shows their registry.
        check_history: raises errors.Unavailable while the database is unavailable or not migrated.
        spans: takes requests of runners as parts of their jobs' traces; None for no traces.
        clock: seconds, monotonic; cached identities expire by it.
        check_addresses: whether a runner's token is valid only from the address of its pod.
        callers: creates clients with the credentials of callers.
        signed_calls: handles signed calls of triggers; None to accept none.
        audience: whose routes the application has.
        changes: the source of streams of changes; its creator closes it when the process stops.
        streams: the limits on the number and duration of streams; None for the defaults.
        user_limits: the limits on the requests of users; None for the defaults.
        reads_at_once: the number of concurrent reads of users; the connection pool must be larger.
    """
    authenticator = Authenticator(kube, clock=clock, check_addresses=check_addresses)
    app = FastAPI(title="AgentJobs gateway", version=agentjobs.__version__, docs_url=None, redoc_url=None)
    services = Services(
        history=history,
        kube=kube,
        authenticator=authenticator,
        metrics=metrics,
        spans=spans or Spans(),
        intake=Intake(clock),
        callers=callers,
        signed_calls=signed_calls or SignedCalls(Triggers(None), clock=clock),
        changes=changes or ChangeFeed(),
        streams=streams or Streams(),
        user_limits=user_limits or UserLimits(clock),
        clock=clock,
        reads_at_once=reads_at_once,
    )
    app.state.services = services
    app.router.routes.extend(_routes(frozenset(audience)))
    readiness = Readiness(
        {"database": check_history, "API server": services.check_api_server}, name="gateway", clock=clock
    )
    _add_health(app, readiness=readiness, registry=metrics.registry)
    _add_answers(app)
    complete_openapi(app)
    return Traffic(app, metrics=metrics)


@functools.cache
def _routes(audience: frozenset[Audience]) -> Sequence[BaseRoute]:
    """Return the routes of an audience, made once: FastAPI makes a model of each parameter, 0.2 s for all of them."""
    made = APIRouter()
    for whose, router in _ROUTERS:
        if whose in audience:
            made.include_router(router, dependencies=[Depends(counted)] if whose == "people" else ())
    return made.routes


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
            said = f"Waiting for the {waiting}; the gateway's log has the reason."
            raise Problem(503, "NotReady", said, headers={"Retry-After": "2"})
        return {"ok": True}

    @app.get("/metrics", tags=["health"], response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Prometheus metrics."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def _add_answers(app: FastAPI) -> None:
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
        # Starlette sends this response and raises the error again; Traffic logs it.
        return answer(crash())

    @app.exception_handler(HTTPException)
    async def unrouted(request: Request, error: HTTPException) -> Response:
        reason = FRAMEWORK_REASONS.get(error.status_code, "BadRequest")
        message = f"{request.method} {request.url.path[:200]}: {error.detail}; /openapi.json lists all routes."
        return answer(Problem(error.status_code, reason, message, headers=error.headers))

    @app.exception_handler(RequestValidationError)
    async def misasked(_: Request, error: RequestValidationError) -> Response:
        said = "; ".join(f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors())
        return answer(Problem(400, "BadRequest", f"The request is invalid: {said[:1000]}."))
