"""The client's operations on queues, shared by both clients: see operations.py.

A queue of the installation has no object. Changing it creates the object; omitted fields keep the installation's
values.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from agentjobs import errors
from agentjobs.api.queues.spec import COMMON, StopPolicy
from agentjobs.client.effects import Operation, Send
from agentjobs.client.job import Job
from agentjobs.client.job_queue import Queue, QueueSpec
from agentjobs.client.object import plain_spec
from agentjobs.client.operations import Operations
from agentjobs.client.requests import KindOperations

_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class QueueOperations(KindOperations):
    """The operations on the queues of one namespace."""

    plural: ClassVar[str] = "agentqueues"

    def apply(
        self,
        name: str,
        spec: QueueSpec,
        *,
        labels: Mapping[str, str] | None,
        annotations: Mapping[str, str] | None,
    ) -> Operation[Queue]:
        """Create a queue, or replace the spec of an existing one."""
        notes = {"labels": labels, "annotations": annotations}
        applied = self._applied(name, plain_spec(spec), kind="AgentQueue", stopping="stopPolicy", **notes)
        return Queue.parse((yield from applied))

    def get(self, name: str) -> Operation[Queue]:
        """Read a queue; one of the installation with jobs is returned without an object."""
        return Queue.parse((yield from self._sent(Send("GET", self.path(name)))))

    def list(self, *, selector: str) -> "Operation[Sequence[Queue]]":
        """List the queues with an object, sorted by name."""
        found, _ = yield from self.listed(selector)
        return tuple(map(Queue.parse, found))

    def in_use(self, *, everywhere: bool = False) -> "Operation[Sequence[Queue]]":
        """List the queues with an object, and those without one that have jobs, with their job counts.

        Args:
            everywhere: of all namespaces that have AgentQueues or jobs.
        """
        bodies, _ = yield from self.listed("", everywhere=everywhere)
        queues = [*map(Queue.parse, bodies)]
        bodies, _ = yield from Operations(self.namespace, self.retry_for).listed("", everywhere=everywhere)
        jobs = [*map(Job.parse, bodies)]
        known: defaultdict[str, dict[str, Queue]] = defaultdict(dict)
        for queue in queues:
            known[queue.namespace][queue.name] = queue
        waiting: defaultdict[str, list[Job]] = defaultdict(list)
        for job in jobs:
            waiting[job.namespace].append(job)
        found = [*queues]
        for place in {*known, *waiting} if everywhere else {self.namespace}:
            found += without_object(waiting[place], known=known[place], namespace=place)
        return tuple(sorted(found, key=lambda queue: (queue.namespace, queue.name)))

    def stop(self, name: str, policy: StopPolicy, *, known: bool | None = None) -> Operation[tuple[Queue, bool]]:
        """Set `stopPolicy`. The second value is whether the object was created.

        Args:
            known: whether a queue of this name has jobs; None reads all jobs to find out.
        """
        return (yield from self._set(name, {"stopPolicy": policy}, known))

    def scale(self, name: str, most: int, *, known: bool | None = None) -> Operation[tuple[Queue, bool]]:
        """Set how many jobs have a slot at the same time. As `stop`."""
        return (yield from self._set(name, {"concurrency": {"max": most}}, known))

    def _set(self, name: str, spec: Mapping[str, Any], known: bool | None) -> Operation[tuple[Queue, bool]]:
        for _ in range(_TRIES):
            with suppress(errors.NotFound):
                return Queue.parse((yield from self._patched(name, {"spec": spec}))), False
            yield from self._must_be_known(name, known)
            with suppress(errors.AlreadyExists):
                return Queue.parse((yield from self._created("AgentQueue", {"name": name}, spec))), True
        raise errors.Conflict(f"AgentQueue {name!r} is created and deleted repeatedly; try again.")

    def _must_be_known(self, name: str, known: bool | None) -> Operation[None]:
        """A misspelled name must not create a queue. Raises NotFound."""
        if name in COMMON or known:
            return
        if known is None:
            jobs = yield from Operations(self.namespace, self.retry_for).list(selector="")
            known = any(job.status.queue is not None and job.status.queue.name == name for job in jobs)
        if not known:
            message = f"AgentQueue {name!r} does not exist, and no job names it"
            raise errors.NotFound(f"{message}; create it, or see `agentjobs queue list`.")


def without_object(jobs: Sequence[Job], *, known: Mapping[str, object], namespace: str) -> Sequence[Queue]:
    """Return the queues without an object, as far as visible: the common ones, and those that jobs name."""
    counts: dict[str, dict[str, int]] = {name: {} for name in COMMON}
    for job in jobs:
        if job.status.queue is not None and job.status.phase is not None and not job.finished:
            of = counts.setdefault(job.status.queue.name, {})
            of[job.status.phase.value] = of.get(job.status.phase.value, 0) + 1
    return [
        Queue.of_installation(name, phases, namespace=namespace) for name, phases in counts.items() if name not in known
    ]
