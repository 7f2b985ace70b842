"""The notifier's process: connects, runs, stops gracefully.

Called by `agentjobs notifier` (run); programs that embed it use `serving`. Only invalid settings stop it at startup. It
waits for an unavailable database or API server, and /readyz reports that.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Final

import uvloop

from agentjobs import errors, probes
from agentjobs.auth import wait_for_cluster_uid
from agentjobs.engine.background import Background
from agentjobs.history.database import Database
from agentjobs.history.outbox import Outbox
from agentjobs.kube.client import KubeClient
from agentjobs.listening import until_signalled
from agentjobs.notifier.backoff import Backoff
from agentjobs.notifier.metrics import NotifierMetrics
from agentjobs.notifier.notifier import Notifier
from agentjobs.notifier.sending import Sender
from agentjobs.notifier.sinks import Sinks
from agentjobs.settings import NotifierSettings, host_and_port

logger = logging.getLogger(__name__)

DATABASE_CONNECTIONS: Final = 4
# A request takes at most a minute. Cancelled ones are sent again after their lease ends.
DRAIN_SECONDS: Final = 15.0


def run(settings: NotifierSettings) -> None:
    """Run until SIGTERM or SIGINT, then finish running requests and return.

    Raises:
        errors.Misconfigured: invalid settings: the sinks file, or the address is in use.
        errors.AgentJobsError: an essential part has died.
    """
    uvloop.run(until_signalled(lambda on_death: serving(settings, on_death=on_death)))


@contextlib.asynccontextmanager
async def serving(
    settings: NotifierSettings, *, on_death: Callable[[errors.AgentJobsError], None] = lambda _error: None
) -> AsyncIterator[int]:
    """Run for the length of a `with` block; yields the port of the probes.

    Args:
        on_death: called when a background part dies; its death is always logged.
    """
    metrics = NotifierMetrics()
    sinks = Sinks(settings.sinks_file, os.environ)
    async with (
        Database(
            settings.database_url.get_secret_value(),
            pool_size=DATABASE_CONNECTIONS,
            application="agentjobs notifier",
            on_request=metrics.database.request,
        ) as database,
        KubeClient.connect(settings.kubeconfig, user_agent="agentjobs-notifier") as kube,
        Background(on_death) as background,
    ):
        metrics.database.pool(database.connections)
        work = _Work(settings, database, sinks, metrics)
        checks = {"sinks": work.check, "database": work.check_database}
        async with probes.serving(
            host_and_port(settings.probe_address), metrics=metrics, health={}, ready=checks
        ) as port:
            background.start(sinks.watch(), "sinks-file")
            task = background.start(work.run(kube), "notifications")
            logger.info("notifier.started", extra={"sinks": len(sinks.by_name), "port": port})
            try:
                yield port
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await work.end()
                logger.info("notifier.stopped")


class _Work:
    """Create what needs the cluster's identity."""

    def __init__(self, settings: NotifierSettings, database: Database, sinks: Sinks, metrics: NotifierMetrics) -> None:
        self._backoff = Backoff(settings.notification_longest_wait, settings.notification_give_up_after)
        self._database = database
        self._sinks = sinks
        self._metrics = metrics
        self._notifier: Notifier | None = None
        self._sender: Sender | None = None

    async def run(self, kube: KubeClient) -> None:
        """Read the cluster's identity, then run until cancelled."""
        cluster = await wait_for_cluster_uid(kube, logger, "notifier.waits_for_cluster")
        self._sender = Sender(self._sinks, cluster=cluster)
        self._notifier = Notifier(
            Outbox(self._database, cluster=cluster),
            self._sinks,
            self._sender,
            backoff=self._backoff,
            metrics=self._metrics,
            now=lambda: datetime.now(UTC),
            clock=time.monotonic,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self._notifier.run())
            group.create_task(self._notifier.give_up_old())

    async def end(self) -> None:
        """Finish running requests."""
        if self._notifier is not None:
            await self._notifier.drain(DRAIN_SECONDS)
        if self._sender is not None:
            await self._sender.close()

    def check(self) -> str | None:
        """Return why nothing is sent, None if it works."""
        return (
            None if self._notifier is not None else "the cluster's identity has not been read from the API server yet"
        )

    def check_database(self) -> str | None:
        """Return whether PostgreSQL is unavailable."""
        return "PostgreSQL is unavailable" if self._database.breaker.away else None
