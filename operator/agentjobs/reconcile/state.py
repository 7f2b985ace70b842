"""What the operator knows: caches, places in queues, specs, small memories. Lost with the process, rebuilt by lists.

Fed by watches, full lists and the answers to our own writes; read by the reconciler. No I/O.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, TypeAlias

from agentjobs.api.job.agent import ConfigMapKey
from agentjobs.api.problems import Problem
from agentjobs.contract import ErrorClass
from agentjobs.core.job.observation import Heartbeat, Job, Obstacle, parse_job
from agentjobs.core.job.verdicts import AskForSlot
from agentjobs.core.pods.pod import Pod, parse_pod
from agentjobs.core.queues.admission import Admission, Candidate, Holding, JobName, QueuePolicy
from agentjobs.core.schedule.model import Schedule, parse_schedule
from agentjobs.engine.cache import TOMBSTONES, Cache, Listing
from agentjobs.engine.queueing import WorkQueue
from agentjobs.history.records import Deletion
from agentjobs.reconcile.job.rows import job_key, news, start_end
from agentjobs.reconcile.job.specs import Specs
from agentjobs.reconcile.kept import keep
from agentjobs.reconcile.ports import Writer
from agentjobs.reconcile.slots import QueueName, Slots

Key: TypeAlias = tuple[Literal["job", "queue", "schedule"], str, str]
"""What a worker works on: a job, the admission of a queue, or a schedule; then namespace and name."""


@dataclass(slots=True)
class Memory:
    """What is remembered of a job between looks. Losing it costs a question, never correctness."""

    uid: str
    terminating: tuple[str, float] | None = None
    """Uid of a pod seen Terminating, and since when on our monotonic clock."""
    active: tuple[int, float] | None = None
    """Number of the active start, and since when it is known, on our monotonic clock."""
    obstacle: Obstacle | None = None
    generation: int = 1
    """The last one whose edits were looked at."""
    trial: tuple[int, tuple[Problem, ...]] | None = None
    """The generation whose pod the API server was asked about, and what it had against it."""
    policy_of: str | None = None
    """Uid of the pod that owns the job's network policy beside the job."""


@dataclass(slots=True)
class Answers:
    """Answers to a verdict's questions, good for one look only."""

    contents: dict[ConfigMapKey, str] = field(default_factory=dict)
    missing: tuple[str, ...] | None = None
    heartbeat: Heartbeat | None = None
    end_recorded: bool | None = None
    outage: bool = False
    """A question to Postgres failed; nothing more is asked of it in this look."""


