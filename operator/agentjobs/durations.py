"""Durations (`500ms`, `90s`, `1h30m`, `7d`) and RFC 3339 instants, as they stand in objects, to Python values and back.

Used by specs, status, settings and the file of models. Never reads a clock.
"""

import functools
import re
from datetime import UTC, datetime, timedelta
from typing import Final

# Units from the longest to the shortest, each at most once: the same text cannot mean two things. The CRD carries this
# very expression (RE2 knows no look-ahead, hence the separate lower bound that keeps the empty string out).
DURATION_PATTERN: Final = "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"
DURATION_MIN_LENGTH: Final = 2
DURATION_MAX_LENGTH: Final = 20
MAX_DURATION: Final = timedelta(days=366)
TIME_MAX_LENGTH: Final = 64
FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 9000
"""Beyond it Python's dates end soon."""

TIME_PATTERN: Final = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?"
    r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
"""RFC 3339 in the spelling that every reader accepts. The CRD carries it in place of `format: date-time`, which lets
through what the rules of the same server cannot read (small `t` and `z`, offsets like `+99:99`)."""
TIME_CURE: Final = "use RFC 3339 with a zone, T and Z as capitals, e.g. 2026-12-01T09:00:00Z"

_DURATION: Final = re.compile(DURATION_PATTERN, re.ASCII)
_TIME: Final = re.compile(TIME_PATTERN, re.ASCII)
DURATION_CURE: Final = "use units d, h, m, s, ms from long to short, e.g. 90s, 1h30m or 7d"


def parse_duration(text: object) -> timedelta:
    """Return the duration that `text` says.

    Raises:
        ValueError: not a string, not a duration, or longer than `MAX_DURATION`; the message names value and cure.
    """
    if not isinstance(text, str):
        raise ValueError(f"{text!r:.40} is not a duration; {DURATION_CURE}, as a string")
    fits = DURATION_MIN_LENGTH <= len(text) <= DURATION_MAX_LENGTH
    match = _DURATION.fullmatch(text) if fits else None
    if match is None:
        raise ValueError(f"{text[:40]!r} is not a duration; {DURATION_CURE}")
    days, hours, minutes, seconds, milliseconds = (_number(part) for part in match.groups())
    total_ms = (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000 + milliseconds
    if total_ms > MAX_DURATION // timedelta(milliseconds=1):
        raise ValueError(f"{text!r} is longer than {MAX_DURATION.days}d; use at most {MAX_DURATION.days}d")
    return timedelta(milliseconds=total_ms)


def format_duration(duration: timedelta) -> str:
    """Return the shortest text that `parse_duration` reads as `duration`, cut to milliseconds: `1h30m`, `0s`."""
    rest = max(0, duration // timedelta(milliseconds=1))
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_time(text: object) -> datetime:
    """Return the instant that `text` says, in UTC.

    Raises:
        ValueError: not an RFC 3339 string with date, time and zone; the message names value and cure.
    """
    if isinstance(text, datetime) and text.tzinfo is not None:
        return text.astimezone(UTC)
    try:
        # fromisoformat reads all of ISO 8601 (weeks, no seconds, no zone), which the API server does not.
        if not isinstance(text, str) or len(text) > TIME_MAX_LENGTH or not _TIME.fullmatch(text):
            raise ValueError
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r:.40} is not a time; {TIME_CURE}") from None


def instant(value: object) -> datetime | None:
    """Return the instant that a value in an object says; None when it says none, or none that one can reckon with."""
    return _known_time(value) if isinstance(value, str) else None


@functools.lru_cache(maxsize=8192)
def _known_time(text: str) -> datetime | None:
    # The same few instants come again with each event of an object.
    try:
        known = parse_time(text)
    except ValueError:
        return None
    return known if is_usable(known) else None


def is_usable(instant: datetime) -> bool:
    """Whether durations can be added to an instant: at its ends Python's calendar is no longer a clock's."""
    return FIRST_YEAR <= instant.year <= LAST_YEAR


def format_time(instant: datetime) -> str:
    """Return `instant` as Kubernetes writes times: UTC, whole seconds, `Z`."""
    # Not strftime: its %Y does not pad years before 1000, and what it writes then is not a time.
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _number(part: str | None) -> int:
    return int(part.rstrip("dhms")) if part else 0
