"""Who waits for a slot, who holds one, and who uses a session, in all namespaces.

A reservation bridges the moment between admission and the claim in the job's status; from then on the claim itself
counts. Lost memory only means that jobs ask again.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping
from datetime import datetime

from agentjobs.core.job.observation import Job
from agentjobs.core.queues.admission import (
    Admission,
    Candidate,
    Granted,
    Holding,
    JobName,
    Place,
    QueuePolicy,
    Queues,
    Refusal,
)

QueueName = tuple[str, str]  # namespace, queue


class Slots:
    """The queues of each namespace, and which of them to look at."""

    def __init__(self, wake: Callable[[QueueName], None]) -> None:
        """`wake` is told each queue in which a look may change something."""
        self._wake = wake
        self._queues: dict[str, Queues] = defaultdict(Queues)

    def knows(self, queue: QueueName, candidate: Candidate) -> bool:
        """Whether this very request has been made."""
        place = self._place(candidate.key)
        return place is not None and (place.queue, place.candidate) == (queue[1], candidate)

    def ask(self, queue: QueueName, candidate: Candidate) -> None:
        """Let a job wait in a queue; it leaves the one where it waited."""
        self._queues[queue[0]].ask(queue[1], candidate)
        self._changed(queue[0])

    def answer(self, job: Job, queue: str) -> Granted | Refusal | None:
        """What admission last said about this very job and a slot of that queue."""
        place = self._place(job.key)
        if place is None or (place.candidate.uid, place.queue) != (job.uid, queue):
            return None
        return place.answer

    def leave(self, name: JobName) -> None:
        """The job needs no slot, or holds one by its claim."""
        if self._place(name) is not None:
            self._queues[name[0]].leave(name)
            self._changed(name[0])

    def leave_unless(self, name: JobName, uid: str | None) -> None:
        """Only a job of that uid may go on waiting under that name; None for no job."""
        place = self._place(name)
        if place is not None and place.candidate.uid != uid:
            self.leave(name)

    def hold(self, namespace: str, source: Hashable, holding: Holding | None) -> None:
        """Say what a claim or a pod holds from now on; None for nothing."""
        if holding is not None or namespace in self._queues:
            self._queues[namespace].hold(source, holding)
            self._changed(namespace)

    def admit(self, queue: QueueName, policy: QueuePolicy, now: datetime) -> Admission:
        """Answer every request of a queue at once."""
        queues = self._queues.get(queue[0])
        if queues is None:
            return Admission()
        answer = queues.admit(queue[1], policy, now)
        self._changed(queue[0])
        return answer

    def wake_all(self) -> None:
        """Look at every queue in which somebody waits."""
        for namespace, queues in self._queues.items():
            for queue in queues.waiting():
                self._wake((namespace, queue))

    def depths(self) -> Mapping[str, int]:
        """How many jobs wait without a slot, by name of queue, over all namespaces."""
        found: Counter[str] = Counter()
        for queues in self._queues.values():
            found.update(queues.waiting())
        return found

    def _place(self, name: JobName) -> Place | None:
        queues = self._queues.get(name[0])
        return None if queues is None else queues.place(name)

    def _changed(self, namespace: str) -> None:
        queues = self._queues[namespace]
        for queue in sorted(queues.woken):
            self._wake((namespace, queue))
        queues.woken.clear()
        if not queues:
            del self._queues[namespace]
