"""Text of pages: what models and users wrote made safe to read; times, durations, numbers and addresses. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote, urlencode

from agentjobs.readable import CONTROLS

_CUT: Final = 300


def visible(text: object) -> str:
    """Return text with control characters and bidirectional marks replaced by a visible mark."""
    return CONTROLS.sub("\ufffd", "" if text is None else str(text))


def cut(text: object, length: int = _CUT) -> str:
    """Return the first characters of a text, as `visible`, in one line."""
    line = " ".join(visible(str(text or "")[: 4 * length]).split())
    return line if len(line) <= length else line[: length - 1] + "…"


def moment(time: datetime | None) -> str:
    """Return a time in UTC, to the second."""
    return "" if time is None else time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def machine(time: datetime) -> str:
    """Return a time for programs: RFC 3339."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def lasting(span: timedelta | float | None) -> str:
    """Return a duration in two units at most: `1h 5m`, `3.2s`, `40ms`."""
    if span is None:
        return ""
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms" if seconds >= 0.0005 else "0s"
    return f"{seconds:.1f}s".replace(".0s", "s") if seconds < 9.95 else _whole(round(seconds))


def ago(since: timedelta | float) -> str:
    """Return how long ago something was, in whole seconds: `1h 5m ago`. A script keeps it current."""
    seconds = since.total_seconds() if isinstance(since, timedelta) else since
    return f"{_whole(max(0, round(seconds)))} ago"


def _whole(whole: int) -> str:
    units = (("d", whole // 86400), ("h", whole % 86400 // 3600), ("m", whole % 3600 // 60), ("s", whole % 60))
    parts = [f"{count}{unit}" for unit, count in units if count]
    return " ".join(parts[:2]) or "0s"


def number(count: float | None) -> str:
    """Return a number with separators of thousands; empty for None."""
    return "" if count is None else f"{count:,}"


def link(*parts: object, **query: object) -> str:
    """Return a path of the dashboard from parts, which are quoted, with a query."""
    path = "/" + "/".join(quote(str(part), safe="") for part in parts)
    given = [
        (name, item)
        for name, value in query.items()
        for item in (value if isinstance(value, list | tuple) else [value])
    ]
    encoded = urlencode([(name, str(value)) for name, value in given if value not in (None, "")])
    return f"{path}?{encoded}" if encoded else path
