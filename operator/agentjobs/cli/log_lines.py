"""What pods logged, as its reader wants it: sentences for a person at a terminal, the very lines for programs."""

import os
from typing import TextIO

from agentjobs.cli.printing import harmless, plain
from agentjobs.readable import parsed, readable


def shown(text: str, stream: TextIO, *, raw: bool = False) -> str | None:
    """Return a line that a pod printed as it goes to `stream`; None when there is nothing to print.

    Args:
        text: the line; what is not one of the runner's own stays as it is, but for control characters.
        stream: where it goes.
        raw: whether JSON is wanted at a terminal, too.
    """
    line = None if raw or not stream.isatty() else parsed(text)
    if line is None:
        return harmless(text)
    return readable(line, colour=not plain(), width=_columns(stream)) or None


def _columns(stream: TextIO) -> int | None:
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):  # no terminal of the system's
        return None
