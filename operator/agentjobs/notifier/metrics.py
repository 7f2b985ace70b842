"""The notifier's Prometheus metrics: names, help texts and labels in one place.

One set a process. Labels are our own words and the names of sinks, which the installation chose.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from agentjobs.history.outbox_records import Backlog, Outcome
from agentjobs.metrics import OTHER, DatabaseMetrics, add_process

_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class NotifierMetrics:
    """All metrics of one notifier, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        add_process(self.registry)
        self.database = DatabaseMetrics(self.registry)
        self._tries = Counter(
            "agentjobs_notifications",
            "Tries to tell a sink of an event, by how they ended: Sent, Failed (it is tried again), GivenUp.",
            ["sink", "result"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "agentjobs_notification_seconds", "Time of one try.", buckets=_SECONDS, registry=self.registry
        )
        self._pending = Gauge(
            "agentjobs_notifications_pending", "Notifications of the cluster that wait.", registry=self.registry
        )
        self._oldest = Gauge(
            "agentjobs_notifications_oldest_seconds", "How long the oldest of them waits.", registry=self.registry
        )

    def tried(self, sink: str, outcome: Outcome, seconds: float) -> None:
        """Count a try."""
        self._tries.labels(sink, outcome.value).inc()
        self._seconds.observe(seconds)

    def without_sink(self, count: int) -> None:
        """Count what was given up because its sink is gone."""
        self._tries.labels(OTHER, Outcome.GIVEN_UP.value).inc(count)

    def waiting(self, backlog: Backlog) -> None:
        """Note what waits."""
        self._pending.set(backlog.pending)
        self._oldest.set(backlog.oldest.total_seconds())
