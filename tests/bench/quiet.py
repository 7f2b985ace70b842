"""Waits for a moment in which no other process uses the machine, and tells how much others used it during a run.

A shared machine makes every figure of time larger, never smaller. A run others disturbed is told, not hidden.
"""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TIMEOUT_SECONDS = 60.0
QUIET = 0.15
"""Share of all processors that others may use for the machine to count as quiet."""

_TICKS = os.sysconf("SC_CLK_TCK")
_found: list[float] = []


def wait(timeout: float = TIMEOUT_SECONDS) -> bool:
    """Return once the machine has been quiet for two seconds, or when timeout ends; tell which."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        before = _busy()
        time.sleep(2)
        if (_busy() - before) / (2 * len(os.sched_getaffinity(0))) < QUIET:
            return True
    return False


@contextmanager
def run() -> Iterator[None]:
    """Wait for a quiet moment, then note how much of the machine others use while the context lasts."""
    wait()
    began, busy, own = time.monotonic(), _busy(), _own()
    yield
    seconds = (time.monotonic() - began) * len(os.sched_getaffinity(0))
    _found.append(max(0.0, (_busy() - busy) - (_own() - own)) / seconds)


def disturbance() -> list[float]:
    """Others' share of the machine in each run since the last call."""
    found = list(_found)
    _found.clear()
    return found


def _busy() -> float:
    """Processor seconds used by everybody since boot."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICKS


def _own() -> float:
    """Processor seconds of this process and of children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
