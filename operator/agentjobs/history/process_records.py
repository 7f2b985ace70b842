"""What a process tells of itself, and what is known of the database, as values."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

SEEN: Final = timedelta(minutes=1)
"""A process that was not seen for this long is gone: it has missed three of its four signs."""


@dataclass(frozen=True, slots=True)
class Presence:
    """A process that lives."""

    kind: Literal["operator", "gateway", "dashboard"]
    id: str
    """No two processes have the same."""
    version: str
    leads: bool = False
    """Of operators: whether it is the one that acts."""


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """The database, as it is now."""

    version: str
    schema: str
    size: int
    """Bytes of all of it, also of what is not ours."""
    jobs: int
    """In history, about: what the planner knows, and counted where that is few."""
    now: datetime
    """Its clock."""
