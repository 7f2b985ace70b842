"""Effects of the agents under test: each is noted in a file when it begins and when it ends, and may kill its process.

Runs in the runner's process and in the tool server's. The file is all that is left of a process that was killed, so a
line is on disk before anything else happens. The number of its lines says where a run is killed, so lines of several
threads and processes count as one sequence.
"""

import fcntl
import json
import os
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

FILE: Final = "CRASH_EFFECTS"
"""Names the file; each start of a job has its own."""
KILL_AT: Final = "CRASH_KILL_AT"
"""After how many lines the process is killed; unset for never."""
FINAL: Final = "CRASH_FINAL"
"""Names the file for the session as it is in the end."""

_MARKED = re.compile(r"<((?:model|tool|code) [^<>]+)>")


def mark(what: str) -> str:
    """Return a text that tells later effects that they have seen the outcome of `what`."""
    return f"<{what}>"


def marks(value: Any) -> list[str]:
    """Return the effects whose outcomes can be seen in a value."""
    return list(dict.fromkeys(_MARKED.findall(str(value))))


def unmarked(text: str) -> str:
    """Return a text without marks."""
    return _MARKED.sub("", text).strip()


@contextmanager
def effect(what: str, saw: Sequence[str] = ()) -> Iterator[str]:
    """Note that something happens outside of the agent; gives the mark of its outcome."""
    note("begin", what, saw)
    yield mark(what)
    note("end", what)


def note(
    phase: str,
    what: str,
    saw: Sequence[str] = (),
    *,
    file: str = "",
    kill_at: int | None = None,
    pid: int | None = None,
) -> None:
    """Write one line, and kill the runner where the run must be killed there. A tool server names file and process."""
    if kill_at is None:
        kill_at = int(os.environ.get(KILL_AT, "0"))
    descriptor = os.open(file or os.environ[FILE], os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, json.dumps({"phase": phase, "what": what, "saw": list(saw)}).encode() + b"\n")
        os.fsync(descriptor)
        os.lseek(descriptor, 0, os.SEEK_SET)
        lines = os.read(descriptor, 1 << 20).count(b"\n")
        if lines == kill_at:
            os.kill(pid or os.getpid(), signal.SIGKILL)
    finally:
        os.close(descriptor)
