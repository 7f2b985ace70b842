"""When to retry a notification or a sink. Pure: time and randomness are arguments.

A notification waits as long again as it has already waited, up to a maximum. A sink that fails repeatedly is paused,
then tried with one notification.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

FIRST_WAIT: Final = timedelta(seconds=5)
LONGEST_WAIT: Final = timedelta(hours=1)
GIVE_UP_AFTER: Final = timedelta(days=3)
JITTER: Final = 0.2
OPENS_AFTER: Final = 5
_FIRST_PAUSE: Final = timedelta(seconds=5)
_LONGEST_PAUSE: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Backoff:
    """The limits of retries."""

    longest_wait: timedelta = LONGEST_WAIT
    give_up_after: timedelta = GIVE_UP_AFTER
    first_wait: timedelta = FIRST_WAIT

    def wait(self, waited: timedelta, *, retry_after: timedelta | None, chance: float) -> timedelta | None:
        """Return the time until the next attempt, None to give up.

        Args:
            waited: since the notification was inserted.
            retry_after: the sink's Retry-After; the minimum, up to the maximum wait.
            chance: from 0 to 1, to spread the retries.
        """
        if waited >= self.give_up_after:
            return None
        doubled = min(max(self.first_wait, waited), self.longest_wait)
        spread = doubled * (1 - JITTER + 2 * JITTER * chance)
        return min(max(spread, retry_after or timedelta(0)), self.longest_wait)


@dataclass(slots=True)
class Breaker:
    """Whether a sink is available. One per sink; `now` is in seconds, monotonic."""

    failures: int = 0
    """In a row."""
    until: float = 0.0
    """Nothing is sent before this time."""

    @property
    def is_open(self) -> bool:
        """Whether the sink counts as down."""
        return self.failures >= OPENS_AFTER

    def room(self, now: float, *, concurrency: int, under_way: int) -> int:
        """Return how many more notifications may be sent now."""
        if now < self.until:
            return 0
        most = 1 if self.is_open else concurrency
        return max(0, most - under_way)

    def answered(self) -> None:
        """The sink answered."""
        self.failures = 0

    def failed(self, now: float, *, retry_after: timedelta | None = None) -> None:
        """The sink did not answer, or asked for a pause."""
        self.failures += 1
        pause = timedelta(0)
        if self.is_open:
            pause = min(_FIRST_PAUSE * 2.0 ** min(self.failures - OPENS_AFTER, 16), _LONGEST_PAUSE)
        pause = max(pause, min(retry_after or timedelta(0), LONGEST_WAIT))
        self.until = max(self.until, now + pause.total_seconds())
