"""AgentQueue.status: read back tolerantly, written again. See `api.job.status` for the rules that all follow."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, cast

from pydantic import Field

from agentjobs.api.conditions import Word
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


class QueueConditionType(Word):
    """What is said about a queue."""

    OPEN = "Open", "The queue starts jobs."
    LIMITED = "Limited", "Jobs wait, or are refused, because of a limit other than the slots."


class OpenReason(Word):
    """Why a queue starts jobs, or none."""

    OPEN = "Open", "Jobs start as soon as there is a slot."
    HELD = "Held", "`stopPolicy` is Hold: nothing starts, what runs goes on."
    DRAINED = "Drained", "`stopPolicy` is HoldAndDrain: nothing starts, what ran is suspended."
    NO_SLOTS = "NoSlots", "`concurrency.max` is 0."
    INVALID_SPEC = "InvalidSpec", "The spec breaks rules; the message names each. The last legal one holds, else none."
    BUDGET_EXCEEDED = "BudgetExceeded", "A budget of the whole queue is used up; the message says until when."


class LimitedReason(Word):
    """Which limit lets jobs wait."""

    NOT_LIMITED = "NotLimited", "Nothing waits but for a slot."
    RATE_LIMIT = "RateLimit", "`rateLimit` is reached."
    BUDGET_EXCEEDED = "BudgetExceeded", "A budget is used up, of the queue or of a partition."
    BACKLOG_FULL = "BacklogFull", "More jobs wait than `backlog.max`."


@dataclass(frozen=True, slots=True)
class BudgetSpend:
    """What was spent of a budget in its present period."""

    name: Annotated[str, Field(max_length=63, description="Name of the budget.")]
    cost_usd: Annotated[str, Field(max_length=32, description="Cost so far, in US dollars.")] = "0"
    tokens: Annotated[int, Field(ge=0, description="Tokens so far.")] = 0
    resets: Annotated[datetime | None, Field(description="When the next period begins.")] = None
    partition: Annotated[str, Field(max_length=253, description="Of a budget by partition: who spent the most.")] = ""


@dataclass(frozen=True, slots=True)
class LimitLeft:
    """What is left of a limit of model calls."""

    models: Annotated[str, Field(max_length=1024, description="The models, separated by commas.")]
    limit: Annotated[str, Field(max_length=32, description="requestsPerMinute, tokensPerMinute or maxConcurrentCalls.")]
    max: Annotated[int, Field(ge=0, description="What is allowed.")] = 0
    left: Annotated[int, Field(ge=0, description="What is left now.")] = 0


@dataclass(frozen=True, slots=True)
class AgentQueueStatus:
    """What is known about the queue; counts are at most some seconds old."""

    observed_generation: Generation = 0
    conditions: Conditions = ()
    max: Annotated[Count, Field(description="Jobs that may hold a slot at once.")] = 0
    running: Annotated[Count, Field(description="Jobs that hold a slot.")] = 0
    waiting: Annotated[Count, Field(description="Jobs that wait for a slot.")] = 0
    scheduled: Annotated[Count, Field(description="Jobs whose start time or backoff lies ahead.")] = 0
    suspended: Annotated[Count, Field(description="Jobs that are suspended.")] = 0
    oldest_waiting_time: Annotated[
        datetime | None, Field(description="Since when the job waits that waits longest.")
    ] = None
    spend: Annotated[
        tuple[BudgetSpend, ...], Field(max_length=MAX_SPEND, description="One entry for each budget.")
    ] = ()
    limits: Annotated[
        tuple[LimitLeft, ...], Field(max_length=MAX_LIMITS, description="What is left of `modelLimits`.")
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
        """Return the whole status with the CRD's names; what is None is left out."""
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
