"""The embedded API server: listens on loopback over TLS, knows its callers, sends each request to who answers it.

Embedded by tests and by development mode, or run alone by `python -m devcluster.apiserver`. Never for production:
state is in memory and what is not served is refused with a sentence.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage

from devcluster.apiserver import auth, builtin_schemas, negotiation, rbac, routes
from devcluster.apiserver.auth import Identity
from devcluster.apiserver.core import Core
from devcluster.apiserver.decoding import WriteOptions
from devcluster.apiserver.errors import StatusError
from devcluster.apiserver.faults import Faults
from devcluster.apiserver.handlers import Call, ResourceHandler, verb_of
from devcluster.apiserver.kinds import NAMESPACE
from devcluster.apiserver.lists import Lister
from devcluster.apiserver.registry import Registry, ServedResource
from devcluster.apiserver.reviews import Reviews
from devcluster.apiserver.store import HISTORY_BYTES, Store
from devcluster.certificates import NodeTLS
from devcluster.files import kubeconfig, write_kubeconfig

logger = logging.getLogger(__name__)

_NAMESPACES: Final = ("default", "kube-node-lease", "kube-public", "kube-system")
_WRITES: Final = ("create", "update", "patch", "delete", "deletecollection")
_HEALTH: Final = ("/healthz", "/livez", "/readyz")
_STOP_SECONDS: Final = 1.0
_HEADER_BYTES: Final = 1 << 20  # what a Go server reads: a name of 10,000 characters is looked up, and not found


class ApiServer:
    """A Kubernetes-compatible API server for one machine.

    Args:
        folder: where certificates and the kubeconfig go; made when missing, readable by its owner only.
        port: 0 for a free one.
        clock: returns the time, in UTC.
        history_bytes: how much of the past is kept for watches that reconnect.
        cluster: uid of the namespace kube-system, by which a cluster is known; any by default.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        history_bytes: int = HISTORY_BYTES,
        cluster: str = "",
    ) -> None:
        self.folder = folder
        self.port = port
        self.faults = Faults()
        self._clock = clock
        self._credentials = auth.make_credentials(folder, now=clock())
        self._store = Store(int(clock().timestamp() * 1_000_000), history_bytes=history_bytes)
        self._registry = Registry()
        self._core = Core(self._store, self._registry, clock=clock, later=_call_later, faults=self.faults)
        self._lists = Lister(self._store)
        self._access = rbac.Authorizer(self._store)
        self._reviews = Reviews(
            self._store,
            self._access,
            admin_token=self._credentials.admin_token,
            signing_key=self._credentials.signing_key,
            clock=clock,
        )
        self._handler = ResourceHandler(
            self._store, self._core, self._lists, self._reviews, self._credentials, clock=clock, faults=self.faults
        )
        self._runner: web.ServerRunner | None = None
        for name in _NAMESPACES:
            namespace = {"metadata": {"name": name}}
            uid = cluster if name == "kube-system" else ""
            self._core.create(ServedResource(NAMESPACE, None), "", namespace, WriteOptions(uid=uid))
        for kind, obj in rbac.bootstrap():
            self._core.create(ServedResource(kind, None), "", obj, WriteOptions())

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        """The admin's kubeconfig; written by `start`."""
        return self.folder / "kubeconfig"

    @property
    def ca(self) -> Path:
        """The certificate authority, PEM, of everything this server shows."""
        return self._credentials.authority

    @property
    def node_tls(self) -> NodeTLS:
        """What a node serves its logs with; the server proxies `pods/log` there with a client certificate."""
        return self._credentials.node_tls

    @property
    def token(self) -> str:
        """The admin's bearer token."""
        return self._credentials.admin_token

    async def start(self) -> None:
        """Listen; the port is known afterwards and the kubeconfig written."""
        # A handler is cancelled when its client leaves: watches and followed logs would linger until their next event.
        listener = web.Server(
            self._handle,
            request_factory=_request,
            handler_cancellation=True,
            max_line_size=_HEADER_BYTES,
            max_field_size=_HEADER_BYTES,
        )
        runner = web.ServerRunner(listener, shutdown_timeout=_STOP_SECONDS)
        await runner.setup()
        self._runner = runner
        # 512 waiting connections: tests open hundreds of watches at once.
        site = web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=self._credentials.server_context(), backlog=512)
        try:
            await site.start()
        except OSError:
            await self.stop()
            raise
        self.port = runner.addresses[0][1]
        write_kubeconfig(self.kubeconfig, kubeconfig(self.url, self.ca, self.token))

    async def stop(self) -> None:
        """End all watches and stop listening; again is harmless. A stopped server is not started again."""
        self._store.close()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> "ApiServer":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def compact(self) -> None:
        """Forget all history now: watches that reconnect get 410, unfinished lists too. For tests."""
        self._store.compact()
        self._lists.forget()

    def close_watches(self) -> None:
        """End all watches now, as a restart of a real server does. For tests."""
        self._store.close_watches()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            if self.faults.latency:
                await asyncio.sleep(self.faults.latency)
            return await self._route(request)
        except StatusError as error:
            return _refused(error)
        except ConnectionError:
            raise
        except Exception:
            # The server's last line: one request's bug must not take the cluster down, and must be seen.
            logger.exception("apiserver.failed", extra={"method": request.method, "path": request.path})
            return _refused(
                StatusError(
                    500, f"the development API server failed on {request.method} {request.path}; its log says why"
                )
            )

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        self._check_host(request)
        path = request.path
        if path in _HEALTH:
            return web.Response(text="ok")
        caller = self._authenticate(request)
        route = routes.parse(path)
        if route is None:
            self._authorize(caller, rbac.Attributes(request.method.lower(), path=path))
            return await self._describe(request, path)
        verb = verb_of(request.method, route, request.query)
        self._authorize(caller, _asked(route, verb, request.query))
        served = self._registry.find(route.group, route.version, route.plural)
        if served is None:
            raise StatusError(404, f"the server could not find the requested resource: {path} is not served here")
        form = negotiation.accepted(request.headers.get("Accept", ""))
        call = Call(request, route, served, verb, request.query, form, caller)
        return await self._answer(call)

    async def _answer(self, call: Call) -> web.StreamResponse:
        if call.verb not in _WRITES or call.kind.virtual:
            answer = await self._handler.handle(call)
            if call.verb == "list" and self.faults.list_latency:
                await asyncio.sleep(self.faults.list_latency)
            return answer
        code = self.faults.fails(call.verb, call.resource)
        if code:
            raise _injected(code)
        answer = await self._handler.handle(call)
        if self.faults.loses(call.verb, call.resource):
            raise _injected(504)
        return answer

    def _check_host(self, request: web.BaseRequest) -> None:
        # A page in a browser may point its own name at 127.0.0.1; the token guards too, this says so sooner.
        host = request.host.rpartition(":")[0] or request.host
        if host not in ("127.0.0.1", "localhost", "[::1]"):
            raise StatusError(403, f"Host {request.host!r} is not this server; use {self.url}")

    def _authenticate(self, request: web.BaseRequest) -> Identity:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        who = self._reviews.identify(token.strip()) if scheme.lower() == "bearer" else None
        if who is None or auth.ISSUER not in who.audiences:
            raise StatusError(401, "Unauthorized")
        return who

    def _authorize(self, caller: Identity, asked: rbac.Attributes) -> None:
        decision = self._access.decide(caller.name, caller.groups, asked)
        if not decision.allowed:
            details = {"group": asked.group, "kind": asked.resource, "name": asked.name}
            told = {name: value for name, value in details.items() if value}
            raise StatusError(403, rbac.refusal(caller.name, asked, decision), details=told)

    async def _describe(self, request: web.BaseRequest, path: str) -> web.Response:
        """Answer what is not about one resource: version, discovery, OpenAPI."""
        if request.method != "GET":
            raise StatusError(405, f"{request.method} is not supported on {path}")
        if path.startswith("/openapi/v3/"):
            # What takes a moment, the first time, must not hold up everybody else.
            await asyncio.to_thread(builtin_schemas.load)
        found = self._registry.document(path.rstrip("/") or "/", request.headers.get("Accept", ""))
        if found is None:
            raise StatusError(404, f"the server could not find the requested resource: {path} is not served here")
        raw, media = found
        return web.Response(body=raw, headers={"Content-Type": media})


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: "asyncio.Task[None]",
) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=negotiation.MAX_BODY)


def _call_later(seconds: float, act: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(seconds, act)


def _asked(route: routes.Route, verb: str, query: Mapping[str, str]) -> rbac.Attributes:
    """Return what a request is about, as authorization names it."""
    namespace, name = route.namespace, route.name
    if (route.group, route.plural) == ("", "namespaces"):
        namespace = name  # so that a Role in a namespace can speak of the namespace itself
    if not name and verb in ("list", "watch", "deletecollection"):
        # A selection of one name is a request for that object.
        field, _, value = query.get("fieldSelector", "").partition("=")
        name = value.removeprefix("=") if field == "metadata.name" and "," not in value else ""
    return rbac.Attributes(verb, route.group, route.plural, route.subresource, namespace, name)


def _injected(code: int) -> StatusError:
    details: dict[str, Any] | None = {"retryAfterSeconds": 1} if code in (429, 503, 504) else None
    return StatusError(code, f"injected by the server's faults: {code}", details=details)


def _refused(error: StatusError) -> web.Response:
    headers = {"Content-Type": "application/json"}
    retry_after = (error.details or {}).get("retryAfterSeconds")
    if retry_after:
        headers["Retry-After"] = str(retry_after)
    return web.Response(body=orjson.dumps(error.status()), status=error.code, headers=headers)
