"""Decides what happens to a job next. Read it first.

Pure: `reconcile` observes, calls `decide`, answers its need or applies its action, and observes again. So each action
except `Keep` must change the next observation. To add an action, start in `actions`; for a need, in `needs`; for a
hold, in `holds`; mypy shows the rest.

In one observation, a valid success takes precedence over cancel, deadline and every other end.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeGuard

from agentjobs.api.conditions import ConditionType, PodStartedReason, find_condition
from agentjobs.api.job.status import AttemptRecord
from agentjobs.contract import GATEWAY_TIMEOUT_SECONDS, RUNNER_CONTAINER, ErrorClass, Verdict
from agentjobs.core.job import needs
from agentjobs.core.job.actions import (
    Action,
    BackfillResult,
    Claim,
    Decision,
    DeleteJob,
    EndStart,
    Finish,
    Keep,
    MakePod,
    NeedOrDecision,
    Observe,
    RemoveFinalizer,
    ReportPod,
    StopPod,
)
from agentjobs.core.job.end_start import RETRY_DELAY, answered, end_start
from agentjobs.core.job.following import again, follow
from agentjobs.core.job.holds import HOLDS, RECHECK_DELAY, next_attempt
from agentjobs.core.job.observation import Job, Observation
from agentjobs.core.pods.diagnose import StartEnding, diagnose, lost, never_began, refused, silent
from agentjobs.core.pods.pod import Pod, Waiting

REPORT_AFTER = timedelta(seconds=10)  # normally enough to find a node and pull images
GIVE_UP_AFTER = timedelta(minutes=15)  # a container that has not started by then needs a person
SILENCE = timedelta(seconds=30)  # three missed heartbeats: the runner is dead
REPORT_STOP_AFTER = timedelta(seconds=2)  # most runners stop within this time, which saves a write
# Obstacles that only a person can remove; a pod with the same name may also disappear by itself.
_GIVEN_UP = (PodStartedReason.POD_REFUSED, PodStartedReason.VOLUME_CLAIM_UNUSABLE)
_MOUNTING = (PodStartedReason.POD_INITIALIZING, PodStartedReason.CONTAINER_CREATING)
STUCK_AFTER = timedelta(seconds=60)  # a kubelet that has not ended a pod this long after its grace period is gone
# Added to timeouts.progress. A live runner ends itself sooner: two minutes without the gateway, and one to report.
SILENT_MARGIN = timedelta(seconds=GATEWAY_TIMEOUT_SECONDS + 60)


def decide(seen: Observation, now: datetime) -> NeedOrDecision:
    """Return what to do about the job now and when to reconcile it again, or a need to answer first."""
    answer = _next(seen, now)
    if not isinstance(answer, Decision):
        return answer
    if seen.history_available:
        if seen.result is None and _ends_with_a_result(seen.job, answer.action):
            return needs.FinalResult()
        if isinstance(answer.action, Finish) and seen.job.status.starts > 0:
            answer = replace(answer, action=answered(seen, answer.action))
        if seen.progress is None and _continues(answer.action):
            return needs.StartProgress(answer.action.record.start)
    if isinstance(answer.action, Keep) and not seen.job.is_observed:
        return replace(answer, action=Observe())
    return answer


def _next(seen: Observation, now: datetime) -> NeedOrDecision:
    job = seen.job
    if job.finished:
        return _finished(seen, now)
    if not seen.spec_known and seen.history_available:
        return needs.AcceptedSpec()
    active = job.active
    if over := _with_finalizer(pod for pod in seen.pods if _is_over(job, pod)):
        return _clean_up(seen, over)
    return _before_a_start(seen, now) if active is None else _running(seen, active, now)


def _ends_with_a_result(job: Job, action: Action) -> bool:
    """Whether an action ends a job for which history may have an answer and usage."""
    end = action.next_step if isinstance(action, EndStart) else action
    return isinstance(end, Finish) and job.status.starts > 0


def _continues(action: Action) -> TypeGuard[EndStart]:
    """Whether an action ends a start, but not its job: the final result already includes the steps."""
    return isinstance(action, EndStart) and not isinstance(action.next_step, Finish)


def _finished(seen: Observation, now: datetime) -> NeedOrDecision:
    """Decide about a finished job: create follow-ups, remove finalizers, delete it when its TTL expires."""
    job = seen.job
    if (following := follow(seen)) is not None:
        return following
    if pods := _with_finalizer(seen.pods):
        return _clean_up(seen, pods)
    if job.needs_result and seen.history_available:
        return needs.FinalResult() if seen.result is None else Decision(BackfillResult(seen.result))
    if job.needs_follow_ups and not job.deleting:
        return Decision(Keep(), again=again(job, now))
    ttl = job.time_to_live
    if job.deleting or ttl is None or job.status.completion_time is None:
        return Decision(Keep())
    expiry = job.status.completion_time + ttl
    if now < expiry:
        return Decision(Keep(), again=expiry)
    if seen.end_recorded is None and seen.history_available:
        return needs.EndRecorded()
    return Decision(DeleteJob()) if seen.end_recorded else Decision(Keep(), again=now + RETRY_DELAY)


def _is_over(job: Job, pod: Pod) -> bool:
    """Whether a pod's start has ended. The pod's event may arrive before that of its start's claim."""
    if pod.start is None or pod.start > job.status.starts:
        return False
    return job.active is None or pod.start != job.active.start


