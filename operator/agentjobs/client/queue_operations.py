"""What a client can do with queues, written once for both worlds: see operations.py.

A queue of the installation has no object. To change one makes its object, which takes what it does not say from the
installation.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from agentjobs import errors
from agentjobs.api.queues.spec import StopPolicy
from agentjobs.client.effects import Operation, Send
from agentjobs.client.job import Job
from agentjobs.client.job_queue import Queue, QueueSpec
from agentjobs.client.object import plain_spec
from agentjobs.client.operations import Operations
from agentjobs.client.requests import Asking

_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class QueueOperations(Asking):
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
        """Create a queue, or change the one of that name to this spec."""
        notes = {"labels": labels, "annotations": annotations}
        applied = self._applied(name, plain_spec(spec), kind="AgentQueue", stopping="stopPolicy", **notes)
        return Queue.parse((yield from applied))

    def get(self, name: str) -> Operation[Queue]:
        """Read a queue; one of the installation that jobs are in has no object."""
        return Queue.parse((yield from self._asked(Send("GET", self.path(name)))))

    def list(self, *, selector: str) -> "Operation[Sequence[Queue]]":
        """List the queues with an object, in the order of their names."""
        found, _ = yield from self.listed(selector)
        return tuple(map(Queue.parse, found))

    def in_use(self) -> "Operation[Sequence[Queue]]":
        """List the queues with an object, and those without that jobs are in, counted by their jobs."""
        found = {queue.name: queue for queue in (yield from self.list(selector=""))}
        jobs = yield from Operations(self.namespace, self.patience).list(selector="")
        return tuple(
            sorted(
                (*found.values(), *without_object(jobs, known=found, namespace=self.namespace)),
                key=lambda queue: queue.name,
            )
        )

    def stop(self, name: str, policy: StopPolicy, *, known: bool | None = None) -> Operation[tuple[Queue, bool]]:
        """Set `stopPolicy`. The second value says whether the object was made for it.

        Args:
            known: whether jobs are in a queue of this name, where the caller knows it; else all are read to see.
        """
        return (yield from self._set(name, {"stopPolicy": policy}, known))

    def scale(self, name: str, most: int, *, known: bool | None = None) -> Operation[tuple[Queue, bool]]:
        """Set how many jobs hold a slot at once. As `stop`."""
        return (yield from self._set(name, {"concurrency": {"max": most}}, known))

    def _set(self, name: str, spec: Mapping[str, Any], known: bool | None) -> Operation[tuple[Queue, bool]]:
        for _ in range(_TRIES):
            with suppress(errors.NotFound):
                return Queue.parse((yield from self._patched(name, {"spec": spec}))), False
            yield from self._must_be_known(name, known)
            with suppress(errors.AlreadyExists):
                return Queue.parse((yield from self._created("AgentQueue", {"name": name}, spec))), True
        raise errors.Conflict(f"AgentQueue {name!r} comes and goes all the time; try again.")

    def _must_be_known(self, name: str, known: bool | None) -> Operation[None]:
        """A slip in a name must not make a queue. Raises NotFound."""
        if name in COMMON or known:
            return
        if known is None:
            jobs = yield from Operations(self.namespace, self.patience).list(selector="")
            known = any(job.status.queue is not None and job.status.queue.name == name for job in jobs)
        if not known:
            said = f"there is no AgentQueue {name!r}, and no job is in such a queue"
            raise errors.NotFound(f"{said}; make one, or see `agentjobs queue list`.")


COMMON: Final = ("agents", "scheduled")
"""The queues that every installation has unless somebody removed them."""


def without_object(jobs: Sequence[Job], *, known: Mapping[str, object], namespace: str) -> Sequence[Queue]:
    """Return the queues without an object, as far as it can be seen: the common ones, and those that jobs are in."""
    counts: dict[str, dict[str, int]] = {name: {} for name in COMMON}
    for job in jobs:
        if job.status.queue is not None and job.status.phase is not None and not job.finished:
            of = counts.setdefault(job.status.queue.name, {})
            of[job.status.phase.value] = of.get(job.status.phase.value, 0) + 1
    return [
        Queue.of_installation(name, phases, namespace=namespace) for name, phases in counts.items() if name not in known
    ]
