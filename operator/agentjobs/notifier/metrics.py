"""The notifier's Prometheus metrics: names, help texts and labels in one place.

One set per process. Labels are constants and the names of sinks, which the installation chose.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from agentjobs.history.outbox_records import Backlog, Outcome
from agentjobs.metrics import DatabaseMetrics, add_process

_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class NotifierMetrics:
    """All metrics of one notifier, in their own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        add_process(self.registry)
        self.database = DatabaseMetrics(self.registry)
        self._tries = Counter(
            "agentjobs_notifications",
            "Attempts to send a notification, by result: Sent, Failed (will be retried), GivenUp.",
            ["sink", "result"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "agentjobs_notification_seconds", "Duration of one attempt.", buckets=_SECONDS, registry=self.registry
        )
        self._pending = Gauge(
            "agentjobs_notifications_pending", "Waiting notifications of the cluster.", registry=self.registry
        )
        self._oldest = Gauge(
            "agentjobs_notifications_oldest_seconds", "Age of the oldest waiting notification.", registry=self.registry
        )

    def tried(self, sink: str, outcome: Outcome, seconds: float) -> None:
        """Count an attempt."""
        self._tries.labels(sink, outcome.value).inc()
        self._seconds.observe(seconds)

    def given_up(self, sink: str, count: int) -> None:
        """Count notifications that were given up without a try: their sink was removed, or has been down for long."""
        self._tries.labels(sink, Outcome.GIVEN_UP.value).inc(count)

    def waiting(self, backlog: Backlog) -> None:
        """Record waiting notifications."""
        self._pending.set(backlog.pending)
        self._oldest.set(backlog.oldest.total_seconds())
