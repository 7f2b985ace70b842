"""The operator's state in memory: the caches of all kinds, queue entries, specs, and a memo of each job.

Fed by watches, full lists and responses to our own writes; read by the reconcilers. It is lost with the process and
rebuilt from lists. No I/O.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from agentjobs.api.conditions import Phase
from agentjobs.api_resource import Resource
from agentjobs.bounded import Bounded
from agentjobs.core.job import needs
from agentjobs.core.job.ended import EndedJob, KnownJob
from agentjobs.core.job.observation import DEFAULT_QUEUE, Job, QueueStop, parse_job
from agentjobs.core.pods.pod import Pod
from agentjobs.core.queues.admission import (
    Admission,
    Candidate,
    Holding,
    JobName,
    QueuePolicy,
    Refusal,
    RoomReason,
)
from agentjobs.core.queues.model import Queue
from agentjobs.core.schedule.model import Schedule
from agentjobs.core.template.model import AgentTemplate
from agentjobs.engine.cache import Cache, Name
from agentjobs.engine.deadlines import Deadlines
from agentjobs.engine.kinds import Informers, Kind
from agentjobs.kube.resources import AGENTJOBS, AGENTQUEUES, AGENTSCHEDULES, AGENTTEMPLATES, PODS
from agentjobs.reconcile.job.memo import JobMemo
from agentjobs.reconcile.job.specs import Specs
from agentjobs.reconcile.queues.policies import Policies
from agentjobs.reconcile.slot_changes import SlotChanges
from agentjobs.reconcile.slots import QueueName, Slots
from agentjobs.reconcile.waits import Waits

QUEUE: Final = "queue"
"""The kind in the key of a queue's admission, which needs no object."""

ROOM_AGAIN: Final = timedelta(seconds=1)
"""How soon to retry a queue for which PostgreSQL counts more slots than this operator."""


_DELETED: Final = 4096


class Versioned(Protocol):
    """An object's identity and version."""

    @property
    def key(self) -> tuple[str, str]: ...

    @property
    def uid(self) -> str: ...

    @property
    def resource_version(self) -> str: ...


