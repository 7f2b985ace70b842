"""What a process needs that serves REST: connections to database and API server, and a web server.

Called by the processes of gateway and dashboard. A database or an API server that is away holds up nothing here.
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
from agentjobs.history.processes import Processes, of_cluster, say_that_it_lives, unique_id
from agentjobs.history.reads import Reads
from agentjobs.history.runner_writes import RunnerWrites
from agentjobs.history.session_reads import SessionReads
from agentjobs.history.sessions import Sessions
from agentjobs.kube.callers import Callers
from agentjobs.kube.client import KubeClient
from agentjobs.listening import certificate_of, open_listener, url_of
from agentjobs.settings import ServerSettings

# Longer than a runner's pause between two beats, so that its connection is not closed under its next request.
KEEP_ALIVE_SECONDS: Final = 75
# What a request under way may still take; the slowest waits 5 s for the database. Below the usual grace period of 30 s.
STOP_SECONDS: Final = 15


@dataclass(frozen=True, slots=True)
class Backing:
    """What is behind REST."""

    database: Database
    kube: KubeClient
    """The API server as the process itself has it."""
    callers: Callers
    """The API server as those have it who call."""

    def history(self, cluster: str) -> GatewayHistory:
        """Return the history of the cluster with this uid."""
        return history_of(self.database, cluster)


def history_of(database: Database, cluster: str) -> GatewayHistory:
    """Return the history of the cluster with this uid, in a database."""
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
    """Say for ever that this process lives, for a task in the background."""
    me = Presence(kind, unique_id(), agentjobs.__version__)
    await say_that_it_lives(of_cluster(backing.database, lambda: cluster_uid(backing.kube)), lambda: me)


@contextlib.asynccontextmanager
async def connected(
    settings: ServerSettings, *, name: str, pool_size: int, metrics: GatewayMetrics
) -> AsyncIterator[Backing]:
    """Open connections for the length of a `with` block.

    Args:
        name: of the process, as database and API server see it.
        pool_size: connections to the database at most.

    Raises:
        errors.Invalid: the settings cannot work.
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
    """Serve an application for the length of a `with` block; gives the URL, with the real port for port 0.

    Args:
        per_address: how many connections an address may have; None for any number.
        on_stop: called when the server is to stop: what is under way is then waited for, streams would go on.

    Raises:
        errors.Invalid: the address is taken, or the certificate cannot be read.
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
        # A runner must call from its pod's address; no header may say where from.
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
    # `serve` would take the signals of the whole process and raise them again at its end, past everybody's clean-up.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]  # signals are run()'s
    task = background.start(server.serve(sockets=[listener]), "web-server", may_return=True)
    try:
        while not server.started and not task.done():  # noqa: ASYNC110  a flag is all that uvicorn tells by
            await asyncio.sleep(0.005)
        if task.done():
            await task
            raise errors.Invalid("the web server did not start; the line above says why")
        yield
    finally:
        server.should_exit = True
        await asyncio.shield(task)
