"""The process of the gateway: it connects, listens and stops gracefully.

`agentjobs gateway` calls `run`; tests and programs that embed the gateway use `serving`. It exits at the start only if
its settings are invalid. While the database or the API server is unavailable it waits, and /readyz reports it.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable

from agentjobs import errors, tracing
from agentjobs.engine.background import Background
from agentjobs.gateway.app import create_app
from agentjobs.gateway.change_feed import ChangeFeed
from agentjobs.gateway.connections import CONNECTIONS
from agentjobs.gateway.hosting import connected, listening, presence
from agentjobs.gateway.limits import DATABASE_CONNECTIONS
from agentjobs.gateway.metrics import GatewayMetrics
from agentjobs.gateway.services import Services
from agentjobs.gateway.triggers.answering import SignedCalls
from agentjobs.gateway.triggers.file import Triggers
from agentjobs.listening import until_signalled
from agentjobs.settings import GatewaySettings

logger = logging.getLogger(__name__)


def run(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or SIGINT, then finish requests in progress and return.

    Raises:
        errors.Misconfigured: invalid settings: a missing kubeconfig, an address in use, an unreadable certificate.
        errors.AgentJobsError: an essential background task has ended.
    """
    asyncio.run(until_signalled(lambda on_death: serving(settings, on_death=on_death)))


@contextlib.asynccontextmanager
async def serving(
    settings: GatewaySettings, *, on_death: Callable[[errors.AgentJobsError], None] = lambda _error: None
) -> AsyncIterator[str]:
    """Serve for the length of a `with` block; yields the URL, with the actual port if the settings have port 0.

    Args:
        on_death: called when a background task ends with an error, which is also logged.
    """
    triggers = Triggers(settings.triggers_file)
    metrics, spans = GatewayMetrics(), tracing.spans("agentjobs-gateway", os.environ)
    async with (
        connected(settings, name="gateway", pool_size=DATABASE_CONNECTIONS, metrics=metrics) as backing,
        Background(on_death) as background,
    ):
        changes = ChangeFeed()
        services = Services(
            backing.history,
            backing.kube,
            metrics=metrics,
            spans=spans,
            check_addresses=settings.check_addresses,
            callers=backing.callers,
            signed_calls=SignedCalls(triggers),
            changes=changes,
        )
        app = create_app(services, check_history=backing.database.check_schema)
        background.start(triggers.watch(), "triggers-file")
        background.start(presence(backing, "gateway"), "presence")
        async with listening(
            app,
            settings,
            port=settings.port,
            background=background,
            per_address=CONNECTIONS if settings.check_addresses else None,
            on_stop=changes.close,
        ) as url:
            logger.info("gateway.listening", extra={"url": url})
            yield url
        await asyncio.to_thread(spans.close)
        logger.info("gateway.stopped")
