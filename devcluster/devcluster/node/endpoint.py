"""The HTTPS endpoint of the kubelet, as far as `kubectl logs` needs it. Clients need a certificate of its authority."""

import datetime
import ssl
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from aiohttp import web

from devcluster.certificates import NodeTLS
from devcluster.node.logs import ContainerLog, LogQuery

if TYPE_CHECKING:
    from devcluster.node.pods import PodWorker

_STOP_SECONDS = 0.2


class LogEndpoint:
    """`GET /containerLogs/NAMESPACE/POD/CONTAINER` with the query of the pods/log subresource."""

    def __init__(self, tls: NodeTLS, find: "Callable[[str, str], PodWorker | None]") -> None:
        self._tls = tls
        self._find = find
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Listen on a free port of the loopback interface and return it."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self._tls.client_authority))
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(self._tls.server.certificate, self._tls.server.key)
        app = web.Application()
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_STOP_SECONDS)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        port: int = self._runner.addresses[0][1]
        return port

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        namespace, pod, container = (request.match_info[key] for key in ("namespace", "pod", "container"))
        worker = self._find(namespace, pod)
        if worker is None:
            return web.Response(status=404, text=f'pod "{pod}" not found\n')
        names = [spec["name"] for key in ("initContainers", "containers") for spec in worker.pod["spec"].get(key) or []]
        if container not in names:
            return web.Response(status=404, text=f'container "{container}" not found in pod "{pod}"\n')
        if request.query.get("previous") == "true":
            text = f'previous terminated container "{container}" in pod "{pod}" not found\n'
            return web.Response(status=400, text=text)
        try:
            query = log_query(request.query, now=datetime.datetime.now(datetime.UTC))
        except ValueError as error:
            return web.Response(status=400, text=f"{error}\n")
        log = worker.log(container)
        if log is None:
            text = f'container "{container}" in pod "{pod}" is waiting to start: ContainerCreating\n'
            return web.Response(status=400, text=text)
        return await _stream(request, log, query)


async def _stream(request: web.Request, log: ContainerLog, query: LogQuery) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    async for piece in log.read(query):
        await response.write(piece)
    await response.write_eof()
    return response


def log_query(parameters: Mapping[str, str], *, now: datetime.datetime) -> LogQuery:
    """Parse the query of pods/log; raises ValueError naming what is wrong."""
    since = None
    if "sinceTime" in parameters:
        since = datetime.datetime.fromisoformat(parameters["sinceTime"])
    elif "sinceSeconds" in parameters:
        since = now - datetime.timedelta(seconds=_whole("sinceSeconds", parameters["sinceSeconds"]))
    return LogQuery(
        follow=parameters.get("follow") == "true",
        timestamps=parameters.get("timestamps") == "true",
        tail_lines=_whole("tailLines", parameters["tailLines"]) if "tailLines" in parameters else None,
        limit_bytes=_whole("limitBytes", parameters["limitBytes"]) if "limitBytes" in parameters else None,
        since=since,
    )


def _whole(name: str, value: str) -> int:
    number = int(value)
    if number < 0:
        raise ValueError(f"{name}: {value} must not be negative")
    return number
