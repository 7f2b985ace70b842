"""What is asked of history about model calls: ledger and limits, by the proxies; costs and use, by people.

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
    NewCall,
    Reserved,
    SeenProxy,
    SpendSince,
    Take,
    Taken,
)
from agentjobs.history.pages import DEFAULT_LIMIT, Page
from agentjobs.models.budget import Spend


class ModelLedger(Protocol):
    """What the proxies write of model calls: each call before it is made, and what it used after its end.

    A call that is under way counts with what it reserved. It ends once: `settle` of an ended call changes nothing.
    """

    async def reserve(self, call: NewCall) -> Reserved:
        """Record a call that is about to be made, if the budget of its job has room for it; the same call twice is one.

        What other calls of the job, by any proxy, may still cost counts too (`models.budget.judge`). When this raises
        `errors.Unavailable`, or is cancelled, the call may be recorded for some seconds to come: it is to be settled as
        Failed then, unless it is reserved again.

        Raises:
            errors.NotFound, errors.Fenced: there is no such start, or it is not this pod's.
            errors.Conflict: the call has ended.
            errors.Invalid: its cost is not a number.
        """
        ...

    async def settle(self, ends: Sequence[EndedCall]) -> None:
        """Record what calls used and cost, once each: at the call, for its job's budget, and in the usage by day."""
        ...

    async def seen(self, proxy: str, told: Mapping[str, Any]) -> None:
        """Note that a proxy lives, and what people may see of its providers. To be called every ten seconds.

        Calls of proxies that were not seen for 45 seconds end here as Lost: what they reserved is booked as their cost.
        """
        ...


class ModelLimits(Protocol):
    """What the proxies share of the limits of providers' keys; by the database's clock.

    What is used is counted in slices: a sixtieth of the window, or a day. A slice counts until the window has passed
    since its end, and half a second longer; what was granted in it may be used in that half second as well. So no
    window sees more than the limit, wherever it begins.
    """

    async def take(self, proxy: str, model: str, asked: Sequence[Take], others: Sequence[Take] = ()) -> Taken:
        """Take from limits for calls of a model in a given order: for as many of them as fit, from the first on.

        Of a key that was closed, one call is granted, and the others when it was not refused. Of calls at once, a proxy
        gets no more than its share while others wait for some.

        Args:
            proxy: its calls at once count while it is seen (`ModelLedger.seen`).
            others: what else the first call may take; nothing is taken, but `Taken` tells of it.
        """
        ...

    async def give_back(self, amounts: Sequence[Correction], ended: Collection[UUID] = ()) -> None:
        """Correct what was taken, in the slice in which it was: less or more than estimated.

        A slice that is gone is not corrected.

        Args:
            ended: calls that are no longer under way.
        """
        ...

    async def close(self, key: str, model: str, *, seconds: float, reason: str) -> None:
        """Let no proxy use a key (for one model, or for all with an empty one) for this long."""
        ...

    async def opened(self, key: str, model: str) -> None:
        """Note that a provider took the first call of a key that was closed. It stays closed if it was closed again."""
        ...

    async def closed_keys(self) -> dict[tuple[str, str], float]:
        """Return for how many seconds keys are closed, by key and model (empty: all of them)."""
        ...

    async def exhausted(self, model: str, *, seconds: float, reason: str) -> None:
        """Note that no call of a model can be made for this long; 0 says that it can again.

        Args:
            model: with the keys of which that is true, as `models.names.pool` writes them.
        """
        ...

    async def exhausted_models(self) -> dict[str, datetime]:
        """Return the models (`exhausted`) that no call can be made of now, and until when, by the database's clock."""
        ...


class QueueModels(Protocol):
    """What operator and proxies tell each other of model calls by queue. A queue is `(namespace, name)`."""

    async def model_limits(self) -> dict[tuple[str, str], Any]:
        """Return `modelLimits` of the queues that have some, as `set_model_limits` was given them."""
        ...

    async def set_model_limits(self, queue: tuple[str, str], limits: Sequence[Mapping[str, Any]]) -> None:
        """Note a queue's `spec.modelLimits`, as its object has them; none: the queue has no such limits any more."""
        ...

    async def spent(self, asked: Sequence[SpendSince]) -> list[dict[str, Spend]]:
        """Return what calls of each queue used since then, by partition; those that have ended."""
        ...


class ModelReports(Protocol):
    """What people read of the model calls of one cluster."""

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
        """Return what a job's calls used by provider and model, the costliest first."""
        ...

    async def calls(
        self, uid: str, *, step: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[RecordedCall]:
        """Return a job's model calls in the order in which they began; with `step` only those of that key.

        Raises:
            errors.Invalid: `limit` or `cursor` is wrong.
        """
        ...

    async def content(self, uid: str, call: UUID) -> Raw | None:
        """Return what was asked and answered in a job's call, None where it is not recorded."""
        ...

    async def proxies(self) -> list[SeenProxy]:
        """Return the proxies that live, and what each tells of its providers."""
        ...

    async def limits_now(self, limits: Collection[Limit]) -> LimitsNow:
        """Return what is used of these limits, the keys that are closed, and the models that nobody can ask."""
        ...

    async def under_way(self, namespace: str | None = None) -> list[CallsUnderWay]:
        """Return the calls that have not ended by job and model, the oldest first."""
        ...
