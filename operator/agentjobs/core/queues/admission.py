"""Which waiting jobs of a queue start now.

The order, as documented in docs/reference/queue-order.md:

1. The queue is open: not stopped, and with room in its budgets. Else no job starts. 2. The level: the priority less
one for each whole aging since the job began to wait, at least 0. Lower first. 3. With strategy Fair the partition: the
one that holds the fewest slots; among equals the one whose last start is longest
   ago, or that had none.
4. Age: the job that was created first; then its name.

Skipped: a job whose session or worktree is in use, or whose partition has used up its slots, rate or budget. While the
queue has a free slot and starts left, an eligible job gets it. A job takes all its locks together, so no job holds one
while it waits for another.

`Queues` holds the state of one namespace: the entries of waiting jobs, the holders of slots, the users of locks. It
updates its answers with each change, so that a start costs O(log n) and a full queue nothing, regardless of the number
of waiting jobs. The decision is one synchronous call. No I/O, no clock.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from agentjobs.api.conditions import AdmittedReason
from agentjobs.core.queues import messages
from agentjobs.core.queues.limits import Limits
from agentjobs.core.queues.line import Line
from agentjobs.core.queues.policy import Backlog, ExceededBudget, QueuePolicy, Rate, Stop, Strategy
from agentjobs.core.queues.requests import (
    AdmissionAnswer,
    Candidate,
    Granted,
    Holding,
    JobName,
    Lock,
    QueueEntry,
    Refusal,
    Rejection,
    SessionLock,
    Users,
    WorktreeLock,
)

__all__ = (
    "Admission",
    "AdmissionAnswer",
    "Backlog",
    "Candidate",
    "ExceededBudget",
    "Granted",
    "Holding",
    "JobName",
    "QueueEntry",
    "QueuePolicy",
    "Queues",
    "Rate",
    "Refusal",
    "Rejection",
    "RoomReason",
    "SessionLock",
    "Stop",
    "Strategy",
    "WorktreeLock",
)


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer for one queue."""

    admitted: tuple[JobName, ...] = ()
    """Jobs that start now, in order. Their slots and locks are reserved until they leave."""
    refused: Mapping[JobName, Refusal] = field(default_factory=dict)
    """Jobs that wait, with the reason: only new or changed answers."""
    rejected: Mapping[JobName, Rejection] = field(default_factory=dict)
    """Jobs that end instead of waiting."""
    again: datetime | None = None
    """When time alone may change the answer; None if only an event can."""

    @property
    def changed(self) -> tuple[JobName, ...]:
        """Jobs whose answer has changed."""
        return (*self.admitted, *self.refused, *self.rejected)


RoomReason = Literal["Slot", "Partition", "Rate"]
"""What PostgreSQL refused a slot for."""

NOTHING: Final = Admission()