class State:
    """Jobs, pods, and who waits for what."""

    def __init__(self, *, writer: Writer, limits: Mapping[str, int], now: Callable[[], datetime]) -> None:
        """`limits` maps the implicit queues, which every namespace has, to their slots."""
        self.limits = dict(limits)
        self.queue: WorkQueue[Key] = WorkQueue(rests=self._rests)
        self.jobs: Cache[Job] = Cache(
            parse_job,
            {"schedule": lambda job: [job.made_by_uid] if job.made_by_uid else []},
        )
        self.schedules: Cache[Schedule] = Cache(parse_schedule)
        self.pods: Cache[Pod] = Cache(
            parse_pod,
            {"job": lambda pod: [(pod.namespace, pod.job)]},
        )
        self.slots = Slots(lambda queue: self.queue.add(("queue", *queue)))
        self.specs = Specs()
        self._writer = writer
        self._now = now
        # Uids of jobs of schedules that were deleted, by the schedule's uid and their name; oldest first.
        self.departed: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._memory: dict[JobName, Memory] = {}
        # Jobs of the first lists that nobody has looked at: until then admission would not know who has priority.
        self._unsettled: set[JobName] = set()
        self._begun = False

    def observe_job(self, event: str | None, obj: Mapping[str, Any]) -> None:
        """Take in one event of an AgentJob."""
        name = (obj["metadata"]["namespace"], obj["metadata"]["name"])
        before = self.jobs.get(name)
        if self.jobs.apply(event, obj):
            if before is not None and event == "DELETED":
                # A deletion's event carries the last state, which we may not have heard of.
                last = parse_job(obj)
                self._tell_history(before, last)
                before = last
            self._job_changed(name, before)

    def observe_schedule(self, event: str | None, obj: Mapping[str, Any]) -> None:
        """Take in one event of an AgentSchedule."""
        if self.schedules.apply(event, obj):
            self.queue.add(("schedule", obj["metadata"]["namespace"], obj["metadata"]["name"]))

    def observe_pod(self, event: str | None, obj: Mapping[str, Any]) -> None:
        """Take in one event of a pod that carries our label."""
        name = (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        before = self.pods.get(name)
        if self.pods.apply(event, obj):
            self._pod_changed(name, before)

    def knows(self, kind: str, obj: Mapping[str, Any]) -> bool:
        """Whether an object, as a list has it, is no news. False of kinds that are not followed here."""
        caches: Mapping[str, Cache[Any]] = {"AgentJob": self.jobs, "AgentSchedule": self.schedules, "Pod": self.pods}
        return kind in caches and caches[kind].knows(obj)

    def list_jobs(self, namespace: str | None = None) -> Listing[Job]:
        """Begin to take in a complete list of AgentJobs: what is not on it is gone."""

        def changed(name: JobName, before: Job | None) -> None:
            if not self._begun and (job := self.jobs.get(name)) is not None and not job.finished:
                self._unsettled.add(name)
            self._job_changed(name, before)

        return self.jobs.listing(namespace, changed=changed)

    def begin(self) -> None:
        """All that admission depends on is listed; it begins once each of those jobs has been looked at."""
        self._begun = True

    def list_schedules(self, namespace: str | None = None) -> Listing[Schedule]:
        """Begin to take in a complete list of AgentSchedules."""
        return self.schedules.listing(namespace, changed=lambda name, _: self.queue.add(("schedule", *name)))

    def claimed_by_schedule(self, job: Job) -> bool:
        """Whether the schedule that made the job does not know yet that it did: until then the job must stay."""
        schedule = self.schedules.get((job.namespace, job.made_by)) if job.made_by else None
        if schedule is None or schedule.uid != job.made_by_uid:
            return False
        return any(start.name == job.name and not start.uid for start in schedule.status.active)

    def wake_schedules(self) -> None:
        """Look at all schedules again: the time is another than their timers think."""
        for name in list(self.schedules.keys()):
            self.queue.add(("schedule", *name))

    def wake_all(self) -> None:
        """Look at all jobs and schedules again: the time is another than their timers think."""
        self.wake_schedules()
        for name in list(self.jobs.keys()):
            self.queue.add(("job", *name))

    def _rests(self, key: Key) -> bool:
        """Whether nothing is known to be due for a key. A guess that costs a moment when wrong: all are looked at."""
        kind, *name = key
        if kind == "job":
            job = self.jobs.get((name[0], name[1]))
            return job is not None and job.rests and not any(pod.held for pod in self.pods.by("job", job.key))
        schedule = self.schedules.get((name[0], name[1])) if kind == "schedule" else None
        return schedule is not None and schedule.rests(self._now())

    def list_pods(self, namespace: str | None = None) -> Listing[Pod]:
        """Begin to take in a complete list of pods that carry our label."""
        return self.pods.listing(namespace, changed=self._pod_changed)

    def _pod_changed(self, name: JobName, before: Pod | None) -> None:
        self._hold_pod(name)
        for pod in (before, self.pods.get(name)):
            if pod is not None:
                self.queue.add(("job", name[0], pod.job))

    def _job_changed(self, name: JobName, before: Job | None) -> None:
        job = self.jobs.get(name)
        if before is not None and (job is None or job.uid != before.uid):
            self._departed(before)
            self.specs.forget(before.uid)
        elif before is not None and job is not None:
            self._tell_history(before, job)
        for pod in self.pods.by("job", name):
            self._hold_pod(pod.key)
        self.hold_claim(name)
        self.slots.leave_unless(name, job.uid if job is not None and not job.finished and not job.deleting else None)
        self.queue.add(("job", *name))
        for one in (before, job):
            if one is not None and one.made_by and (before is None or job is None or before.status != job.status):
                self.queue.add(("schedule", name[0], one.made_by))

    def _tell_history(self, before: Job, after: Job) -> None:
        """Write what a change of status tells. Not when we write it: the answer to that may get lost on its way."""
        for record in news(before, after):
            self._writer.put(record)

    def _departed(self, job: Job) -> None:
        """The job's object is gone; say so, and close what its history has open."""
        if job.made_by_uid:
            keep(self.departed, (job.made_by_uid, job.name), job.uid, most=TOMBSTONES)
        now = self._now()
        self._writer.put(Deletion(job=job_key(job), time=now))
        if job.active is not None:
            ended = replace(
                job.active, ended=now, verdict="Cancel", reason=ErrorClass.JOB_DELETED, message="the job was deleted"
            )
            self._writer.put(start_end(job, ended))

    def hold_claim(self, name: JobName) -> None:
        """Count what a job's claim takes: a slot and a session. To be called also when its session is known anew."""
        job = self.jobs.get(name)
        holding = None
        if job is not None and job.active is not None:
            queue = job.status.queue.name if job.status.queue else "agents"
            holding = Holding(job.uid, self.specs.lock(job), queue, job.uid)
        self.slots.hold(name[0], ("claim", name), holding)

    def _hold_pod(self, name: JobName) -> None:
        """Count what a pod takes until it ends: its session, whatever its job says, and a slot when its job is gone."""
        pod = self.pods.get(name)
        holding = None
        if pod is not None and not pod.ended and pod.owner_uid is not None:
            job = self.jobs.get((pod.namespace, pod.job))
            is_left = job is None or job.uid != pod.owner_uid
            is_claimed = not is_left and job is not None and job.active is not None and job.active.start == pod.start
            told = "" if is_claimed else f"pod {pod.name}, which has not ended"
            holding = Holding(pod.owner_uid, pod.session, pod.queue if is_left else None, pod.uid, told)
        self.slots.hold(name[0], ("pod", name), holding)

    def remember(self, job: Job) -> Memory:
        """What is remembered of this very job."""
        memory = self._memory.get(job.key)
        if memory is None or memory.uid != job.uid:
            memory = self._memory[job.key] = Memory(job.uid)
        return memory

    def forget(self, name: JobName) -> Memory | None:
        """The job is gone. Returns what was remembered of it."""
        self.slots.leave(name)
        return self._memory.pop(name, None)

    def settle(self, name: JobName) -> None:
        """The job has been looked at; after the last one of the first list admission opens."""
        if self._unsettled:
            self._unsettled.discard(name)
            if not self._unsettled:
                self.slots.wake_all()

    def ask_for_slot(self, job: Job, ask: AskForSlot) -> None:
        """Let the job wait in its queue, and let admission look if that is news."""
        candidate = Candidate(key=job.key, uid=job.uid, priority=ask.priority, created=job.created, lock=ask.session)
        queue = (job.namespace, ask.queue)
        if not self.slots.knows(queue, candidate):
            self.slots.ask(queue, candidate)

    def admit(self, queue: QueueName) -> Admission:
        """Decide who of a queue starts now. Not before every job of the first list has been looked at."""
        if not self._begun or self._unsettled:
            return Admission()
        answer = self.slots.admit(queue, QueuePolicy(limit=self.limits.get(queue[1], 0)), self._now())
        for name in answer.changed:
            self.queue.add(("job", *name))
        return answer

    def leave(self, job: Job) -> None:
        """The job needs no slot (any more)."""
        self.slots.leave(job.key)