class State:
    """The caches, the queues, and the memo of each job."""

    def __init__(
        self, kinds: Iterable[Kind[Any, Any]], *, limits: Mapping[str, int], now: Callable[[], datetime]
    ) -> None:
        """`limits` maps the installation's queues, which every namespace has, to their slots."""
        self.informers = Informers(kinds, now=now)
        self.queue = self.informers.queue
        self.jobs: Cache[KnownJob] = self.informers.cache(AGENTJOBS)
        self.schedules: Cache[Schedule] = self.informers.cache(AGENTSCHEDULES)
        self.pods: Cache[Pod] = self.informers.cache(PODS)
        self.queues: Cache[Queue] = self.informers.cache(AGENTQUEUES)
        self.policies = Policies(self.queues, limits, now=now)
        self.slots = Slots(lambda queue: self.queue.add((QUEUE, *queue)))
        self.slot_changes = SlotChanges()
        self.templates: Cache[AgentTemplate] = self.informers.cache(AGENTTEMPLATES)
        self.waits = Waits()
        """Jobs that wait for other jobs."""
        self.specs = Specs(self.templates, self.policies.defaults)
        self.expiries = Deadlines()
        """Finished jobs, by the time when their TTL expires."""
        self._now = now
        self._memos: dict[JobName, JobMemo] = {}
        # Uids of deleted jobs that no worker has processed since.
        self._gone: dict[JobName, str] = {}
        # Final phases of deleted jobs by uid, empty if they had not ended.
        self._deleted: Bounded[str, str] = Bounded(_DELETED)
        # Jobs of the first lists that no worker has processed: until then admission cannot decide about priorities.
        self._unseen: set[JobName] = set()
        self._begun = False
        self._listed_at: datetime | None = None
        self.informers.subscribe(AGENTJOBS, self._job_changed)
        self.informers.subscribe(PODS, self._pod_changed)
        self.informers.subscribe(AGENTQUEUES, self._queue_changed)
        self.informers.subscribe(AGENTTEMPLATES, self._template_changed)

    def observe(self, resource: Resource, event: str | None, obj: Mapping[str, Any]) -> None:
        """Handle an event of a watch (ADDED, MODIFIED, DELETED), or the response to a write (None)."""
        self.informers.observe(resource, event, obj)

    def observe_gone(self, resource: Resource, known: Versioned) -> None:
        """Handle that an object does not exist: the response to a read or a write was NotFound."""
        names = dict(zip(("namespace", "name"), known.key, strict=True))
        versions = {"uid": known.uid, "resourceVersion": known.resource_version}
        self.observe(resource, "DELETED", {"kind": resource.kind, "metadata": names | versions})

    def begin(self, listed_at: datetime | None = None) -> None:
        """Handle that all inputs of admission are listed; it begins once a worker has processed each of those jobs.

        `listed_at` is the database's time before the lists, None while it is unreachable.
        """
        self._begun, self._listed_at = True, listed_at

    def is_reserved_by_schedule(self, job: Job) -> bool:
        """Whether the job's entry in its schedule's status has no uid yet, so that the job must not be deleted."""
        schedule = self.schedules.get((job.namespace, job.made_by)) if job.made_by else None
        if schedule is None or schedule.uid != job.made_by_uid:
            return False
        return any(entry.name == job.name and not entry.uid for entry in schedule.status.active)

    def end_of(self, uid: str, namespace: str, name: str, stored: datetime) -> str | None:
        """Return a job's final phase, empty if it was deleted before its end; None if unknown.

        The first lists contain every job that has not ended. So a job that history had `stored` before, and that is not
        here, ended or was deleted unobserved: it counts as succeeded, because nothing else is known about it.
        """
        job = self.jobs.get((namespace, name))
        if job is not None and job.uid == uid:
            return _end_of(job)
        if uid in self._deleted:
            return self._deleted.get(uid)
        return Phase.SUCCEEDED.value if self._listed_at is not None and stored < self._listed_at else None

    def policy(self, namespace: str, queue: str) -> QueuePolicy | None:
        """Return a queue's current policy, from its object or the installation; None if the queue does not exist."""
        return self.policies.policy((namespace, queue))

    def stop_of(self, job: Job) -> QueueStop | None:
        """Return why a job's current or last queue suspends it; None if it does not."""
        place = job.status.queue
        if place is None or self.policies.standing((job.namespace, place.name)) is None:
            return None
        return self.policies.stop((job.namespace, place.name), self.specs.partition(job))

    def _queue_changed(self, name: QueueName, before: Queue | None, after: Queue | None) -> None:
        self.policies.observe(name, after)
        if before is None or after is None:
            self.queue_changed(name, everyone=True)
        elif before.generation != after.generation:
            self.queue_changed(name)

    def queue_changed(self, name: QueueName, *, everyone: bool = False) -> None:
        """Handle a changed policy: wake the queue's admission, and jobs that have no entry in it.

        Args:
            everyone: whether to wake waiting jobs too, because the queue is new or gone.
        """
        self.queue.add((QUEUE, *name))
        for job in self.jobs.by("queue", name):
            if isinstance(job, Job) and (everyone or job.follows_its_queue):
                self.queue.add(AGENTJOBS.key(job.key))

    def _template_changed(self, name: Name, before: AgentTemplate | None, after: AgentTemplate | None) -> None:
        """Wake jobs of the template that are not accepted yet."""
        if before is None or after is None or before.version != after.version:
            for job in self.jobs.by("template", name):
                self.queue.add(AGENTJOBS.key(job.key))

    def _pod_changed(self, name: JobName, before: Pod | None, after: Pod | None) -> None:
        self._hold_pod(name)

    def _job_changed(self, name: JobName, before: KnownJob | None, after: KnownJob | None) -> None:
        is_finished = isinstance(after, EndedJob) or (after is not None and after.finished)
        if not self._begun and after is not None and not is_finished:
            self._unseen.add(name)
        if isinstance(after, Job) and after.finished:
            self.specs.forget(after.uid)
            self._note_expiry(before, after)
        if before is not None and (after is None or after.uid != before.uid):
            self._deleted.put(before.uid, _end_of(before) or "")
        if before is not None and after is None:
            self._gone[name] = before.uid
            self.specs.forget(before.uid)
        self._wake_waiting(name, before, after)
        for pod in self.pods.by("job", name):
            self._hold_pod(pod.key)
        self._note_slots(before, after)
        self.hold_claim(name)
        may_wait = after is not None and not is_finished and not after.deleting
        self.slots.leave_unless(name, after.uid if after is not None and may_wait else None)

    def _note_slots(self, before: KnownJob | None, after: KnownJob | None) -> None:
        """Record starts that ended or began before this process, which history may lack."""
        is_same = before is not None and after is not None and before.uid == after.uid
        runs = after.active if isinstance(after, Job) else None
        ran = before.active if isinstance(before, Job) else None
        is_over = ran is not None and not (is_same and runs is not None and runs.start == ran.start)
        if isinstance(before, Job) and ran is not None and is_over:
            self.slot_changes.ended(_queue_of(before), before.uid, ran.start)
        if isinstance(after, Job) and runs is not None and not is_same:
            self.slot_changes.runs(_queue_of(after), after.uid, runs.start, self.specs.partition(after))

    def _wake_waiting(self, name: JobName, before: KnownJob | None, after: KnownJob | None) -> None:
        """Wake jobs that wait for a job that has ended or is gone."""
        waits = isinstance(after, Job) and not (after.accepted or after.finished)
        if not waits or (before is not None and after is not None and before.uid != after.uid):
            self.waits.drop(name)
        if after is None or isinstance(after, EndedJob) or after.finished:
            known = after or before
            labels = known.labels if isinstance(known, Job) else {}
            for other in tuple(self.waits.woken_by(name, labels)):
                self.queue.add(AGENTJOBS.key(other))

    def _note_expiry(self, before: KnownJob | None, after: Job) -> None:
        expires = after.expires
        if expires is not None and not after.deleting and (before is None or before.expires != expires):
            self.expiries.add(expires, after.key)

    async def expire(self) -> None:
        """Wake each finished job whose TTL expires. Runs until cancelled."""
        await self.expiries.run(lambda name: self.queue.add(AGENTJOBS.key(name)), now=self._now)

    def hold_claim(self, name: JobName) -> None:
        """Update what a job's claim holds: a slot and its locks. Call it again when these become known.

        A worktree is locked until the job has ended, because it contains unfinished or unpublished work.
        """
        job = self.jobs.get(name)
        holding = None
        if isinstance(job, Job) and job.active is not None:
            queue = _queue_of(job)[1]
            more = {"partition": self.specs.partition(job), "worktree": self.specs.worktree(job)}
            holding = Holding(job.uid, self.specs.lock(job), queue, job.uid, **more)
        elif isinstance(job, Job) and job.status.starts and not job.finished and (own := self.specs.worktree(job)):
            holding = Holding(job.uid, description=f"job {job.name}, which has not ended", worktree=own)
        self.slots.hold(name[0], ("claim", name), holding)

    def _hold_pod(self, name: JobName) -> None:
        """Update what a pod holds until it ends: always its locks, and a slot if its job is gone."""
        pod = self.pods.get(name)
        holding = None
        if pod is not None and not pod.ended and pod.owner_uid is not None:
            job = self.jobs.get((pod.namespace, pod.job))
            is_orphan = job is None or job.uid != pod.owner_uid
            active = job.active if isinstance(job, Job) and not is_orphan else None
            is_claimed = active is not None and active.start == pod.start
            description = "" if is_claimed else f"pod {pod.name}, which has not ended"
            queue = pod.queue if is_orphan else None
            holding = Holding(pod.owner_uid, pod.session, queue, pod.uid, description, worktree=pod.worktree)
        self.slots.hold(name[0], ("pod", name), holding)

    def memo(self, job: Job) -> JobMemo:
        """Return the memo of a job."""
        memo = self._memos.get(job.key)
        if memo is None or memo.uid != job.uid:
            memo = self._memos[job.key] = JobMemo(job.uid)
        return memo

    def forget(self, name: JobName) -> str | None:
        """Remove a job that is gone. Returns its uid, on the first call."""
        self.slots.leave(name)
        self._memos.pop(name, None)
        return self._gone.pop(name, None)

    def is_due(self, job: EndedJob) -> bool:
        """Whether there is work for a job that is kept as a summary."""
        is_expired = job.expires is not None and job.expires <= self._now() and not job.deleting
        return is_expired or any(pod.has_finalizer for pod in self.pods.by("job", job.key))

    def read_again(self, obj: Mapping[str, Any]) -> None:
        """Replace the summary of a job with its object."""
        self.observe(AGENTJOBS, None, obj)
        job = parse_job(obj)
        known = self.jobs.get(job.key)
        if isinstance(known, EndedJob) and known.uid == job.uid:
            self.jobs.revise(job.key, job)

    def reduce(self, job: Job) -> bool:
        """Replace a job with its summary if nothing is due before its TTL expires. True if replaced."""
        if job.expires is not None and job.expires <= self._now() and not job.deleting:
            return False
        if self.jobs.get(job.key) is not job or not self.informers.reduce(AGENTJOBS, job.key):
            return False
        self._memos.pop(job.key, None)
        self.renew_expiry(job)
        return True

    def renew_expiry(self, job: KnownJob) -> None:
        """Schedule a summarized job for the expiry of its TTL, also after the clock was set."""
        if job.expires is not None and not job.deleting:
            self.expiries.renew(job.expires, job.key)

    def mark_seen(self, name: JobName) -> None:
        """Record that a worker has processed the job; after the last one of the first lists admission begins."""
        if self._unseen:
            self._unseen.discard(name)
            if not self._unseen:
                self.slots.wake_all()

    def request_slot(self, job: Job, request: needs.Slot) -> None:
        """Add the job to its queue; wakes admission if the entry is new or has changed."""
        queue, place = (job.namespace, request.queue), job.status.queue
        since = place.since if place is not None and place.name == request.queue else None
        candidate = Candidate(
            key=job.key,
            uid=job.uid,
            priority=request.priority,
            created=job.created,
            lock=request.session,
            partition=self.specs.partition(job),
            since=since or self.slots.waits_since(queue, job) or self._now().replace(microsecond=0),
            is_new=not job.accepted,
            worktree=self.specs.worktree(job),
        )
        if not self.slots.has(queue, candidate):
            self.slots.enqueue(queue, candidate)

    def admit(self, queue: QueueName) -> Admission:
        """Decide which jobs of a queue start now, once every job of the first lists has been processed."""
        if not self._begun or self._unseen:
            return Admission()
        policy = self.policy(*queue)
        if policy is None or not self.policies.is_spending_known(queue):
            if policy is None:
                self.slots.close(queue)
            return Admission()  # its jobs find that there is no policy, and leave
        answer = self.slots.admit(queue, policy, self._now())
        for name in answer.changed:
            self.queue.add(AGENTJOBS.key(name))
        return answer

    def room_refused(self, job: Job, reason: RoomReason, retry_in: timedelta | None) -> Refusal | None:
        """Handle that PostgreSQL refused a granted slot. Returns what the job waits for now.

        `retry_in` is the time until a retry, if known by PostgreSQL; else it is a second, or until a job ends.
        """
        refusal = self.slots.room_refused(job.key, reason, self._now() + (retry_in or ROOM_AGAIN))
        if refusal is not None:
            self.queue.add(AGENTJOBS.key(job.key))  # to update its condition
        return refusal

    def leave(self, job: Job) -> None:
        """Remove the entry of a job that needs no slot, or no longer."""
        self.slots.leave(job.key)


def _end_of(job: KnownJob) -> str | None:
    if isinstance(job, EndedJob):
        return job.phase.value
    return job.status.phase.value if job.finished and job.status.phase else None


def _queue_of(job: Job) -> QueueName:
    """Return the queue in which a job started."""
    return job.namespace, job.status.queue.name if job.status.queue else DEFAULT_QUEUE
