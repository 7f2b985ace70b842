"""Applies actions: a method for each that writes. Each write has a precondition, and its response updates the cache.

Errors of the API server propagate to the engine, which retries.
"""

import logging
from typing import Final, assert_never

from agentjobs.api.conditions import AdmittedReason
from agentjobs.api.job.status import AgentJobStatus, AttemptRecord
from agentjobs.contract import pod_name
from agentjobs.core.job import needs, progress
from agentjobs.core.job.actions import (
    Action,
    BackfillResult,
    Claim,
    DeleteJob,
    EndStart,
    Finish,
    Keep,
    MakeFollowUp,
    MakePod,
    Observe,
    RecordFollowUps,
    RemoveFinalizer,
    ReportPod,
    StopPod,
    Suspend,
    Wait,
)
from agentjobs.core.job.ended import EndedJob, KnownJob
from agentjobs.core.job.follow_ups import requested
from agentjobs.core.job.observation import Job, Observation
from agentjobs.core.pods.defaults import PodDefaults
from agentjobs.core.pods.pod import Pod
from agentjobs.core.queues.admission import JobName, Refusal
from agentjobs.errors import Conflict, Denied, Invalid, NotFound
from agentjobs.history.records import StartRecord, Steering
from agentjobs.kube.resources import AGENTJOBS, PODS
from agentjobs.reconcile.job.acceptance import Acceptance
from agentjobs.reconcile.job.facts import Facts
from agentjobs.reconcile.job.follow_ups import FollowUps
from agentjobs.reconcile.job.memo import JobMemo
from agentjobs.reconcile.job.pods import PodMaker
from agentjobs.reconcile.job.prerequisites import Prerequisites
from agentjobs.reconcile.job.reporter import JobReporter
from agentjobs.reconcile.job.rows import job_key, with_result
from agentjobs.reconcile.ports import Ports
from agentjobs.reconcile.setup import RETRY_SECONDS
from agentjobs.reconcile.state import State

logger = logging.getLogger(__name__)

# A job with one of these waits keeps its queue entry or reserved slot. All other waits leave the queue before they are
# written, so that a lost response does not block a slot.
_IN_LINE: Final = (
    AdmittedReason.WAITING_FOR_SLOT,
    AdmittedReason.WAITING_FOR_RATE,
    AdmittedReason.WAITING_FOR_LOCK,
    AdmittedReason.QUEUE_HELD,
    AdmittedReason.BUDGET_HELD,
    AdmittedReason.HISTORY_UNAVAILABLE,
)


# How often the network policy of a stopping pod is checked: the garbage collector may delete it before the pod.
POLICY_SECONDS: Final = 0.5


