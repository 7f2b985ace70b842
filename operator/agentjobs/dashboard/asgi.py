"""The dashboard's ASGI application: REST for people at `/v1`, health, metrics, and the pages.

A page is made from answers of REST in the same process. REST authenticates callers by their headers. A session in
cookies is accepted there only for reading, for requests of a page's scripts.
"""

import logging
import time
from collections.abc import Callable, Collection
from typing import Final

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentjobs.dashboard.app import create_pages
from agentjobs.dashboard.metrics import DashboardMetrics
from agentjobs.dashboard.problems import problem_page
from agentjobs.dashboard.security import SAFE, Guard, Recognise, is_from_here, is_served_host
from agentjobs.dashboard.sign_in.ways import Ways
from agentjobs.gateway.access_log import stack_of
from agentjobs.problem import Problem

logger = logging.getLogger(__name__)

REST: Final = "/v1/"
HEALTH: Final = frozenset({"/healthz", "/readyz"})
METRICS: Final = "/metrics"
_OTHERS: Final = frozenset({"/v1", "/openapi.json", METRICS})
_OUR_WAY: Final = "http://rest"
# Compression does not help smaller pages.
_COMPRESSED_BYTES: Final = 1024
# Headers that identify the caller; removed if a session identifies them.
_IDENTIFYING: Final = (b"authorization", b"cookie", b"impersonate-")
_REFUSED_HOST: Final = "This host is not served here. Set AGENTJOBS_PUBLIC_URL or AGENTJOBS_ALLOWED_HOSTS.\n"


def create_site(rest: ASGIApp, *, ways: Ways, metrics: DashboardMetrics, hosts: Collection[str] = ()) -> ASGIApp:
    """Return the application.

    Args:
        rest: REST with the routes for people, health and metrics.
        hosts: names that are served; empty means any. Health checks use an address and are always served.
    """
    http = httpx.AsyncClient(transport=httpx.ASGITransport(rest), base_url=_OUR_WAY, timeout=None)  # noqa: S113  REST ends its own requests
    pages = guarded(create_pages(http, ways), ways.identity_of, secure=ways.sessions.secure)
    # Compression reveals nothing about the CSRF token, which is masked differently on each page (csrf.py).
    compressed = GZipMiddleware(pages, minimum_size=_COMPRESSED_BYTES, compresslevel=5)
    return _Site(rest, _Watched(compressed, metrics), ways, hosts)


def guarded(pages: FastAPI, recognise: Recognise, *, secure: bool) -> ASGIApp:
    """Return the pages behind their guard.

    Args:
        recognise: returns the person who is signed in.
        secure: whether browsers use TLS.
    """

    def refused(request: Request, problem: Problem) -> Response:
        request.scope["app"] = pages
        return problem_page(request, problem)

    return Guard(pages, recognise=recognise, refuse=refused, secure=secure)


class _Site:
    """Routes each request to REST or to the pages."""

    def __init__(self, rest: ASGIApp, pages: ASGIApp, ways: Ways, hosts: Collection[str]) -> None:
        self._rest = rest
        self._pages = pages
        self._ways = ways
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._pages(scope, receive, send)
            return
        request, path = Request(scope), scope["path"]
        is_named = is_served_host(request.headers.get("host", ""), self._hosts)
        if path in HEALTH:
            await self._rest(scope, receive, send)
        elif path == METRICS and self._hosts:
            # Prometheus uses an address; metrics are not served under the names that people use.
            await (self._pages if is_named else self._rest)(scope, receive, send)
        elif not is_named:
            await PlainTextResponse(_REFUSED_HOST, 421)(scope, receive, send)
        elif path.startswith(REST) or path in _OTHERS:
            await self._rest(self._as_person(request), receive, send)
        else:
            await self._pages(scope, receive, send)

    def _as_person(self, request: Request) -> Scope:
        """Return a request to REST with the headers of the signed-in person, if it only reads and has no token.

        Its address is the client's own: behind a proxy, one client must not use up the limits of all others.
        """
        if request.client is not None and (address := self._ways.proxies.address(request)):
            request.scope["client"] = (address, request.client.port)
        if request.method not in SAFE or _is_a_programs(request) or not is_from_here(request.headers):
            return dict(request.scope)
        person = self._ways.identity_of(request)
        if person is None:
            return dict(request.scope)
        kept = [(name, value) for name, value in request.scope["headers"] if not name.lower().startswith(_IDENTIFYING)]
        own = httpx.Headers(person.headers, encoding="utf-8").raw
        return {**request.scope, "headers": [*kept, *((name.lower(), value) for name, value in own)]}


def _is_a_programs(request: Request) -> bool:
    """Whether a program sent a token. Scripts of pages send none: a browser's Authorization header is for a proxy."""
    names_somebody = request.headers.get("authorization", "").lower().startswith("bearer ")
    return names_somebody and "sec-fetch-site" not in request.headers


class _Watched:
    """Measures and logs pages: route, status and time, never a query, a header or a form."""

    def __init__(self, pages: ASGIApp, metrics: DashboardMetrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._pages = pages
        self._metrics = metrics
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._pages(scope, receive, send)
            return
        began, status = self._clock(), 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._pages(scope, receive, noted)
        except Exception as error:  # the outermost handler of a request; the error page was sent
            logger.error("page.crashed", extra={"error": type(error).__name__, "stack": stack_of(error)})
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            seconds = self._clock() - began
            self._metrics.page(scope["method"], route, status, seconds)
            fields = {"method": scope["method"], "route": route, "status": status}
            logger.debug("page.served", extra=fields | {"milliseconds": round(seconds * 1000, 1)})
