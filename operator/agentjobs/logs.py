"""How our processes log: one JSON object a line for machines, one coloured line for people.

Owns the root logger's handler and nothing else. Called once, by a program's main. Every record is an event word with
fields (`logger.info("attempt.claimed", extra={"job": …})`); what is logged never holds tokens, prompts or results,
which is up to the caller: this module cannot know.
"""

import json
import logging
import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

from agentjobs.readable import LIBRARY, readable, written_out

Format = Literal["json", "text"]

_STACKS: Final = logging.Formatter()
_JSON: Final = json.JSONEncoder(ensure_ascii=False, default=str)
_EVENT: Final = re.compile(r"[a-z]+\.[a-z_]+")

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
    handler.setFormatter(LineFormatter(as_json if fmt == "json" else readable))
    logging.root.handlers[:] = [handler]
    # No line tells of them, and asking costs as much as the rest of a record.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.root.setLevel(names[level.upper()])
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(names[level.upper()], logging.WARNING))


def fields_of(record: logging.LogRecord) -> Mapping[str, Any]:
    """What the caller gave as `extra`, in the caller's order."""
    return {key: value for key, value in vars(record).items() if key not in _BUILT_IN}


class LineFormatter(logging.Formatter):
    """Writes records by `write`, after `clear` took out of them what must not be told."""

    def __init__(
        self, write: Callable[[dict[str, Any]], str], clear: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    ) -> None:
        super().__init__()
        self._write = write
        self._clear = clear

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text; cleared before it is text, whose escapes would hide a secret."""
        line = line_of(record)
        return self._write(self._clear(line) if self._clear else line)


def line_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return what a record says: time, level, logger, event, the caller's fields, and the stack when there is one.

    `event` is always one of our names. What follows it, and what a library says, is `message`.
    """
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
        line["stack"] = _STACKS.formatException(record.exc_info)
    return line


def as_json(line: Mapping[str, Any]) -> str:
    """Return a line as one line of JSON; what JSON has no word for is given as its `str`."""
    return written_out(_JSON.encode(line))
