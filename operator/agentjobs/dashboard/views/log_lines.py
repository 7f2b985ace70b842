"""Lines of a log: those of AgentJobs as sentences, all others unchanged. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from agentjobs.dashboard.texts import visible
from agentjobs.readable import parsed, readable

MAX_LINE: Final = 2_000
"""Characters of a line that are shown."""
_PARSED: Final = 64 * 1024
"""Longest line that is parsed as JSON; lines of AgentJobs are shorter."""

Level = Literal["", "warning", "error"]
_GRAVE: Final[dict[str, Level]] = {"warning": "warning", "error": "error", "critical": "error"}
_ENDS: Final[dict[str, Level]] = {"Retry": "error", "Fail": "error", "Snooze": "warning"}


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line, numbered from 1."""

    number: int
    text: str
    level: Level
    left_out: int = 0
    """Characters that were cut."""


def log_lines(text: str) -> Iterator[LogLine]:
    """Yield the lines of a log; those that only repeat another are left out, and keep their number."""
    # Not splitlines, which also splits at other separators.
    for number, raw in enumerate(text.removesuffix("\n").split("\n") if text else (), 1):
        fields = parsed(raw) if len(raw) <= _PARSED else None
        said = raw if fields is None else readable(fields)
        if fields is not None and not said:
            continue
        level: Level = "" if fields is None else _level(fields)
        yield LogLine(number, visible(said[:MAX_LINE]), level, max(0, len(said) - MAX_LINE))


def _level(fields: Mapping[str, Any]) -> Level:
    """Return the severity of a line of AgentJobs: by its level, or by the error or end that it reports."""
    if fields.get("event") == "attempt.ended":
        return _ENDS.get(str(fields.get("verdict")), "")
    if fields.get("event") == "step.error":
        return "error"
    return _GRAVE.get(str(fields.get("level")).lower(), "")
