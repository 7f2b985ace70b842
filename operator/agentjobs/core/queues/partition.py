"""The jobs of one partition that wait in one queue, without those whose session is in use.

Jobs of one session wait in a group. A group offers its partition at most one job: the one that the session allows to
start. So a job that waits for its session costs nothing until the session is free, and then only the first job of that
session is considered. A group is of one session and one partition: no partition's limit delays another's jobs.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agentjobs.core.queues.heaps import Heap
from agentjobs.core.queues.policy import ExceededBudget, QueuePolicy
from agentjobs.core.queues.requests import Holding, QueueEntry
from agentjobs.core.queues.sentences import TURNS
from agentjobs.core.queues.starts import Starts


class _Offers(Heap[QueueEntry]):
    """The entries that groups offer to their partition, by level, age and name."""

    __slots__ = ()

    def counts(self, item: tuple[Any, ...]) -> bool:
        entry: QueueEntry = item[-1]
        return entry.ticket == int(item[-2])


@dataclass(frozen=True, slots=True)
class Pause:
    """PostgreSQL had no room: nothing is granted for a while."""

    until: datetime
    of_rate: bool
    """Whether only time helps. Else a slot that becomes free does, too."""


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
        """Its budget that is used up, if one is."""
        self.is_open = True
        """Whether its own limits let a job start; whose jobs those are is no part of it."""
        self.place: tuple[Any, ...] = ()
        """Its place among the partitions of the queue."""
        self.ticket = 0
        """The number of that place, 0 for none."""
        self.timer: datetime | None = None
        """When it is looked at again, though nothing happens."""
        self.doubtful: dict[Group, None] = {}
        """Groups whose session is in use, with jobs that were told to wait for their turn."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing of it waits or holds a slot."""
        return not self.waiting and not self.holders

    def opens_at(self, policy: QueuePolicy, now: datetime) -> datetime | None:
        """Return until when a limit of its own that passes with time keeps its jobs; None when none does."""
        times = [one.until for one in (self.budget, self.pause) if one is not None and one.until > now]
        if policy.rate is not None and policy.rate.by_partition:
            times += [at] if (at := self.starts.room_at(policy.rate, now)) is not None else []
        return max(times, default=None)

    def is_full(self, policy: QueuePolicy) -> bool:
        """Whether its jobs hold all slots that they may hold."""
        return policy.per_partition is not None and len(self.holders) >= policy.per_partition


class Group(Heap[QueueEntry]):
    """The waiting jobs of one session in one partition."""

    __slots__ = ("members", "named", "partition", "shown", "turns")

    def __init__(self, partition: Partition) -> None:
        super().__init__()
        self.partition = partition
        self.members: dict[str, QueueEntry] = {}  # by uid
        self.shown: QueueEntry | None = None
        # The names of the pods that hold the session, each with the uid of its job.
        self.named: tuple[tuple[str, str], ...] = ()
        # Entries whose answer is that they wait for their turn.
        self.turns: dict[QueueEntry, None] = {}

    def counts(self, item: tuple[Any, ...]) -> bool:
        entry: QueueEntry = item[-1]
        return self.members.get(entry.candidate.uid) is entry and entry.level == item[0]

    def join(self, entry: QueueEntry, number: int) -> None:
        """Add an entry, or one whose level has changed."""
        self.members[entry.candidate.uid] = entry
        self.push(entry.level, entry.candidate.created, entry.candidate.key, number, entry)

    def leave(self, entry: QueueEntry) -> None:
        """Remove an entry."""
        del self.members[entry.candidate.uid]
        self.turns.pop(entry, None)

    def next(self, users: Mapping[Hashable, Holding]) -> QueueEntry | None:
        """The entry that the session allows to start: the first, or that of the job which alone holds the session."""
        uids = {holding.uid for holding in users.values()}
        if not uids:
            return self.first()
        return self.members.get(uids.pop()) if len(uids) == 1 else None

    def wait_for_session(self) -> list[QueueEntry]:
        """Entries whose answer is that they wait for the session."""
        return [entry for entry in self.members.values() if entry.answer and entry not in self.turns]

    def note(self, entry: QueueEntry) -> None:
        """Take in an entry's new answer."""
        if entry.answer is not None and getattr(entry.answer, "reason", "") in TURNS:
            self.turns[entry] = None
        else:
            self.turns.pop(entry, None)
