"""The processes that this one started, and those that they started: found and ended, however they hide.

A program that a tool leaves behind gets another parent when its own ends. With `adopt` that is this process, so none
leaves the tree by ending its parent, by a session or by a group of its own. Linux only; elsewhere nothing is found.
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


# Loaded here, because what runs between fork and exec must not look for libraries.
_prctl: Final = _loaded()


def adopt() -> None:
    """Become the parent of descendants whose own parent ends."""
    if _prctl is not None:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with(parent: int) -> None:
    """Let this process be killed when the thread of `parent` that made it ends. Called between fork and exec."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before
        os._exit(1)


def children() -> frozenset[int]:
    """Return the processes whose parent this one is."""
    return frozenset(pid for pid, process in _processes().items() if process.parent == os.getpid())


def kill_all(*, seconds: float, spare_group: int | None = None, spare: Iterable[int] = ()) -> int:
    """Kill all descendants of this process, and return how many are left after `seconds` at most.

    They are looked for again until none is found, because they may start others meanwhile.

    Args:
        spare_group: a process group whose members live on. What has a session of its own cannot join it.
        spare: processes that live on, with those that they started.
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
    """Take leave of adopted processes that have ended: else each keeps its number, of which a pod has only so many.

    Args:
        spare_group: a process group whose members somebody else waits for.
        spare: processes that somebody else waits for.
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
        # The name stands in parentheses and may hold anything, parentheses as well.
        state, parent, group = stat.rpartition(")")[2].split()[:3]
        self.state, self.parent, self.group = state, int(parent), int(group)


def _processes() -> Mapping[int, _Process]:
    found = {}
    with suppress(OSError):
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                with suppress(OSError, ValueError):  # it ended meanwhile
                    found[int(entry.name)] = _Process(Path(entry.path, "stat").read_text(errors="replace"))
    return found


def _descendants(spare_group: int | None, spared: frozenset[int]) -> list[int]:
    """The descendants that live, those of spared ones left out."""
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