def _clean_up(seen: Observation, over: tuple[Pod, ...]) -> Decision:
    """Stop pods of ended starts, delete those that are not kept, then remove their finalizers."""
    for pod in over:
        if pod.deletion is None and not pod.ended:
            return Decision(StopPod(pod, "its start is over"))
        if pod.deletion is None and not _is_kept(seen, pod):
            return Decision(StopPod(pod, "runtime.podRetention"))
    return Decision(RemoveFinalizer(over))


def _is_kept(seen: Observation, pod: Pod) -> bool:
    """Whether a finished pod is kept as long as its job."""
    retention = seen.job.pod_retention
    if retention == "KeepOnFailure":
        records = seen.job.status.attempt_history
        return not any(record.start == pod.start and record.verdict == Verdict.SUCCEED for record in records)
    return retention == "Keep"


def _running(seen: Observation, active: AttemptRecord, now: datetime) -> NeedOrDecision:
    """Decide about a job with an active start, by the state of its pod."""
    job, pod = seen.job, seen.active_pod
    if pod is None:
        if seen.must_stop:
            return end_start(seen, active, None, lost("stopped before the pod was created"), now)
        return _missing(seen, active, now)
    if pod.ended:
        return end_start(seen, active, pod, _diagnosed(job, pod), now)
    if pod.deletion is not None:
        return _terminating(seen, active, pod, now)
    if seen.must_stop:
        return Decision(StopPod(pod, _order(seen)))
    if pod.stage.started is not None:
        return _started(seen, active, pod, pod.stage.started, now)
    return _starting(seen, active, pod, now)


def _order(seen: Observation) -> str:
    """Return why the job must stop."""
    job = seen.job
    if job.cancel:
        return "spec.cancel is set"
    if job.deleting:
        return "the job was deleted"
    return "spec.suspend is set" if job.suspend or seen.stop is None else seen.stop.message


def _diagnosed(job: Job, pod: Pod) -> StartEnding:
    """Return how a pod ended. A pod without a message that we stopped for its silence ended by ProgressTimeout."""
    ending = diagnose(pod)
    return silent(pod.name) if ending.reason == ErrorClass.RUNNER_LOST and _is_silent(job) else ending


def _is_silent(job: Job) -> bool:
    return job.has_condition(ConditionType.POD_STARTED, status=False, reason=PodStartedReason.SILENT)


