"""The model proxy's process: connects, listens, stops gracefully.

Called by `agentjobs proxy` (run); programs that embed it use `serving`. Only invalid settings stop it at startup. It
waits for an unavailable database or API server, and /readyz reports that.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import uvloop

import agentjobs
from agentjobs import errors
from agentjobs.auth import Authenticator, wait_for_cluster_uid
from agentjobs.engine.background import Background
from agentjobs.history.database import Database
from agentjobs.history.model_calls import ModelCalls
from agentjobs.history.model_limits import ModelLimits
from agentjobs.history.model_protocols import ModelLedger
from agentjobs.history.queue_models import QueueModels
from agentjobs.kube.client import KubeClient
from agentjobs.listening import Certificate, certificate_of, open_listener, until_signalled, url_of
from agentjobs.models.names import Kind
from agentjobs.proxy.checker import Checker
from agentjobs.proxy.connections import CONNECTIONS, Server
from agentjobs.proxy.exchange import Exchange
from agentjobs.proxy.installation import Installation
from agentjobs.proxy.keys import Keys
from agentjobs.proxy.limits import Limiter
from agentjobs.proxy.metrics import ProxyMetrics
from agentjobs.proxy.queue_limits import QueueLimits
from agentjobs.proxy.routing import Way
from agentjobs.proxy.sending import Sender
from agentjobs.proxy.server import Requests
from agentjobs.proxy.settlements import Settlements
from agentjobs.proxy.upstream import Upstream
from agentjobs.settings import ProxySettings

if TYPE_CHECKING:
    from agentjobs.proxy.credentials import AccessTokens

logger = logging.getLogger(__name__)

# A call uses a connection for a few milliseconds, three times; streams hold none.
DATABASE_CONNECTIONS: Final = 10
# Time to write the remaining data after running calls have ended or were cut.
SETTLE_SECONDS: Final = 5.0
# A proxy without a heartbeat for 45 s is considered lost, with its calls.
HEARTBEAT_SECONDS: Final = 10.0


def run(settings: ProxySettings) -> None:
    """Serve until SIGTERM or SIGINT, then finish running calls and return.

    Raises:
        errors.Misconfigured: invalid settings: kubeconfig, address in use, certificate, or models file.
        errors.AgentJobsError: an essential part has died.
    """
    uvloop.run(until_signalled(lambda on_death: serving(settings, on_death=on_death)))


@contextlib.asynccontextmanager
async def serving(
    settings: ProxySettings, *, on_death: Callable[[errors.AgentJobsError], None] = lambda _error: None
) -> AsyncIterator[str]:
    """Serve for the length of a `with` block; yields the URL, with the real port if the settings have 0.

    Args:
        on_death: called when a background part dies; its death is always logged.
    """
    metrics = ProxyMetrics()
    installation = Installation(settings.models_file, os.environ)
    certificate = certificate_of(settings.tls_cert, settings.tls_key)
    async with (
        Database(
            settings.database_url.get_secret_value(),
            pool_size=DATABASE_CONNECTIONS,
            application="agentjobs proxy",
            on_request=metrics.database.request,
        ) as database,
        KubeClient.connect(settings.kubeconfig, user_agent="agentjobs-proxy", on_write=metrics.review) as kube,
        Upstream() as upstream,
        Background(on_death) as background,
    ):
        metrics.database.pool(database.connections)
        authenticator = Authenticator(kube, clock=time.monotonic, check_addresses=settings.check_addresses)
        checks = {"database": database.check_schema, "API server": authenticator.check}
        requests = Requests(checks, registry=metrics.registry, clock=time.monotonic)
        parts = _Parts(database, upstream, authenticator, installation, metrics, background, requests)
        if certificate is not None:
            background.start(certificate.renew(), "certificate")
        background.start(installation.watch(), "models-file")
        background.start(parts.begin(kube), "begin", may_return=True)
        try:
            async with _listening(requests, settings, certificate) as url:
                logger.info("proxy.listening", extra={"url": url})
                yield url
        finally:
            await parts.end()
            logger.info("proxy.stopped")


@contextlib.asynccontextmanager
async def _listening(
    requests: Requests, settings: ProxySettings, certificate: Certificate | None
) -> AsyncIterator[str]:
    """Accept connections for the length of a `with` block, then finish running calls; yields the URL."""
    server = Server(requests, per_address=CONNECTIONS if settings.check_addresses else None)
    listener = open_listener(settings.host, settings.port)
    listening = await asyncio.get_running_loop().create_server(
        server, sock=listener, ssl=certificate.context if certificate else None
    )
    try:
        yield url_of(listener, secure=certificate is not None)
    finally:
        listening.close()
        server.pre_shutdown()
        await requests.stop(settings.drain.total_seconds())
        await server.shutdown(1.0)


class _Parts:
    """Create what needs the cluster's identity."""

    def __init__(
        self,
        database: Database,
        upstream: Upstream,
        authenticator: Authenticator,
        installation: Installation,
        metrics: ProxyMetrics,
        background: Background,
        requests: Requests,
    ) -> None:
        self._database = database
        self._upstream = upstream
        self._authenticator = authenticator
        self._installation = installation
        self._metrics = metrics
        self._background = background
        self._requests = requests
        self._name = f"{socket.gethostname()[:40]}-{secrets.token_hex(4)}"
        self._keys = Keys()
        self._tokens: AccessTokens | None = None
        self._limiter: Limiter | None = None
        self._settlements: Settlements | None = None

    async def begin(self, kube: KubeClient) -> None:
        """Read the cluster's identity, create everything, and accept requests."""
        cluster = await wait_for_cluster_uid(kube, logger, "proxy.waits_for_cluster")
        ledger = ModelCalls(self._database, cluster=cluster)
        queues = QueueLimits(QueueModels(self._database, cluster=cluster), on_change=self._queues_changed)
        limits = ModelLimits(self._database, cluster=cluster)
        self._limiter = Limiter(limits, proxy=self._name, queues=queues)
        self._settlements = Settlements(ledger)
        self._metrics.unsettled(self._settlements.__len__)
        sender = Sender(
            limiter=self._limiter,
            upstream=self._upstream,
            key_of=self._key,
            metrics=self._metrics,
            clock=time.monotonic,
        )
        self._requests.exchange = Exchange(
            authenticator=self._authenticator,
            models=lambda: self._installation.models,
            ledger=ledger,
            settlements=self._settlements,
            sender=sender,
            checker=Checker(self._upstream),
            metrics=self._metrics,
            proxy=self._name,
        )
        self._background.start(self._settlements.run(), "settlements")
        self._background.start(self._beat(ledger), "beat")
        self._background.start(queues.watch(), "queue-limits")

    def _queues_changed(self) -> None:
        if self._limiter is not None:
            self._limiter.limits_changed()

    async def _key(self, way: Way) -> str:
        source = way.key.source
        if way.provider.kind is Kind.VERTEX_AI:
            return await self._access_tokens().token(None if source is None else source.file)
        return "" if source is None else self._keys.read(source)

    def _access_tokens(self) -> "AccessTokens":
        if self._tokens is None:
            # Importing it takes a tenth of a second, for which every development cluster would wait.
            from agentjobs.proxy.credentials import AccessTokens

            self._tokens = AccessTokens()
        return self._tokens

    async def end(self) -> None:
        """Write the usage of calls, and return unused amounts."""
        if self._limiter is not None:
            await self._limiter.close()
        if self._tokens is not None:
            await self._tokens.close()
        if self._settlements is not None:
            await self._settlements.drain(SETTLE_SECONDS)

    async def _beat(self, ledger: ModelLedger) -> None:
        while True:
            models: dict[str, Any] = self._installation.models.report(datetime.now(UTC).date())
            report = {**models, "version": agentjobs.__version__}
            try:
                await ledger.heartbeat(self._name, report)
            except errors.AgentJobsError as error:
                logger.warning("proxy.not_reported", extra={"error": str(error)})
            await asyncio.sleep(HEARTBEAT_SECONDS)
