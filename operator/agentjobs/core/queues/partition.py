"""The waiting jobs of one partition of a queue, without those whose session or worktree is in use.

Jobs with the same lock form a group: by worktree, else by session. A group offers its partition at most one job, which
the lock allows to start. So a job that waits for its lock costs nothing until it is free, and then only the first job
is considered. A group has one lock and one partition, so no partition's limit delays jobs of another.

Jobs of one worktree may have different sessions. A job that comes first while its session is in use is set aside until
that changes, so that the jobs behind it can be offered.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import heappop
from typing import Any, ClassVar

from agentjobs.core.queues.heaps import Heap
from agentjobs.core.queues.messages import TURNS
from agentjobs.core.queues.policy import ExceededBudget, QueuePolicy
from agentjobs.core.queues.requests import Holding, Lock, QueueEntry, SessionLock, Users
from agentjobs.core.queues.starts import Starts

Names = tuple[tuple[str, str], ...]


class _Offers(Heap[QueueEntry]):
    """The entries that groups offer to their partition, by level, age and name."""

    __slots__ = ()

    def counts(self, item: tuple[Any, ...]) -> bool:
        entry: QueueEntry = item[-1]
        return entry.ticket == int(item[-2])


@dataclass(frozen=True, slots=True)
class Pause:
    """PostgreSQL refused a slot: none is granted for a while."""

    until: datetime
    of_rate: bool
    """Whether only time ends it, and not also a free slot."""


class Partition:
    """One partition of a queue."""

    __slots__ = (
        "budget",
        "doubtful",
        "holders",
        "is_open",
        "key",
        "last",
        "offers",
        "pause",
        "place",
        "starts",
        "ticket",
        "timer",
        "waiting",
    )

    def __init__(self, key: str, budget: ExceededBudget | None) -> None:
        self.key = key
        self.offers = _Offers()
        self.waiting = 0
        self.holders: dict[str, int] = {}
        self.last: datetime | None = None
        """When its last job was granted a slot."""
        self.starts = Starts()
        self.pause: Pause | None = None
        self.budget = budget
        """Its used up budget, if any."""
        self.is_open = True
        """Whether its own limits allow a start, regardless of locks."""
        self.place: tuple[Any, ...] = ()
        """Its place among the partitions of the queue."""
        self.ticket = 0
        """The number of that place, 0 for none."""
        self.timer: datetime | None = None
        """When it must be updated without an event."""
        self.doubtful: dict[Group, None] = {}
        """Groups whose lock is in use, with jobs that were answered to wait for their turn."""

    @property
    def is_idle(self) -> bool:
        """Whether no job of it waits or holds a slot."""
        return not self.waiting and not self.holders

    def opens_at(self, policy: QueuePolicy, now: datetime) -> datetime | None:
        """Return until when one of its temporary limits blocks its jobs, or None."""
        times = [stop.until for stop in (self.budget, self.pause) if stop is not None and stop.until > now]
        if policy.rate is not None and policy.rate.by_partition:
            times += [at] if (at := self.starts.room_at(policy.rate, now)) is not None else []
        return max(times, default=None)

    def is_full(self, policy: QueuePolicy) -> bool:
        """Whether its jobs hold all its slots."""
        return policy.per_partition is not None and len(self.holders) >= policy.per_partition


class Group(Heap[QueueEntry]):
    """The waiting jobs of one lock in one partition."""

    __slots__ = ("lock", "members", "named", "partition", "shown", "turns")

    passed: ClassVar[Sequence[QueueEntry]] = ()
    """Entries that were set aside since the last update."""

    def __init__(self, lock: Lock, partition: Partition) -> None:
        super().__init__()
        self.lock = lock
        self.partition = partition
        self.members: dict[str, QueueEntry] = {}  # by uid
        self.shown: QueueEntry | None = None
        # Names of the lock's holders for messages, with the uids of their jobs.
        self.named: Names = ()
        # Entries that were answered to wait for their turn.
        self.turns: dict[QueueEntry, None] = {}

    def counts(self, item: tuple[Any, ...]) -> bool:
        entry: QueueEntry = item[-1]
        return self.members.get(entry.candidate.uid) is entry and entry.level == item[0]

    def join(self, entry: QueueEntry, number: int) -> None:
        """Add an entry, or update its level."""
        self.members[entry.candidate.uid] = entry
        self.push(entry.level, entry.candidate.created, entry.candidate.key, number, entry)

    def leave(self, entry: QueueEntry) -> None:
        """Remove an entry."""
        del self.members[entry.candidate.uid]
        self.turns.pop(entry, None)

    def next(self, users: Users) -> QueueEntry | None:
        """The entry that all locks allow to start: the first, or that of the job that already holds the group's
        lock.
        """
        holders = users.get(self.lock)
        if not holders:
            return self._first(users)
        uids = {holding.uid for holding in holders.values()}
        entry = self.members.get(uids.pop()) if len(uids) == 1 else None
        return entry if entry is not None and self._may_start(entry, users) else None

    def _first(self, users: Users) -> QueueEntry | None:
        return self.first()

    def _may_start(self, entry: QueueEntry, users: Users) -> bool:
        return True

    def wait_for_lock(self) -> list[QueueEntry]:
        """Entries that were answered to wait for a lock."""
        return [entry for entry in self.members.values() if entry.answer and entry not in self.turns]

    def doubted(self, users: Users) -> list[QueueEntry]:
        """Entries that were answered to wait for their turn while a lock blocks them."""
        return [entry for entry in self.turns if entry is not self.shown] if self.lock in users else []

    def is_doubted(self, users: Users) -> bool:
        """Whether there are doubted entries."""
        return self.lock in users and len(self.turns) > (self.shown in self.turns)

    def note(self, entry: QueueEntry) -> None:
        """Record an entry's new answer."""
        if entry.answer is not None and getattr(entry.answer, "reason", "") in TURNS:
            self.turns[entry] = None
        else:
            self.turns.pop(entry, None)


