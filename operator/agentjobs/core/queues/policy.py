"""What a queue allows at one moment. It may change at any time, while jobs wait and run."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Strategy(StrEnum):
    """Who is first among waiting jobs of one level."""

    PRIORITY = "Priority"
    """The job that was created first."""
    FAIR = "Fair"
    """A job of the partition that holds the fewest slots."""


class Stop(StrEnum):
    """Why a queue starts nothing, as its `stopPolicy` says."""

    HOLD = "Hold"
    HOLD_AND_DRAIN = "HoldAndDrain"


@dataclass(frozen=True, slots=True)
class Rate:
    """How many starts there may be in any period of this length."""

    starts: int
    period: timedelta
    by_partition: bool = False
    """Whether it holds for each partition, not for the queue."""


@dataclass(frozen=True, slots=True)
class ExceededBudget:
    """A budget of the queue that is used up."""

    name: str
    until: datetime
    """When its next period begins."""
    partition: str | None = None
    """Whose share is used up; None: the budget is of the whole queue."""
    fails: bool = False
    """Whether jobs that would start end, in place of waiting."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many jobs may wait for a slot."""

    limit: int
    rejects: bool = False
    """Whether further jobs end, in place of waiting as well."""


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """What a queue allows."""

    limit: int
    """Most jobs of the queue that hold a slot at once, reserved slots included."""
    per_partition: int | None = None
    """Most of them of one partition; None for no limit."""
    strategy: Strategy = Strategy.FAIR
    aging: timedelta | None = None
    """A job gains one level for each of these that it has waited; None: never."""
    rate: Rate | None = None
    stopped: Stop | None = None
    exceeded: tuple[ExceededBudget, ...] = ()
    backlog: Backlog | None = None
