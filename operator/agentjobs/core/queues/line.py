"""The jobs that wait in one queue, best first, without those whose session is in use.

Jobs of one session wait in a group of their own. A group shows the line at most one job: the one that may start as far
as the session is concerned. So a job that waits for a session costs nothing until that session is free, and then only
the first of its session is looked at.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heapify, heappop, heappush
from typing import Final

SessionLock = tuple[str, str, str]  # appName, userId, sessionId
JobName = tuple[str, str]  # namespace, name
Users = dict[SessionLock, dict[Hashable, "Holding"]]
"""Sessions in use, each with what holds it, by source."""

_Item = tuple[int, datetime, JobName, int, "Place"]

# A heap this small is not worth clearing.
_SMALL: Final = 64


@dataclass(frozen=True, slots=True)
class Candidate:
    """A job that could start if it had a slot."""

    key: JobName
    uid: str
    priority: int
    created: datetime
    lock: SessionLock


@dataclass(frozen=True, slots=True)
class Granted:
    """A slot of the queue is reserved for the job."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a job does not start now: `WaitingForSlot` or `WaitingForLock`, and a sentence."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Holding:
    """What one claim, one living pod or one reservation keeps from other jobs."""

    uid: str
    """Uid of the job. What a job holds does not keep that job itself waiting for its session."""
    session: SessionLock | None = None
    queue: str | None = None
    """The queue in which it takes a slot, None for none."""
    holder: str = ""
    """Whose slot that is: several holdings of one holder take one slot."""
    told: str = ""
    """What is said of it to those who wait for the session; nothing of a start under way, as they come and go."""


@dataclass(slots=True, eq=False)
class Place:
    """A job's request and the answer it has got so far."""

    queue: str
    candidate: Candidate
    answer: Granted | Refusal | None = None
    ticket: int = 0
    """The number under which the line shows it; an older number counts no more."""


class _Heap(ABC):
    """Places in order. One that does not count any more stays until it comes up, or until most are such."""

    __slots__ = ("_clear_at", "_items")

    def __init__(self) -> None:
        self._items: list[_Item] = []
        self._clear_at = _SMALL

    @abstractmethod
    def counts(self, place: Place, ticket: int) -> bool:
        """Whether a place that was pushed with that ticket still counts."""

    def push(self, place: Place, ticket: int) -> None:
        """Add a place. `ticket` grows from call to call."""
        if len(self._items) >= self._clear_at:
            self._items = [item for item in self._items if self.counts(item[4], item[3])]
            heapify(self._items)
            self._clear_at = 2 * len(self._items) + _SMALL
        one = place.candidate
        heappush(self._items, (one.priority, one.created, one.key, ticket, place))

    def first(self) -> Place | None:
        """The best place that counts, which stays."""
        while self._items:
            *_, ticket, place = self._items[0]
            if self.counts(place, ticket):
                return place
            heappop(self._items)
        return None


class _Shown(_Heap):
    """What groups show their line."""

    __slots__ = ()

    def counts(self, place: Place, ticket: int) -> bool:
        return place.ticket == ticket


class _Group(_Heap):
    """The waiting jobs of one session."""

    __slots__ = ("members", "named", "shown", "wait_for_slot")

    def __init__(self) -> None:
        super().__init__()
        self.members: dict[str, Place] = {}  # by uid
        self.shown: Place | None = None
        # What is told of what holds the session, each with the job that it is of.
        self.named: tuple[tuple[str, str], ...] = ()
        # Those that were told to wait for a slot.
        self.wait_for_slot: dict[Place, None] = {}

    def counts(self, place: Place, ticket: int) -> bool:
        return self.members.get(place.candidate.uid) is place

    def join(self, place: Place, ticket: int) -> None:
        self.members[place.candidate.uid] = place
        self.push(place, ticket)

    def leave(self, place: Place) -> None:
        del self.members[place.candidate.uid]
        self.wait_for_slot.pop(place, None)

    def next(self, users: Mapping[Hashable, Holding]) -> Place | None:
        """Who may start, as far as the session is concerned: what a job holds itself does not keep it waiting."""
        uids = {holding.uid for holding in users.values()}
        if not uids:
            return self.first()
        return self.members.get(uids.pop()) if len(uids) == 1 else None

    def wait_for_session(self) -> list[Place]:
        """Those that were told to wait for the session."""
        return [place for place in self.members.values() if place.answer and place not in self.wait_for_slot]


