"""Logging of our processes: one JSON object per line for machines, or one coloured line for people.

Owns only the root logger's handler. Called once, by a program's main. Every record is an event name with fields
(`logger.info("attempt.claimed", extra={"job": …})`). Callers must not log tokens, prompts or results.
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

# The attributes of every LogRecord; any other comes from `extra`.
_BUILT_IN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}

# Libraries that log at INFO what we log ourselves, or URLs with queries.
_QUIET: Final = ("httpx", "httpcore", "aiohttp.access", "alembic", "kubernetes", "uvicorn.error", "asyncio")


def configure(level: str = "INFO", fmt: Format = "json", *, stream: TextIO | None = None) -> None:
    """Send all logging to `stream` (standard error by default) at `level`, replacing any earlier configuration.

    Raises:
        ValueError: `level` is not a level of the logging module.
    """
    # Warnings would otherwise go to standard error unformatted; as log lines they contain their origin.
    logging.captureWarnings(True)
    names = logging.getLevelNamesMapping()
    if level.upper() not in names:
        raise ValueError(f"log level {level!r} is unknown; use one of DEBUG, INFO, WARNING, ERROR")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(LineFormatter(as_json if fmt == "json" else readable))
    logging.root.handlers[:] = [handler]
    # No line has them, and finding them costs as much as the rest of a record. Without the file of the logging module,
    # it does not look for the caller: see "Optimization" in Python's logging HOWTO.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    logging.root.setLevel(names[level.upper()])
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(names[level.upper()], logging.WARNING))


def fields_of(record: logging.LogRecord) -> Mapping[str, Any]:
    """Return the fields of `extra`, in the caller's order."""
    return {key: value for key, value in vars(record).items() if key not in _BUILT_IN}


class LineFormatter(logging.Formatter):
    """Formats records with `write`, after `clear` removed secrets."""

    def __init__(
        self, write: Callable[[dict[str, Any]], str], clear: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    ) -> None:
        super().__init__()
        self._write = write
        self._clear = clear

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text; cleared before formatting, because escapes could hide a secret."""
        line = line_of(record)
        return self._write(self._clear(line) if self._clear else line)


def line_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return a record's fields: time, level, logger, event, the caller's fields, and the stack if any.

    `event` is always one of our names. Other text, and messages of libraries, are in `message`.
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
    """Return a line as JSON; values that JSON does not support are converted with `str`."""
    return written_out(_JSON.encode(line))
