"""The embedded API server: listens on loopback with TLS, authenticates and authorizes requests, calls their handler.

Tests and development mode embed it; `python -m devcluster.apiserver` runs it alone. Never for production: the state is
in memory, and unsupported requests are refused with an explanation.
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
from devcluster.apiserver.impersonation import impersonated
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
_HEADER_BYTES: Final = 1 << 20  # the limit of a Go server, where a name of 10,000 characters is not found


class ApiServer:
    """A Kubernetes-compatible API server for one machine.

    Args:
        folder: for certificates and the kubeconfig; created if it is missing; only its owner can read it.
        port: 0 for a free port.
        clock: returns the time, in UTC.
        history_bytes: size of the history that is kept for watches that reconnect.
        cluster: uid of the namespace kube-system, the identity of a cluster; random by default.
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
        """The server's URL."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig; `start` writes it."""
        return self.folder / "kubeconfig"

    @property
    def ca(self) -> Path:
        """The PEM file of the server's certificate authority."""
        return self._credentials.authority

    @property
    def node_tls(self) -> NodeTLS:
        """The certificates of a node's log endpoint, to which the server forwards `pods/log`."""
        return self._credentials.node_tls

    @property
    def token(self) -> str:
        """The administrator's bearer token."""
        return self._credentials.admin_token

    async def start(self) -> None:
        """Listen, and write the kubeconfig with the port."""
        # Handlers are cancelled when their client disconnects; else watches would stay until their next event.
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
        # 512 pending connections: tests open hundreds of watches at the same time.
        site = web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=self._credentials.server_context(), backlog=512)
        try:
            await site.start()
        except OSError:
            await self.stop()
            raise
        self.port = runner.addresses[0][1]
        write_kubeconfig(self.kubeconfig, kubeconfig(self.url, self.ca, self.token))

    async def stop(self) -> None:
        """End all watches and stop listening. Idempotent. A stopped server cannot be started again."""
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
        """Compact the history: watches that reconnect and unfinished lists get 410. For tests."""
        self._store.compact()
        self._lists.forget()

    def close_watches(self) -> None:
        """End all watches, as a restart of a real server does. For tests."""
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
            # A defect in one request must not stop the server, and must be logged.
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
        self._authorize(caller, _attributes(route, verb, request.query))
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
        # A web page may resolve its own name to 127.0.0.1; the token protects too, but this refusal is clearer.
        host = request.host.rpartition(":")[0] or request.host
        if host not in ("127.0.0.1", "localhost", "[::1]"):
            raise StatusError(403, f"Host {request.host!r} is not this server; use {self.url}")

    def _authenticate(self, request: web.BaseRequest) -> Identity:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        identity = self._reviews.identify(token.strip()) if scheme.lower() == "bearer" else None
        if identity is None or auth.ISSUER not in identity.audiences:
            raise StatusError(401, "Unauthorized")
        other = impersonated(request.headers.items())
        if other is None:
            return identity
        for attributes in other[1]:
            self._authorize(identity, attributes)
        return other[0]

    def _authorize(self, caller: Identity, attributes: rbac.Attributes) -> None:
        decision = self._access.decide(caller.name, caller.groups, attributes)
        if not decision.allowed:
            details = {"group": attributes.group, "kind": attributes.resource, "name": attributes.name}
            known = {name: value for name, value in details.items() if value}
            raise StatusError(403, rbac.denial(caller.name, attributes, decision), details=known)

    async def _describe(self, request: web.BaseRequest, path: str) -> web.Response:
        """Answer requests without a resource: version, discovery, OpenAPI."""
        if request.method != "GET":
            raise StatusError(405, f"{request.method} is not supported on {path}")
        if path.startswith("/openapi/v3/"):
            # The first document takes a second, and must not block other requests.
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


def _attributes(route: routes.Route, verb: str, query: Mapping[str, str]) -> rbac.Attributes:
    """Return the attributes of a request for authorization."""
    namespace, name = route.namespace, route.name
    if (route.group, route.plural) == ("", "namespaces"):
        namespace = name  # so that a Role can have rules for its own namespace
    if not name and verb in ("list", "watch", "deletecollection"):
        # A field selector with one name is a request for that object.
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
