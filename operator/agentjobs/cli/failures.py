"""How the command line fails: a sentence that names the cure, and an exit code that scripts can tell apart."""

import difflib
from collections.abc import Collection
from pathlib import Path
from typing import Final

FAILURE: Final = 1
USAGE: Final = 2
SKIPPED: Final = 79
"""A job was not run, because another one with its `unique` key counts."""
TIMED_OUT: Final = 124
"""What timeout(1) exits with."""


def installs(extra: str) -> str:
    """Return what installs an extra. The package is not published: it comes from a clone, or from its git URL."""
    clone = Path(__file__).parents[3]
    if (clone / "pyproject.toml").is_file():
        return f"pip install -e '{clone}[{extra}]'"
    return f"pip install 'agentjobs[{extra}] @ git+URL-OF-THE-REPOSITORY'"


def nearest(name: str, known: Collection[str]) -> str:
    """Return the cure of a name that is not known: the one that was probably meant, else all that there are."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"there is {', '.join(sorted(known))}"


class Failure(Exception):
    """The verb cannot go on; `str()` is what the user reads.

    Args:
        code: the exit code; 2 when other arguments would have helped, 124 when time ran out, else 1.
    """

    def __init__(self, message: str, *, code: int = FAILURE) -> None:
        super().__init__(message)
        self.code = code