class Queues:
    """All queues of one namespace."""

    def __init__(self) -> None:
        self.woken: set[str] = set()
        """Queues for which `admit` may change something. The caller clears it; `admit` removes its own queue."""
        self._entries: dict[JobName, QueueEntry] = {}
        self._lines: dict[str, Line] = {}
        self._holdings: dict[Hashable, Holding] = {}
        self._users: Users = {}

    def __bool__(self) -> bool:
        """Whether there is any state to keep."""
        return bool(self._entries or self._holdings or self._lines)

    def entry(self, name: JobName) -> QueueEntry | None:
        """Return a job's request and its last answer."""
        return self._entries.get(name)

    def waiting(self) -> Mapping[str, int]:
        """Return how many jobs wait without a slot, by queue."""
        return {name: line.waiting for name, line in self._lines.items() if line.waiting}

    def waits_for_rate(self, queue: str) -> bool:
        """Whether jobs waited for the queue's rate at the last `admit`."""
        line = self._lines.get(queue)
        refusal = line.limits.refusal() if line is not None and line.waiting else None
        return isinstance(refusal, Refusal) and refusal.reason == AdmittedReason.WAITING_FOR_RATE

    def enqueue(self, queue: str, candidate: Candidate) -> None:
        """Add a job to a queue. An earlier entry of that name is removed."""
        self.leave(candidate.key)
        entry = self._entries[candidate.key] = QueueEntry(queue, candidate)
        self._line(queue).join(entry)
        self.woken.add(queue)

    def leave(self, name: JobName) -> None:
        """Remove a job's entry and its reservations. Slots and locks of a claim are kept."""
        entry = self._entries.pop(name, None)
        if entry is None:
            return
        if not isinstance(entry.answer, Granted | Rejection):
            self._leave_line(entry)
        elif isinstance(entry.answer, Granted):
            self.hold(_reservation(name), None)
            if (line := self._lines.get(entry.queue)) is not None:
                line.not_started(entry)

    def room_refused(self, name: JobName, reason: RoomReason, until: datetime) -> Refusal | None:
        """Make a job wait again because PostgreSQL refused its granted slot, and pause granting.

        Args:
            name: the job.
            reason: the exhausted limit.
            until: when to retry. A free slot of the queue also ends the wait, unless a rate is exhausted.

        Returns the job's new answer; None if it had no granted slot.
        """
        entry = self._entries.get(name)
        if entry is None or not isinstance(entry.answer, Granted):
            return None
        # It joins before its slot is free, or the queue might be dropped; the pause is last, because a free slot ends
        # it.
        line = self._lines[entry.queue]
        entry.answer = Refusal(messages.SLOT, "")
        line.join(entry)
        self.hold(_reservation(name), None)
        line.not_started(entry)
        refusal = line.pause(entry, reason, until)
        if entry.reported is not None and entry.reported.reason in messages.TURNS:
            refusal = entry.reported  # its condition still has this answer, and each change is a write
        entry.answer = refusal
        self.woken.add(entry.queue)
        return refusal

    def close(self, queue: str) -> None:
        """Remove a deleted queue. Its waiting jobs get their message elsewhere."""
        line = self._lines.get(queue)
        if line is not None:
            line.limits.policy = None
            self._forget(queue, line)

    def _leave_line(self, entry: QueueEntry) -> None:
        line = self._lines[entry.queue]
        if line.leave(entry):
            self.woken.add(entry.queue)
        self._forget(entry.queue, line)

    def hold(self, source: Hashable, holding: Holding | None) -> None:
        """Set what a source (a claim, a pod) holds; None for nothing."""
        before = self._holdings.get(source)
        if before == holding:
            return
        # The new holding first, so that a slot passed from one to the other is never free in between.
        if holding is None:
            del self._holdings[source]
        else:
            self._holdings[source] = holding
            self._take(source, holding)
        if before is not None:
            self._give_back(source, before, holding)
        for lock in dict.fromkeys(lock for holder in (before, holding) if holder is not None for lock in holder.locks):
            self._lock_changed(lock)

    def admit(self, queue: str, policy: QueuePolicy, now: datetime) -> Admission:
        """Answer all requests of a queue.

        Args:
            queue: which one.
            policy: its current policy.
            now: the time, for policies that depend on it.
        """
        self.woken.discard(queue)
        line = self._lines.get(queue)
        if line is None:
            return NOTHING
        line.look(policy, now)
        admitted: list[JobName] = []
        while (entry := line.next()) is not None:
            self._grant(line, entry)
            admitted.append(entry.candidate.key)
        answers = line.new_answers()
        self.woken.discard(queue)
        refused = {name: answer for name, answer in answers.items() if isinstance(answer, Refusal)}
        rejected = {name: answer for name, answer in answers.items() if isinstance(answer, Rejection)}
        answer = Admission(tuple(admitted), refused, rejected, line.again())
        self._forget(queue, line)
        return answer

    def _grant(self, line: Line, entry: QueueEntry) -> None:
        """Reserve the slot and all locks until the job's claim is seen, or it leaves."""
        candidate, entry.reported = entry.candidate, entry.answer if isinstance(entry.answer, Refusal) else None
        entry.answer = Granted()
        more = {"partition": candidate.partition, "worktree": candidate.worktree}
        self.hold(
            _reservation(candidate.key), Holding(candidate.uid, candidate.lock, entry.queue, candidate.uid, **more)
        )
        line.granted(entry)

    def _take(self, source: Hashable, holding: Holding) -> None:
        for lock in holding.locks:
            self._users.setdefault(lock, {})[source] = holding
        if holding.queue is not None:
            self._line(holding.queue).take(holding.holder, holding.partition)

    def _give_back(self, source: Hashable, before: Holding, after: Holding | None) -> None:
        for lock in before.locks:
            if after is None or lock not in after.locks:
                users = self._users[lock]
                del users[source]
                if not users:
                    del self._users[lock]
        if before.queue is not None:
            line = self._lines[before.queue]
            if line.give_back(before.holder, before.partition) and line.waiting:
                self.woken.add(before.queue)
            self._forget(before.queue, line)

    def _lock_changed(self, lock: Lock) -> None:
        """Notify all queues of the namespace, of which there are few."""
        self.woken.update(name for name, line in self._lines.items() if line.lock_changed(lock))

    def _line(self, queue: str) -> Line:
        line = self._lines.get(queue)
        if line is None:
            line = self._lines[queue] = Line(self._users, Limits(queue))
        return line

    def _forget(self, queue: str, line: Line) -> None:
        if line.is_idle:
            del self._lines[queue]


def _reservation(name: JobName) -> Hashable:
    return "reservation", name
