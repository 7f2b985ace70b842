"""Protocols of history about model calls: ledger and limits for the proxies, costs and usage for people.

`model_calls`, `model_limits`, `queue_models` and `model_reports` answer it from PostgreSQL,
`memory_model_calls` and others from memory. One suite of tests holds them to the same promises. Every method
raises `errors.Unavailable` while history cannot answer.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Protocol
from uuid import UUID

from msgspec import Raw

from agentjobs.api.recorded_models import CallsUnderWay
from agentjobs.api.recorded_usage import JobModelUsage, RecordedCall, UsageBy, UsageReport
from agentjobs.history.model_records import (
    Correction,
    EndedCall,
    Limit,
    LimitsNow,
    LiveProxy,
    NewCall,
    Reserved,
    SpendSince,
    Take,
    Taken,
)
from agentjobs.history.pages import DEFAULT_LIMIT, Page
from agentjobs.models.budget import Spend


class ModelLedger(Protocol):
    """The proxies' ledger of model calls: each call before it is made, and its usage after its end.

    A call in progress counts with its reservation. It ends once: `settle` of an ended call changes nothing.
    """

    async def reserve(self, call: NewCall) -> Reserved:
        """Record a call before it is made, if its job's budget allows it; the same call twice is one.

        Reservations of the job's other calls, by any proxy, count too (`models.budget.judge`). If this raises
        `errors.Unavailable`, or is cancelled, the call may still be recorded some seconds later: then settle it as
        Failed, unless it is reserved again.

        Raises:
            errors.NotFound, errors.Fenced: there is no such start, or it is not this pod's.
            errors.Conflict: the call has ended.
            errors.Invalid: its cost is not a number.
        """
        ...

    async def settle(self, ends: Sequence[EndedCall]) -> None:
        """Record what calls used and cost, once each: at the call, for its job's budget, and in the usage by day."""
        ...

    async def heartbeat(self, proxy: str, report: Mapping[str, Any]) -> None:
        """Record that a proxy is alive, and what people may see of its providers. To be called every ten seconds.

        Calls of proxies that were not seen for 45 seconds end here as Lost: what they reserved is booked as their cost.
        """
        ...


class ModelLimits(Protocol):
    """What the proxies share of the limits of providers' keys; by the database's clock.

        Usage is counted in slices: a sixtieth of the window, or a day. A slice counts until the window has passed since
    its end, plus half a second, in which grants of the slice may still be used. So no window exceeds the limit,
    wherever it begins.
    """

    async def take(self, proxy: str, model: str, requests: Sequence[Take], others: Sequence[Take] = ()) -> Taken:
        """Take from limits for calls of a model in a given order: for as many as fit, from the first on.

        For a closed key, one call is granted, and the others once it was not refused. Of concurrent calls, a proxy gets
        at most its share while others wait.

        Args:
            proxy: its concurrent calls count while it is alive (`ModelLedger.seen`).
            others: the amounts of the next calls: they are not taken, but `Taken` reports whether they could be.
        """
        ...

    async def give_back(self, amounts: Sequence[Correction], ended: Collection[UUID] = ()) -> None:
        """Correct taken amounts, in their slice: less or more than estimated.

        An expired slice is not corrected.

        Args:
            ended: calls that have ended.
        """
        ...

    async def close(self, key: str, model: str, *, seconds: float, reason: str) -> None:
        """Let no proxy use a key (for one model, or for all with an empty one) for this long."""
        ...

    async def opened(self, key: str, model: str) -> None:
        """Record that a provider accepted the first call of a closed key. It stays closed if it was closed again."""
        ...

    async def closed_keys(self) -> dict[tuple[str, str], float]:
        """Return for how many seconds keys are closed, by key and model (empty: all of them)."""
        ...

    async def exhausted(self, model: str, *, seconds: float, reason: str) -> None:
        """Record that a model cannot be called for this long; 0: it can again.

        Args:
            model: with the keys of which that is true, as `models.names.pool` writes them.
        """
        ...

    async def exhausted_models(self) -> dict[str, datetime]:
        """Return the models (`exhausted`) that no call can be made of now, and until when, by the database's clock."""
        ...


class QueueModels(Protocol):
    """Data about model calls by queue, exchanged by operator and proxies. A queue is `(namespace, name)`."""

    async def model_limits(self) -> dict[tuple[str, str], Any]:
        """Return `modelLimits` of the queues that have some, as `set_model_limits` was given them."""
        ...

    async def set_model_limits(self, queue: tuple[str, str], limits: Sequence[Mapping[str, Any]]) -> None:
        """Set a queue's `spec.modelLimits`, as its object has them; an empty list removes them."""
        ...

    async def spent(self, since: Sequence[SpendSince]) -> list[dict[str, Spend]]:
        """Return usage of each queue's calls since then, by partition; those that have ended."""
        ...


class ModelReports(Protocol):
    """Model calls of one cluster, for people."""

    async def usage(
        self,
        by: Sequence[UsageBy],
        *,
        first: date,
        last: date,
        namespace: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> UsageReport:
        """Return what the calls of these days (UTC) used. Raises `errors.Invalid` where such a report is not made."""
        ...

    async def job_models(self, uid: str) -> list[JobModelUsage]:
        """Return what a job's calls used by provider and model, most expensive first."""
        ...

    async def calls(
        self, uid: str, *, step: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[RecordedCall]:
        """Return a job's model calls in the order in which they began, optionally of one step.

        Raises:
            errors.Invalid: `limit` or `cursor` is wrong.
        """
        ...

    async def content(self, uid: str, call: UUID) -> Raw | None:
        """Return request and answer of a job's call, None if not recorded."""
        ...

    async def proxies(self) -> list[LiveProxy]:
        """Return the live proxies, with their providers."""
        ...

    async def limits_now(self, limits: Collection[Limit]) -> LimitsNow:
        """Return the usage of these limits, closed keys, and unavailable models."""
        ...

    async def under_way(self, namespace: str | None = None) -> list[CallsUnderWay]:
        """Return the calls that have not ended by job and model, the oldest first."""
        ...
