"""Parses and formats durations (`500ms`, `90s`, `1h30m`, `7d`) and RFC 3339 instants of objects.

Used by specs, status, settings and the models file. Never reads a clock.
"""

import functools
import re
from datetime import UTC, datetime, timedelta
from typing import Final

from agentjobs.refused_value import RefusedValue

# Units from the longest to the shortest, each at most once, so that a text is unambiguous. The CRD contains this
# expression (RE2 has no look-ahead, so a separate lower bound excludes the empty string).
DURATION_PATTERN: Final = "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"
DURATION_MIN_LENGTH: Final = 2
DURATION_MAX_LENGTH: Final = 20
MAX_DURATION: Final = timedelta(days=366)
TIME_MAX_LENGTH: Final = 64
FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 9000
"""Longer durations would exceed the range of Python's dates."""

TIME_PATTERN: Final = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?"
    r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
"""RFC 3339 in the form that every reader accepts. The CRD uses it instead of `format: date-time`, which accepts values
that CEL rules of the same server cannot read (lower case `t` and `z`, offsets like `+99:99`)."""
TIME_CURE: Final = "use RFC 3339 with a zone and upper case T and Z, e.g. 2026-12-01T09:00:00Z"

_DURATION: Final = re.compile(DURATION_PATTERN, re.ASCII)
_TIME: Final = re.compile(TIME_PATTERN, re.ASCII)
DURATION_CURE: Final = "use units d, h, m, s, ms from long to short, e.g. 90s, 1h30m or 7d"


def parse_duration(text: object) -> timedelta:
    """Parse a duration.

    Raises:
        RefusedValue: not a string, not a duration, or longer than `MAX_DURATION`; the message names value and cure.
    """
    if not isinstance(text, str):
        raise RefusedValue(text, f"is not a duration; {DURATION_CURE}, as a string")
    fits = DURATION_MIN_LENGTH <= len(text) <= DURATION_MAX_LENGTH
    match = _DURATION.fullmatch(text) if fits else None
    if match is None:
        raise RefusedValue(text, f"is not a duration; {DURATION_CURE}")
    days, hours, minutes, seconds, milliseconds = (_number(part) for part in match.groups())
    total_ms = (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000 + milliseconds
    if total_ms > MAX_DURATION // timedelta(milliseconds=1):
        raise RefusedValue(text, f"is longer than {MAX_DURATION.days}d; use at most {MAX_DURATION.days}d")
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
    """Parse an instant; the result is in UTC.

    Raises:
        RefusedValue: not an RFC 3339 string with date, time and zone; the message names value and cure.
    """
    if isinstance(text, datetime) and text.tzinfo is not None:
        return text.astimezone(UTC)
    try:
        # fromisoformat accepts all of ISO 8601 (weeks, no seconds, no zone), which the API server does not.
        if not isinstance(text, str) or len(text) > TIME_MAX_LENGTH or not _TIME.fullmatch(text):
            raise ValueError
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise RefusedValue(text, f"is not a time; {TIME_CURE}") from None


def instant(value: object) -> datetime | None:
    """Return the instant of a value in an object; None if it is invalid or outside the usable range."""
    return _known_time(value) if isinstance(value, str) else None


@functools.lru_cache(maxsize=8192)
def _known_time(text: str) -> datetime | None:
    # Cached, because each event of an object contains the same few instants.
    try:
        known = parse_time(text)
    except ValueError:
        return None
    return known if is_usable(known) else None


def is_usable(instant: datetime) -> bool:
    """Whether an instant is far enough from the limits of Python's calendar to add durations."""
    return FIRST_YEAR <= instant.year <= LAST_YEAR


def format_time(instant: datetime) -> str:
    """Return `instant` as Kubernetes writes times: UTC, whole seconds, `Z`."""
    # Not strftime, whose %Y does not pad years before 1000.
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _number(part: str | None) -> int:
    return int(part.rstrip("dhms")) if part else 0
