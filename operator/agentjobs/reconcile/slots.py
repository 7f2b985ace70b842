"""The queues of all namespaces: entries of jobs that wait for a slot, holders of slots, users of sessions.

A reservation holds the slot between admission and the claim in the job's status; afterwards the claim holds it. If this
memory is lost, jobs request slots again.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping
from datetime import datetime

from agentjobs.core.job.observation import Job
from agentjobs.core.queues.admission import (
    Admission,
    AdmissionAnswer,
    Candidate,
    Holding,
    JobName,
    QueueEntry,
    QueuePolicy,
    Queues,
    Refusal,
    RoomReason,
)

QueueName = tuple[str, str]  # namespace, queue


class Slots:
    """The queues by namespace; wakes those whose answers may change."""

    def __init__(self, wake: Callable[[QueueName], None]) -> None:
        """`wake` is called with each queue for which `admit` may change something."""
        self._wake = wake
        self._queues: dict[str, Queues] = defaultdict(Queues)

    def has(self, queue: QueueName, candidate: Candidate) -> bool:
        """Whether an equal entry exists."""
        entry = self._entry(candidate.key)
        return entry is not None and (entry.queue, entry.candidate) == (queue[1], candidate)

    def enqueue(self, queue: QueueName, candidate: Candidate) -> None:
        """Add a job to a queue; it leaves its previous one."""
        self._queues[queue[0]].enqueue(queue[1], candidate)
        self._changed(queue[0])

    def answer(self, job: Job, queue: str) -> AdmissionAnswer | None:
        """Return admission's last answer to this job, by uid, for a slot of that queue."""
        entry = self._entry(job.key)
        if entry is None or (entry.candidate.uid, entry.queue) != (job.uid, queue):
            return None
        return entry.answer

    def waits_since(self, queue: QueueName, job: Job) -> datetime | None:
        """Return when the job began to wait in that queue, if known."""
        entry = self._entry(job.key)
        if entry is None or (entry.candidate.uid, entry.queue) != (job.uid, queue[1]):
            return None
        return entry.candidate.since

    def room_refused(self, name: JobName, reason: RoomReason, until: datetime) -> Refusal | None:
        """Handle that PostgreSQL refused a granted slot: see `Queues.room_refused`."""
        queues = self._queues.get(name[0])
        refusal = None if queues is None else queues.room_refused(name, reason, until)
        if refusal is not None:
            self._changed(name[0])
        return refusal

    def leave(self, name: JobName) -> None:
        """Remove the entry of a job that needs no slot, or holds one by its claim."""
        if self._entry(name) is not None:
            self._queues[name[0]].leave(name)
            self._changed(name[0])

    def leave_unless(self, name: JobName, uid: str | None) -> None:
        """Remove the entry of that name unless its job has that uid; None always removes it."""
        entry = self._entry(name)
        if entry is not None and entry.candidate.uid != uid:
            self.leave(name)

    def hold(self, namespace: str, source: Hashable, holding: Holding | None) -> None:
        """Set what a claim or a pod holds; None for nothing."""
        if holding is not None or namespace in self._queues:
            self._queues[namespace].hold(source, holding)
            self._changed(namespace)

    def admit(self, queue: QueueName, policy: QueuePolicy, now: datetime) -> Admission:
        """Answer all requests of a queue."""
        queues = self._queues.get(queue[0])
        if queues is None:
            return Admission()
        answer = queues.admit(queue[1], policy, now)
        self._changed(queue[0])
        return answer

    def close(self, queue: QueueName) -> None:
        """Remove a deleted queue."""
        if (queues := self._queues.get(queue[0])) is not None:
            queues.close(queue[1])
            self._changed(queue[0])

    def wake_all(self) -> None:
        """Wake every queue in which jobs wait."""
        for namespace, queues in self._queues.items():
            for queue in queues.waiting():
                self._wake((namespace, queue))

    def waits_for_rate(self, queue: QueueName) -> bool:
        """Whether jobs waited for the queue's rate at the last `admit`."""
        queues = self._queues.get(queue[0])
        return queues is not None and queues.waits_for_rate(queue[1])

    def depths(self) -> Mapping[str, int]:
        """Return how many jobs wait without a slot, by name of queue, over all namespaces."""
        found: Counter[str] = Counter()
        for queues in self._queues.values():
            found.update(queues.waiting())
        return found

    def _entry(self, name: JobName) -> QueueEntry | None:
        queues = self._queues.get(name[0])
        return None if queues is None else queues.entry(name)

    def _changed(self, namespace: str) -> None:
        queues = self._queues[namespace]
        for queue in sorted(queues.woken):
            self._wake((namespace, queue))
        queues.woken.clear()
        if not queues:
            del self._queues[namespace]
