"""How our processes log: one JSON object a line for machines, one coloured line for people.

Owns the root logger's handler and nothing else. Called once, by a program's main. Every record is an event word with
fields (`logger.info("attempt.claimed", extra={"job": …})`); what is logged never holds tokens, prompts or results,
which is up to the caller: this module cannot know.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

Format = Literal["json", "text"]

LIBRARY: Final = "library.message"
"""Event of a line that somebody else's code wrote."""
_EVENT: Final = re.compile(r"[a-z]+\.[a-z_]+")

# What JSON leaves as it is and a terminal or a reader of lines takes for a command or an end of line.
_CONTROLS: Final = re.compile("[\x7f-\x9f\u2028\u2029]")

# What every LogRecord has; anything beyond it came in through `extra`.
_BUILT_IN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}

# Libraries that tell at INFO what we tell ourselves, or that would log URLs with their queries.
_QUIET: Final = ("httpx", "httpcore", "aiohttp.access", "alembic", "kubernetes", "uvicorn.error", "asyncio")


def configure(level: str = "INFO", fmt: Format = "json", *, stream: TextIO | None = None) -> None:
    """Send all logging to `stream` (standard error by default) at `level`, replacing what was configured before.

    Raises:
        ValueError: `level` is no level of the logging module.
    """
    # They would go to standard error as they are; the line they become says where they come from.
    logging.captureWarnings(True)
    names = logging.getLevelNamesMapping()
    if level.upper() not in names:
        raise ValueError(f"log level {level!r} is unknown; use one of DEBUG, INFO, WARNING, ERROR")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if fmt == "json" else TextFormatter())
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(names[level.upper()])
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(names[level.upper()], logging.WARNING))


def fields_of(record: logging.LogRecord) -> Mapping[str, Any]:
    """What the caller gave as `extra`, in the caller's order."""
    return {key: value for key, value in vars(record).items() if key not in _BUILT_IN}


class JsonFormatter(logging.Formatter):
    """One line of JSON: time, level, logger, event, the caller's fields, and the stack when there is one.

    `event` is always a word of ours. What follows it, and what a library says, is `message`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line; what JSON has no word for is given as its `str`."""
        line = json.dumps(self.line(record), ensure_ascii=False, default=str)
        return _CONTROLS.sub(_escaped, line)

    def line(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return what the line says, before it is text."""
        event, _, message = record.getMessage().partition(" ")
        if not _EVENT.fullmatch(event):
            event, message = LIBRARY, record.getMessage()
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": event,
            **({"message": message} if message else {}),
            **fields_of(record),
        }
        if record.exc_info:
            line["stack"] = self.formatException(record.exc_info)
        return line


class TextFormatter(logging.Formatter):
    """`12:03:41 INFO attempt.claimed job=hello start=1`, for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, its fields as `key=value`; a stack follows on its own lines."""
        clock = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        pairs = "".join(f" {key}={_shown(value)}" for key, value in fields_of(record).items())
        line = f"{clock} {record.levelname} {record.getMessage()}{pairs}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _shown(value: object) -> str:
    text = str(value)
    if text and text.isprintable() and not any(c.isspace() or c in '"=' for c in text):
        return text
    return _CONTROLS.sub(_escaped, json.dumps(text, ensure_ascii=False))


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
