"""The jobs that wait in one queue in order, without those whose session is in use.

Jobs of one session wait in a group. A group offers the line at most one job: the one that the session allows to start.
So a job that waits for its session costs nothing until the session is free, and then only the first job of that session
is considered.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heapify, heappop, heappush
from typing import Final

from agentjobs.core.queues.requests import Holding, JobName, QueueEntry, Refusal, SessionLock, Users

_Item = tuple[int, datetime, JobName, int, "QueueEntry"]

# A heap this small is not worth clearing.
_SMALL: Final = 64


class _Heap(ABC):
    """Entries in order. A stale one stays until it is the first, or until most are stale."""

    __slots__ = ("_clear_at", "_items")

    def __init__(self) -> None:
        self._items: list[_Item] = []
        self._clear_at = _SMALL

    @abstractmethod
    def counts(self, entry: QueueEntry, ticket: int) -> bool:
        """Whether an entry that was pushed with that ticket is not stale."""

    def push(self, entry: QueueEntry, ticket: int) -> None:
        """Add an entry. `ticket` grows from call to call."""
        if len(self._items) >= self._clear_at:
            self._items = [item for item in self._items if self.counts(item[4], item[3])]
            heapify(self._items)
            self._clear_at = 2 * len(self._items) + _SMALL
        one = entry.candidate
        heappush(self._items, (one.priority, one.created, one.key, ticket, entry))

    def first(self) -> QueueEntry | None:
        """Return the best entry that is not stale, and leave it in the heap."""
        while self._items:
            *_, ticket, entry = self._items[0]
            if self.counts(entry, ticket):
                return entry
            heappop(self._items)
        return None


class _Shown(_Heap):
    """The entries that groups offer to their line."""

    __slots__ = ()

    def counts(self, entry: QueueEntry, ticket: int) -> bool:
        return entry.ticket == ticket


class _Group(_Heap):
    """The waiting jobs of one session."""

    __slots__ = ("members", "named", "shown", "wait_for_slot")

    def __init__(self) -> None:
        super().__init__()
        self.members: dict[str, QueueEntry] = {}  # by uid
        self.shown: QueueEntry | None = None
        # The names of the pods that hold the session, each with the uid of its job.
        self.named: tuple[tuple[str, str], ...] = ()
        # Entries whose answer is that they wait for a slot.
        self.wait_for_slot: dict[QueueEntry, None] = {}

    def counts(self, entry: QueueEntry, ticket: int) -> bool:
        return self.members.get(entry.candidate.uid) is entry

    def join(self, entry: QueueEntry, ticket: int) -> None:
        self.members[entry.candidate.uid] = entry
        self.push(entry, ticket)

    def leave(self, entry: QueueEntry) -> None:
        del self.members[entry.candidate.uid]
        self.wait_for_slot.pop(entry, None)

    def next(self, users: Mapping[Hashable, Holding]) -> QueueEntry | None:
        """The entry that the session allows to start: the first, or that of the job which alone holds the session."""
        uids = {holding.uid for holding in users.values()}
        if not uids:
            return self.first()
        return self.members.get(uids.pop()) if len(uids) == 1 else None

    def wait_for_session(self) -> list[QueueEntry]:
        """Entries whose answer is that they wait for the session."""
        return [entry for entry in self.members.values() if entry.answer and entry not in self.wait_for_slot]


@dataclass(slots=True)
class Line:
    """One queue: the entries that wait, and the holders of its slots."""

    users: Users
    """Sessions in use in the namespace; the owner calls `session_changed` when one of them changes."""
    waiting: int = 0
    paused_until: datetime | None = None
    _holders: dict[str, int] = field(default_factory=dict)
    _groups: dict[SessionLock, _Group] = field(default_factory=dict)
    _shown: _Shown = field(default_factory=_Shown)
    # Entries without an answer, or whose answer may be out of date.
    _untold: dict[QueueEntry, None] = field(default_factory=dict)
    # Sessions in use with an entry whose answer is that it waits for a slot. That is true while all slots are taken.
    _doubtful: dict[SessionLock, None] = field(default_factory=dict)
    _tickets: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def taken(self) -> int:
        """How many slots are taken."""
        return len(self._holders)

    def take(self, holder: str) -> None:
        """Count one more holding of a holder, which takes one slot for all of them."""
        self._holders[holder] = self._holders.get(holder, 0) + 1

    def give_back(self, holder: str) -> bool:
        """Count one holding less. True when the slot becomes free."""
        self._holders[holder] -= 1
        if self._holders[holder]:
            return False
        del self._holders[holder]
        return True

    def join(self, entry: QueueEntry) -> None:
        """Add an entry."""
        group = self._groups.setdefault(entry.candidate.lock, _Group())
        group.join(entry, next(self._tickets))
        self.waiting += 1
        self._untold[entry] = None
        self.session_changed(entry.candidate.lock)

    def leave(self, entry: QueueEntry) -> bool:
        """Remove an entry. True when that may let another of its session start."""
        self._groups[entry.candidate.lock].leave(entry)
        self.waiting -= 1
        self._untold.pop(entry, None)
        return self.session_changed(entry.candidate.lock)

    def pause(self, entry: QueueEntry, reason: str, until: datetime) -> Refusal:
        """Start nothing until then. Returns what the job is told that had to come back."""
        self.paused_until = until
        if reason == "Rate":
            return Refusal("WaitingForRate", f"queue {entry.queue} has had its starts; the next may be at {until}")
        return Refusal("WaitingForSlot", f"all slots of queue {entry.queue} are taken")

    def told(self, entry: QueueEntry, refusal: Refusal) -> None:
        """Note what an entry was told."""
        self._untold.pop(entry, None)
        self._tell(entry, refusal)

    def session_changed(self, session: SessionLock) -> bool:
        """Take in that the users or the entries of a session changed. True when admission may change something."""
        group = self._groups.get(session)
        if group is None:
            return False
        users = self.users.get(session, {})
        before, group.shown = group.shown, group.next(users)
        if before is not group.shown:
            self._show(before, group.shown)
        named = tuple((holding.uid, holding.told) for holding in users.values() if holding.told)
        renamed = named != group.named
        if renamed:
            # Every job that waits for a pod which may never end is told its name, and told again when it ends.
            group.named = named
            self._untold |= dict.fromkeys(group.wait_for_session())
        doubtful = self._judge(session, group)
        if not group.members:
            del self._groups[session]
        return renamed or doubtful or (group.shown is not None and group.shown is not before)

    def first(self) -> QueueEntry | None:
        """Return the first entry that its session allows to start."""
        return self._shown.first()

    def refusals(self, full: Refusal, *, is_full: bool) -> Mapping[JobName, Refusal]:
        """Return the new answers of jobs that wait, where they differ from the last. Call it after all admissions.

        Args:
            full: the answer to a job that waits for a slot.
            is_full: whether no slot was free at the beginning. Then no job gets the answer to wait for its session: a
                slot is missing as well, and the session may be free once there is one.
        """
        untold = {entry: self._refusal(entry, full, is_full=is_full) for entry in self._untold}
        if not is_full:
            for session in self._doubtful:
                entries = self._groups[session].wait_for_slot
                untold |= {entry: self._refusal(entry, full, is_full=False) for entry in entries}
        self._untold.clear()
        changed = {entry: refusal for entry, refusal in untold.items() if entry.answer != refusal}
        return {entry.candidate.key: self._tell(entry, refusal) for entry, refusal in changed.items()}

    def _refusal(self, entry: QueueEntry, full: Refusal, *, is_full: bool) -> Refusal:
        one, group = entry.candidate, self._groups[entry.candidate.lock]
        others = [holding for holding in self.users.get(one.lock, {}).values() if holding.uid != one.uid]
        told = next((holding.told for holding in others if holding.told), "another job")
        in_use = Refusal("WaitingForLock", f"session {one.lock[2]} is in use by {told}")
        waits_for_it = entry.answer is not None and entry not in group.wait_for_slot
        if others:
            return in_use if waits_for_it or not is_full else full
        # Behind another entry of a free session the answer stays, unless it names a pod that no longer holds it.
        return in_use if entry.answer == in_use and entry is not group.shown else full

    def _tell(self, entry: QueueEntry, refusal: Refusal) -> Refusal:
        session, entry.answer = entry.candidate.lock, refusal
        group = self._groups[session]
        if refusal.reason == "WaitingForSlot":
            group.wait_for_slot[entry] = None
        else:
            group.wait_for_slot.pop(entry, None)
        self._judge(session, group)
        return refusal

    def _show(self, before: QueueEntry | None, after: QueueEntry | None) -> None:
        if before is not None:
            before.ticket = 0
        if after is not None:
            after.ticket = next(self._tickets)
            self._shown.push(after, after.ticket)
            if after.answer is not None and after not in self._groups[after.candidate.lock].wait_for_slot:
                self._untold[after] = None  # its answer was to wait for the session

    def _judge(self, session: SessionLock, group: _Group) -> bool:
        """Note whether a session in use has an entry whose answer is that it waits for a slot; True when it has."""
        told = len(group.wait_for_slot) - (group.shown in group.wait_for_slot)
        doubtful = told > 0 and session in self.users
        if doubtful:
            self._doubtful[session] = None
        else:
            self._doubtful.pop(session, None)
        return doubtful