class WorktreeGroup(Group):
    """The waiting jobs of one worktree in one partition, of any sessions."""

    __slots__ = ("aside", "passed", "session_names", "sessions")

    def __init__(self, lock: Lock, partition: Partition) -> None:
        super().__init__(lock, partition)
        self.sessions: dict[SessionLock, dict[QueueEntry, None]] = {}
        # Entries that came first while their session was in use, with their places in the heap.
        self.aside: dict[SessionLock, dict[QueueEntry, tuple[Any, ...]]] = {}
        self.passed: list[QueueEntry] = []  # type: ignore[misc]  # of each group, where there can be any
        # As `named`, for sessions.
        self.session_names: dict[SessionLock, Names] = {}

    def join(self, entry: QueueEntry, number: int) -> None:
        super().join(entry, number)
        self.sessions.setdefault(entry.candidate.lock, {})[entry] = None

    def leave(self, entry: QueueEntry) -> None:
        super().leave(entry)
        session = entry.candidate.lock
        for found in (self.sessions, self.aside):
            if (entries := found.get(session)) is not None:
                entries.pop(entry, None)
                if not entries:
                    del found[session]
        if session not in self.sessions:
            self.session_names.pop(session, None)

    def session_changed(self, session: SessionLock, users: Users) -> list[QueueEntry]:
        """Handle a change of a session's users. Returns the entries whose answer may be outdated."""
        holders, again = users.get(session, {}), []
        if (named := names(holders.values())) != self.session_names.get(session, ()):
            self.session_names[session] = named
            again = [entry for entry in self.sessions[session] if entry not in self.turns]
        uids = {holding.uid for holding in holders.values()}
        if len(uids) < 2:
            free = [entry for entry in self.aside.get(session, ()) if not uids or entry.candidate.uid in uids]
            for entry in free:
                item = self.aside[session].pop(entry)
                if self.counts(item):
                    self.push(*item)
            again += free
            if session in self.aside and not self.aside[session]:
                del self.aside[session]
        return again

    def _first(self, users: Users) -> QueueEntry | None:
        while (entry := self.first()) is not None:
            if self._may_start(entry, users):
                return entry
            self.aside.setdefault(entry.candidate.lock, {})[entry] = heappop(self._items)
            self.passed.append(entry)
        return None

    def _may_start(self, entry: QueueEntry, users: Users) -> bool:
        holders = users.get(entry.candidate.lock)
        return not holders or all(holding.uid == entry.candidate.uid for holding in holders.values())

    def doubted(self, users: Users) -> list[QueueEntry]:
        if self.lock in users:
            return super().doubted(users)
        return [entry for entries in self.aside.values() for entry in entries if entry in self.turns]

    def is_doubted(self, users: Users) -> bool:
        return super().is_doubted(users) or bool(self.aside and self.turns and self.doubted(users))


def names(holders: Iterable[Holding]) -> Names:
    """Return the names of a lock's holders for messages, with the uids of their jobs."""
    return tuple((holding.uid, holding.description) for holding in holders if holding.description)
