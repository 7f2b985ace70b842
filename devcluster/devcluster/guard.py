"""The guard: a small process that outlives a development cluster and kills its remaining processes.

`process` runs this file without the package and without site-packages, so it uses the standard library only. It reads
process groups from its standard input (`+12` adds one, `-12` removes it); when the input closes, the cluster has ended.
Its argument is a prefix: on Linux, every process whose environment has a mark with that prefix is killed, in any
process group.
"""

import contextlib
import os
import signal
import sys
from pathlib import Path

MARK = "DEVCLUSTER_CONTAINER"
"""The variable that names the container of a process, `<cluster>/<number>`; child processes inherit it."""

# A process may fork during the search; this many rounds suffice unless it tries to escape.
_ROUNDS = 5


def kill_marked(mark: str) -> None:
    """Kill every process whose `MARK` begins with `mark`, in any session. Does nothing on systems other than Linux.

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
    """Kill the marked process, never another process that has reused its pid."""
    with contextlib.suppress(OSError):
        descriptor = os.pidfd_open(number)
        try:
            if _is_marked(number, wanted):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        finally:
            os.close(descriptor)


def main(mark: str) -> None:
    """Wait for the end of the cluster, then kill its processes."""
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
