"""Slots of queues in memory: what `slots` promises, for `MemoryHistory`."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from agentjobs.contract import Resolved
from agentjobs.history.records import Holder, JobKey, NoSlot, SlotRequest
from agentjobs.history.sanitize import clean_text
from agentjobs.history.slots import LEFT_SECONDS


@dataclass(slots=True)
class MemorySlot:
    """The row of a slot."""

    job: JobKey
    start: int
    queue: str
    partition: str
    claimed: datetime


@dataclass(frozen=True, slots=True)
class Begun:
    """A start of a queue with a rate."""

    namespace: str
    queue: str
    partition: str
    at: datetime


class MemorySlots:
    """The slots that are held, and the starts that rates count."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.held: dict[str, MemorySlot] = {}
        """By uid of the job."""
        self.begun: dict[tuple[str, int], Begun] = {}
        """By uid and start."""

    def claim(
        self,
        job: JobKey,
        start: int,
        slot: SlotRequest,
        resolved: Resolved,
        running: Iterable[tuple[JobKey, int, str]] = (),
    ) -> NoSlot | None:
        """Claim a slot for a start; None once it holds one. `running` are other starts of the queue, by partition."""
        self.release([(job.uid, start - 1), *slot.released])
        for key, number, held_in in running:
            known = self.held.get(key.uid)
            if known is None or known.start < number:
                self.held[key.uid] = MemorySlot(key, number, slot.queue, clean_text(held_in), self._now())
        own, partition = self.held.get(job.uid), clean_text(slot.partition)
        is_again = own is not None and (own.start, own.queue) == (start, slot.queue)
        if not is_again:
            reason = "Slot" if own is not None else self._full(job, slot, partition)
            if reason is not None:
                room = self._room(job, slot, partition) if reason == "Rate" else None
                return NoSlot(resolved, reason, room, self._left(job, slot.queue))
        if own is not None:
            own.claimed = self._now()
        else:
            self.held[job.uid] = MemorySlot(job, start, slot.queue, partition, self._now())
        if slot.rate is not None:
            self.begun[job.uid, start] = Begun(job.namespace, slot.queue, partition, self._now())
        return None

    def release(self, ended: Iterable[tuple[str, int]]) -> None:
        """Free the slots of starts that have ended, and of earlier ones of the same jobs."""
        for uid, start in ended:
            if uid in self.held and self.held[uid].start <= start:
                del self.held[uid]

    def release_all(self, uid: str) -> None:
        """Free the slot of a job that has ended or is gone."""
        self.held.pop(uid, None)

    def give_back(self, left: Collection[tuple[str, int, datetime]]) -> None:
        """Free slots, each unless it was claimed again since it was claimed at that time."""
        for uid, start, claimed in left:
            slot = self.held.get(uid)
            if slot is not None and (slot.start, slot.claimed) == (start, claimed):
                del self.held[uid]

    def _full(self, job: JobKey, slot: SlotRequest, partition: str) -> Literal["Slot", "Partition", "Rate"] | None:
        of_queue = [
            held for held in self.held.values() if (held.job.namespace, held.queue) == (job.namespace, slot.queue)
        ]
        if len(of_queue) >= slot.limit:
            return "Slot"
        of_partition = sum(held.partition == partition for held in of_queue)
        if slot.per_partition is not None and of_partition >= slot.per_partition:
            return "Partition"
        if slot.rate is not None and len(self._in_period(job, slot, partition)) >= slot.rate.starts:
            return "Rate"
        return None

    def _in_period(self, job: JobKey, slot: SlotRequest, partition: str) -> list[datetime]:
        """The starts of the period that runs, newest first."""
        assert slot.rate is not None
        since, by_partition = self._now() - slot.rate.period, slot.rate.by_partition
        return sorted(
            (
                held.at
                for held in self.begun.values()
                if (held.namespace, held.queue) == (job.namespace, slot.queue)
                and held.at > since
                and (not by_partition or held.partition == partition)
            ),
            reverse=True,
        )

    def _room(self, job: JobKey, slot: SlotRequest, partition: str) -> timedelta:
        assert slot.rate is not None
        return self._in_period(job, slot, partition)[slot.rate.starts - 1] + slot.rate.period - self._now()

    def _left(self, job: JobKey, queue: str) -> tuple[Holder, ...]:
        of_queue = (
            held
            for held in self.held.values()
            if held.job.uid == job.uid or (held.job.namespace, held.queue) == (job.namespace, queue)
        )
        old = sorted(filter(self._is_old, of_queue), key=lambda held: (held.claimed, held.job.uid))
        return tuple(Holder(held.job.uid, held.start, held.job.namespace, held.job.name, held.claimed) for held in old)

    def _is_old(self, slot: MemorySlot) -> bool:
        return slot.claimed < self._now() - timedelta(seconds=LEFT_SECONDS)
