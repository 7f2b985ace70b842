"""The model proxy's Prometheus metrics: names, help texts and labels in one place.

One set a process. Labels are our own words and the names of providers, which the installation chose; models and jobs
are in the database, by call.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from agentjobs.contract import ErrorClass
from agentjobs.history.model_records import CallOutcome
from agentjobs.metrics import OTHER, DatabaseMetrics, add_process
from agentjobs.models.tokens import Tokens

_CLASSES: Final = frozenset(ErrorClass)
# A first piece comes after a third of a second from a small model; one that thinks takes minutes for a whole answer.
_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
# Most wait for nothing, in a millisecond; the others up to the patience for limits.
_WAITS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class ProxyMetrics:
    """All metrics of one model proxy, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        add_process(self.registry)
        self.database = DatabaseMetrics(self.registry)
        registry = self.registry
        self._calls = Counter(
            "agentjobs_proxy_calls",
            "Model calls that were sent to a provider, by how they ended.",
            ["provider", "outcome"],
            registry=registry,
        )
        self._refusals = Counter(
            "agentjobs_proxy_refusals",
            "Requests that the proxy refused itself, by class of error and HTTP status.",
            ["reason", "code"],
            registry=registry,
        )
        self._first_byte = Histogram(
            "agentjobs_proxy_first_byte_seconds",
            "From sending a call to the first byte of its answer.",
            ["provider"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._seconds = Histogram(
            "agentjobs_proxy_call_seconds",
            "From sending a call to the end of its answer.",
            ["provider"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._waits = Histogram(
            "agentjobs_proxy_wait_seconds",
            "What a call waited in the proxy before it was sent: for budget and record, and for limits.",
            ["for"],
            buckets=_WAITS,
            registry=registry,
        )
        self._tokens = Counter(
            "agentjobs_proxy_tokens",
            "Tokens of calls, by direction; cached ones are part of input.",
            ["provider", "direction"],
            registry=registry,
        )
        self._cost = Counter(
            "agentjobs_cost_usd",
            "What calls cost, in US dollars, by the installation's prices.",
            ["provider"],
            registry=registry,
        )
        self._estimated = Counter(
            "agentjobs_proxy_estimated_calls",
            "Calls of whose usage the provider told nothing that can be believed; they are booked at an estimate.",
            ["provider"],
            registry=registry,
        )
        self._reviews = Counter(
            "agentjobs_proxy_reviews",
            "Questions to the API server about pods, by HTTP status (0: unanswered); remembered answers ask none.",
            ["code"],
            registry=registry,
        )
        self.open = Gauge("agentjobs_proxy_open_calls", "Calls that are under way at providers.", registry=registry)
        self._unsettled = Gauge(
            "agentjobs_proxy_unsettled_calls", "Ended calls that wait to be written to PostgreSQL.", registry=registry
        )

    def unsettled(self, count: Callable[[], int]) -> None:
        """Say who knows how many ended calls wait to be written."""
        self._unsettled.set_function(lambda: float(count()))

    def refused(self, reason: str, status: int) -> None:
        """Count a request that was refused; `reason` is a class of error, any other counts as `Other`."""
        self._refusals.labels(str(reason) if reason in _CLASSES else OTHER, str(status)).inc()

    def waited(self, *, ledger: float, limits: float) -> None:
        """Count what a call waited, in seconds."""
        self._waits.labels("budget").observe(ledger)
        self._waits.labels("limits").observe(limits)

    def began(self, provider: str, seconds: float) -> None:
        """Count the first byte of an answer."""
        self._first_byte.labels(provider).observe(seconds)

    def ended(self, provider: str, outcome: CallOutcome, seconds: float) -> None:
        """Count a call that was sent and has ended."""
        self._calls.labels(provider, outcome.value).inc()
        self._seconds.labels(provider).observe(seconds)

    def used(self, provider: str, tokens: Tokens, cost: Decimal, *, estimated: bool) -> None:
        """Count what a call used."""
        parts = (("input", tokens.input), ("output", tokens.output), ("cached", tokens.cached))
        for direction, count in parts:
            self._tokens.labels(provider, direction).inc(count)
        self._cost.labels(provider).inc(float(cost))
        if estimated:
            self._estimated.labels(provider).inc()

    def review(self, _verb: str, _kind: str, code: int) -> None:
        """Count one review; fits `KubeClient`'s `on_write`."""
        self._reviews.labels(str(code)).inc()
