"""The operator's Prometheus metrics, and those of every process: names, help texts and labels in one place.

Each process creates one object. Label values come from our enums and kinds; values that users or models choose (names,
reasons in a termination message) become `Other`, so that they cannot fill a time series database.
"""

import functools
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from agentjobs.contract import ErrorClass, Verdict
from agentjobs.core.schedule.actions import OccurrenceKind
from agentjobs.errors import Conflict

OTHER: Final = "Other"
OUTCOMES: Final = frozenset({"ok", "unavailable", "refused"})
TABLES: Final = frozenset(
    {
        *("jobs", "starts", "transitions", "events", "steps", "results", "notifications", "sent_notifications"),
        *("sessions", "turns", "artifacts", "states", "artifact_chunks", "kept_files", "kept_parts"),
        *("model_calls", "contents", "model_usage", "queue_usage", "queue_spend", "queue_starts", "actions"),
        *("limit_slices", "limit_running", "closed_keys", "exhausted_models", "proxies", "processes"),
    }
)
_REASONS: Final = frozenset(ErrorClass)
# A start that succeeded has no reason; the job's is used.
_SUCCESS: Final = "ResultAccepted"
_VERDICTS: Final = frozenset(Verdict)
# From no wait to a whole night.
_WAITS: Final = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600)
# A start takes seconds to hours.
_RUNS: Final = (1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 4 * 3600)
# A schedule should be on time to the second; catching up is counted separately.
_LAGS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


def add_process(registry: CollectorRegistry) -> None:
    """Add the metrics of every process: memory, CPU, file descriptors, garbage collection."""
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)


class DatabaseMetrics:
    """Metrics of a process about PostgreSQL."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "agentjobs_database_request_seconds",
            "Duration of requests, from asking for a connection to the answer, by outcome.",
            ["outcome"],
            buckets=_FAST,
            registry=registry,
        )
        self._connections = Gauge(
            "agentjobs_database_connections", "Open connections, by state.", ["state"], registry=registry
        )

    def request(self, seconds: float, outcome: str) -> None:
        """Count one request; fits `Database`'s `on_request`."""
        self._seconds.labels(_known(outcome, OUTCOMES)).observe(seconds)

    def pool(self, connections: Callable[[], tuple[int, int]]) -> None:
        """Set the functions that return how many connections are in use and idle."""
        self._connections.labels("in-use").set_function(lambda: float(connections()[0]))
        self._connections.labels("idle").set_function(lambda: float(connections()[1]))


