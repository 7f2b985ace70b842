"""Jobs that wait for other jobs: who still keeps one waiting, and who can never go on. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from agentjobs.api.problems import Problem

SHOWN: Final = 5
"""Names that a message lists."""
_ABSENT: Final = " (does not exist yet)"


@dataclass(frozen=True, slots=True)
class Wants:
    """What a job waits for: names of jobs of its namespace, all of them or any one."""

    names: frozenset[str]
    any: bool = False


@dataclass(frozen=True, slots=True)
class Awaited:
    """The jobs that a job waits for, as they stand now."""

    is_over: bool
    """Whether it need not wait any more."""
    waiting: tuple[str, ...] = ()
    """Names of those that have not ended, in their order."""
    absent: frozenset[str] = frozenset()
    """Those of them that do not exist."""
    cycle: tuple[str, ...] = ()
    """A chain of names because of which the job can never go on."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Values of the names that its texts read of them."""
    problems: tuple[Problem, ...] = ()
    """Why its texts cannot be made."""
    is_old: bool = False
    """Who has the labels was asked less than a second ago, and is to be asked again before that counts."""

    @property
    def message(self) -> str:
        """What the job waits for, in a sentence."""
        if not self.waiting:
            return "waits for jobs: none has the labels of after.selector yet"
        names = ", ".join(f"{name}{_ABSENT if name in self.absent else ''}" for name in self.waiting[:SHOWN])
        more = len(self.waiting) - SHOWN
        return f"waits for jobs: {names}" + (f" and {more} more" if more > 0 else "")

    def is_said_by(self, message: str) -> bool:
        """Whether what a message says still holds the job: with a hundred jobs it is not written a hundred times."""
        if not self.waiting or self.cycle:
            return message == self.message
        said = message.removeprefix("waits for jobs: ").partition(" and ")[0].split(", ")
        return any((f"{name}{_ABSENT}" if name in self.absent else name) in said for name in self.waiting)


def chain(cycle: Sequence[str]) -> str:
    """Return the names of a cycle as a sentence shows them."""
    shown = " → ".join(cycle[:SHOWN])
    return shown if len(cycle) <= SHOWN else f"{shown} → … → {cycle[-1]}"


def cycle_of(name: str, waiting: Mapping[str, Wants], ended: Collection[str] = ()) -> tuple[str, ...]:
    """Return a chain of jobs because of which a job can never go on; empty when it can.

    Args:
        name: a job that waits.
        waiting: all jobs of its namespace that wait for others.
        ended: jobs that have ended because they waited for each other.
    """
    left = _reachable(name, waiting)
    dead, changed = {*left, *ended}, True
    while changed:
        changed = False
        # The last found first: of a chain that ends somewhere all go in one round.
        for one in reversed(left):
            if one in dead and not _is_stuck(waiting[one], dead):
                dead.discard(one)
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
        one = left.pop()
        if one in waiting and one not in found:
            found[one] = None
            left.extend(sorted(waiting[one].names))
    return list(found)


def _is_stuck(wants: Wants, dead: Collection[str]) -> bool:
    if wants.any:
        return all(name in dead for name in wants.names)
    return any(name in dead for name in wants.names)
