"""One job's loop: observe what is known, ask `decide`, carry out its one verdict, and look again until it says Keep.

Fed by watch events (`observe_job`, `observe_pod`) and full lists; run by the engine's workers, one worker a key. Every
write carries a precondition (resourceVersion, uid, or a name that can exist once), so that two of us, or one of us
twice, do no harm. What a crash leaves half done is finished by whoever looks next.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeAlias, assert_never

from agentjobs.api.agentjob import AgentJobSpec, ConfigMapKey
from agentjobs.api.conditions import Phase, PodStartedReason
from agentjobs.api.resolve import config_map_keys, resolve, spec_hash
from agentjobs.api.status import AgentJobStatus, AttemptRecord, ResultSummary
from agentjobs.contract import FINALIZER, GROUP, LABEL_JOB, VERSION, Resolved, cut, pod_name
from agentjobs.core import progress
from agentjobs.core.admission import Candidate, Refusal, SessionLock
from agentjobs.core.decide import decide
from agentjobs.core.manifests import PodDefaults, runner_pod
from agentjobs.core.observation import Heartbeat, Job, Observation, Obstacle, parse_job
from agentjobs.core.pods import Pod, parse_pod
from agentjobs.core.verdicts import (
    AskForSlot,
    AskHeartbeat,
    AskRecorded,
    Claim,
    Decision,
    DeleteJob,
    EndStart,
    FetchResult,
    Finish,
    Keep,
    MakePod,
    ReadReferences,
    ReleasePods,
    ReportPod,
    StopPod,
    Wait,
)
from agentjobs.engine.cache import Cache
from agentjobs.engine.queueing import WorkQueue
from agentjobs.errors import AlreadyExists, Conflict, Denied, Invalid, NotFound, Unavailable
from agentjobs.history.records import Deletion, JobRecord, StartRecord
from agentjobs.kube.resources import AGENTJOBS, CONFIGMAPS, PODS
from agentjobs.metrics import Metrics
from agentjobs.reconcile.ports import Cluster, History, Recorder, Writer
from agentjobs.reconcile.rows import job_key, preview, start_end, tombstone, transition
from agentjobs.reconcile.slots import JobName, QueueName, Slots
from agentjobs.reconcile.specs import Specs

Key: TypeAlias = tuple[Literal["job", "queue"], str, str]
"""What a worker works on: a job, or the admission of a queue; then namespace and name."""

logger = logging.getLogger(__name__)

# A job's longest chain is claim, pod, end, finalizer and a few questions; more than this is two verdicts chasing
# each other, which must show as an error rather than spin.
MAX_STEPS: Final = 24
OUTAGE_SECONDS: Final = 2.0


@dataclass(slots=True)
class _Memory:
    """What is remembered of a job between looks. Losing it costs a question, never correctness."""

    uid: str
    outage_until: float = 0.0
    terminating: tuple[str, float] | None = None
    """Uid of a pod seen Terminating, and since when on our monotonic clock."""
    obstacle: Obstacle | None = None


@dataclass(slots=True)
class _Answers:
    """Answers to a verdict's questions, good for one look only."""

    contents: dict[ConfigMapKey, str] = field(default_factory=dict)
    missing: tuple[str, ...] | None = None
    heartbeat: Heartbeat | None = None
    end_recorded: bool | None = None


def _queue_of(job: Job) -> list[QueueName]:
    """The queue whose slot a job holds by its claim."""
    return [(job.namespace, job.status.queue.name if job.status.queue else "agents")] if job.active else []