@dataclass(slots=True)
class Line:
    """One queue: who waits, and who holds its slots."""

    users: Users
    """Sessions in use in the namespace; the owner says when one of them has changed."""
    waiting: int = 0
    _holders: dict[str, int] = field(default_factory=dict)
    _groups: dict[SessionLock, _Group] = field(default_factory=dict)
    _shown: _Shown = field(default_factory=_Shown)
    # Places whose answer is missing or may not be true any more.
    _untold: dict[Place, None] = field(default_factory=dict)
    # Sessions in use of which somebody was told to wait for a slot. True while all slots are taken.
    _doubtful: dict[SessionLock, None] = field(default_factory=dict)
    _tickets: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def taken(self) -> int:
        """How many slots are taken."""
        return len(self._holders)

    def take(self, holder: str) -> None:
        """One more holding of a holder, who has one slot however many they are."""
        self._holders[holder] = self._holders.get(holder, 0) + 1

    def give_back(self, holder: str) -> bool:
        """One holding less. True when the slot is free."""
        self._holders[holder] -= 1
        if self._holders[holder]:
            return False
        del self._holders[holder]
        return True

    def join(self, place: Place) -> None:
        """A job waits."""
        group = self._groups.setdefault(place.candidate.lock, _Group())
        group.join(place, next(self._tickets))
        self.waiting += 1
        self._untold[place] = None
        self.session_changed(place.candidate.lock)

    def leave(self, place: Place) -> bool:
        """A job waits no more. True when another takes its turn in the session."""
        self._groups[place.candidate.lock].leave(place)
        self.waiting -= 1
        self._untold.pop(place, None)
        return self.session_changed(place.candidate.lock)

    def session_changed(self, session: SessionLock) -> bool:
        """Others use a session, or wait for it, than before. True when a look at the line may change something."""
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
            # All who wait for a pod that may never end hear of it, and of its end.
            group.named = named
            self._untold |= dict.fromkeys(group.wait_for_session())
        doubtful = self._judge(session, group)
        if not group.members:
            del self._groups[session]
        return renamed or doubtful or (group.shown is not None and group.shown is not before)

    def first(self) -> Place | None:
        """The best job that no session keeps from starting."""
        return self._shown.first()

    def refusals(self, full: Refusal, *, is_full: bool) -> Mapping[JobName, Refusal]:
        """Tell those who wait why, where that is not what they were told last. Called after all were admitted.

        Args:
            full: what is told to a job that waits for a slot.
            is_full: no slot was free when the look began. Then nobody is told to wait for a session: a slot is missing
                as well, and the session may be free by the time there is one.
        """
        untold = {place: self._refusal(place, full, is_full=is_full) for place in self._untold}
        if not is_full:
            for session in self._doubtful:
                places = self._groups[session].wait_for_slot
                untold |= {place: self._refusal(place, full, is_full=False) for place in places}
        self._untold.clear()
        news = {place: refusal for place, refusal in untold.items() if place.answer != refusal}
        return {place.candidate.key: self._tell(place, refusal) for place, refusal in news.items()}

    def _refusal(self, place: Place, full: Refusal, *, is_full: bool) -> Refusal:
        one, group = place.candidate, self._groups[place.candidate.lock]
        others = [holding for holding in self.users.get(one.lock, {}).values() if holding.uid != one.uid]
        told = next((holding.told for holding in others if holding.told), "another job")
        in_use = Refusal("WaitingForLock", f"session {one.lock[2]} is in use by {told}")
        waits_for_it = place.answer is not None and place not in group.wait_for_slot
        if others:
            return in_use if waits_for_it or not is_full else full
        # Behind another of a free session it goes on saying what it said, but for a pod that holds it no more.
        return in_use if place.answer == in_use and place is not group.shown else full

    def _tell(self, place: Place, refusal: Refusal) -> Refusal:
        session, place.answer = place.candidate.lock, refusal
        group = self._groups[session]
        if refusal.reason == "WaitingForSlot":
            group.wait_for_slot[place] = None
        else:
            group.wait_for_slot.pop(place, None)
        self._judge(session, group)
        return refusal

    def _show(self, before: Place | None, after: Place | None) -> None:
        if before is not None:
            before.ticket = 0
        if after is not None:
            after.ticket = next(self._tickets)
            self._shown.push(after, after.ticket)
            if after.answer is not None and after not in self._groups[after.candidate.lock].wait_for_slot:
                self._untold[after] = None  # it was told to wait for the session

    def _judge(self, session: SessionLock, group: _Group) -> bool:
        """Note whether a session is in use of which somebody was told to wait for a slot; True when it is."""
        told = len(group.wait_for_slot) - (group.shown in group.wait_for_slot)
        doubtful = told > 0 and session in self.users
        if doubtful:
            self._doubtful[session] = None
        else:
            self._doubtful.pop(session, None)
        return doubtful
