"""Reports of processes about themselves, and facts about the database, as values."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

SEEN: Final = timedelta(minutes=1)
"""A process without a heartbeat for this long is gone."""


@dataclass(frozen=True, slots=True)
class Presence:
    """A live process."""

    kind: Literal["operator", "gateway", "dashboard"]
    id: str
    """Unique among processes."""
    version: str
    leads: bool = False
    """For operators: whether it is the leader."""


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """The database, as it is now."""

    version: str
    schema: str
    size: int
    """Size of the whole database, including other applications' data."""
    jobs: int
    """Approximate number of jobs: the planner's estimate, or a count if small."""
    now: datetime
    """Its clock."""
