"""Finds and ends the descendants of this process, even if they try to hide.

An orphaned process gets another parent. With `adopt` that is this process, so that none leaves the tree by ending its
parent, or by its own session or process group. Linux only; elsewhere nothing is found.
"""

import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # <linux/prctl.h>
_PR_SET_CHILD_SUBREAPER: Final = 36
_ROUND_SECONDS: Final = 0.005


def _loaded() -> Callable[..., int] | None:
    try:
        function: Callable[..., int] = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        return None
    return function


# Loaded here, because code between fork and exec must not look for libraries.
_prctl: Final = _loaded()


def adopt() -> None:
    """Become the parent of orphaned descendants."""
    if _prctl is not None:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with(parent: int) -> None:
    """Have this process killed when the thread of `parent` that created it ends. Called between fork and exec."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it has already ended
        os._exit(1)


def children() -> frozenset[int]:
    """Return the child processes of this process."""
    return frozenset(pid for pid, process in _processes().items() if process.parent == os.getpid())


def kill_all(*, seconds: float, spare_group: int | None = None, spare: Iterable[int] = ()) -> int:
    """Kill all descendants of this process, and return how many remain after at most `seconds`.

    The search is repeated until none is found, because they may start others meanwhile.

    Args:
        spare_group: a process group that survives. A process with its own session cannot join it.
        spare: processes that survive, with their descendants.
    """
    deadline, spared = time.monotonic() + seconds, frozenset(spare)
    while found := _descendants(spare_group, spared):
        for pid in found:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        reap(spare_group, spare=spared)
        if time.monotonic() >= deadline:
            return len(found)
        time.sleep(_ROUND_SECONDS)
    reap(spare_group, spare=spared)
    return 0


def reap(spare_group: int | None = None, *, spare: Iterable[int] = ()) -> None:
    """Reap adopted processes that have ended: otherwise each keeps its pid, and a pod has a limited number.

    Args:
        spare_group: a process group that another part waits for.
        spare: processes that another part waits for.
    """
    spared = set(spare)
    for pid, process in _processes().items():
        if (
            process.parent == os.getpid()
            and process.state == "Z"
            and process.group != spare_group
            and pid not in spared
        ):
            with suppress(OSError):
                os.waitpid(pid, os.WNOHANG)


class _Process:
    """One line of /proc/<pid>/stat."""

    __slots__ = ("group", "parent", "state")

    def __init__(self, stat: str) -> None:
        # The name is in parentheses and may contain any character, including parentheses.
        state, parent, group = stat.rpartition(")")[2].split()[:3]
        self.state, self.parent, self.group = state, int(parent), int(group)


def _processes() -> Mapping[int, _Process]:
    found = {}
    with suppress(OSError):
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                with suppress(OSError, ValueError):  # it has ended meanwhile
                    found[int(entry.name)] = _Process(Path(entry.path, "stat").read_text(errors="replace"))
    return found


def _descendants(spare_group: int | None, spared: frozenset[int]) -> list[int]:
    """The living descendants, without those of spared processes."""
    processes = _processes()
    children: dict[int, list[int]] = {}
    for pid, process in processes.items():
        children.setdefault(process.parent, []).append(pid)
    found, unseen = [], [os.getpid()]
    while unseen:
        for pid in children.get(unseen.pop(), ()):
            if processes[pid].group == spare_group or pid in spared:
                continue
            unseen.append(pid)
            if processes[pid].state not in ("Z", "X"):
                found.append(pid)
    return found
