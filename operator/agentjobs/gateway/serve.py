"""The gateway's process: opens its connections, listens, stops gracefully.

Called by `agentjobs gateway` (run); tests and programs that embed it use `serving`. Only wrong settings end it at the
start. It waits for a database or an API server that is away, and /readyz says so.
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
from agentjobs.gateway.triggers.answering import SignedCalls
from agentjobs.gateway.triggers.file import Triggers
from agentjobs.listening import until_signalled
from agentjobs.settings import GatewaySettings

logger = logging.getLogger(__name__)


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
    async with (
        connected(settings, name="gateway", pool_size=DATABASE_CONNECTIONS, metrics=metrics) as backing,
        Background(on_death) as background,
    ):
        changes = ChangeFeed()
        app = create_app(
            backing.history,
            backing.kube,
            metrics=metrics,
            spans=spans,
            check_history=backing.database.check_schema,
            check_addresses=settings.check_addresses,
            callers=backing.callers,
            signed_calls=SignedCalls(triggers),
            changes=changes,
        )
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
