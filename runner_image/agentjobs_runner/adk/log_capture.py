"""ADK's logged warnings and errors as timeline entries: what it swallows may change an answer.

They are captured in ADK's loggers, independent of user code's settings: levels, handlers, `logging.disable`,
`dictConfig`. Those settings only affect the log.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

from agentjobs_runner.log import level_of, not_raised_again, record_of
from agentjobs_runner.redaction import safe_str

_LOGGER: Final = "google_adk"
# About its own measurements; and messages before it raises an error again that ends the start.
_IGNORED: Final = ("google_adk.google.adk.telemetry", "google_adk.google.adk.workflow._node_runner")
MOST: Final = 20
"""A start's entries. Each line of ADK's code is reported once: repetitions at every model call are not useful."""
_TEXT: Final = 1024


@contextmanager
def captured(add: Callable[[str, str, Mapping[str, Any]], None]) -> Iterator[None]:
    """Pass ADK's logged warnings and errors to `add(kind, author, data)`, which redacts and limits them."""
    manager = logging.root.manager
    made = manager.getLogger
    _Adk.noting = _Capture(add)
    for logger in [*manager.loggerDict.values()]:
        _adopt(logger)
    # ADK loads modules, with their loggers, on demand.
    manager.getLogger = lambda name: _adopt(made(name))  # type: ignore[method-assign]
    try:
        yield
    finally:
        manager.getLogger = made  # type: ignore[method-assign]
        _Adk.noting = None


class _Adk(logging.Logger):
    """A logger of ADK that captures its warnings, independent of user code's settings."""

    noting: logging.Handler | None = None

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  the name is the base class's
        """Return whether the record is needed, by the timeline or by the log."""
        return (self.noting is not None and level >= logging.WARNING) or super().isEnabledFor(level)

    def makeRecord(self, *args: Any, **more: Any) -> logging.LogRecord:  # noqa: N802  the name is the base class's
        """Return a record made by user code's factory, if it works."""
        try:
            return super().makeRecord(*args, **more)
        except Exception:  # it would end ADK's step
            return record_of(*args, **more)

    def handle(self, record: logging.LogRecord) -> None:
        """Capture the record, then log it with user code's settings."""
        if self.noting is not None and record.levelno >= logging.WARNING and not_raised_again(record):
            self.noting.handle(record)
        if super().isEnabledFor(record.levelno):
            with suppress(Exception):  # the run is more important than the log
                super().handle(record)


def _adopt(logger: Any) -> Any:
    if isinstance(logger, logging.Logger) and f"{logger.name}.".startswith(f"{_LOGGER}."):
        with suppress(TypeError):  # a user's class with slots stays unchanged
            logger.__class__ = _Adk
    return logger


class _Capture(logging.Handler):
    def __init__(self, add: Callable[[str, str, Mapping[str, Any]], None]) -> None:
        super().__init__(logging.WARNING)
        self._add = add
        self._added: set[tuple[str, int]] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Report a record, unless its line was already reported."""
        line = (record.name, record.lineno)
        if record.name.startswith(_IGNORED) or line in self._added or len(self._added) >= MOST:
            return
        self._added.add(line)
        self._add("warning", "adk", {"level": level_of(record), "message": _message(record)[:_TEXT], **_error(record)})


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # its arguments may be user code's
        return f"{safe_str(record.msg)} ({type(error).__name__})"


def _error(record: logging.LogRecord) -> dict[str, str]:
    error = record.exc_info[1] if record.exc_info else None
    return {"error": f"{type(error).__name__}: {safe_str(error)}"[:_TEXT]} if error is not None else {}
