"""How the command line fails: a message with the cure, and a distinct exit code."""

import difflib
from collections.abc import Collection
from pathlib import Path
from typing import Final

FAILURE: Final = 1
USAGE: Final = 2
SKIPPED: Final = 79
"""A job was skipped, because another job with its `unique` key counts."""
TIMED_OUT: Final = 124
"""The exit code of timeout(1)."""


def installs(extra: str) -> str:
    """Return the command that installs an extra. The package is not published: it comes from a clone or a git URL."""
    clone = Path(__file__).parents[3]
    if (clone / "pyproject.toml").is_file():
        return f"pip install -e '{clone}[{extra}]'"
    return f"pip install 'agentjobs[{extra}] @ git+URL-OF-THE-REPOSITORY'"


def nearest(name: str, known: Collection[str]) -> str:
    """Return a hint for an unknown name: the closest known one, else all of them."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"use one of: {', '.join(sorted(known))}"


class Failure(Exception):
    """The verb cannot continue; `str()` is the message for the user.

    Args:
        code: the exit code; 2 for a wrong command line, 124 for a timeout, else 1.
    """

    def __init__(self, message: str, *, code: int = FAILURE) -> None:
        super().__init__(message)
        self.code = code
