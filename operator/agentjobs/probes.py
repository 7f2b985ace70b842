"""A small HTTP server of operator and notifier: `/healthz`, `/readyz` and `/metrics`.

Runs on the process's loop on purpose: a blocked loop does not answer, so that liveness detects it. Standbys serve it
too. The checks are passed in.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from agentjobs.errors import Misconfigured
from agentjobs.metrics import Metrics

Check = Callable[[], str | None]
"""Returns None if healthy, else the problem in one sentence. Must not block."""

LAG_SECONDS: Final = 0.5


class Exposed(Protocol):
    """Metrics for `/metrics`."""

    @property
    def registry(self) -> CollectorRegistry:
        """All metrics of the process."""


@asynccontextmanager
async def serving(
    address: tuple[str | None, int],
    *,
    metrics: Exposed,
    health: Mapping[str, Check],
    ready: Mapping[str, Check],
) -> AsyncIterator[int]:
    """Serve during a `with` block; yields the port, for an address with port 0.

    Args:
        address: host (None: all interfaces) and port, see `settings.host_and_port`.
        health: named checks of `/healthz`; if one fails, the process is restarted.
        ready: named checks of `/readyz`.

    Raises:
        Misconfigured: the address is in use or not of this machine.
    """
    app = web.Application()
    app.router.add_get("/healthz", _endpoint(health))
    app.router.add_get("/readyz", _endpoint(ready))
    app.router.add_get("/metrics", _exposition(metrics))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, *address).start()
        except OSError as error:
            place = f"{address[0] or ''}:{address[1]}"
            raise Misconfigured(f"probe_address {place}: cannot listen there: {error}") from error
        port: int = runner.addresses[0][1]
        yield port
    finally:
        await runner.cleanup()


def _endpoint(checks: Mapping[str, Check]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_request: web.Request) -> web.Response:
        lines, failed = [], False
        for name, check in checks.items():
            problem = check()
            failed = failed or problem is not None
            lines.append(f"{name}: {problem or 'ok'}\n")
        return web.Response(text="".join(lines) or "ok\n", status=503 if failed else 200)

    return answer


def _exposition(metrics: Exposed) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return answer


async def measure_lag(metrics: Metrics) -> None:
    """Measure how late the event loop wakes up, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_SECONDS
        await asyncio.sleep(LAG_SECONDS)
        metrics.loop_lag.observe(max(0.0, loop.time() - due))
