"""Who waits for a slot of a queue and who has been promised one.

A promise (reservation) bridges the moment between admission and the claim in the job's status; from then on the claim
itself counts. Lost memory only means that jobs ask again.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass

from agentjobs.core.admission import Candidate, Holders, Refusal, SessionLock, admit
from agentjobs.core.observation import Granted, Job

QueueName = tuple[str, str]  # namespace, queue
JobName = tuple[str, str]  # namespace, name


@dataclass(frozen=True, slots=True)
class Place:
    """A job's request and the answer it has got so far."""

    queue: QueueName
    candidate: Candidate
    answer: Granted | Refusal | None = None


class Slots:
    """Requests and reservations of all queues."""

    def __init__(self) -> None:
        self._places: dict[JobName, Place] = {}
        self._queues: dict[QueueName, dict[JobName, None]] = defaultdict(dict)

    def knows(self, queue: QueueName, candidate: Candidate) -> bool:
        """Whether this very request has been made."""
        place = self._places.get(candidate.key)
        return place is not None and (place.queue, place.candidate) == (queue, candidate)

    def ask(self, queue: QueueName, candidate: Candidate) -> None:
        """Let a job wait in a queue. What it asked for before it must have left."""
        self._places[candidate.key] = Place(queue, candidate)
        self._queues[queue][candidate.key] = None

    def answer(self, job: Job, queue: str) -> Granted | Refusal | None:
        """What admission last said about this very job and a slot of that queue."""
        place = self._places.get(job.key)
        if place is None or (place.candidate.uid, place.queue[1]) != (job.uid, queue):
            return None
        return place.answer

    def leave(self, name: JobName) -> QueueName | None:
        """The job needs no slot, or holds one by its claim. Returns the queue that has a reservation less."""
        place = self._places.pop(name, None)
        if place is None:
            return None
        members = self._queues[place.queue]
        members.pop(name, None)
        if not members:
            del self._queues[place.queue]
        return place.queue if isinstance(place.answer, Granted) else None

    def queues(self, namespace: str) -> list[QueueName]:
        """Queues of a namespace in which somebody waits."""
        return [queue for queue in self._queues if queue[0] == namespace]

    def depth(self, queue: QueueName) -> int:
        """How many jobs wait in a queue without a slot."""
        return sum(1 for name in self._queues.get(queue, ()) if not isinstance(self._places[name].answer, Granted))

    def depths(self) -> dict[str, int]:
        """How many jobs wait, by name of queue, over all namespaces."""
        found: dict[str, int] = defaultdict(int)
        for queue in self._queues:
            found[queue[1]] += self.depth(queue)
        return dict(found)

    def admit(
        self,
        queue: QueueName,
        *,
        limit: int,
        holders: Set[JobName],
        locks: Mapping[SessionLock, Holders],
        alive: Callable[[JobName, str], bool],
    ) -> list[JobName]:
        """Answer every request of a queue at once; return the jobs whose answer changed.

        Args:
            limit: slots of the queue.
            holders: jobs whose status claims a start of this queue.
            locks: sessions in use in the namespace by claimed starts and living pods.
            alive: whether a job of that name and uid still exists.
        """
        for name in [name for name in self._queues.get(queue, ()) if not alive(name, self._places[name].candidate.uid)]:
            self.leave(name)
        reserved = self._reserved(queue[0])
        here = [place for place in reserved if place.queue == queue and place.candidate.key not in holders]
        waiting = [
            place.candidate
            for place in map(self._places.__getitem__, self._queues.get(queue, ()))
            if not isinstance(place.answer, Granted)
        ]
        admitted, refused = admit(
            waiting,
            limit=limit,
            running=len(holders) + len(here),
            locks=_joined(locks, reserved),
            queue=queue[1],
        )
        changed = [candidate.key for candidate in admitted]
        for candidate in admitted:
            self._places[candidate.key] = Place(queue, candidate, Granted())
        for candidate in waiting:
            refusal = refused.get(candidate.uid)
            if refusal is not None and self._places[candidate.key].answer != refusal:
                self._places[candidate.key] = Place(queue, candidate, refusal)
                changed.append(candidate.key)
        return changed

    def _reserved(self, namespace: str) -> list[Place]:
        return [
            place
            for queue in self.queues(namespace)
            for place in map(self._places.__getitem__, self._queues[queue])
            if isinstance(place.answer, Granted)
        ]


def _joined(locks: Mapping[SessionLock, Holders], reserved: Iterable[Place]) -> Mapping[SessionLock, Holders]:
    """Sessions in use, and those of jobs that have been promised a slot."""
    joined = dict(locks)
    for candidate in (place.candidate for place in reserved):
        joined[candidate.lock] = {candidate.uid: "", **joined.get(candidate.lock, {})}
    return joined
