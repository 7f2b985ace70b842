"""Jobs that wait for other jobs: which jobs they still wait for, and cycles. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from agentjobs.api.problems import FieldProblem

SHOWN: Final = 5
"""How many names a message lists."""
_ABSENT: Final = " (does not exist yet)"


@dataclass(frozen=True, slots=True)
class Wants:
    """What a job waits for: jobs of its namespace by name, all of them or any one."""

    names: frozenset[str]
    any: bool = False


@dataclass(frozen=True, slots=True)
class Awaited:
    """The current state of the jobs that a job waits for."""

    is_over: bool
    """Whether the wait is over."""
    waiting: tuple[str, ...] = ()
    """Names of jobs that have not ended, in order."""
    absent: frozenset[str] = frozenset()
    """Names of jobs that do not exist."""
    cycle: tuple[str, ...] = ()
    """A cycle of names that blocks the job forever."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Values for the names in its texts."""
    problems: tuple[FieldProblem, ...] = ()
    """Why its texts cannot be resolved."""
    is_old: bool = False
    """The labels were looked up less than a second ago, and must be looked up again before the result counts."""

    @property
    def message(self) -> str:
        """A sentence about what the job waits for."""
        if not self.waiting:
            return "waits for jobs: no job has the labels of after.selector yet"
        names = ", ".join(f"{name}{_ABSENT if name in self.absent else ''}" for name in self.waiting[:SHOWN])
        more = len(self.waiting) - SHOWN
        return f"waits for jobs: {names}" + (f" and {more} more" if more > 0 else "")

    def is_described_by(self, message: str) -> bool:
        """Whether a message is still true, so that a job that waits for a hundred jobs is not written a hundred
        times.
        """
        if not self.waiting or self.cycle:
            return message == self.message
        names = message.removeprefix("waits for jobs: ").partition(" and ")[0].split(", ")
        return any((f"{name}{_ABSENT}" if name in self.absent else name) in names for name in self.waiting)


def chain(cycle: Sequence[str]) -> str:
    """Return the names of a cycle, for a message."""
    shown = " → ".join(cycle[:SHOWN])
    return shown if len(cycle) <= SHOWN else f"{shown} → … → {cycle[-1]}"


def cycle_of(name: str, waiting: Mapping[str, Wants], ended: Collection[str] = ()) -> tuple[str, ...]:
    """Return a cycle that blocks a job forever, or an empty sequence.

    Args:
        name: a job that waits.
        waiting: all jobs of its namespace that wait for others.
        ended: jobs that failed because of a cycle.
    """
    left = _reachable(name, waiting)
    dead, changed = {*left, *ended}, True
    while changed:
        changed = False
        # Last found first, so that all jobs of a chain without a cycle are removed in one round.
        for job in reversed(left):
            if job in dead and not _is_stuck(waiting[job], dead):
                dead.discard(job)
                changed = True
    if name not in dead:
        return ()
    found: list[str] = []
    while name in waiting and name not in found:
        found.append(name)
        name = min(waiting[name].names & dead)
    return (*found, name)


def _reachable(name: str, waiting: Mapping[str, Wants]) -> list[str]:
    found: dict[str, None] = {}
    left = [name]
    while left:
        job = left.pop()
        if job in waiting and job not in found:
            found[job] = None
            left.extend(sorted(waiting[job].names))
    return list(found)


def _is_stuck(wants: Wants, dead: Collection[str]) -> bool:
    if wants.any:
        return all(name in dead for name in wants.names)
    return any(name in dead for name in wants.names)
