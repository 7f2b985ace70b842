"""The dashboard's own Prometheus metrics, in addition to those of REST."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from agentjobs.dashboard.identity import Way
from agentjobs.gateway.metrics import METHODS
from agentjobs.metrics import OTHER

# A page takes some ten milliseconds; one that waits for the database gives up after five seconds.
_SECONDS: Final = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class DashboardMetrics:
    """Metrics of pages and of signing in, in the registry of a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._pages = Counter(
            "agentjobs_dashboard_pages",
            "Pages answered, by route and status.",
            ["method", "route", "code"],
            registry=registry,
        )
        self._seconds = Histogram(
            "agentjobs_dashboard_page_duration_seconds",
            "From a page's request to its last byte, by route.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._attempts = Counter(
            "agentjobs_dashboard_sign_ins",
            "Attempts to sign in, by way and result.",
            ["way", "result"],
            registry=registry,
        )

    def page(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one page; `route` is the template of its path."""
        self._pages.labels(method if method in METHODS else OTHER, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def attempt(self, way: Way, succeeded: bool) -> None:
        """Count an attempt to sign in."""
        self._attempts.labels(way, "ok" if succeeded else "refused").inc()
