"""The gateway's process: opens its connections, listens, stops gracefully.

Called by `agentjobs gateway` (run); tests and programs that embed it use `serving`. Only wrong settings end it at the
start. It waits for a database or an API server that is away, and /readyz says so.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from typing import Final

import uvicorn

from agentjobs import errors, tracing
from agentjobs.engine.background import Background
from agentjobs.gateway.app import create_app
from agentjobs.gateway.connections import CONNECTIONS, connections
from agentjobs.gateway.limits import DATABASE_CONNECTIONS
from agentjobs.gateway.metrics import GatewayMetrics
from agentjobs.gateway.services import GatewayHistory
from agentjobs.gateway.triggers.answering import SignedCalls
from agentjobs.gateway.triggers.file import Triggers
from agentjobs.history.artifacts import Artifacts
from agentjobs.history.database import Database
from agentjobs.history.kept_files import KeptFiles
from agentjobs.history.model_reports import ModelReports
from agentjobs.history.outbox import Notifications
from agentjobs.history.reads import Reads
from agentjobs.history.runner_writes import RunnerWrites
from agentjobs.history.session_reads import SessionReads
from agentjobs.history.sessions import Sessions
from agentjobs.kube.callers import Callers
from agentjobs.kube.client import KubeClient
from agentjobs.listening import certificate_of, open_listener, until_signalled, url_of
from agentjobs.settings import GatewaySettings

logger = logging.getLogger(__name__)

# Longer than a runner's pause between two beats, so that its connection is not closed under its next request.
KEEP_ALIVE_SECONDS: Final = 75
# What a request under way may still take; the slowest waits 5 s for the database. Below the usual grace period of 30 s.
STOP_SECONDS: Final = 15


def run(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way and return.

    Raises:
        errors.Invalid: the settings cannot work: no such kubeconfig, address taken, certificate unreadable.
        errors.AgentJobsError: a part that the gateway cannot be without has died.
    """
    asyncio.run(until_signalled(lambda on_death: serving(settings, on_death=on_death)))


@contextlib.asynccontextmanager
async def serving(
    settings: GatewaySettings, *, on_death: Callable[[errors.AgentJobsError], None] = lambda _error: None
) -> AsyncIterator[str]:
    """Serve for the length of a `with` block; gives the URL, with the real port when the settings said 0.

    Args:
        on_death: is told when a part that runs in the background dies; it is logged in any case.
    """
    triggers = Triggers(settings.triggers_file)
    metrics, spans = GatewayMetrics(), tracing.spans("agentjobs-gateway", os.environ)
    dsn = settings.database_url.get_secret_value()
    async with (
        Database(
            dsn, pool_size=DATABASE_CONNECTIONS, application="agentjobs gateway", on_request=metrics.database.request
        ) as database,
        KubeClient.connect(settings.kubeconfig, user_agent="agentjobs-gateway", on_write=metrics.review) as kube,
        Callers.connect(settings.kubeconfig, user_agent="agentjobs-gateway", on_write=metrics.review) as callers,
        Background(on_death) as background,
    ):
        metrics.database.pool(database.connections)
        app = create_app(
            lambda cluster: _history(database, cluster),
            kube,
            metrics=metrics,
            spans=spans,
            check_history=database.check_schema,
            check_addresses=settings.check_addresses,
            callers=callers,
            signed_calls=SignedCalls(triggers),
        )
        background.start(triggers.watch(), "triggers-file")
        certificate = certificate_of(settings.tls_cert, settings.tls_key)
        listener = open_listener(settings.host, settings.port)
        config = uvicorn.Config(
            app,
            http=connections(per_address=CONNECTIONS if settings.check_addresses else None),
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
            url = url_of(listener, secure=certificate is not None)
            logger.info("gateway.listening", extra={"url": url})
            yield url
        await asyncio.to_thread(spans.close)
        logger.info("gateway.stopped")


def _history(database: Database, cluster: str) -> GatewayHistory:
    return GatewayHistory(
        runners=RunnerWrites(database, cluster=cluster),
        people=Reads(database, cluster=cluster),
        sessions=Sessions(database, cluster=cluster),
        artifacts=Artifacts(database, cluster=cluster),
        files=KeptFiles(database),
        user_sessions=SessionReads(database, cluster=cluster),
        reports=ModelReports(database, cluster=cluster),
        notifications=Notifications(database, cluster=cluster),
    )


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
