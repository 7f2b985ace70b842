"""The gateway's Prometheus metrics: names, help texts and labels in one place.

Each application has its own set, so that a process may have several. Labels come from our own routes, kinds and enums,
never from what callers send; reports of runners appear as numbers only.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from prometheus_client import CollectorRegistry, Counter, Histogram

from agentjobs.contract import MAX_JOB_STEPS, StepKind, TimelineEntry
from agentjobs.history.steps import RecordedNow
from agentjobs.metrics import OTHER, DatabaseMetrics, add_process

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
REVIEWS: Final = frozenset({"TokenReview", "SubjectAccessReview"})
_KINDS: Final = frozenset(kind.value for kind in StepKind)
# A heartbeat takes a millisecond; a request that waits for the database gives up after five seconds.
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
# A plain answer has four entries, a day's work of an agent about ten thousand.
_ENTRIES: Final = (4, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000, 100_000)


# A start reports how many steps it replayed, not which.
_ANY: Final = "any"


class _Resumed(Struct):
    replayed: Annotated[int, Meta(ge=0, le=MAX_JOB_STEPS)] = 0


_RESUMED: Final = msgspec.json.Decoder(_Resumed)


class GatewayMetrics:
    """All metrics of one gateway, in their own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        add_process(self.registry)
        self.database = DatabaseMetrics(self.registry)
        registry = self.registry
        self._requests = Counter(
            "agentjobs_gateway_requests",
            "Requests answered, by route and status.",
            ["method", "route", "code"],
            registry=registry,
        )
        self._seconds = Histogram(
            "agentjobs_gateway_request_duration_seconds",
            "From the first line of a request to the last byte of the response (first byte of a stream), by route.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._reviews = Counter(
            "agentjobs_gateway_reviews",
            "Reviews of callers by the API server, by HTTP status (0: no response); cached results are not counted.",
            ["kind", "code"],
            registry=registry,
        )
        self._tokens = Counter(
            "agentjobs_tokens", "Tokens that runners recorded, by direction.", ["direction"], registry=registry
        )
        self._model_calls = Counter("agentjobs_model_calls", "Model calls that runners recorded.", registry=registry)
        self._tool_calls = Counter("agentjobs_tool_calls", "Tool calls that runners recorded.", registry=registry)
        self._run_events = Histogram(
            "agentjobs_run_events",
            "Entries in the timeline of a start whose runner reported its end.",
            buckets=_ENTRIES,
            registry=registry,
        )
        self._steps = Counter(
            "agentjobs_steps",
            "Steps by kind and result: recorded, void (no later start uses it), replayed by a later start.",
            ["kind", "result"],
            registry=registry,
        )
        for direction in ("input", "output"):
            self._tokens.labels(direction)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request; `route` is the template of its path, `method` one of `METHODS` or `other`."""
        self._requests.labels(method=method, route=route, code=str(status)).inc()
        self._seconds.labels(route=route).observe(seconds)

    def review(self, _verb: str, kind: str, code: int) -> None:
        """Count one review; fits `KubeClient`'s `on_write`."""
        self._reviews.labels(kind if kind in REVIEWS else OTHER, str(code)).inc()

    def recorded(self, events: Iterable[TimelineEntry]) -> None:
        """Count the usage in entries that were stored for the first time."""
        for event in events:
            self._used(event.get("usage") or {})
            if event["kind"] == "resumed":
                self._steps.labels(_ANY, "replayed").inc(_replayed(event["data"]))
            if event["kind"] == "ended":
                # Entries are numbered from 1 and this is the last one.
                self._run_events.observe(event["seq"])

    def stepped(self, steps: Iterable[RecordedNow]) -> None:
        """Count steps that have ended and their usage, in the request that recorded them."""
        for step in steps:
            self._used(step.usage)
            if step.ended:
                kind = step.kind if step.kind in _KINDS else OTHER
                self._steps.labels(kind, "void" if step.void else "recorded").inc()

    def _used(self, used: Mapping[str, int]) -> None:
        self._tokens.labels("input").inc(used.get("inputTokens", 0))
        self._tokens.labels("output").inc(used.get("outputTokens", 0))
        self._model_calls.inc(used.get("llmCalls", 0))
        self._tool_calls.inc(used.get("toolCalls", 0))


def _replayed(data: Any) -> int:
    """Return the number of replayed steps in an entry `resumed`; 0 without one. Its data may be `Raw`."""
    try:
        return _RESUMED.decode(msgspec.json.encode(data)).replayed
    except msgspec.DecodeError:
        return 0