class Metrics:
    """All metrics of one operator process, in a registry of their own.

    Args:
        queues: the installation's queues, which exist in every namespace; a queue with another name counts as Other.
    """

    def __init__(
        self, queues: Iterable[str] = ("agents", "scheduled"), *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.registry = CollectorRegistry()
        self._queues = frozenset(queues)
        add_process(self.registry)
        self.database = DatabaseMetrics(self.registry)
        self._clock = clock
        self._watched: dict[str, float] = {}
        self._count_jobs()
        self._count_machinery()

    def _count_jobs(self) -> None:
        registry = self.registry
        self._queue_depth = Gauge(
            "agentjobs_queue_depth", "Jobs that wait for a slot of their queue.", ["queue"], registry=registry
        )
        self._depths: Callable[[], Mapping[str, int]] = dict
        for queue in sorted({*self._queues, OTHER}):
            self._queue_depth.labels(queue).set_function(functools.partial(self._depth_of, queue))
        self._queue_wait = Histogram(
            "agentjobs_queue_wait_seconds",
            "Time from due to started, by queue.",
            ["queue"],
            buckets=_WAITS,
            registry=registry,
        )
        self._claims_refused = Counter(
            "agentjobs_claims_refused", "Starts that PostgreSQL refused a slot.", ["reason"], registry=registry
        )
        self.slots_given_back = Counter(
            "agentjobs_slots_given_back", "Slots given back because their job was not at that start.", registry=registry
        )
        self.starts = Counter("agentjobs_starts", "Pods started for jobs.", registry=registry)
        self._attempts = Counter(
            "agentjobs_attempts", "Starts that ended, by verdict and reason.", ["verdict", "reason"], registry=registry
        )
        self.run_duration = Histogram(
            "agentjobs_run_duration_seconds", "Time from a start's pod to its end.", buckets=_RUNS, registry=registry
        )
        self._schedule_starts = Counter(
            "agentjobs_schedule_starts",
            "Jobs that schedules created, by kind of occurrence.",
            ["kind"],
            registry=registry,
        )
        self._schedule_lag = Histogram(
            "agentjobs_schedule_lag_seconds",
            "Time from when an occurrence is due, including jitter, to the creation of its job.",
            buckets=_LAGS,
            registry=registry,
        )
        self.schedule_missed = Counter(
            "agentjobs_schedule_missed", "Times of schedules for which no job was created.", registry=registry
        )
        self.history_backlog = Gauge(
            "agentjobs_history_backlog", "Records that wait to be written to PostgreSQL.", registry=registry
        )
        self._history_pruned = Counter(
            "agentjobs_history_pruned", "Old rows deleted from PostgreSQL, by table.", ["table"], registry=registry
        )

    def _count_machinery(self) -> None:
        registry = self.registry
        self._api_writes = Counter(
            "agentjobs_api_writes", "Mutations sent to the API server.", ["verb", "kind"], registry=registry
        )
        self._api_errors = Counter(
            "agentjobs_api_write_errors",
            "Mutations refused (HTTP status) or unanswered (0).",
            ["verb", "kind", "code"],
            registry=registry,
        )
        self._watch_age = Gauge(
            "agentjobs_watch_age_seconds", "Seconds since the last event of a watch.", ["kind"], registry=registry
        )
        self.leader = Gauge("agentjobs_leader", "1 while this process may write.", registry=registry)
        self.workqueue_depth = Gauge(
            "agentjobs_workqueue_depth", "Keys that wait for a worker of the operator.", registry=registry
        )
        self.workqueue_oldest = Gauge(
            "agentjobs_workqueue_oldest_seconds", "How long the oldest key has waited for a worker.", registry=registry
        )
        self._reconcile = Histogram(
            "agentjobs_reconcile_seconds", "Duration of one reconcile.", ["outcome"], buckets=_FAST, registry=registry
        )
        # Cached, because each write and each reconcile looks up its labels.
        self._written, self._reconciled = (
            functools.cache(self._api_writes.labels),
            functools.cache(self._reconcile.labels),
        )
        self.events_dropped = Counter(
            "agentjobs_events_dropped", "Kubernetes Events dropped under load.", registry=registry
        )
        self.loop_lag = Histogram(
            "agentjobs_loop_lag_seconds", "How late the event loop woke up.", buckets=_FAST, registry=registry
        )

    def queue_depths(self, depths: Callable[[], Mapping[str, int]]) -> None:
        """Set the function that returns how many jobs wait, by name of queue; called at each scrape."""
        self._depths = depths

    def _depth_of(self, queue: str) -> float:
        """Return how many jobs wait in one of the installation's queues, or in all others for `Other`."""
        return float(sum(jobs for name, jobs in self._depths().items() if _known(name, self._queues) == queue))

    def queue_wait(self, queue: str, seconds: float) -> None:
        """Count one job that got its slot after `seconds`."""
        self._queue_wait.labels(_known(queue, self._queues)).observe(seconds)

    def claim_refused(self, reason: Literal["Slot", "Partition", "Rate"]) -> None:
        """Count one start that PostgreSQL refused a slot although memory showed a free one."""
        self._claims_refused.labels(reason).inc()

    def history_pruned(self, table: str, rows: int) -> None:
        """Count rows that retention deleted; fits `Retention`'s `on_pruned`."""
        self._history_pruned.labels(_known(table, TABLES)).inc(rows)

    def attempt(self, verdict: str, reason: str) -> None:
        """Count one start that ended; `reason` is empty for a success."""
        label = _known(reason, _REASONS) if reason else _SUCCESS
        self._attempts.labels(_known(verdict, _VERDICTS), label).inc()

    def schedule_start(self, kind: OccurrenceKind, late: float) -> None:
        """Count one job that a schedule created, `late` seconds after it was due."""
        self._schedule_starts.labels(kind.value).inc()
        if kind is OccurrenceKind.SCHEDULED:
            self._schedule_lag.observe(max(0.0, late))

    def api_write(self, verb: str, kind: str, code: int) -> None:
        """Count one mutation; fits `KubeClient`'s `on_write`."""
        self._written(verb, kind).inc()
        if not 200 <= code < 300:
            self._api_errors.labels(verb, kind, str(code)).inc()

    def reconciled(self, seconds: float, failure: BaseException | None) -> None:
        """Count one reconcile; fits `Controller`'s `on_reconciled`."""
        outcome = "ok" if failure is None else "conflict" if isinstance(failure, Conflict) else "error"
        self._reconciled(outcome).observe(seconds)

    def watched(self, kind: str) -> None:
        """Record that the watch of `kind` received an event now."""
        if kind not in self._watched:
            self._watch_age.labels(kind).set_function(lambda: self.watch_age(kind))
        self._watched[kind] = self._clock()

    def watch_age(self, kind: str) -> float:
        """Return the seconds since `watched(kind)`; infinite before the first call."""
        since = self._watched.get(kind)
        return float("inf") if since is None else self._clock() - since


def _known(value: str, values: frozenset[str] | frozenset[Verdict] | frozenset[ErrorClass]) -> str:
    return str(value) if value in values else OTHER
