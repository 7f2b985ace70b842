"""The model proxy's Prometheus metrics: names, help texts and labels in one place.

One set per process. Labels are constants and the names of providers, which the installation chose; models and jobs are
in the database, by call.
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
# A small model's first piece comes after a third of a second; a reasoning model may take minutes for a complete answer.
_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
# Most calls do not wait, within a millisecond; others up to the time limit.
_WAITS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class ProxyMetrics:
    """All metrics of one model proxy, in their own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        add_process(self.registry)
        self.database = DatabaseMetrics(self.registry)
        registry = self.registry
        self._calls = Counter(
            "agentjobs_proxy_calls",
            "Model calls sent to a provider, by ending.",
            ["provider", "outcome"],
            registry=registry,
        )
        self._refusals = Counter(
            "agentjobs_proxy_refusals",
            "Requests rejected by the proxy itself, by error class and HTTP status.",
            ["reason", "code"],
            registry=registry,
        )
        self._first_byte = Histogram(
            "agentjobs_proxy_first_byte_seconds",
            "Time from sending a call to the first byte of its answer.",
            ["provider"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._seconds = Histogram(
            "agentjobs_proxy_call_seconds",
            "Time from sending a call to the end of its answer.",
            ["provider"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._waits = Histogram(
            "agentjobs_proxy_wait_seconds",
            "Waiting time of a call in the proxy before it was sent: for budget and ledger, and for limits.",
            ["for"],
            buckets=_WAITS,
            registry=registry,
        )
        self._tokens = Counter(
            "agentjobs_proxy_tokens",
            "Tokens of calls, by direction; cached tokens are part of input.",
            ["provider", "direction"],
            registry=registry,
        )
        self._cost = Counter(
            "agentjobs_cost_usd",
            "Cost of calls in US dollars, by the installation's prices.",
            ["provider"],
            registry=registry,
        )
        self._estimated = Counter(
            "agentjobs_proxy_estimated_calls",
            "Calls without plausible usage from the provider; they are booked by an estimate.",
            ["provider"],
            registry=registry,
        )
        self._reviews = Counter(
            "agentjobs_proxy_reviews",
            "Requests to the API server about pods, by HTTP status (0: no response); cached answers are not counted.",
            ["code"],
            registry=registry,
        )
        self.open = Gauge("agentjobs_proxy_open_calls", "Calls currently running at providers.", registry=registry)
        self._unsettled = Gauge(
            "agentjobs_proxy_unsettled_calls", "Ended calls waiting to be written to PostgreSQL.", registry=registry
        )

    def unsettled(self, count: Callable[[], int]) -> None:
        """Set the source of the number of ended calls that wait to be written."""
        self._unsettled.set_function(lambda: float(count()))

    def refused(self, reason: str, status: int) -> None:
        """Count a rejected request; `reason` is an error class, others count as `Other`."""
        self._refusals.labels(str(reason) if reason in _CLASSES else OTHER, str(status)).inc()

    def waited(self, *, ledger: float, limits: float) -> None:
        """Record a call's waiting time, in seconds."""
        self._waits.labels("budget").observe(ledger)
        self._waits.labels("limits").observe(limits)

    def began(self, provider: str, seconds: float) -> None:
        """Record the first byte of an answer."""
        self._first_byte.labels(provider).observe(seconds)

    def ended(self, provider: str, outcome: CallOutcome, seconds: float) -> None:
        """Count a sent call that has ended."""
        self._calls.labels(provider, outcome.value).inc()
        self._seconds.labels(provider).observe(seconds)

    def used(self, provider: str, tokens: Tokens, cost: Decimal, *, estimated: bool) -> None:
        """Count a call's usage."""
        parts = (("input", tokens.input), ("output", tokens.output), ("cached", tokens.cached))
        for direction, count in parts:
            self._tokens.labels(provider, direction).inc(count)
        self._cost.labels(provider).inc(float(cost))
        if estimated:
            self._estimated.labels(provider).inc()

    def review(self, _verb: str, _kind: str, code: int) -> None:
        """Count one review; fits `KubeClient`'s `on_write`."""
        self._reviews.labels(str(code)).inc()