def _started(seen: Observation, active: AttemptRecord, pod: Pod, began: datetime, now: datetime) -> NeedOrDecision:
    """The container runs: update the status if necessary, and check its heartbeats."""
    job, spec = seen.job, seen.spec
    if _is_silent(job):
        return Decision(StopPod(pod, "its runner stopped reporting"))
    unwell = find_condition(job.status.conditions, ConditionType.POD_STARTED)
    if unwell is not None and not unwell.is_true:
        return Decision(ReportPod(True, PodStartedReason.STARTED, f"pod {pod.name} runs"))
    if spec is None or pod.stage.name != RUNNER_CONTAINER:
        # Containers that clone or publish send no heartbeats; the attempt's time-out applies.
        return Decision(Keep())
    # The runner watches itself; this is for a runner that hangs. Measured from the container's start, without pulling
    # images.
    limit = spec.timeouts.progress + SILENT_MARGIN
    age = min(now - max(began, active.started or began), seen.active_for)
    if age < limit:
        return Decision(Keep(), again=now + limit - age)
    if seen.heartbeat is None and seen.history_available:
        return needs.LastHeartbeat(active.start)
    if seen.heartbeat is None or seen.heartbeat.silence is None:
        return Decision(Keep(), again=now + RETRY_DELAY)
    silence = min(seen.heartbeat.silence, age)
    if silence < limit:
        return Decision(Keep(), again=now + limit - silence)
    message = f"the runner in pod {pod.name} did not report for {int(silence.total_seconds())} s"
    return Decision(ReportPod(False, PodStartedReason.SILENT, message))


def _missing(seen: Observation, active: AttemptRecord, now: datetime) -> NeedOrDecision:
    """The start has no pod: it was just claimed, the process died before creating it, or the API server rejects it."""
    obstacle, age = seen.obstacle, min(now - (active.started or now), seen.active_for)
    if seen.unreadable:
        if age < REPORT_AFTER:
            return Decision(
                Keep(), again=now + REPORT_AFTER - age
            )  # it may exist although its event has not arrived yet
        return end_start(seen, active, None, lost("this version of the operator cannot create the pod"), now)
    if obstacle is None:
        return Decision(MakePod(active.start, active.attempt), again=now + RECHECK_DELAY)
    if obstacle.final:
        return end_start(seen, active, None, refused(obstacle), now)
    if obstacle.reason in _GIVEN_UP and age >= GIVE_UP_AFTER:
        return end_start(seen, active, None, never_began(Waiting(obstacle.reason, obstacle.message)), now)
    if age >= REPORT_AFTER and not seen.job.has_condition(
        ConditionType.POD_STARTED, status=False, reason=obstacle.reason
    ):
        return Decision(ReportPod(False, obstacle.reason, obstacle.message))
    return Decision(MakePod(active.start, active.attempt), again=now + RECHECK_DELAY)


def _terminating(seen: Observation, active: AttemptRecord, pod: Pod, now: datetime) -> NeedOrDecision:
    """The pod is being deleted: it may be in its grace period, or its kubelet may be gone."""
    if not pod.node:
        # No kubelet will ever end a pod that was not scheduled.
        return end_start(seen, active, pod, lost("the pod was deleted before it was scheduled"), now)
    if seen.deleting_for >= _grace(seen, pod) + STUCK_AFTER:
        return end_start(seen, active, pod, lost(f"node {pod.node} does not end the pod", _loss(pod)), now)
    if pod.disruption == "DeletionByTaintManager":
        if seen.heartbeat is None and seen.history_available:
            return needs.LastHeartbeat(active.start)
        silence = seen.heartbeat.silence if seen.heartbeat else None
        if silence is not None and silence >= SILENCE:
            return end_start(seen, active, pod, lost(f"node {pod.node} stopped answering", ErrorClass.NODE_LOST), now)
    return _stopping(seen, pod, now)