class Applier:
    """Applies actions to the cluster, the history and the caches."""

    def __init__(
        self,
        ports: Ports,
        *,
        state: State,
        acceptance: Acceptance,
        reporter: JobReporter,
        pods: PodDefaults,
        follow_ups: FollowUps,
    ) -> None:
        self._state = state
        self._acceptance = acceptance
        self._cluster = ports.cluster
        self._writer = ports.writer
        self._metrics = ports.metrics
        self._prerequisites = Prerequisites(ports, pods)
        self._pods = PodMaker(ports, state, self._prerequisites, pods)
        self._reporter = reporter
        self._follow_ups = follow_ups
        self._now = ports.now

    # One branch per action, so that mypy reports a missing one.
    async def apply(  # noqa: C901  one flat match over a closed union
        self, seen: Observation, action: Action, facts: Facts, memo: JobMemo
    ) -> bool:
        """Apply an action. True to reconcile the job again immediately."""
        job = seen.job
        match action:
            case Keep():
                return False
            case Observe():
                await self._write(job, progress.observed(job))
                self._reporter.observed(job)
            case Wait():
                return await self._wait(seen, action, facts)
            case Claim():
                await self._claim(seen, action, facts, memo)
            case MakePod():
                return await self._make_pod(seen, action, memo)
            case ReportPod():
                await self._write(job, progress.reported(job, action, now=self._now()))
                self._reporter.pod_reported(seen, action)
            case StopPod():
                if seen.must_stop:
                    memo.stopped = action.pod.uid
                await self._stop_pod(action)
                self._reporter.pod_stopped(seen, action)
            case Finish():
                await self._finish(seen, action)
            case Suspend():
                return await self._suspend(seen, action, facts)
            case EndStart():
                await self._end_start(seen, action)
            case RemoveFinalizer():
                for pod in action.pods:
                    await self._remove_finalizer(
                        pod, "its job is being deleted" if job.deleting else "its end is recorded"
                    )
            case BackfillResult(result):
                await self._write(job, with_result(job, job.status, result))
                self._reporter.completed(seen)
            case MakeFollowUp():
                await self._follow_ups.make(job, action, facts)
            case RecordFollowUps():
                await self._write(job, progress.followed(job, action, now=self._now()))
                self._reporter.followed(seen, action)
            case DeleteJob():
                await self._delete_job(job)
                return False
            case _:
                assert_never(action)
        return True

    def warn_of_edits(self, job: Job, memo: JobMemo) -> None:
        """Report once per generation that an edit of accepted work has no effect; CEL rules do not catch every edit."""
        if job.generation == memo.generation or not job.accepted or job.finished:
            return
        if self._state.specs.accepted(job) is None:
            return  # unknown while Postgres is unreachable; the next pass reads it again
        memo.generation = job.generation
        if edits := self._state.specs.edits(job):
            self._reporter.edited(job, edits)

    def record_steering(self, seen: Observation, memo: JobMemo) -> None:
        """Record the priority and queue of an accepted, unfinished job after an edit of either."""
        job, spec = seen.job, seen.spec
        if spec is None or not job.accepted or not seen.spec_known:
            return
        before, memo.steered = memo.steered, (spec.priority, spec.queue)
        if job.generation > 1 and memo.steered != before:  # history has those of acceptance
            now = self._now().replace(microsecond=0)  # as `status.queue.since`
            self._writer.put(Steering(job_key(job), job.generation, *memo.steered, time=now))

    async def hand_over(self, seen: Observation, memo: JobMemo) -> None:
        """Make the pod of the active start an owner of its prerequisites, so that they live as long as it does."""
        job, spec = seen.job, seen.spec
        if spec is None or job.active is None:
            return
        pod = next((pod for pod in seen.pods if pod.start == job.active.start and not pod.ended), None)
        if pod is None or (memo.policy_of == pod.uid and not job.deleting) or not self._prerequisites.owned(job, spec):
            return
        if job.deleting:
            self._state.queue.add_after(AGENTJOBS.key(job.key), POLICY_SECONDS)
        try:
            await self._prerequisites.hand_over(job, spec, pod)
        except (Denied, Invalid) as error:
            # The job still owns it. The pod must not wait for this, because a retry would be refused too.
            logger.warning("policy.kept", extra={"namespace": job.namespace, "job": job.name, "error": str(error)})
        memo.policy_of = pod.uid

    async def read_again(self, job: EndedJob) -> bool:
        """Read the object of a summarized job. False if it is gone; the watch will report that."""
        try:
            self._state.read_again(await self._cluster.get(AGENTJOBS, *job.key))
        except NotFound:
            return False
        return True

    async def _wait(self, seen: Observation, action: Wait, facts: Facts) -> bool:
        job, accepted = seen.job, None
        if action.reason not in _IN_LINE:
            self._state.leave(job)
        if action.accept:
            accepted = await self._acceptance.accept(seen, facts)
            if accepted is None:
                return True
        queue = seen.spec.queue if seen.spec else ""
        status = progress.waiting(job, action, spec_hash=accepted, queue=queue, now=self._now())
        if await self._write(job, status):
            self._reporter.accepted(job, accepted)
            self._reporter.waits(seen, action)
        if seen.spec is not None and isinstance(seen.slot, Refusal) and action.reason == seen.slot.reason:
            # A changed priority must reach the queue although the current answer stays the same.
            lock = seen.spec.session_key(name=job.name, uid=job.uid)
            self._state.request_slot(job, needs.Slot(seen.spec.queue, seen.spec.priority, lock))
        return False

    async def _suspend(self, seen: Observation, action: Suspend, facts: Facts) -> bool:
        job, accepted = seen.job, None
        self._state.leave(job)
        if action.accept:
            accepted = await self._acceptance.accept(seen, facts)
            if accepted is None:
                return True
        queue = seen.spec.queue if seen.spec else ""
        status = progress.suspended(job, action, spec_hash=accepted, queue=queue, now=self._now())
        await self._write(job, status)
        self._reporter.accepted(job, accepted)
        self._reporter.suspended(seen, action)
        return False

    async def _claim(self, seen: Observation, claim: Claim, facts: Facts, memo: JobMemo) -> None:
        """Record the start, then claim it. The pass that observes the claim creates the pod."""
        job, now = seen.job, self._now()
        pod = pod_name(job.name, claim.start)
        run = claim.start if claim.afresh else None
        start = StartRecord(job=job_key(job), start=claim.start, attempt=claim.attempt, pod=pod, time=now, run=run)
        accepted = await self._acceptance.accept(seen, facts, start, memo)
        if accepted is None or seen.spec is None:
            return
        queue = seen.spec.queue
        await self._write(job, progress.claimed(job, claim, spec_hash=accepted, queue=queue, now=now))
        self._state.leave(job)
        since = job.status.queue.since if job.status.queue and job.status.queue.since else job.created
        due = max(since, job.status.next_attempt_time or since)
        self._metrics.starts.inc()
        self._metrics.queue_wait(queue, max(0.0, (now - due).total_seconds()))
        self._reporter.accepted(job, accepted)
        self._reporter.claimed(seen, claim, pod)

    async def _make_pod(self, seen: Observation, action: MakePod, memo: JobMemo) -> bool:
        """Create the pod of a claimed start. True if it exists, or never will."""
        spec = self._acceptance.for_pod(seen)
        if spec is None:
            return False
        before, name = memo.obstacle, pod_name(seen.job.name, action.start)
        memo.obstacle = await self._pods.make(seen.job, action, spec, seen.limits)
        if memo.obstacle is None:
            self._reporter.pod_created(seen, action, name)
            return self._state.pods.get((seen.job.namespace, name)) is not None
        if memo.obstacle != before:
            self._reporter.pod_refused(seen, action, name, memo.obstacle)
        return memo.obstacle.final

    async def _stop_pod(self, action: StopPod) -> None:
        pod = action.pod
        try:
            # Only the pod as observed: if it has ended since, it is evidence and is kept.
            answer = await self._cluster.delete(
                PODS, pod.namespace, pod.name, uid=pod.uid, resource_version=pod.resource_version
            )
        except NotFound:
            self._state.observe_gone(PODS, pod)
            return
        if answer is not None and answer.get("kind") == "Pod":
            self._state.observe(PODS, None, answer)

    async def _finish(self, seen: Observation, end: Finish) -> None:
        job = seen.job
        self._state.leave(job)
        await self._write(job, self._with_end(seen, progress.finished(job, end, now=self._now())))
        self._reporter.finished(seen, end)

    async def _end_start(self, seen: Observation, end: EndStart) -> None:
        job, record = seen.job, end.record
        status = progress.start_ended(job, end, now=self._now())
        await self._write(job, self._with_end(seen, status) if isinstance(end.next_step, Finish) else status)
        self._metrics.attempt(record.verdict, record.reason)
        self._metrics.run_duration.observe(_seconds(record))
        self._reporter.start_ended(seen, end)

    def _with_end(self, seen: Observation, status: AgentJobStatus) -> AgentJobStatus:
        """Add the data from history and the matching follow-ups to the final status."""
        job, status = seen.job, with_result(seen.job, status, seen.result)
        known = seen.follow_ups if job.accepted else ()
        return progress.named(job, status, None if known is None else requested(known, status), now=self._now())

    async def _delete_job(self, job: Job) -> None:
        if self._state.is_reserved_by_schedule(job):
            self._state.queue.add_after(AGENTJOBS.key(job.key), RETRY_SECONDS)
            return
        try:
            await self._cluster.delete(AGENTJOBS, job.namespace, job.name, uid=job.uid)
        except (NotFound, Conflict):
            logger.debug("job.removed", extra={"namespace": job.namespace, "job": job.name, "uid": job.uid})
            return
        self._reporter.deleted(job)

    async def release_orphans(self, name: JobName, job: KnownJob | None) -> None:
        """Remove the finalizer of pods whose job no longer exists."""
        pods = [pod for pod in self._state.pods.by("job", name) if pod.has_finalizer]
        orphans = [pod for pod in pods if job is None or pod.owner_uid != job.uid]
        if not orphans:
            return
        try:
            alive = (await self._cluster.get(AGENTJOBS, *name))["metadata"]["uid"]
        except NotFound:
            alive = None
        for pod in orphans:
            if pod.owner_uid is None or pod.owner_uid != alive:
                await self._remove_finalizer(pod, "its job is gone")

    async def _remove_finalizer(self, pod: Pod, why: str) -> None:
        """Remove our finalizer from one pod; the uid is the precondition."""
        try:
            answer = await self._cluster.patch(PODS, pod.namespace, pod.name, pod.finalizer_removal)
        except NotFound:
            self._state.observe_gone(PODS, pod)
            return
        # A pod with ended containers is deleted with its last finalizer; the response is its last state. A pod in its
        # grace period remains, and keeps its session's lock.
        meta = answer["metadata"]
        over = pod.ended or (meta.get("deletionGracePeriodSeconds") == 0 and not meta.get("finalizers"))
        self._state.observe(PODS, "DELETED" if over else None, answer)
        self._reporter.released(pod, why)

    async def _write(self, job: Job, status: AgentJobStatus) -> bool:
        """Patch the status if it has changed; the resourceVersion is the precondition. True if written."""
        patch = self._state.specs.with_template(job, status).patch_from(job.raw_status)
        if not patch:
            return False
        body = {"metadata": {"resourceVersion": job.resource_version}, "status": patch}
        answer = await self._cluster.patch(AGENTJOBS, job.namespace, job.name, body, subresource="status")
        self._state.observe(AGENTJOBS, None, answer)
        self._state.memo(job).written = answer["metadata"]["resourceVersion"]
        return True


def _seconds(record: AttemptRecord) -> float:
    return (record.ended - record.started).total_seconds() if record.ended and record.started else 0.0
