"""Writes the status of queues: on changes, at most once in five seconds per queue.

Policies and counts come from `state`. Every write has the resourceVersion as precondition.
"""

from datetime import datetime, timedelta
from typing import Final

from agentjobs.bounded import Bounded
from agentjobs.core.job.ended import KnownJob
from agentjobs.core.queues.admission import JobName
from agentjobs.core.queues.model import Queue
from agentjobs.core.queues.status import QueueView, status_of
from agentjobs.core.queues.tally import Place, Tally
from agentjobs.engine.cache import Name
from agentjobs.errors import NotFound
from agentjobs.kube.resources import AGENTJOBS, AGENTQUEUES
from agentjobs.reconcile.queues.policies import NOTHING_STARTS
from agentjobs.reconcile.queues.reporter import QueueReporter
from agentjobs.reconcile.setup import Setup

# Limits the writes during a burst of a thousand jobs to a few.
WRITE_SECONDS: Final = 5.0
KEPT: Final = 4096


class QueueStatuses:
    """The status of each queue with an object."""

    def __init__(self, setup: Setup) -> None:
        self._state = setup.state
        self._cluster = setup.ports.cluster
        self._now = setup.ports.now
        self._monotonic = setup.ports.monotonic
        self._reporter = QueueReporter(setup.ports)
        self._tally = Tally()
        # By uid, when its status was written last.
        self._written: Bounded[str, float] = Bounded(KEPT)
        self._state.informers.subscribe(AGENTJOBS, self._job_changed)

    async def reconcile(self, name: Name) -> datetime | None:
        """Write the status of one queue if it is due. Returns when to reconcile again."""
        queue = self._state.queues.get(name)
        if queue is None:
            return None
        wait = self._wait(queue)
        if wait > 0:
            return self._now() + timedelta(seconds=wait)
        status = status_of(self._view(queue), self._now())
        patch = status.patch_from(queue.raw_status)
        if not patch:
            return None
        body = {"metadata": {"resourceVersion": queue.resource_version}, "status": patch}
        try:
            answer = await self._cluster.patch(AGENTQUEUES, *name, body, subresource="status")
        except NotFound:
            self._state.observe_gone(AGENTQUEUES, queue)
            return None
        self._written.put(queue.uid, self._monotonic())
        self._state.observe(AGENTQUEUES, None, answer)
        self._reporter.written(queue, status)
        return None

    def _view(self, queue: Queue) -> QueueView:
        name = queue.key
        standing = self._state.policies.standing(name) or NOTHING_STARTS
        return QueueView(
            queue=queue,
            policy=standing.policy,
            known=standing.spec is not None,
            running=self._tally.count(name, Place.RUNNING),
            waiting=self._tally.count(name, Place.WAITING),
            scheduled=self._tally.count(name, Place.SCHEDULED),
            suspended=self._tally.count(name, Place.SUSPENDED),
            oldest=self._tally.oldest(name),
            budgets=standing.budgets,
            limits=self._state.policies.left(name),
            rate_reached=self._state.slots.waits_for_rate(name),
        )

    def _wait(self, queue: Queue) -> float:
        """Return how long to wait before the next write; an edit is answered immediately."""
        written = self._written.get(queue.uid)
        if written is None or queue.status.observed_generation != queue.generation:
            return 0.0
        return max(0.0, written + WRITE_SECONDS - self._monotonic())

    def _job_changed(self, name: JobName, _before: KnownJob | None, after: KnownJob | None) -> None:
        for changed in self._tally.take(name, after):
            queue = self._state.queues.get(changed)
            if queue is None:
                continue
            key, wait = AGENTQUEUES.key(changed), self._wait(queue)
            if wait:
                self._state.queue.add_after(key, wait)
            else:
                self._state.queue.add(key)
