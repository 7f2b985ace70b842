"""Time on a chart: how it is cut into slices, and where labels stand. In UTC, in round steps. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

MOST_SLICES: Final = 31
"""As many bars as a chart shows: more cannot be distinguished on a phone."""
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
STEPS: Final = (
    *(minutes * _MINUTE for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * _HOUR for hours in (1, 2, 3, 6, 12)),
    *(days * _DAY for days in (1, 2, 3, 7, 14, 30, 90)),
)
"""Round durations in seconds."""


SPANS: Final[Mapping[str, timedelta]] = {
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
}
"""The ranges of pages, by their value in URLs. The overview links to lists of jobs with the same value."""
LAST: Final[Mapping[str, str]] = {
    "1h": "last hour",
    "6h": "last 6 hours",
    "24h": "last 24 hours",
    "7d": "last 7 days",
    "30d": "last 30 days",
    "90d": "last 90 days",
}
"""The same for people."""


@dataclass(frozen=True, slots=True)
class Slices:
    """A stretch of time, cut into slices of one length."""

    first: datetime
    seconds: int
    count: int

    @property
    def end(self) -> datetime:
        """When the last one ends."""
        return self.first + timedelta(seconds=self.seconds * self.count)

    def begins(self) -> tuple[datetime, ...]:
        """Return when each one begins."""
        return tuple(self.first + timedelta(seconds=self.seconds * place) for place in range(self.count))

    def place(self, time: datetime) -> int:
        """Return the slice of a time; times outside belong to the first or the last."""
        return min(max(0, int((time - self.first).total_seconds() // self.seconds)), self.count - 1)

    def label(self, place: int) -> str:
        """Return the beginning of a slice as text; only its day if slices last for days."""
        begin = self.first + timedelta(seconds=self.seconds * place)
        return day(begin) if self.seconds >= _DAY else f"{day(begin)} {begin:%H:%M}"


def slices(since: datetime, until: datetime, *, least: int = _MINUTE) -> Slices:
    """Cut a stretch of time into at most 31 slices that begin at round times.

    Args:
        least: seconds of the slices in which something was counted; no slice is shorter.
    """
    span = max(1.0, (until - since).total_seconds())
    fitting = [step for step in STEPS if step >= least and span / step <= MOST_SLICES]
    seconds = next((step for step in fitting if step % least == 0), None) or next(iter(fitting), STEPS[-1])
    first = floor(since, seconds)
    return Slices(first, seconds, max(1, -int(-(until - first).total_seconds() // seconds)))


def floor(time: datetime, seconds: int) -> datetime:
    """Return the last round time that is not later."""
    whole = int(time.timestamp() // seconds) * seconds
    return datetime.fromtimestamp(whole, UTC)


def ceiling(time: datetime, seconds: int) -> datetime:
    """Return the first round time that is not earlier."""
    found = floor(time, seconds)
    return found if found == time else found + timedelta(seconds=seconds)


def labels(shown: Slices, most: int) -> Iterator[tuple[datetime, str]]:
    """Yield at most so many round times with their labels: a clock time, or a day where a day begins."""
    span = shown.seconds * shown.count
    step = next((step for step in STEPS if step >= shown.seconds and span // step < most), STEPS[-1])
    time = ceiling(shown.first, step)
    while time < shown.end:
        midnight = (time.hour, time.minute) == (0, 0)
        yield time, day(time) if midnight else f"{time:%H:%M}"
        time += timedelta(seconds=step)


def day(time: datetime) -> str:
    """Return a day in words, without its year: `Nov 29`. The same in every locale."""
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return f"{months[time.month - 1]} {time.day}"
