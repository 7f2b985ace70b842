"""What every request meets first: probes, metrics, and a sieve for what could mean two things.

Two lengths, a host in the path, `..`, an upgrade: what one server reads otherwise than the next is how requests are
smuggled. aiohttp's parser refuses the first, this module the rest. All else is for the exchange.
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

# No segment that climbs, no second slash, no backslash; encoded only what names of models have (`:`, `@`).
_PATH: Final = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%(?:3[aA]|40))+)+")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})


class Requests:
    """Answers every request that comes; hand it to `connections.Server`.

    Args:
        checks: what /readyz asks about beside the proxy itself.
        registry: what `/metrics` shows.
        clock: in seconds, monotonic.
    """

    def __init__(self, checks: Mapping[str, Check], *, registry: CollectorRegistry, clock: Callable[[], float]) -> None:
        self.exchange: Exchange | None = None
        """What answers requests for models; None until it can."""
        self._readiness = Readiness({**checks, "cluster": self._check}, name="proxy", clock=clock)
        self._registry = registry
        self._bodies = Capacity(BODY_BYTES, patience=CAPACITY_SECONDS)
        self._running: set[asyncio.Task[Any]] = set()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; raises nothing but cancellation."""
        if said := _ambiguous(request):
            return _refused(400, said)
        path = request.raw_path.partition("?")[0]
        if path in ("/healthz", "/readyz", "/metrics"):
            return await self._tell(path)
        if (found := apis.find(path)) is None:
            return _refused(404, "No API of a provider that is known here has this path.")
        if self.exchange is None:
            said = "The proxy does not know its cluster yet; its log says why."
            return _refused(503, said, headers={"Retry-After": "2"})
        client = Client(request, bodies=self._bodies)
        async with self._noted():
            return await self._answer(self.exchange, client, *found)

    async def stop(self, seconds: float) -> None:
        """Wait for requests under way, then cut those that are left."""
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
            client.cut()  # its reader is gone
        except Exception as error:  # the outermost line of a request: nothing may leave it but an answer
            # Without its text, which may quote the request.
            logger.error("request.crashed", extra={"error": type(error).__name__, "stack": _stack(error)})
            if client.answer is None:
                return _refused(500, "The proxy failed; its log says where.")
            client.cut()
        return client.answer or _refused(500, "The proxy gave no answer.")

    async def _check(self) -> None:
        if self.exchange is None:
            raise Unavailable("the API server has not said yet which cluster this is")

    async def _tell(self, path: str) -> web.StreamResponse:
        if path == "/metrics":
            return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
        if path == "/readyz" and (waiting := " and ".join(await self._readiness.problems())):
            # Anybody may ask, runner pods too; why names hosts, users and versions.
            return _refused(503, f"Waiting for the {waiting}; the proxy's log says why.", headers={"Retry-After": "2"})
        return web.json_response({"ok": True})


def _ambiguous(request: web.BaseRequest) -> str:
    """Return what is wrong with a request that servers may read in two ways; empty for any other."""
    if request.method not in _METHODS:
        return "The method is none that is served here."
    if "upgrade" in request.headers:
        return "Connections cannot be upgraded here."
    if not _PATH.fullmatch(request.raw_path.partition("?")[0]):
        return "The path is none that is served here."
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        return "Send the body as it is, without a Content-Encoding."
    if "transfer-encoding" in request.headers and "content-length" in request.headers:
        return "The request has two lengths."
    if request.headers.get("transfer-encoding", "chunked").lower() != "chunked":
        return "Send the body as it is or in chunks, without another Transfer-Encoding."
    if len(request.headers.getall("host", ())) != 1:
        return "The request needs one Host."
    return ""


def _refused(status: int, message: str, *, headers: dict[str, str] | None = None) -> web.StreamResponse:
    answer = web.json_response({"error": {"message": message, "code": status}}, status=status, headers=headers)
    if status == 400:
        answer.force_close()
    return answer


def _stack(error: BaseException) -> list[str]:
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
