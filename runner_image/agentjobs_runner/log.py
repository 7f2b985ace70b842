"""The runner's log. User code cannot silence it, or remove its redaction, by changing logging or standard streams.

`logger` is outside of any logging configuration, and writes to its own descriptor. Logs of user code and libraries go
to a handler on the root logger, redacted too, until user code installs its own.
"""

import logging
import os
import select
from collections.abc import Callable, Mapping
from typing import Any, Final

from agentjobs import logs
from agentjobs.contract import ENV_LOG_FORMAT
from agentjobs.readable import readable
from agentjobs_runner.redaction import Redactor, plain

# At INFO they repeat our own log lines. Their errors are one line; `engine` logs the traceback once.
_LIBRARIES: Final = ("anthropic", "google_adk", "google_genai", "httpx2", "mcp", "openai")
# Not even warnings: they concern ADK's own measurements.
_UNHEARD: Final = ("google_adk.google.adk.telemetry",)
# The beginning of ADK's messages about an error that it raises again, and that `engine` logs.
_RAISED_AGAIN: Final = {
    "google_adk.google.adk.plugins.plugin_manager": "Error in plugin 'agentjobs' during ",
    "google_adk.google.adk.runners": "Root node %s failed.",
    "google_adk.google.adk.workflow._node_runner": "Node execution failed with exception",
}
_STDERR: Final = 2


class _Own(logging.Logger):
    """An isolated logger: `logging.disable`, `dictConfig`, record factories and level names do not affect it."""

    def __init__(self, name: str) -> None:
        super().__init__(name, logging.INFO)
        self.manager = logging.Manager(logging.RootLogger(logging.WARNING))
        self.propagate = False

    def makeRecord(self, *args: Any, **more: Any) -> logging.LogRecord:  # noqa: N802  the name is the base class's
        """Return a record as logging creates it by default."""
        return record_of(*args, **more)


_LEVELS: Final = {logging.INFO: "INFO", logging.WARNING: "WARNING", logging.ERROR: "ERROR"}


def record_of(*args: Any, **more: Any) -> logging.LogRecord:
    """Return a record as logging creates it by default, from the arguments of `Logger.makeRecord`."""
    name, level, path, number, message, values, error, function, extra, stack = (*args, *more.values())
    record = logging.LogRecord(name, level, path, number, message, values, error, function, stack)
    record.levelname = level_of(record)
    vars(record).update(extra or {})
    return record


def level_of(record: logging.LogRecord) -> str:
    """Return the name of the record's level, even if user code has renamed it."""
    return _LEVELS.get(record.levelno, "ERROR")


logger: Final = _Own("agentjobs.runner")


class _Descriptor(logging.Handler):
    """Writes each record immediately and completely, even to a non-blocking descriptor."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, unless another line has the same content."""
        try:
            text = self.format(record)
            self._write(f"{text}\n".encode("utf-8", "backslashreplace") if text else b"")
        except OSError:
            return  # the run is more important than the log

    def _write(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])


def configure(variables: Mapping[str, str], redactor: Redactor) -> None:
    """Configure logging by `variables`, with `redactor`. Called before user code runs, and again with more secrets."""
    formatter = logs.LineFormatter(_written(variables), lambda line: cleared(line, redactor))
    logs.configure()
    for handler in logging.root.handlers:
        handler.setFormatter(formatter)
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)
    for library in _UNHEARD:
        logging.getLogger(library).setLevel(logging.CRITICAL)
    for library in _RAISED_AGAIN:
        logging.getLogger(library).addFilter(not_raised_again)
    if not logger.handlers:
        logger.addHandler(_Descriptor(_own_descriptor()))
    for handler in logger.handlers:
        handler.setFormatter(formatter)


def _own_descriptor() -> int:
    try:
        return os.dup(_STDERR)
    except OSError:  # closed by the caller
        return os.open(os.devnull, os.O_WRONLY)


def _written(variables: Mapping[str, str]) -> Callable[[Mapping[str, Any]], str]:
    if variables.get(ENV_LOG_FORMAT) != "text":
        return logs.as_json
    person = for_people(variables)
    colour = person and not variables.get("NO_COLOR") and variables.get("TERM") != "dumb"
    return lambda line: readable(line, colour=colour, width=_width() if person else None)


def not_raised_again(record: logging.LogRecord) -> bool:
    """Whether the record is not about an error that is raised again."""
    return not str(record.msg).startswith(_RAISED_AGAIN.get(record.name, ()))


def for_people(variables: Mapping[str, str]) -> bool:
    """Whether a person reads at a terminal; then lines include texts. A pod's log never does."""
    return variables.get(ENV_LOG_FORMAT) == "text" and os.isatty(_STDERR)


def cleared(line: dict[str, Any], redactor: Redactor) -> dict[str, Any]:
    """Return a line without secrets, for a library also without its traceback."""
    stack = line.pop("stack", None)
    if stack and not str(line["logger"]).startswith(_LIBRARIES):
        line["stack"] = stack
    elif stack:
        line["message"] = f"{line.get('message', '')}: {stack.splitlines()[-1]}"
    clear: dict[str, Any] = redactor.data(plain(line))
    return clear


def _width() -> int | None:
    try:
        return os.get_terminal_size(_STDERR).columns or None
    except OSError:
        return None
