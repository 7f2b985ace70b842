"""AgentQueue.status: read tolerantly and written; the rules are those of `api.job.status`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, cast

from pydantic import Field

from agentjobs.api.conditions import DescribedEnum
from agentjobs.api.raw_status import (
    Conditions,
    Count,
    Generation,
    keys_of,
    merge_patch,
    plain,
    read_condition,
    read_count,
    read_objects,
    read_text,
    read_time,
)

MAX_SPEND: Final = 8
MAX_LIMITS: Final = 48


class QueueConditionType(DescribedEnum):
    """Aspects of a queue's state."""

    OPEN = "Open", "The queue starts jobs."
    LIMITED = "Limited", "Jobs wait, or are refused, because of a limit other than slots."


class OpenReason(DescribedEnum):
    """Why a queue starts jobs or not."""

    OPEN = "Open", "Jobs start as soon as a slot is free."
    HELD = "Held", "`stopPolicy` is Hold: no job starts, running jobs continue."
    DRAINED = "Drained", "`stopPolicy` is HoldAndDrain: no job starts, running jobs are suspended."
    NO_SLOTS = "NoSlots", "`concurrency.max` is 0."
    INVALID_SPEC = "InvalidSpec", "The spec breaks rules, which the message names. The last valid spec applies, if any."
    BUDGET_EXCEEDED = (
        "BudgetExceeded",
        "A budget of the whole queue is used up; the message says when its next period begins.",
    )


class LimitedReason(DescribedEnum):
    """Which limit makes jobs wait."""

    NOT_LIMITED = "NotLimited", "Jobs wait at most for a slot."
    RATE_LIMIT = "RateLimit", "`rateLimit` is reached."
    BUDGET_EXCEEDED = "BudgetExceeded", "A budget is used up, of the queue or of a partition."
    BACKLOG_FULL = "BacklogFull", "More jobs wait than `backlog.max`."


@dataclass(frozen=True, slots=True)
class BudgetSpend:
    """What was spent of a budget in its current period."""

    name: Annotated[str, Field(max_length=63, description="Name of the budget.")]
    cost_usd: Annotated[str, Field(max_length=32, description="Cost until now, in US dollars.")] = "0"
    tokens: Annotated[int, Field(ge=0, description="Tokens until now.")] = 0
    resets: Annotated[datetime | None, Field(description="When the next period begins.")] = None
    partition: Annotated[
        str, Field(max_length=253, description="For a budget per partition: the partition that spent the most.")
    ] = ""


@dataclass(frozen=True, slots=True)
class LimitLeft:
    """What remains of a limit of model calls."""

    models: Annotated[str, Field(max_length=1024, description="The models, separated by commas.")]
    limit: Annotated[str, Field(max_length=32, description="requestsPerMinute, tokensPerMinute or maxConcurrentCalls.")]
    max: Annotated[int, Field(ge=0, description="The limit.")] = 0
    left: Annotated[int, Field(ge=0, description="What remains now.")] = 0


@dataclass(frozen=True, slots=True)
class AgentQueueStatus:
    """State of the queue; counts are at most a few seconds old."""

    observed_generation: Generation = 0
    conditions: Conditions = ()
    max: Annotated[Count, Field(description="Jobs that may hold a slot at the same time.")] = 0
    running: Annotated[Count, Field(description="Jobs that hold a slot.")] = 0
    waiting: Annotated[Count, Field(description="Jobs that wait for a slot.")] = 0
    scheduled: Annotated[Count, Field(description="Jobs that wait for a start time or backoff.")] = 0
    suspended: Annotated[Count, Field(description="Jobs that are suspended.")] = 0
    oldest_waiting_time: Annotated[datetime | None, Field(description="Since when the longest-waiting job waits.")] = (
        None
    )
    spend: Annotated[
        tuple[BudgetSpend, ...], Field(max_length=MAX_SPEND, description="One entry for each budget.")
    ] = ()
    limits: Annotated[
        tuple[LimitLeft, ...], Field(max_length=MAX_LIMITS, description="What remains of `modelLimits`.")
    ] = ()

    @classmethod
    def parse(cls, raw: object) -> "AgentQueueStatus":
        """Read `status` of an object as it came from the API server. Never raises."""
        if not isinstance(raw, Mapping) or not raw:
            return cls()
        return cls(
            observed_generation=read_count(raw, "observedGeneration", 2**63 - 1),
            conditions=tuple(map(read_condition, read_objects(raw, "conditions"))),
            max=read_count(raw, "max"),
            running=read_count(raw, "running"),
            waiting=read_count(raw, "waiting"),
            scheduled=read_count(raw, "scheduled"),
            suspended=read_count(raw, "suspended"),
            oldest_waiting_time=read_time(raw, "oldestWaitingTime"),
            spend=tuple(map(_spend, read_objects(raw, "spend")))[:MAX_SPEND],
            limits=tuple(map(_limit, read_objects(raw, "limits")))[:MAX_LIMITS],
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the whole status with the CRD's names, without None."""
        return cast("dict[str, Any]", plain(self))

    def patch_from(self, before: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the merge patch that turns the raw status `before` into this one; empty when equal."""
        return merge_patch(before if isinstance(before, Mapping) else {}, self.to_dict(), known=_KEYS)


def _spend(raw: Mapping[str, Any]) -> BudgetSpend:
    return BudgetSpend(
        read_text(raw, "name"),
        read_text(raw, "costUSD") or "0",
        read_count(raw, "tokens", 2**63 - 1),
        read_time(raw, "resets"),
        read_text(raw, "partition"),
    )


def _limit(raw: Mapping[str, Any]) -> LimitLeft:
    most = 2**63 - 1
    return LimitLeft(
        read_text(raw, "models"), read_text(raw, "limit"), read_count(raw, "max", most), read_count(raw, "left", most)
    )


_KEYS: Final = keys_of(AgentQueueStatus)