def _stopping(seen: Observation, pod: Pod, now: datetime) -> Decision:
    """Write that the pod is in its grace period: together with an edit, or once it takes longer than usual."""
    job = seen.job
    if _is_silent(job) or job.has_condition(ConditionType.POD_STARTED, status=False, reason=PodStartedReason.STOPPING):
        return Decision(Keep(), again=now + RETRY_DELAY)
    if job.is_observed and seen.deleting_for < REPORT_STOP_AFTER:
        return Decision(Keep(), again=now + REPORT_STOP_AFTER - seen.deleting_for)
    why = _order(seen) if seen.must_stop else pod.disruption or "it was deleted"
    until = f" until {pod.deletion:%H:%M:%S}" if pod.deletion else ""
    message = f"pod {pod.name} is stopping, within its grace period{until}: {why}"
    return Decision(ReportPod(False, PodStartedReason.STOPPING, message), again=now + RETRY_DELAY)


def _grace(seen: Observation, pod: Pod) -> timedelta:
    """Return how long the pod may take to stop."""
    if pod.grace is not None:
        return pod.grace
    return timedelta(seconds=seen.spec.runtime.termination_grace_period_seconds if seen.spec else 0)


def _loss(pod: Pod) -> ErrorClass:
    return ErrorClass.NODE_LOST if pod.disruption == "DeletionByTaintManager" else ErrorClass.RUNNER_LOST


def _starting(seen: Observation, active: AttemptRecord, pod: Pod, now: datetime) -> NeedOrDecision:
    """The pod waits for a node, an image, a Secret."""
    if pod.gates:
        return _gated(seen, active, pod, now)
    # The next container waits since the previous one ended.
    since = pod.waits_since or max(pod.created, active.started or pod.created)
    age = min(now - since, seen.active_for)
    waiting = _explained(seen, pod.waiting)
    if age >= GIVE_UP_AFTER:
        return end_start(seen, active, pod, never_began(waiting), now)
    if age < REPORT_AFTER:
        return Decision(Keep(), again=now + REPORT_AFTER - age)
    again = now + GIVE_UP_AFTER - age
    if waiting is None or seen.job.has_condition(ConditionType.POD_STARTED, status=False, reason=waiting.reason):
        return Decision(Keep(), again=again)
    return Decision(ReportPod(False, waiting.reason, waiting.message), again=again)


def _explained(seen: Observation, waiting: Waiting | None) -> Waiting | None:
    """Add the likely cause to a wait: the kubelet reports volumes that cannot be mounted only in Events."""
    workspace = seen.spec.workspace if seen.spec else None
    if waiting is None or waiting.message or waiting.reason not in _MOUNTING or workspace is None:
        return waiting
    secrets = sorted({ref.name for ref in (workspace.git.secret_ref, workspace.publish.secret_ref) if ref is not None})
    return (
        replace(waiting, message=f"it waits for its volumes, with Secrets {', '.join(secrets)}") if secrets else waiting
    )


def _gated(seen: Observation, active: AttemptRecord, pod: Pod, now: datetime) -> NeedOrDecision:
    """Another controller decides when the pod is scheduled, without a time-out."""
    age, reason = now - max(pod.created, active.started or pod.created), PodStartedReason.SCHEDULING_GATED
    if age < REPORT_AFTER:
        return Decision(Keep(), again=now + REPORT_AFTER - age)
    if seen.job.has_condition(ConditionType.POD_STARTED, status=False, reason=reason):
        return Decision(Keep())
    return Decision(ReportPod(False, reason, f"pod {pod.name} has scheduling gates: {', '.join(pod.gates)}"))


def _before_a_start(seen: Observation, now: datetime) -> NeedOrDecision:
    """No start is active: the first hold that applies decides, else the next start begins."""
    for hold in HOLDS:
        if (answer := hold(seen, now)) is not None:
            return answer
    # Continuing after the last step of a start that answered would give the same answer again.
    before = seen.job.status.attempt_history[-1:]
    afresh = any(record.verdict == Verdict.SUCCEED for record in before)
    return Decision(Claim(seen.job.status.starts + 1, next_attempt(seen.job), afresh))


def _with_finalizer(pods: Iterable[Pod]) -> tuple[Pod, ...]:
    return tuple(pod for pod in pods if pod.has_finalizer)
