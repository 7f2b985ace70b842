"""The times of a cron expression in a time zone, computed from the calendar rather than minute by minute.

Refuses expressions that are easily misread. Used by validation, by the core and by `agentjobs schedule next`. Pure.
docs/reference/schedule-times.md promises for daylight saving:

- An expression for all 24 hours matches whenever the local clock shows one of its minutes.
- Any other expression matches once for each of its times. A time that the zone skips moves to the end of the gap; of a
  repeated time, the first counts.
"""

import bisect
import calendar
import functools
import itertools
import re
import zoneinfo
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, overload

from agentjobs.durations import LAST_YEAR

MAX_SCHEDULE: Final = 253
MAX_ZONE: Final = 64
SCHEDULE_PATTERN: Final = (
    r"^\s*(@(hourly|daily|midnight|weekly|monthly|yearly|annually)|[-*/?,0-9a-zA-Z]+(\s+[-*/?,0-9a-zA-Z]+){4})\s*$"
)
"""Matches a macro or five fields; `expand` checks their values."""
FIELDS: Final = ("minute", "hour", "day of month", "month", "day of week")
MACROS: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
MAX_COUNTED: Final = 400
"""Days that `count` covers: more than a year of downtime is counted as "at least"."""

_MINUTE: Final = timedelta(minutes=1)
_DAY: Final = timedelta(days=1)
_NAMES: Final = {
    3: {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name},
    4: {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))},
}
_RANGES: Final = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_SIZES: Final = tuple(high - low + 1 for low, high in _RANGES)
_ITEM: Final = re.compile(
    r"([*?]|(?P<first>[0-9]{1,4}|[a-z]{3})(-(?P<last>[0-9]{1,4}|[a-z]{3}))?)(/(?P<step>[0-9]{1,4}))?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Cron:
    """The instants of one expression in one zone. Created by `parse_cron`."""

    minutes: tuple[int, ...]
    """Minutes of a day at which it runs, in order: 0 to 1439."""
    hourly: bool
    """Whether it matches in all 24 hours."""
    months: frozenset[int]
    days: frozenset[int] | None
    """Days of the month; None if unrestricted."""
    weekdays: frozenset[int] | None
    """0 is Sunday. If both are given, a day must match one of them, as in every cron."""
    zone: zoneinfo.ZoneInfo

    def next_after(self, instant: datetime) -> datetime | None:
        """Return the first start after `instant`, in UTC, or None."""
        # A gap moves times by at most a day, so begin one day earlier. An overlap around midnight puts times of one
        # day after times of the next, so also check the day after the first match.
        for day in self._days_from(instant.astimezone(self.zone).date() - _DAY):
            found = self._after(day, instant)
            if found is not None:
                other = self._after(day + _DAY, instant) if self._fits(day + _DAY) else None
                return found if other is None else min(found, other)
        return None

    def latest_until(self, instant: datetime) -> datetime | None:
        """Return the last start at or before `instant`, in UTC, or None."""
        for day in self._days_until(instant.astimezone(self.zone).date() + _DAY):
            found = self._until(day, instant)
            if found is not None:
                other = self._until(day - _DAY, instant) if self._fits(day - _DAY) else None
                return found if other is None else max(found, other)
        return None

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Yield the starts after `after` until `until` inclusive, in order."""
        waiting: list[datetime] = []
        for day in self._days_from(after.astimezone(self.zone).date() - _DAY):
            starts = self._starts(day)
            final = bisect.bisect_left(waiting, starts[0]) if starts else len(waiting)
            yield from (start for start in waiting[:final] if after < start <= until)
            waiting = sorted({*waiting[final:], *starts})
            if waiting and waiting[0] > until:
                return
        yield from (start for start in waiting if after < start <= until)

    def count(self, after: datetime, until: datetime) -> int:
        """Return the number of starts after `after` until `until` inclusive, in the last `MAX_COUNTED` days.

        The cost depends on the number of days, not of starts.
        """
        seen: set[datetime] = set()  # only times moved by a gap can equal a time of a neighbouring day
        total = 0
        first = after.astimezone(self.zone).date() - _DAY
        for day in itertools.islice(self._days_until(until.astimezone(self.zone).date() + _DAY), MAX_COUNTED):
            if day < first:
                break
            starts = self._starts(day)
            total += bisect.bisect_right(starts, until) - bisect.bisect_right(starts, after)
            edges = {start for start in (starts[:1] + starts[-1:]) if after < start <= until}
            total -= len(seen & edges)
            seen = edges
        return total

    def _after(self, day: date, instant: datetime) -> datetime | None:
        starts = self._starts(day)
        place = bisect.bisect_right(starts, instant)
        return starts[place] if place < len(starts) else None

    def _until(self, day: date, instant: datetime) -> datetime | None:
        starts = self._starts(day)
        place = bisect.bisect_right(starts, instant)
        return starts[place - 1] if place else None

    def _starts(self, day: date) -> "_PlainDay | list[datetime]":
        """Return the instants of one calendar day, in order, without duplicates."""
        midnight = datetime(day.year, day.month, day.day, tzinfo=self.zone)
        offsets = {wall.replace(fold=fold).utcoffset() for wall in (midnight, midnight + _DAY) for fold in (0, 1)}
        if len(offsets) == 1:
            return _PlainDay(midnight.astimezone(UTC), self.minutes)
        return sorted({start for minute in self.minutes for start in self._instants(midnight, minute)})

    def _instants(self, midnight: datetime, minute: int) -> tuple[datetime, ...]:
        wall = midnight + minute * _MINUTE  # local time: Python ignores the zone when adding
        first, second = wall.astimezone(UTC), wall.replace(fold=1).astimezone(UTC)
        if first == second:
            return (first,)
        if first < second:
            return (first, second) if self.hourly else (first,)
        # In a gap: with the offset before it the time is after the gap, with the offset after it the time is before
        # the gap.
        return () if self.hourly else (_transition(second, first, self.zone),)

    @property
    def can_match(self) -> bool:
        """Whether the expression ever matches: the 30th of February does not."""
        return any(
            self._days_in(first, length)
            for month in self.months
            for length in ((28, 29) if month == 2 else (calendar.monthrange(2001, month)[1],))
            for first in range(7)
        )

    def _days_from(self, day: date) -> Iterator[date]:
        for year in range(day.year, LAST_YEAR):
            for month in range(day.month if year == day.year else 1, 13):
                for number in self._days_of(year, month):
                    found = date(year, month, number)
                    if found >= day:
                        yield found
            if not self.can_match:
                return

    def _days_until(self, day: date) -> Iterator[date]:
        for year in range(day.year, 1, -1):
            for month in range(day.month if year == day.year else 12, 0, -1):
                for number in reversed(self._days_of(year, month)):
                    found = date(year, month, number)
                    if found <= day:
                        yield found
            if not self.can_match:
                return

    def _fits(self, day: date) -> bool:
        return day.day in self._days_of(day.year, day.month)

    def _days_of(self, year: int, month: int) -> tuple[int, ...]:
        if month not in self.months:
            return ()
        first, length = calendar.monthrange(year, month)
        return self._days_in((first + 1) % 7, length)

    def _days_in(self, first: int, length: int) -> tuple[int, ...]:
        """Return the matching days of a month that begins on weekday `first` (0 is Sunday) and has `length` days."""
        return _matching_days(self.days, self.weekdays, first, length)


class _PlainDay(Sequence[datetime]):
    """The starts of a day without a clock change, computed on access."""

    __slots__ = ("_midnight", "_minutes")

    def __init__(self, midnight: datetime, minutes: tuple[int, ...]) -> None:
        self._midnight = midnight
        self._minutes = minutes

    def __len__(self) -> int:
        return len(self._minutes)

    @overload
    def __getitem__(self, place: int) -> datetime: ...
    @overload
    def __getitem__(self, place: slice) -> list[datetime]: ...
    def __getitem__(self, place: int | slice) -> datetime | list[datetime]:
        if isinstance(place, slice):
            return [self._midnight + minute * _MINUTE for minute in self._minutes[place]]
        return self._midnight + self._minutes[place] * _MINUTE


@functools.lru_cache(maxsize=4096)
def _matching_days(
    days: frozenset[int] | None, weekdays: frozenset[int] | None, first: int, length: int
) -> tuple[int, ...]:
    def fits(day: int) -> bool:
        weekday = (first + day - 1) % 7
        if days is None or weekdays is None:
            return (days is None or day in days) and (weekdays is None or weekday in weekdays)
        return day in days or weekday in weekdays

    return tuple(day for day in range(1, length + 1) if fits(day))


def instant_of(wall: datetime, zone: zoneinfo.ZoneInfo) -> datetime:
    """Return the first instant with this local time; for a skipped time, the end of the gap."""
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    second = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return first if first <= second else _transition(second, first, zone)


def _transition(before: datetime, after: datetime, zone: zoneinfo.ZoneInfo) -> datetime:
    """Return the first instant with a new offset between the two."""
    old = before.astimezone(zone).utcoffset()
    low, high = before, after
    while high - low > _MINUTE:
        middle = low + (high - low) // _MINUTE // 2 * _MINUTE
        if middle.astimezone(zone).utcoffset() == old:
            low = middle
        else:
            high = middle
    return high


@functools.lru_cache(maxsize=16384)
def parse_cron(schedule: str, zone: str = "UTC") -> Cron:
    """Read an expression and a zone.

    Raises:
        ValueError: the message names problem and cure; call `parse_zone` or `expand` to tell which is invalid.
    """
    minutes, hours, days, months, weekdays = expand(schedule)
    return Cron(
        minutes=tuple(sorted(hour * 60 + minute for hour in hours or range(24) for minute in minutes or range(60))),
        hourly=hours is None,
        months=months or frozenset(range(1, 13)),
        days=days,
        weekdays=weekdays,
        zone=parse_zone(zone),
    )


def parse_zone(name: str) -> zoneinfo.ZoneInfo:
    """Return the IANA zone of that name.

    Raises:
        ValueError: an unknown zone; the message names the cure.
    """
    if name == "Local" or not name or len(name) > MAX_ZONE:
        raise ValueError("is not a time zone; use a name of the IANA list, e.g. Europe/Berlin")
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = _near_zone(name)
        cure = f"did you mean {near}?" if near else "use a name of the IANA list, e.g. Europe/Berlin"
        raise ValueError(f"is not a time zone; {cure}") from None


def _near_zone(name: str) -> str:
    wanted = name.lower().replace(" ", "_")
    zones = sorted(zoneinfo.available_timezones())
    exact = [zone for zone in zones if zone.lower() == wanted or zone.lower().rpartition("/")[2] == wanted]
    return exact[0] if exact else ""


def expand(schedule: str) -> tuple[frozenset[int] | None, ...]:
    """Return the five fields as sets; None for an unrestricted field.

    Raises:
        ValueError: not an expression of five fields; the message names the part and the cure.
    """
    parts = _fields_of(schedule)
    fields = [_field(index, part) for index, part in enumerate(parts)]
    days, weekdays = fields[2], fields[4]
    full = [found is not None and len(found) == _SIZES[index] for index, found in enumerate(fields)]
    if days is not None and weekdays is not None and (full[2] or full[4]):
        full[2] = full[4] = True  # a day must match one of the two fields, and every day matches an unrestricted one
    return tuple(None if full[index] else found for index, found in enumerate(fields))


def _fields_of(schedule: str) -> list[str]:
    """Split an expression into its five fields. Replaces macros, and refuses common mistakes."""
    text = schedule.strip().lower()
    if not text.isascii():
        raise ValueError("is not a schedule: it has letters, digits or blanks that are not ASCII; retype it")
    if text.startswith(("tz=", "cron_tz=")):
        raise ValueError("contains a time zone; move it to timeZone")
    if text.startswith("@"):
        if text not in MACROS:
            raise ValueError(f"is not a schedule; use five fields or one of {', '.join(MACROS)}")
        text = MACROS[text]
    parts = text.split()
    if len(parts) != len(FIELDS):
        cure = "remove the seconds" if len(parts) == 6 else "write minute hour day-of-month month day-of-week"
        raise ValueError(f"has {len(parts)} fields instead of five; {cure}, e.g. 30 6 * * 1-5")
    return parts


def _field(index: int, text: str) -> frozenset[int] | None:
    if text in ("*", "?"):
        return None
    return frozenset(value for item in text.split(",") for value in _values(index, item))


def _values(index: int, item: str) -> Iterator[int]:
    """Return the values of one member of a list."""
    found = _ITEM.fullmatch(item)
    if found is None:
        raise _error(index, item, "use numbers, names, *, lists, ranges and /steps")
    low, size = _RANGES[index][0], _SIZES[index]
    first, last = _ends(index, item, found)
    step = 1 if found["step"] is None else int(found["step"])
    if not 1 <= step <= size:
        cure = f"the field has {size} values; use a step of 1 to {size}, or list the values"
        raise _error(index, item, cure)
    # A range may wrap around, and its steps continue: 22-6/3 is 22, 1, 4.
    span = last - first if last >= first else last - first + size
    return (low + (first - low + ahead) % size for ahead in range(0, span + 1, step))


def _ends(index: int, item: str, found: re.Match[str]) -> tuple[int, int]:
    """Return the first and last value of a member; the last day of the week may be 7."""
    low, high = _RANGES[index]
    if found["first"] is None:
        if found["step"] is None:
            raise _error(index, item, f"{item} means all; remove the other values, or remove it")
        return low, high
    first = _number(index, item, found["first"])
    if found["last"] is None:
        return (first, first) if found["step"] is None else (first % 7 if index == 4 else first, high)
    last = _number(index, item, found["last"])
    if first == last or (index == 4 and (first, last) == (7, 0)):
        raise _error(index, item, f"a range of one value; use {found['first']}", sign=",")
    # A range that begins with 7 begins on Sunday, which is 0.
    return (0 if index == 4 and first == 7 else first), last


def _number(index: int, item: str, text: str) -> int:
    low, high = _RANGES[index][0], _highest(index)
    value = int(text) if text.isdigit() else _NAMES.get(index, {}).get(text)
    if value is None:
        names = f", or {' '.join(_NAMES[index])}" if index in _NAMES else ""
        raise _error(index, item, f"{text!r} is not a valid value; use {low} to {high}{names}")
    if not low <= value <= high:
        raise _error(index, item, f"{text} is out of range; use {low} to {high}")
    return value


def _highest(index: int) -> int:
    return 7 if index == 4 else _RANGES[index][1]


def _error(index: int, item: str, cure: str, *, sign: str = ";") -> ValueError:
    return ValueError(f"has {item[:20]!r} as {FIELDS[index]}{sign} {cure}")
