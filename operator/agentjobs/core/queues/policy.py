"""What a queue allows at one moment. It may change while jobs wait and run."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Strategy(StrEnum):
    """Which waiting job of equal level starts first."""

    PRIORITY = "Priority"
    """The oldest job."""
    FAIR = "Fair"
    """A job of the partition that holds the fewest slots."""


class Stop(StrEnum):
    """The `stopPolicy` of a queue that starts no jobs."""

    HOLD = "Hold"
    HOLD_AND_DRAIN = "HoldAndDrain"


@dataclass(frozen=True, slots=True)
class Rate:
    """How many starts are allowed in any period of a given length."""

    starts: int
    period: timedelta
    by_partition: bool = False
    """Whether it applies to each partition instead of the queue."""


@dataclass(frozen=True, slots=True)
class ExceededBudget:
    """A used up budget of the queue."""

    name: str
    until: datetime
    """When its next period begins."""
    partition: str | None = None
    """Partitions that have used it up; None for a budget of the whole queue."""
    fails: bool = False
    """Whether jobs that would start fail instead of waiting."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many jobs may wait for a slot."""

    limit: int
    rejects: bool = False
    """Whether further jobs fail instead of waiting."""


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """What a queue allows."""

    limit: int
    """Maximum jobs of the queue that hold a slot, including reserved slots."""
    per_partition: int | None = None
    """The same for each partition; None for no limit."""
    strategy: Strategy = Strategy.FAIR
    aging: timedelta | None = None
    """A job gains one level each time it has waited this long; None: never."""
    rate: Rate | None = None
    stopped: Stop | None = None
    exceeded: tuple[ExceededBudget, ...] = ()
    backlog: Backlog | None = None
