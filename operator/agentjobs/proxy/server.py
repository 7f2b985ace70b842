"""Checks of every request: probes, metrics, and a filter for ambiguous requests.

Two lengths, a host in the path, `..` or an upgrade: requests that two servers read differently allow request smuggling.
aiohttp's parser rejects the first, this module the others. Everything else is handled by the exchange.
"""

import asyncio
import logging
import re
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from agentjobs.capacity import Capacity
from agentjobs.errors import Unavailable
from agentjobs.proxy import apis
from agentjobs.proxy.apis.api import Api
from agentjobs.proxy.client import BODY_BYTES, CAPACITY_SECONDS, Client
from agentjobs.proxy.exchange import Exchange
from agentjobs.readiness import Check, Readiness

logger = logging.getLogger(__name__)

# No parent segment, no double slash, no backslash; only characters in names of models (`:`, `@`) may be encoded.
_PATH: Final = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%(?:3[aA]|40))+)+")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})


class Requests:
    """Answers every request; pass it to `connections.Server`.

    Args:
        checks: additional checks of /readyz.
        registry: the metrics of `/metrics`.
        clock: in seconds, monotonic.
    """

    def __init__(self, checks: Mapping[str, Check], *, registry: CollectorRegistry, clock: Callable[[], float]) -> None:
        self.exchange: Exchange | None = None
        """Answers requests to models; None until ready."""
        self._readiness = Readiness({**checks, "cluster": self._check}, name="proxy", clock=clock)
        self._registry = registry
        self._bodies = Capacity(BODY_BYTES, timeout=CAPACITY_SECONDS)
        self._running: set[asyncio.Task[Any]] = set()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; raises only cancellation."""
        if message := _ambiguous(request):
            return _refused(400, message)
        path = request.raw_path.partition("?")[0]
        if path in ("/healthz", "/readyz", "/metrics"):
            return await self._own_answer(path)
        if (found := apis.find(path)) is None:
            return _refused(404, "No provider API has this path.")
        if self.exchange is None:
            message = "The proxy is not ready: it has not read the cluster's identity yet; see its log."
            return _refused(503, message, headers={"Retry-After": "2"})
        client = Client(request, bodies=self._bodies)
        async with self._noted():
            return await self._answer(self.exchange, client, *found)

    async def stop(self, seconds: float) -> None:
        """Wait for running requests, then cut the remaining ones."""
        if running := [*self._running]:
            await asyncio.wait(running, timeout=seconds)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    @asynccontextmanager
    async def _noted(self) -> AsyncIterator[None]:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            yield
        finally:
            self._running.discard(task)

    async def _answer(self, exchange: Exchange, client: Client, api: Api, path: str) -> web.StreamResponse:
        try:
            await exchange.serve(client, api, path)
        except ConnectionError:
            client.cut()  # its client has disconnected
        except Exception as error:  # every request must get a response
            # Without the error's text, which may quote the request.
            logger.error("request.crashed", extra={"error": type(error).__name__, "stack": _stack(error)})
            if client.answer is None:
                return _refused(500, "Internal error of the proxy; see its log.")
            client.cut()
        return client.answer or _refused(500, "The proxy sent no response.")

    async def _check(self) -> None:
        if self.exchange is None:
            raise Unavailable("the cluster's identity has not been read from the API server yet")

    async def _own_answer(self, path: str) -> web.StreamResponse:
        if path == "/metrics":
            return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
        if path == "/readyz" and (waiting := " and ".join(await self._readiness.problems())):
            # Any client may request this, including pods; the details have hosts, users and versions.
            return _refused(503, f"Waiting for the {waiting}; see the proxy's log.", headers={"Retry-After": "2"})
        return web.json_response({"ok": True})


def _ambiguous(request: web.BaseRequest) -> str:
    """Return why a request is ambiguous; empty if it is not."""
    if request.method not in _METHODS:
        return "The method is not supported."
    if "upgrade" in request.headers:
        return "Connection upgrades are not supported."
    if not _PATH.fullmatch(request.raw_path.partition("?")[0]):
        return "The path is not supported."
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        return "Send the body without a Content-Encoding."
    if "transfer-encoding" in request.headers and "content-length" in request.headers:
        return "The request has two lengths."
    if request.headers.get("transfer-encoding", "chunked").lower() != "chunked":
        return "Transfer-Encoding must be absent or chunked."
    if len(request.headers.getall("host", ())) != 1:
        return "The request must have exactly one Host header."
    return ""


def _refused(status: int, message: str, *, headers: dict[str, str] | None = None) -> web.StreamResponse:
    answer = web.json_response({"error": {"message": message, "code": status}}, status=status, headers=headers)
    if status == 400:
        answer.force_close()
    return answer


def _stack(error: BaseException) -> list[str]:
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
