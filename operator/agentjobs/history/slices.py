"""Time in slices of round lengths, for charts. Pure.

Slices begin at whole multiples of their length since 1970 in UTC, so that a moving chart keeps its slices. They cover
the requested time: the first may begin before it, and the last may end after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from agentjobs import errors

MAX_SLICES: Final = 100
SHORTEST: Final = timedelta(hours=1)
LONGEST: Final = timedelta(days=90)
DAY_SECONDS: Final = 86_400
_HOUR: Final = 3600
ACTIVITY_SECONDS: Final = (60, 300, 900, _HOUR, 2 * _HOUR, 6 * _HOUR, 12 * _HOUR, DAY_SECONDS)
"""Lengths of slices of what happened to jobs. Each divides a day, so that days begin at midnight."""
USAGE_SECONDS: Final = (900, _HOUR, 2 * _HOUR, 6 * _HOUR, DAY_SECONDS)
"""Lengths of slices of what was used: it is recorded by quarters of an hour for 40 days, and by days for longer."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Slices:
    """A number of slices of this length, from `begin` on, in seconds since 1970."""

    begin: int
    seconds: int
    count: int

    @property
    def since(self) -> datetime:
        """Where the first begins."""
        return self.time_of(0)

    @property
    def until(self) -> datetime:
        """Where the last ends."""
        return self.time_of(self.count)

    @property
    def times(self) -> Sequence[datetime]:
        """Where each begins."""
        return [self.time_of(number) for number in range(self.count)]

    def time_of(self, number: int) -> datetime:
        """Where the slice with this number begins, counted from 0."""
        return _EPOCH + timedelta(seconds=self.begin + number * self.seconds)

    def number_of(self, time: datetime) -> int | None:
        """Return the number of the slice that a time is in, None outside of them."""
        number = ((time - _EPOCH) // timedelta(seconds=1) - self.begin) // self.seconds
        return number if 0 <= number < self.count else None

    def parameters(self) -> Mapping[str, object]:
        """Return them as parameters of a statement."""
        return {"since": self.since, "until": self.until, "width": timedelta(seconds=self.seconds)}


def slices_of(since: datetime, until: datetime, lengths: Sequence[int]) -> Slices:
    """Return the shortest slices, at most 100, that cover this time.

    Args:
        lengths: those to choose from, in seconds, rising; the last one is long enough for `LONGEST`.

    Raises:
        errors.Invalid: it is not between an hour and 90 days long, or not of this age.
    """
    if not _EPOCH <= since <= _LAST or not SHORTEST <= until - since <= LONGEST:
        hours, days = SHORTEST // timedelta(hours=1), LONGEST // timedelta(days=1)
        raise errors.Invalid(f"since, until: expected {hours} hour to {days} days of time, and the later one second")
    begin, end = ((time - _EPOCH) / timedelta(seconds=1) for time in (since, until))
    for seconds in lengths:
        first = int(begin // seconds)
        count = -int(-end // seconds) - first
        if count <= MAX_SLICES:
            break
    return Slices(first * seconds, seconds, count)
