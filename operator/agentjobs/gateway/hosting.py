"""Connections to the database and the API server, and a web server, for the processes gateway and dashboard.

Both start and stop while the database or the API server is unavailable.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final, Literal

import uvicorn
from starlette.types import ASGIApp

import agentjobs
from agentjobs import errors
from agentjobs.auth import cluster_uid
from agentjobs.engine.background import Background
from agentjobs.gateway.connections import connections
from agentjobs.gateway.metrics import GatewayMetrics
from agentjobs.gateway.services import GatewayHistory
from agentjobs.history.actions import Actions
from agentjobs.history.artifacts import Artifacts
from agentjobs.history.changes import ChangedJobs
from agentjobs.history.database import Database
from agentjobs.history.kept_files import KeptFiles
from agentjobs.history.model_reports import ModelReports
from agentjobs.history.outbox import Notifications
from agentjobs.history.overview import Overview
from agentjobs.history.process_records import Presence
from agentjobs.history.processes import Processes, of_cluster, unique_id, write_heartbeats
from agentjobs.history.reads import Reads
from agentjobs.history.runner_writes import RunnerWrites
from agentjobs.history.session_reads import SessionReads
from agentjobs.history.sessions import Sessions
from agentjobs.kube.callers import Callers
from agentjobs.kube.client import KubeClient
from agentjobs.listening import certificate_of, open_listener, url_of
from agentjobs.settings import ServerSettings

# Longer than the interval of a runner's heartbeats, so that its connection is not closed before the next one.
KEEP_ALIVE_SECONDS: Final = 75
# The time for requests in progress; the slowest wait 5 s for the database. Below the usual grace period of 30 s.
STOP_SECONDS: Final = 15


@dataclass(frozen=True, slots=True)
class Backing:
    """The connections behind REST."""

    database: Database
    kube: KubeClient
    """The API server with the credentials of the process."""
    callers: Callers
    """Clients of the API server with the credentials of callers."""

    def history(self, cluster: str) -> GatewayHistory:
        """Return the history of the cluster with this uid."""
        return history_of(self.database, cluster)


def history_of(database: Database, cluster: str) -> GatewayHistory:
    """Return the history of a cluster in a database."""
    return GatewayHistory(
        runners=RunnerWrites(database, cluster=cluster),
        people=Reads(database, cluster=cluster),
        sessions=Sessions(database, cluster=cluster),
        artifacts=Artifacts(database, cluster=cluster),
        files=KeptFiles(database),
        user_sessions=SessionReads(database, cluster=cluster),
        reports=ModelReports(database, cluster=cluster),
        notifications=Notifications(database, cluster=cluster),
        overview=Overview(database, cluster=cluster),
        processes=Processes(database, cluster=cluster),
        changes=ChangedJobs(database, cluster=cluster),
        actions=Actions(database, cluster=cluster),
    )


async def presence(backing: Backing, kind: Literal["gateway", "dashboard"]) -> None:
    """Report in history that this process runs. Never returns; for a background task."""
    me = Presence(kind, unique_id(), agentjobs.__version__)
    await write_heartbeats(of_cluster(backing.database, lambda: cluster_uid(backing.kube)), lambda: me)


@contextlib.asynccontextmanager
async def connected(
    settings: ServerSettings, *, name: str, pool_size: int, metrics: GatewayMetrics
) -> AsyncIterator[Backing]:
    """Open connections for the length of a `with` block.

    Args:
        name: the name of the process for the database and the API server.
        pool_size: the largest number of connections to the database.

    Raises:
        errors.Misconfigured: the settings are invalid.
    """
    dsn, agent = settings.database_url.get_secret_value(), f"agentjobs-{name}"
    async with (
        Database(
            dsn, pool_size=pool_size, application=f"agentjobs {name}", on_request=metrics.database.request
        ) as database,
        KubeClient.connect(settings.kubeconfig, user_agent=agent, on_write=metrics.review) as kube,
        Callers.connect(settings.kubeconfig, user_agent=agent, on_write=metrics.review) as callers,
    ):
        metrics.database.pool(database.connections)
        yield Backing(database, kube, callers)


@contextlib.asynccontextmanager
async def listening(
    app: ASGIApp,
    settings: ServerSettings,
    *,
    port: int,
    background: Background,
    per_address: int | None,
    on_stop: Callable[[], None],
) -> AsyncIterator[str]:
    """Serve an application for the length of a `with` block; yields the URL, with the actual port for port 0.

    Args:
        per_address: the limit on the connections of an address; None for no limit.
        on_stop: called when the server begins to stop, to end streams; other requests in progress are waited for.

    Raises:
        errors.Misconfigured: the address is taken, or the certificate cannot be read.
    """
    certificate = certificate_of(settings.tls_cert, settings.tls_key)
    listener = open_listener(settings.host, port)
    config = uvicorn.Config(
        app,
        http=connections(per_address=per_address),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        # A runner must call from the address of its pod, so headers must not replace it.
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
        lifespan="off",
        ssl_context_factory=(lambda _config, _default: certificate.context) if certificate else None,
    )
    if certificate is not None:
        background.start(certificate.renew(), "certificate")
    async with _served(uvicorn.Server(config), listener, background):
        try:
            yield url_of(listener, secure=certificate is not None)
        finally:
            on_stop()


@contextlib.asynccontextmanager
async def _served(server: uvicorn.Server, listener: socket.socket, background: Background) -> AsyncIterator[None]:
    # `serve` would handle the signals of the whole process and raise them again at its end, skipping all clean-up.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]  # run() handles signals
    task = background.start(server.serve(sockets=[listener]), "web-server", may_return=True)
    try:
        while not server.started and not task.done():  # noqa: ASYNC110  uvicorn has only this flag
            await asyncio.sleep(0.005)
        if task.done():
            await task
            raise errors.Invalid("the web server did not start; the log line before has the reason")
        yield
    finally:
        server.should_exit = True
        await asyncio.shield(task)
