"""Lines of pod logs for their reader: sentences on a terminal, the original lines for programs."""

import os
from typing import TextIO

from agentjobs.cli.printing import harmless, plain
from agentjobs.readable import parsed, readable


def shown(text: str, stream: TextIO, *, raw: bool = False) -> str | None:
    """Return a pod's log line as it is written to `stream`; None when there is nothing to print.

    Args:
        text: the line; only the runner's own lines become sentences, in others control characters are replaced.
        stream: the output.
        raw: whether to keep JSON on a terminal, too.
    """
    line = None if raw or not stream.isatty() else parsed(text)
    if line is None:
        return harmless(text)
    return readable(line, colour=not plain(), width=_columns(stream)) or None


def _columns(stream: TextIO) -> int | None:
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):  # not a terminal of the system
        return None
