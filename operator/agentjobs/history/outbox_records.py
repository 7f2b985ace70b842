"""The values that a notifier takes from the outbox and returns.

Created by `outbox` and `memory_outbox`, read by `notifier`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class Due:
    """One notification to send now, by the notifier that took it."""

    uid: str
    sink: str
    transition: int
    event: str
    time: datetime
    data: Mapping[str, Any]
    tries: int
    """Number of this try; taking it again increases the number."""
    waited: timedelta
    """When it was inserted, or retried by a person."""


class Outcome(StrEnum):
    """How a try ended."""

    SENT = "Sent"
    FAILED = "Failed"
    GIVEN_UP = "GivenUp"


@dataclass(frozen=True, slots=True)
class Tried:
    """A try that ended."""

    due: Due
    outcome: Outcome
    error: str = ""
    """Why it failed; without addresses and keys."""
    retry_in: timedelta = timedelta(0)
    """Of one that failed."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in the outbox."""

    pending: int
    oldest: timedelta
    """How long the oldest waits; empty if none waits."""
