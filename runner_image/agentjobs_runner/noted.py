"""What ADK only logs, as entries of the start's timeline: warnings and errors that it swallows may change an answer."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from agentjobs_runner.wording import shown

_LOGGER: Final = "google_adk"
# About its own measurements; and what it says before it raises the error again, which ends the start by itself.
_UNTOLD: Final = ("google_adk.google.adk.telemetry", "google_adk.google.adk.workflow._node_runner")
MOST: Final = 20
"""Entries of a start. Each line of ADK's code is told once: what repeats at every model call is not news."""
_TEXT: Final = 1024


@contextmanager
def noted(add: Callable[[str, str, Mapping[str, Any]], None]) -> Iterator[None]:
    """Pass what ADK logs as a warning or an error on to `add(kind, author, data)`, which clears and bounds it."""
    handler = _Noting(add)
    adk = logging.getLogger(_LOGGER)
    adk.addHandler(handler)
    try:
        yield
    finally:
        adk.removeHandler(handler)


class _Noting(logging.Handler):
    def __init__(self, add: Callable[[str, str, Mapping[str, Any]], None]) -> None:
        super().__init__(logging.WARNING)
        self._add = add
        self._told: set[tuple[str, int]] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Tell a record, unless its line has been told."""
        line = (record.name, record.lineno)
        if record.name.startswith(_UNTOLD) or line in self._told or len(self._told) >= MOST:
            return
        self._told.add(line)
        self._add("warning", "adk", {"level": record.levelname, "message": _message(record)[:_TEXT], **_error(record)})


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # what it was to say may be user code's
        return f"{shown(record.msg)} ({type(error).__name__})"


def _error(record: logging.LogRecord) -> dict[str, str]:
    error = record.exc_info[1] if record.exc_info else None
    return {"error": f"{type(error).__name__}: {shown(error)}"[:_TEXT]} if error is not None else {}