class Reconciler:
    """Observe, decide, apply for all jobs of the watched namespaces."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        history: History,
        writer: Writer,
        recorder: Recorder,
        metrics: Metrics,
        pods: PodDefaults,
        queues: Mapping[str, int],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`queues` maps the implicit queues, which every namespace has, to their slots."""
        self._cluster = cluster
        self._history = history
        self._writer = writer
        self._recorder = recorder
        self._metrics = metrics
        self._pod_defaults = pods
        self._limits = dict(queues)
        self._now = now
        self._monotonic = monotonic
        self.queue: WorkQueue[Key] = WorkQueue()
        self.jobs: Cache[Job] = Cache(
            parse_job, {"queue": _queue_of, "active": lambda job: [job.namespace] if job.active else []}
        )
        self.pods: Cache[Pod] = Cache(parse_pod, {"job": lambda pod: [(pod.namespace, pod.job)]})
        self.slots = Slots()
        self._specs = Specs()
        self._memory: dict[JobName, _Memory] = {}
        # Jobs of the first list that nobody has looked at: until then admission would not know who has priority.
        self._unsettled: set[JobName] | None = None

    # -- what the watches feed in: no I/O, never raises for anything a server may send

    def observe_job(self, event: str | None, obj: Mapping[str, Any]) -> None:
        """Take in one event of an AgentJob."""
        name = (obj["metadata"]["namespace"], obj["metadata"]["name"])
        before = self.jobs.get(name)
        if self.jobs.apply(event, obj):
            self._job_changed(name, before)

    def observe_pod(self, event: str | None, obj: Mapping[str, Any]) -> None:
        """Take in one event of a pod that carries our label."""
        if self.pods.apply(event, obj):
            labels = obj["metadata"].get("labels") or {}
            self.queue.add(("job", obj["metadata"]["namespace"], labels.get(LABEL_JOB, "")))

    def listed_jobs(self, items: list[dict[str, Any]], version: str, *, namespace: str | None = None) -> None:
        """Take in a complete list of AgentJobs: what is not on it is gone."""
        before = {name: self.jobs.get(name) for name in list(self.jobs.keys())}
        changed = self.jobs.replace(items, version, namespace=namespace)
        if self._unsettled is None:
            self._unsettled = set()
        first = not before
        for name in changed:
            if first and (job := self.jobs.get(name)) is not None and not job.finished:
                self._unsettled.add(name)
            self._job_changed(name, before.get(name))

    def listed_pods(self, items: list[dict[str, Any]], version: str, *, namespace: str | None = None) -> None:
        """Take in a complete list of pods that carry our label."""
        before = {name: pod.job for name in list(self.pods.keys()) if (pod := self.pods.get(name))}
        for name in self.pods.replace(items, version, namespace=namespace):
            pod = self.pods.get(name)
            self.queue.add(("job", name[0], pod.job if pod else before[name]))

    def feed_history(self) -> None:
        """Queue again what every job's status says of its past, for whatever a crash kept from Postgres."""
        for job in self.jobs.values():
            if job.status.transitions:
                self._writer.put(transition(job, job.status))
            for record in job.status.attempt_history:
                if record.ended is not None:
                    self._writer.put(start_end(job, record))

    def _job_changed(self, name: JobName, before: Job | None) -> None:
        job = self.jobs.get(name)
        if before is not None and (job is None or job.uid != before.uid):
            if not before.finished:
                self._writer.put(Deletion(job=job_key(before), time=self._now()))
            self._specs.forget(before.uid)
        held, holds = before.active if before else None, job.active if job else None
        if (held is None) != (holds is None):
            self._wake_queues(name[0])
        self.queue.add(("job", *name))

    def _wake_queues(self, namespace: str) -> None:
        """A slot or a session may be free; a session is shared by all queues of its namespace."""
        for queue in self.slots.queues(namespace):
            self.queue.add(("queue", *queue))

    # -- the loop

    async def reconcile(self, key: Key) -> float | None:
        """Work on one key. Returns the seconds after which to look again even if nothing happens."""
        kind, namespace, name = key
        if kind == "queue":
            self._admit((namespace, name))
            return None
        try:
            return await self._reconcile_job((namespace, name))
        finally:
            self._settle((namespace, name))

    async def _reconcile_job(self, name: JobName) -> float | None:
        job = self.jobs.get(name)
        await self._release_orphans(name, job)
        answers = _Answers()
        for _ in range(MAX_STEPS):
            job = self.jobs.get(name)
            if job is None:
                self._forget(name)
                return None
            memory = self._remember(job)
            seen = await self._observe(job, memory, answers)
            now = self._now()
            decision = decide(seen, now)
            if not await self._carry_out(seen, decision, memory, answers):
                return None if decision.again is None else max(0.0, (decision.again - self._now()).total_seconds())
        raise RuntimeError(f"job {name[0]}/{name[1]}: {MAX_STEPS} verdicts in a row without rest")

    def _remember(self, job: Job) -> _Memory:
        memory = self._memory.get(job.key)
        if memory is None or memory.uid != job.uid:
            memory = self._memory[job.key] = _Memory(job.uid)
        return memory

    def _forget(self, name: JobName) -> None:
        self._memory.pop(name, None)
        if self.slots.leave(name) is not None:
            self._wake_queues(name[0])

    def _settle(self, name: JobName) -> None:
        if self._unsettled:
            self._unsettled.discard(name)
            if not self._unsettled:
                for job in self.jobs.values():
                    self._wake_queues(job.namespace)

    async def _observe(self, job: Job, memory: _Memory, answers: _Answers) -> Observation:
        pods = tuple(pod for pod in self.pods.by("job", job.key) if pod.owner_uid == job.uid)
        outage = self._monotonic() < memory.outage_until
        if job.finished and not isinstance(_ttl(job), int):
            # Most jobs of a cluster are finished ones: nothing about them needs a parsed spec.
            return Observation(job=job, spec=None, pods=pods, history_available=not outage)
        own = self._specs.own(job)
        if (
            job.accepted
            and not job.finished
            and job.generation > 1
            and self._specs.accepted(job) is None
            and not outage
        ):
            await self._load_accepted(job, memory)
        spec = self._specs.in_force(job)
        if job.active or job.finished:
            self.slots.leave(job.key)
        return Observation(
            job=job,
            spec=spec,
            problems=own.problems,
            pods=pods,
            queue_known=spec is None or spec.queue in self._limits,
            references=frozenset(config_map_keys(spec)) if spec and not job.accepted else frozenset(),
            missing=answers.missing,
            slot=self.slots.answer(job),
            history_available=not outage,
            obstacle=memory.obstacle,
            heartbeat=answers.heartbeat,
            deleting_for=self._deleting_for(job, pods, memory),
            end_recorded=answers.end_recorded,
        )

    async def _load_accepted(self, job: Job, memory: _Memory) -> None:
        """The object was edited since it was made and we do not know what was accepted: ask."""
        try:
            resolved = await self._history.resolved(job.uid)
        except Unavailable:
            self._outage(memory)
            return
        if resolved is not None:
            self._specs.accept(job.uid, resolved)

    def _deleting_for(self, job: Job, pods: tuple[Pod, ...], memory: _Memory) -> timedelta:
        active = job.active
        pod = next((pod for pod in pods if active and pod.start == active.start and pod.deletion), None)
        if pod is None:
            memory.terminating = None
            return timedelta(0)
        if memory.terminating is None or memory.terminating[0] != pod.uid:
            memory.terminating = (pod.uid, self._monotonic())
        return timedelta(seconds=self._monotonic() - memory.terminating[1])

    # -- carrying out: each returns whether to look again at once

    # One branch a verdict is the point: mypy shows the one that is missing.
    async def _carry_out(  # noqa: C901  one flat match over a closed union
        self, seen: Observation, decision: Decision, memory: _Memory, answers: _Answers
    ) -> bool:
        verdict, job = decision.verdict, seen.job
        match verdict:
            case Keep():
                return False
            case ReadReferences():
                await self._read_references(seen, answers)
            case AskForSlot():
                return self._ask_for_slot(job, verdict)
            case AskHeartbeat():
                answers.heartbeat = await self._heartbeat(job, verdict.start, memory)
            case AskRecorded():
                answers.end_recorded = await self._recorded(job, memory)
            case Wait():
                return await self._wait(seen, verdict, memory, answers)
            case Claim():
                await self._claim(seen, verdict, memory, answers)
            case MakePod():
                return await self._make_pod(seen, verdict, memory)
            case ReportPod():
                await self._write(job, progress.reported(job, verdict, now=self._now()))
                self._event(job, "Normal" if verdict.started else "Warning", verdict.reason, verdict.message)
            case StopPod():
                await self._stop_pod(verdict)
            case Finish():
                await self._finish(job, verdict)
            case EndStart():
                await self._end_start(job, verdict, memory)
            case ReleasePods():
                for pod in verdict.pods:
                    await self._release(pod)
            case FetchResult():
                return await self._fetch_result(job, memory)
            case DeleteJob():
                await self._delete_job(job)
                return False
            case _:
                assert_never(verdict)
        return True

    async def _read_references(self, seen: Observation, answers: _Answers) -> None:
        missing: list[str] = []
        maps: dict[str, Mapping[str, Any] | None] = {}
        for name, key in sorted(seen.references):
            if name not in maps:
                maps[name] = await self._config_map(seen.job.namespace, name)
            data = maps[name]
            if data is None:
                missing.append(f"ConfigMap {name} does not exist in namespace {seen.job.namespace}")
            elif not isinstance(data.get(key), str):
                missing.append(f"ConfigMap {name} has no key {key}")
            else:
                answers.contents[ConfigMapKey(name, key)] = data[key]
        if not missing:
            try:
                resolve(seen.job.object, answers.contents)
            except (Invalid, NotFound) as error:
                missing.append(str(error))
        answers.missing = tuple(dict.fromkeys(missing))

    async def _config_map(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        try:
            found = await self._cluster.get(CONFIGMAPS, namespace, name)
        except NotFound:
            return None
        return found.get("data") or {}

    def _ask_for_slot(self, job: Job, ask: AskForSlot) -> bool:
        candidate = Candidate(key=job.key, uid=job.uid, priority=ask.priority, created=job.created, lock=ask.session)
        queue = (job.namespace, ask.queue)
        if self.slots.ask(queue, candidate):
            self.queue.add(("queue", *queue))
        return False

    def _admit(self, queue: QueueName) -> None:
        """Decide who of a queue starts now. Not before every job of the first list has been looked at."""
        if self._unsettled is None or self._unsettled:
            return
        holders = {job.key: self._lock(job) for job in self.jobs.by("queue", queue)}
        locks = {self._lock(job) for job in self.jobs.by("active", queue[0])}
        limit = self._limits.get(queue[1], 0)
        for name in self.slots.admit(queue, limit=limit, holders=holders, locks=locks, alive=self._alive):
            self.queue.add(("job", *name))
        self._metrics.queue_depth(queue[1], self.slots.depths().get(queue[1], 0))

    def _lock(self, job: Job) -> SessionLock:
        spec = self._specs.in_force(job)
        return spec.session_key(name=job.name, uid=job.uid) if spec else ("", "", job.uid)

    def _alive(self, name: JobName, uid: str) -> bool:
        job = self.jobs.get(name)
        return job is not None and job.uid == uid and not job.finished

    async def _heartbeat(self, job: Job, start: int, memory: _Memory) -> Heartbeat:
        try:
            last = await self._history.last_heartbeat(job.uid, start)
        except Unavailable:
            self._outage(memory)
            return Heartbeat(None)
        since = last or (job.active.started if job.active else None)
        return Heartbeat(None if since is None else self._now() - since)

    async def _recorded(self, job: Job, memory: _Memory) -> bool:
        try:
            phase = await self._history.recorded(job.uid)
        except Unavailable:
            self._outage(memory)
            return False
        if phase == job.status.phase:
            return True
        self._writer.put(transition(job, job.status))
        return False

    async def _accept(
        self, seen: Observation, memory: _Memory, answers: _Answers, start: StartRecord | None
    ) -> str | None:
        """Store the job (and its start) before anything acts on it.

        Returns the hash of what is accepted, which an earlier acceptance may have fixed; None while Postgres is away.
        """
        job, accepted = seen.job, self._specs.accepted(seen.job)
        if accepted is not None and start is None:
            return accepted.hash
        try:
            resolved = accepted.resolved if accepted else await self._resolved(seen, answers)
            record = JobRecord(job=job_key(job), resolved=resolved, spec_hash=spec_hash(resolved))
            return self._specs.accept(job.uid, await self._history.accept(record, start)).hash
        except Unavailable as error:
            logger.warning("history.unavailable %s/%s: %s", job.namespace, job.name, error)
            self._outage(memory)
            self._forget_slot(job)
            return None

    async def _resolved(self, seen: Observation, answers: _Answers) -> Resolved:
        job = seen.job
        if job.accepted and (stored := await self._history.resolved(job.uid)) is not None:
            return stored
        if job.accepted and seen.spec is not None:
            # Accepted, but the database was replaced by an empty one: what the object says now is all there is.
            await self._read_references(replace(seen, references=frozenset(config_map_keys(seen.spec))), answers)
        return resolve(job.object, answers.contents)

    def _outage(self, memory: _Memory) -> None:
        memory.outage_until = self._monotonic() + OUTAGE_SECONDS

    def _forget_slot(self, job: Job) -> None:
        if self.slots.leave(job.key) is not None:
            self._wake_queues(job.namespace)

    async def _wait(self, seen: Observation, verdict: Wait, memory: _Memory, answers: _Answers) -> bool:
        job, spec_hash_ = seen.job, None
        if verdict.accept:
            spec_hash_ = await self._accept(seen, memory, answers, None)
            if spec_hash_ is None:
                return True
        queue = seen.spec.queue if seen.spec else ""
        status = progress.waiting(job, verdict, spec_hash=spec_hash_, queue=queue, now=self._now())
        if await self._write(job, status):
            self._event(job, "Normal" if verdict.accept else "Warning", verdict.reason, verdict.message)
        if seen.spec is not None and isinstance(seen.slot, Refusal):
            # A changed priority has to reach the queue, though the answer for now stays the same.
            lock = seen.spec.session_key(name=job.name, uid=job.uid)
            self._ask_for_slot(job, AskForSlot(seen.spec.queue, seen.spec.priority, lock))
        return False

    async def _claim(self, seen: Observation, claim: Claim, memory: _Memory, answers: _Answers) -> None:
        """Record, then claim. The pod follows from the claim, whoever sees it first."""
        job, now = seen.job, self._now()
        pod = pod_name(job.name, claim.start)
        start = StartRecord(job=job_key(job), start=claim.start, attempt=claim.attempt, pod=pod, time=now)
        accepted = await self._accept(seen, memory, answers, start)
        if accepted is None or seen.spec is None:
            return
        queue = seen.spec.queue
        await self._write(job, progress.claimed(job, claim, spec_hash=accepted, queue=queue, now=now))
        self.slots.leave(job.key)
        since = job.status.queue.since if job.status.queue and job.status.queue.since else job.created
        due = max(since, job.status.next_attempt_time or since)
        self._metrics.starts.inc()
        self._metrics.queue_wait(queue, max(0.0, (now - due).total_seconds()))
        self._event(job, "Normal", "Started", f"attempt {claim.attempt}, pod {pod}")

    async def _make_pod(self, seen: Observation, verdict: MakePod, memory: _Memory) -> bool:
        """Create the pod of a claimed start, or find that it exists. True when ours is there."""
        job = seen.job
        accepted = await self._accept_for_pod(seen, memory)
        if accepted is None:
            return False
        body = runner_pod(
            namespace=job.namespace,
            job=job.name,
            uid=job.uid,
            start=verdict.start,
            attempt=verdict.attempt,
            spec=accepted,
            defaults=self._pod_defaults,
        )
        memory.obstacle = None
        try:
            self.observe_pod(None, await self._cluster.create(PODS, job.namespace, body))
        except AlreadyExists:
            found = await self._cluster.get(PODS, job.namespace, pod_name(job.name, verdict.start))
            if parse_pod(found).owner_uid != job.uid:
                message = (
                    f"a pod {found['metadata']['name']} exists that is not this job's; delete it and the job goes on"
                )
                memory.obstacle = Obstacle(PodStartedReason.POD_NAME_TAKEN, message)
                return False
            self.observe_pod(None, found)
        except (Denied, Invalid) as error:
            # 403 is a quota, a policy or a namespace that is going, and may heal; 422 is the pod itself.
            final = isinstance(error, Invalid)
            memory.obstacle = Obstacle(PodStartedReason.POD_REFUSED, cut(str(error), 900), final)
            return final
        return seen.active_pod is None

    async def _accept_for_pod(self, seen: Observation, memory: _Memory) -> AgentJobSpec | None:
        """The spec a pod is built from: the accepted one, for sure."""
        job = seen.job
        if (accepted := self._specs.accepted(job)) is not None:
            return accepted.spec
        if job.generation <= 1:
            # Never edited, so what stands in the object is what was accepted.
            return seen.spec
        await self._load_accepted(job, memory)
        accepted = self._specs.accepted(job)
        return accepted.spec if accepted else None

    async def _stop_pod(self, verdict: StopPod) -> None:
        pod = verdict.pod
        try:
            # Only the pod as we saw it: one that has ended since is evidence, and stays with its job.
            answer = await self._cluster.delete(
                PODS, pod.namespace, pod.name, uid=pod.uid, resource_version=pod.resource_version
            )
        except NotFound:
            self.pods.apply("DELETED", tombstone(pod))
            return
        if answer is not None and answer.get("kind") == "Pod":
            self.observe_pod(None, answer)

    async def _finish(self, job: Job, verdict: Finish) -> None:
        await self._write(job, progress.finished(job, verdict, now=self._now()))
        self._forget_slot(job)
        self._announce(job, verdict)

    async def _end_start(self, job: Job, verdict: EndStart, memory: _Memory) -> None:
        now = self._now()
        status = progress.start_ended(job, verdict, now=now)
        if isinstance(verdict.then, Finish) and verdict.then.phase is Phase.SUCCEEDED:
            status = replace(status, result=await self._result(job, verdict.then.summary, memory))
        await self._write(job, status)
        record = verdict.record
        self._writer.put(start_end(job, record))
        self._metrics.attempt(record.verdict, record.reason)
        self._metrics.run_duration.observe(_seconds(record))
        if isinstance(verdict.then, Finish):
            self._announce(job, verdict.then)
        else:
            self._event(job, "Warning", record.reason or record.verdict, f"{record.pod}: {record.message}")

    async def _fetch_result(self, job: Job, memory: _Memory) -> bool:
        summary = job.status.result.summary if job.status.result else ""
        result = await self._result(job, summary, memory)
        if result.ref:
            await self._write(job, progress.with_result(job, result))
            return True
        self.queue.add_after(("job", *job.key), OUTAGE_SECONDS)
        return False

    async def _result(self, job: Job, summary: str, memory: _Memory) -> ResultSummary:
        """The answer's preview from Postgres; the message's summary alone while Postgres is away."""
        if self._monotonic() < memory.outage_until:
            return ResultSummary(summary=summary)
        try:
            found = await self._history.result(job.uid)
        except Unavailable:
            self._outage(memory)
            return ResultSummary(summary=summary)
        return preview(job, summary, found)

    async def _delete_job(self, job: Job) -> None:
        try:
            await self._cluster.delete(AGENTJOBS, job.namespace, job.name, uid=job.uid)
        except (NotFound, Conflict):
            logger.debug("job.ttl %s/%s was gone", job.namespace, job.name)

    async def _release_orphans(self, name: JobName, job: Job | None) -> None:
        """Pods that hold for an AgentJob that no longer exists: let them go, after asking the server itself."""
        held = [pod for pod in self.pods.by("job", name) if pod.held and pod.owner_uid]
        orphans = [pod for pod in held if job is None or pod.owner_uid != job.uid]
        if not orphans:
            return
        try:
            alive = (await self._cluster.get(AGENTJOBS, *name))["metadata"]["uid"]
        except NotFound:
            alive = None
        for pod in orphans:
            if pod.owner_uid != alive:
                await self._release(pod)

    async def _release(self, pod: Pod) -> None:
        """Take our finalizer off one pod; the uid is the precondition."""
        kept = [finalizer for finalizer in pod.finalizers if finalizer != FINALIZER]
        body = {"metadata": {"uid": pod.uid, "resourceVersion": pod.resource_version, "finalizers": kept or None}}
        try:
            answer = await self._cluster.patch(PODS, pod.namespace, pod.name, body)
        except NotFound:
            self.pods.apply("DELETED", tombstone(pod))
            return
        # A Terminating pod goes with its last finalizer; the answer is its last state.
        gone = pod.deletion is not None and not kept
        self.pods.apply("DELETED" if gone else None, answer)

    # -- writing

    async def _write(self, job: Job, status: AgentJobStatus) -> bool:
        """Patch the status if it changes anything, on condition that nobody wrote since. True when written."""
        patch = status.patch_from(job.raw_status)
        if not patch:
            return False
        body = {"metadata": {"resourceVersion": job.resource_version}, "status": patch}
        answer = await self._cluster.patch(AGENTJOBS, job.namespace, job.name, body, subresource="status")
        if status.transitions != job.status.transitions:
            self._writer.put(transition(job, status))
        self.observe_job(None, answer)
        return True

    def _announce(self, job: Job, end: Finish) -> None:
        kind = "Normal" if end.phase is Phase.SUCCEEDED else "Warning"
        self._event(job, kind, end.phase, f"{end.reason}: {end.message}" if end.message else end.reason)

    def _event(self, job: Job, event_type: str, reason: str, message: str) -> None:
        reference = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "AgentJob",
            "namespace": job.namespace,
            "name": job.name,
            "uid": job.uid,
        }
        self._recorder.record(reference, event_type, str(reason), cut(message, 1024))


def _ttl(job: Job) -> object:
    return job.spec.get("ttlSecondsAfterFinished") if isinstance(job.spec, Mapping) else None


def _seconds(record: AttemptRecord) -> float:
    return (record.ended - record.started).total_seconds() if record.ended and record.started else 0.0
