"""The dashboard's process: REST for people and the pages, with its own connections; no routes for runners.

Called by `agentjobs dashboard` (run); tests use `serving`. Only invalid settings end it at the start. It waits for an
unavailable database or API server, and /readyz reports that.
"""

import asyncio
import contextlib
import gc
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Final

from agentjobs import errors
from agentjobs.dashboard.asgi import create_site
from agentjobs.dashboard.metrics import DashboardMetrics
from agentjobs.dashboard.sealing import Seal
from agentjobs.dashboard.security import allowed_names
from agentjobs.dashboard.sessions import Sessions
from agentjobs.dashboard.settings import DashboardSettings
from agentjobs.dashboard.sign_in.account import Account
from agentjobs.dashboard.sign_in.attempts import Attempts
from agentjobs.dashboard.sign_in.links import Links
from agentjobs.dashboard.sign_in.oidc import CALLBACK, Client, Provider, open_http
from agentjobs.dashboard.sign_in.proxies import Proxies
from agentjobs.dashboard.sign_in.ways import Ways
from agentjobs.engine.background import Background
from agentjobs.gateway.app import Audience, create_app
from agentjobs.gateway.change_feed import ChangeFeed
from agentjobs.gateway.hosting import connected, listening, presence
from agentjobs.gateway.metrics import GatewayMetrics
from agentjobs.gateway.services import Services
from agentjobs.listening import until_signalled

logger = logging.getLogger(__name__)

# A page sends some five requests at the same time. Two connections are for requests of the process itself.
DATABASE_CONNECTIONS: Final = 8
_READS_AT_ONCE: Final = DATABASE_CONNECTIONS - 2
_PEOPLE: Final[Audience] = "people"


def run(settings: DashboardSettings) -> None:
    """Serve until SIGTERM or SIGINT, then finish requests in progress and return.

    Raises:
        errors.Misconfigured: the settings are invalid.
        errors.AgentJobsError: a necessary part has died.
    """
    # A page of thousands of steps makes tens of thousands of objects. Without this the garbage collector would traverse
    # all loaded modules several times for it.
    gc.set_threshold(50_000, 20, 50)
    gc.freeze()
    asyncio.run(until_signalled(lambda on_death: serving(settings, on_death=on_death)))


@contextlib.asynccontextmanager
async def serving(
    settings: DashboardSettings, *, on_death: Callable[[errors.AgentJobsError], None] = lambda _error: None
) -> AsyncIterator[str]:
    """Serve for the length of a `with` block; yields the URL, with the real port when the settings have 0.

    Args:
        on_death: called when a background part dies, which is also logged.
    """
    metrics = GatewayMetrics()
    ours = DashboardMetrics(metrics.registry)
    async with (
        _provider(settings) as provider,
        connected(settings, name="dashboard", pool_size=DATABASE_CONNECTIONS, metrics=metrics) as backing,
        Background(on_death) as background,
    ):
        ways = _ways(settings, provider, ours)
        changes = ChangeFeed()
        services = Services(
            backing.history,
            backing.kube,
            metrics=metrics,
            callers=backing.callers,
            changes=changes,
            concurrent_reads=_READS_AT_ONCE,
        )
        rest = create_app(services, check_history=backing.database.check_schema, audience=[_PEOPLE])
        background.start(presence(backing, "dashboard"), "presence")
        hosts = allowed_names(settings.public_url, settings.allowed_hosts)
        site = create_site(rest, ways=ways, metrics=ours, hosts=hosts)
        async with listening(
            site,
            settings,
            port=settings.port,
            background=background,
            per_address=None,  # behind a proxy all connections have the same address
            on_stop=changes.close,
        ) as url:
            logger.info("dashboard.listening", extra={"url": url})
            yield url
        logger.info("dashboard.stopped")


@contextlib.asynccontextmanager
async def _provider(settings: DashboardSettings) -> AsyncIterator[Provider | None]:
    if settings.oidc_issuer is None:
        yield None
        return
    try:
        secret = settings.oidc_client_secret_file and settings.oidc_client_secret_file.read_text("utf-8").strip()
        http = open_http(str(settings.oidc_ca_file) if settings.oidc_ca_file else None)
    except (OSError, UnicodeDecodeError, ssl.SSLError) as error:
        raise errors.Misconfigured(f"OpenID Connect: {error}") from error
    client = Client(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id or "",
        secret=secret or None,
        redirect_uri=f"{settings.public_url}{CALLBACK}",
        scopes=settings.oidc_scopes,
        username_claim=settings.oidc_username_claim,
        username_prefix=settings.oidc_username_prefix,
        groups_claim=settings.oidc_groups_claim,
        groups_prefix=settings.oidc_groups_prefix,
        name=settings.oidc_name,
        keeps_token=settings.oidc_mode == "Token",
    )
    async with http:
        yield Provider(client, http)


def _ways(settings: DashboardSettings, provider: Provider | None, metrics: DashboardMetrics) -> Ways:
    secure = settings.public_url.startswith("https:") if settings.public_url else settings.tls_cert is not None
    impersonates = settings.user_header is not None or (provider is not None and not provider.client.keeps_token)
    return Ways(
        sessions=Sessions(Seal(settings.session_keys_file), length=settings.session_length, secure=secure),
        proxies=Proxies(
            settings.trusted_proxies, user_header=settings.user_header, groups_header=settings.groups_header
        ),
        token=settings.token_sign_in,
        links=Links(settings.links_folder) if settings.links_folder else None,
        oidc=provider,
        account=Account(settings.account_token_file) if impersonates else None,
        attempts=Attempts(time.monotonic),
        now=lambda: datetime.now(UTC),
        on_attempt=metrics.attempt,
    )
