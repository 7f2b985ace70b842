"""Lines of a log: those of AgentJobs as sentences, all others unchanged. Pure."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any, Final, Literal

from agentjobs.dashboard.texts import moment, visible
from agentjobs.readable import parsed, readable

MAX_LINE: Final = 2_000
"""Characters of a line that are shown."""
# With what every page has, at most 150 kB.
_PAGE_BYTES: Final = 36_000
# Of a line: its elements, with the address twice and the time.
_MARKUP_BYTES: Final = 130
_TIMED: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ", re.ASCII)
_PARSED: Final = 64 * 1024
"""Longest line that is parsed as JSON; lines of AgentJobs are shorter."""

Level = Literal["", "warning", "error"]
_GRAVE: Final[dict[str, Level]] = {"warning": "warning", "error": "error", "critical": "error"}
_ENDS: Final[dict[str, Level]] = {"Retry": "error", "Fail": "error", "Snooze": "warning"}


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line."""

    text: str
    level: Level
    left_out: int = 0
    """Characters that were cut."""
    time: str = ""
    """When it was written, in UTC; the first line of a day also has the date. Empty for a line without a time."""
    address: str = ""
    """The time, which the kubelet writes in nanoseconds. Lines of one time are numbered from the last of them: a log is
    read from its end, so the number is the same however many lines were read."""


def log_lines(text: str) -> Iterator[LogLine]:
    """Yield the lines of a log with timestamps; those that only repeat another are left out."""
    # Not splitlines, which also splits at other separators.
    lines = [_timed(line) for line in text.removesuffix("\n").split("\n")] if text else []
    left = Counter(address for _, address, _ in lines)
    day = ""
    for written, address, raw in lines:
        place = left[address]
        left[address] -= 1
        fields = parsed(raw) if len(raw) <= _PARSED else None
        shown = raw if fields is None else readable(fields)
        if fields is not None and not shown:
            continue
        level: Level = "" if fields is None else _level(fields)
        time = ""
        if written is not None:
            today, time = moment(written).split()
            time, day = time if today == day else f"{today} {time}", today
            address = address if place == 1 else f"{address}-{place}"
            # A line of AgentJobs begins with its own time.
            shown = shown if fields is None else shown.partition(" ")[2]
        yield LogLine(visible(shown[:MAX_LINE]), level, max(0, len(shown) - MAX_LINE), time, address)


@dataclass(frozen=True, slots=True)
class LogPage:
    """The lines of a log that one page shows."""

    lines: Sequence[LogLine]
    is_cut: bool = False
    """Whether more of the read lines come before them."""
    is_found: bool = True
    """Whether the line with the given address is among the lines that were read."""


def log_page(lines: Sequence[LogLine], *, before: str = "") -> LogPage:
    """Return the last lines, or the last before an address, that have room on a page."""
    if before:
        place = next((place for place, line in enumerate(lines) if line.address == before), None)
        if place is None:
            return LogPage([], is_found=False)
        lines = lines[:place]
    weight, first = 0, len(lines)
    for place in range(len(lines) - 1, -1, -1):
        weight += _MARKUP_BYTES + len(escape(lines[place].text).encode())
        if weight > _PAGE_BYTES and first < len(lines):
            break
        first = place
    return LogPage(lines[first:], is_cut=first > 0)


def _timed(line: str) -> tuple[datetime | None, str, str]:
    """Return when a line was written, the nanoseconds since the epoch in hexadecimal, and the line itself."""
    if (found := _TIMED.match(line)) is None:
        return None, "", line
    try:
        time = datetime.fromisoformat(f"{found[1]}{found[3]}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None, "", line
    return time, f"{int(time.timestamp()) * 10**9 + int((found[2] or '0').ljust(9, '0')):x}", line[found.end() :]


def _level(fields: Mapping[str, Any]) -> Level:
    """Return the severity of a line of AgentJobs: by its level, or by the error or end that it reports."""
    if fields.get("event") == "attempt.ended":
        return _ENDS.get(str(fields.get("verdict")), "")
    if fields.get("event") == "step.error":
        return "error"
    return _GRAVE.get(str(fields.get("level")).lower(), "")
