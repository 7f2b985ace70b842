"""How many jobs of each queue run, wait, are delayed or suspended.

Updated with every change of a job's object, so that reading costs nothing for any number of jobs. No I/O, no clock.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from heapq import heapify, heappop, heappush
from typing import Final

from agentjobs.api.conditions import Phase
from agentjobs.core.job.ended import KnownJob
from agentjobs.core.job.observation import Job
from agentjobs.core.queues.admission import JobName

# A heap this small is not worth compacting.
_SMALL: Final = 64


class Place(Enum):
    """State of a job in its queue."""

    RUNNING = auto()
    WAITING = auto()
    SCHEDULED = auto()
    SUSPENDED = auto()


_PLACES: Final = {
    Phase.RUNNING: Place.RUNNING,
    Phase.QUEUED: Place.WAITING,
    Phase.SCHEDULED: Place.SCHEDULED,
    Phase.RETRYING: Place.SCHEDULED,
    Phase.SUSPENDED: Place.SUSPENDED,
}

QueueName = tuple[str, str]  # namespace, queue


@dataclass(frozen=True, slots=True)
class _Entry:
    queue: QueueName
    place: Place
    since: datetime
    """Since when it waits; only used for waiting jobs."""


class Tally:
    """The counts of all queues."""

    def __init__(self) -> None:
        self._entries: dict[JobName, _Entry] = {}
        self._counts: dict[QueueName, Counter[Place]] = defaultdict(Counter)
        # By queue, the jobs that began to wait, oldest first, with lazy deletion.
        self._waits: dict[QueueName, list[tuple[datetime, JobName]]] = defaultdict(list)

    def take(self, name: JobName, job: KnownJob | None) -> set[QueueName]:
        """Update a job's state; None if it is gone. Returns the queues whose counts changed."""
        before, after = self._entries.get(name), _entry(job)
        if before == after:
            return set()
        if before is not None:
            del self._entries[name]
            self._counts[before.queue][before.place] -= 1
        if after is not None:
            self._entries[name] = after
            self._counts[after.queue][after.place] += 1
            if after.place is Place.WAITING:
                self._wait(after, name)
        changed = {holding.queue for holding in (before, after) if holding is not None}
        for queue in changed:
            self._forget(queue)
        return changed

    def count(self, queue: QueueName, place: Place) -> int:
        """Return the number of a queue's jobs in this state."""
        return self._counts[queue][place] if queue in self._counts else 0

    def oldest(self, queue: QueueName) -> datetime | None:
        """Return since when the longest-waiting job waits, or None."""
        waits = self._waits.get(queue, [])
        while waits and not self._counts_still(queue, *waits[0]):
            heappop(waits)
        return waits[0][0] if waits else None

    def _wait(self, entry: _Entry, name: JobName) -> None:
        waits = self._waits[entry.queue]
        heappush(waits, (entry.since, name))
        if len(waits) > 2 * self._counts[entry.queue][Place.WAITING] + _SMALL:
            waits[:] = {wait for wait in waits if self._counts_still(entry.queue, *wait)}
            heapify(waits)

    def _counts_still(self, queue: QueueName, since: datetime, name: JobName) -> bool:
        entry = self._entries.get(name)
        return entry is not None and (entry.queue, entry.place, entry.since) == (queue, Place.WAITING, since)

    def _forget(self, queue: QueueName) -> None:
        if not any(self._counts[queue].values()):
            del self._counts[queue]
            self._waits.pop(queue, None)


def _entry(job: KnownJob | None) -> _Entry | None:
    if not isinstance(job, Job) or job.finished or job.status.queue is None:
        return None
    place = _PLACES.get(job.status.phase) if job.status.phase else None
    if place is None:
        return None
    return _Entry((job.namespace, job.status.queue.name), place, job.status.queue.since or job.created)
