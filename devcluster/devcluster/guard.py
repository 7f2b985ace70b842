"""The guard: one tiny process that outlives a development cluster by a moment and kills what is left of it.

Run by `process` as a file of its own, without our package and without site-packages, hence the standard library only.
It reads groups to watch from its standard input (`+12`, `-12`); when that closes, the cluster is gone. Its argument
is a mark: processes whose environment begins with it are killed wherever they have hidden (Linux).
"""

import contextlib
import os
import signal
import sys
from pathlib import Path

MARK = "AGENTJOBS_DEV_CONTAINER"
"""The variable that tells whose container a process belongs to: `<cluster>/<number>`, inherited by what it starts."""

# A process may fork while we look; one that does so faster than this is fighting us.
_ROUNDS = 5


def kill_marked(mark: str) -> None:
    """Kill every process whose `MARK` begins with `mark`, also those that left their session. Linux only, else nothing.

    A process that has cleared its environment is not found.
    """
    wanted = f"{MARK}={mark}".encode()
    for _ in range(_ROUNDS):
        found = [number for number in _numbers() if number != os.getpid() and _is_marked(number, wanted)]
        if not found:
            return
        for number in found:
            _kill(number, wanted)


def _numbers() -> list[int]:
    try:
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    except OSError:
        return []


def _is_marked(number: int, wanted: bytes) -> bool:
    try:
        environ = Path(f"/proc/{number}/environ").read_bytes()  # empty for a zombie
    except OSError:
        return False
    return any(entry.startswith(wanted) for entry in environ.split(b"\0"))


def _kill(number: int, wanted: bytes) -> None:
    """Kill the process that is marked, not one that has got its number meanwhile."""
    with contextlib.suppress(OSError):
        descriptor = os.pidfd_open(number)
        try:
            if _is_marked(number, wanted):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        finally:
            os.close(descriptor)


def main(mark: str) -> None:
    """Wait for the end of our cluster, then kill."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin.buffer:
        (groups.add if line[:1] == b"+" else groups.discard)(int(line[1:]))
    for group in groups:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    kill_marked(mark)


if __name__ == "__main__":
    main(sys.argv[1])
