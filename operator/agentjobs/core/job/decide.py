"""Decides what happens to a job next. The heart: read it first.

Pure: `reconcile` observes, asks `decide`, and carries out one verdict; then it observes again. So every verdict must
bring the job nearer to its end or answer a question, or be `Keep`. To add a verdict, start in `verdicts`; mypy shows
the rest.

In one observation a valid success beats cancel, deadline and every other end.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from agentjobs.api.conditions import (
    AcceptedReason,
    AdmittedReason,
    ConditionType,
    Phase,
    PodStartedReason,
    SuspendedReason,
    find_condition,
)
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.job.status import AttemptRecord
from agentjobs.api.problems import rejection
from agentjobs.contract import GATEWAY_PATIENCE_SECONDS, ErrorClass
from agentjobs.contract import Verdict as Said
from agentjobs.core.job.end_start import ASK_AGAIN, SUSPENDED, cancelled, end_start, time_left
from agentjobs.core.job.observation import Job, Observation
from agentjobs.core.job.verdicts import (
    AskForSlot,
    AskHeartbeat,
    AskRecorded,
    Claim,
    Decision,
    DeleteJob,
    FetchYield,
    Finish,
    Keep,
    MakePod,
    Observe,
    ReadReferences,
    ReleasePods,
    ReportPod,
    StopPod,
    Suspend,
    Wait,
)
from agentjobs.core.pods.diagnose import Ending, diagnose, lost, never_began, refused, silent
from agentjobs.core.pods.pod import Pod, Waiting
from agentjobs.core.queues.admission import Refusal

REPORT_AFTER = timedelta(seconds=10)  # images are pulled and nodes found within this on a good day
GIVE_UP_AFTER = timedelta(minutes=15)  # a container that has not started by then needs a person
SILENCE = timedelta(seconds=30)  # three missed heartbeats: no runner lives behind them
REPORT_STOP_AFTER = timedelta(seconds=2)  # most runners have stopped by then, and cost no write
STUCK_AFTER = timedelta(seconds=60)  # a kubelet that has not ended a pod this long after its grace period is away
# On top of timeouts.progress. A live runner ends itself sooner: two minutes without the gateway, and one to report.
SILENT_MARGIN = timedelta(seconds=GATEWAY_PATIENCE_SECONDS + 60)
HEAL_AGAIN = timedelta(seconds=2)  # how soon something missing that came back is noticed
# What has been missing for long is looked for less often: a schedule may leave thousands of such jobs.
HEAL_AT_LAST = timedelta(seconds=60)
HEAL_SHARE = 10


def decide(seen: Observation, now: datetime) -> Decision:
    """Return what shall happen to the job now, and when to look again."""
    decision = _next(seen, now)
    if isinstance(decision.verdict, Keep) and not seen.job.is_observed:
        return replace(decision, verdict=Observe())
    return decision


def _next(seen: Observation, now: datetime) -> Decision:
    job = seen.job
    if job.finished:
        return _finished(seen, now)
    active = job.active
    if strays := _held(pod for pod in seen.pods if _is_over(job, pod)):
        return _clear(seen, strays)
    if active is not None:
        return _running(seen, active, now)
    return _waiting(seen, now)


def _finished(seen: Observation, now: datetime) -> Decision:
    """Terminal is final; what is left is to let go."""
    job = seen.job
    if held := _held(seen.pods):
        return _clear(seen, held)
    if job.lacks_yield and seen.history_available:
        return Decision(FetchYield())
    ttl = job.time_to_live
    if job.deleting or ttl is None or job.status.completion_time is None:
        return Decision(Keep())
    expiry = job.status.completion_time + ttl
    if now < expiry:
        return Decision(Keep(), again=expiry)
    if seen.end_recorded is None and seen.history_available:
        return Decision(AskRecorded())
    return Decision(DeleteJob()) if seen.end_recorded else Decision(Keep(), again=now + ASK_AGAIN)


def _is_over(job: Job, pod: Pod) -> bool:
    """Whether a pod's start has ended. A pod beyond the last known start is news that has come before its claim's."""
    if pod.start is None or pod.start > job.status.starts:
        return False
    return job.active is None or pod.start != job.active.start


def _clear(seen: Observation, held: tuple[Pod, ...]) -> Decision:
    """Pods of starts that are over: stop what still runs and delete what nobody keeps, then let go."""
    for pod in held:
        if pod.deletion is None and not pod.ended:
            return Decision(StopPod(pod, "its start is over"))
        if pod.deletion is None and not _is_kept(seen, pod):
            return Decision(StopPod(pod, "runtime.podRetention"))
    return Decision(ReleasePods(held))


def _is_kept(seen: Observation, pod: Pod) -> bool:
    """Whether a finished pod stays with its job."""
    retention = seen.job.pod_retention
    if retention == "KeepOnFailure":
        records = seen.job.status.attempt_history
        return not any(one.start == pod.start and one.verdict == Said.SUCCEED for one in records)
    return retention == "Keep"


def _running(seen: Observation, active: AttemptRecord, now: datetime) -> Decision:
    """A start is claimed: see what became of its pod."""
    job, pod = seen.job, seen.active_pod
    if pod is None:
        if job.must_stop:
            return end_start(seen, active, None, lost("stopped before the pod was made"), now)
        return _missing(seen, active, now)
    if pod.ended:
        return end_start(seen, active, pod, _diagnosed(job, pod), now)
    if pod.deletion is not None:
        return _terminating(seen, active, pod, now)
    if job.must_stop:
        return Decision(StopPod(pod, _order(job)))
    if pod.container_started is not None:
        return _started(seen, active, pod, pod.container_started, now)
    return _starting(seen, active, pod, now)


def _order(job: Job) -> str:
    """Who wants the job stopped."""
    if job.cancel:
        return "spec.cancel is set"
    return "the job was deleted" if job.deleting else "spec.suspend is set"


def _diagnosed(job: Job, pod: Pod) -> Ending:
    """How an ended pod ended. One that we stopped for its silence and that left no word ended by that."""
    ending = diagnose(pod)
    return silent(pod.name) if ending.reason == ErrorClass.RUNNER_LOST and _is_silent(job) else ending


def _is_silent(job: Job) -> bool:
    return job.says(ConditionType.POD_STARTED, status=False, reason=PodStartedReason.SILENT)


def _started(seen: Observation, active: AttemptRecord, pod: Pod, began: datetime, now: datetime) -> Decision:
    """The container runs: say so if that was in doubt, and see that somebody lives in it."""
    job, spec = seen.job, seen.spec
    if _is_silent(job):
        return Decision(StopPod(pod, "nothing was heard of its runner"))
    unwell = find_condition(job.status.conditions, ConditionType.POD_STARTED)
    if unwell is not None and not unwell.is_true:
        return Decision(ReportPod(True, PodStartedReason.STARTED, f"pod {pod.name} runs"))
    if spec is None:
        return Decision(Keep())
    # The runner watches itself; this is for one that cannot. From the container's start: pulling is no silence.
    limit = spec.timeouts.progress + SILENT_MARGIN
    age = min(now - max(began, active.started or began), seen.active_for)
    if age < limit:
        return Decision(Keep(), again=now + limit - age)
    if seen.heartbeat is None and seen.history_available:
        return Decision(AskHeartbeat(active.start))
    if seen.heartbeat is None or seen.heartbeat.silence is None:
        return Decision(Keep(), again=now + ASK_AGAIN)
    silence = min(seen.heartbeat.silence, age)
    if silence < limit:
        return Decision(Keep(), again=now + limit - silence)
    message = f"nothing was heard of the runner in pod {pod.name} for {int(silence.total_seconds())} s"
    return Decision(ReportPod(False, PodStartedReason.SILENT, message))


def _missing(seen: Observation, active: AttemptRecord, now: datetime) -> Decision:
    """Claimed, no pod: the process died between claim and pod, or the API server does not make it."""
    obstacle, age = seen.obstacle, min(now - (active.started or now), seen.active_for)
    if seen.unreadable:
        if age < REPORT_AFTER:
            return Decision(Keep(), again=now + REPORT_AFTER - age)  # it may be there, and the news of it on its way
        return end_start(seen, active, None, lost("this version of the operator cannot make the pod"), now)
    if obstacle is None:
        return Decision(MakePod(active.start, active.attempt), again=now + HEAL_AGAIN)
    if obstacle.final:
        return end_start(seen, active, None, refused(obstacle), now)
    if obstacle.reason == PodStartedReason.POD_REFUSED and age >= GIVE_UP_AFTER:
        return end_start(seen, active, None, never_began(Waiting(obstacle.reason, obstacle.message)), now)
    if age >= REPORT_AFTER and not seen.job.says(ConditionType.POD_STARTED, status=False, reason=obstacle.reason):
        return Decision(ReportPod(False, obstacle.reason, obstacle.message))
    return Decision(MakePod(active.start, active.attempt), again=now + HEAL_AGAIN)


def _terminating(seen: Observation, active: AttemptRecord, pod: Pod, now: datetime) -> Decision:
    """Told to stop and not gone: the kubelet may need its grace period, or be away for good."""
    if not pod.node:
        # Nothing will ever end a pod that no kubelet has seen.
        return end_start(seen, active, pod, lost("the pod was deleted before a node took it"), now)
    if seen.deleting_for >= _grace(seen, pod) + STUCK_AFTER:
        return end_start(seen, active, pod, lost(f"node {pod.node} does not end the pod", _loss(pod)), now)
    if pod.disruption == "DeletionByTaintManager":
        if seen.heartbeat is None and seen.history_available:
            return Decision(AskHeartbeat(active.start))
        silence = seen.heartbeat.silence if seen.heartbeat else None
        if silence is not None and silence >= SILENCE:
            return end_start(seen, active, pod, lost(f"node {pod.node} stopped answering", ErrorClass.NODE_LOST), now)
    return _stopping(seen, pod, now)


def _stopping(seen: Observation, pod: Pod, now: datetime) -> Decision:
    """Say that the pod is in its grace period: when an edit is written anyway, or once it takes longer than most."""
    job = seen.job
    if _is_silent(job) or job.says(ConditionType.POD_STARTED, status=False, reason=PodStartedReason.STOPPING):
        return Decision(Keep(), again=now + ASK_AGAIN)
    if job.is_observed and seen.deleting_for < REPORT_STOP_AFTER:
        return Decision(Keep(), again=now + REPORT_STOP_AFTER - seen.deleting_for)
    why = _order(job) if job.must_stop else pod.disruption or "it was deleted"
    until = f" until {pod.deletion:%H:%M:%S}" if pod.deletion else ""
    message = f"pod {pod.name} was told to stop and has its grace period{until}: {why}"
    return Decision(ReportPod(False, PodStartedReason.STOPPING, message), again=now + ASK_AGAIN)


def _grace(seen: Observation, pod: Pod) -> timedelta:
    """How long the pod may take to stop."""
    if pod.grace is not None:
        return pod.grace
    return timedelta(seconds=seen.spec.runtime.termination_grace_period_seconds if seen.spec else 0)


def _loss(pod: Pod) -> ErrorClass:
    return ErrorClass.NODE_LOST if pod.disruption == "DeletionByTaintManager" else ErrorClass.RUNNER_LOST


def _starting(seen: Observation, active: AttemptRecord, pod: Pod, now: datetime) -> Decision:
    """The pod waits for a node, an image, a Secret."""
    age = min(now - max(pod.created, active.started or pod.created), seen.active_for)
    if age >= GIVE_UP_AFTER:
        return end_start(seen, active, pod, never_began(pod.waiting), now)
    if age < REPORT_AFTER:
        return Decision(Keep(), again=now + REPORT_AFTER - age)
    again = now + GIVE_UP_AFTER - age
    if pod.waiting is None or seen.job.says(ConditionType.POD_STARTED, status=False, reason=pod.waiting.reason):
        return Decision(Keep(), again=again)
    return Decision(ReportPod(False, pod.waiting.reason, pod.waiting.message), again=again)


def _waiting(seen: Observation, now: datetime) -> Decision:
    """No start is claimed: end it, say what it waits for, or begin one."""
    job, spec = seen.job, seen.spec
    if job.must_end:
        return Decision(cancelled(seen.job, " before a start"))
    if seen.unreadable:
        return _suspended(job) or _unreadable(seen)
    if spec is None and job.accepted and not seen.history_available:
        # This spec is illegal, and Postgres, which knows the one that was accepted, is away.
        return Decision(Keep(), again=now + HEAL_AGAIN)
    if spec is None or (seen.problems and not job.accepted):
        return Decision(_illegal(seen))
    if not job.accepted:
        if seen.references and seen.missing is None:
            return Decision(ReadReferences())
        if seen.missing:
            message = "; ".join(seen.missing)
            return _wait(AcceptedReason.REFERENCE_NOT_FOUND, message, again=now + _patience(job, now))
    held = _suspended(job)
    if held is not None and job.accepted:
        # Whatever else is missing: a wait for it would end the suspension.
        return held
    if not seen.queue_known:
        message = f"spec.queue: there is no queue {spec.queue!r}; the queues are agents and scheduled"
        return _wait(AcceptedReason.QUEUE_NOT_FOUND, message)
    if not job.accepted and not seen.history_available:
        return _no_history(job, now)
    return held or _ready(seen, spec, now)


def _patience(job: Job, now: datetime) -> timedelta:
    """How long to wait before a job that is not accepted is looked at again: a tenth of how long it waits already."""
    said = find_condition(job.status.conditions, ConditionType.ACCEPTED)
    waited = now - said.last_transition_time if said is not None else timedelta(0)
    return min(HEAL_AT_LAST, max(HEAL_AGAIN, waited / HEAL_SHARE))


def _suspended(job: Job) -> Decision | None:
    """What to do about a job that somebody, or a rule, wants held."""
    if job.suspend:
        if job.says(ConditionType.SUSPENDED, status=True, reason=SuspendedReason.REQUESTED):
            return Decision(Keep())
        return Decision(Suspend(SuspendedReason.REQUESTED, SUSPENDED, accept=not job.accepted))
    if job.says(ConditionType.SUSPENDED, status=True, reason=SuspendedReason.RULE) and not _is_resumed(job):
        return Decision(Keep())
    return None


def _ready(seen: Observation, spec: AgentJobSpec, now: datetime) -> Decision:
    """Legal and complete: wait for the time, then for a slot, then start."""
    job, attempt = seen.job, next_attempt(seen.job)
    if attempt > spec.retry.max_attempts:
        return Decision(_used_up(job))
    if time_left(seen, spec) <= timedelta(0):
        return Decision(Finish(Phase.FAILED, ErrorClass.DEADLINE_EXCEEDED, "timeouts.running was used up"))
    due = spec.start_at or (job.created + spec.start_after if spec.start_after else None)
    if job.status.starts == 0 and due is not None and due > now:
        when = due.isoformat(timespec="seconds").replace("+00:00", "Z")
        return _hold(job, AdmittedReason.WAITING_FOR_START_TIME, f"starts at {when}", again=due)
    later = job.status.next_attempt_time
    if later is not None and later > now:
        if job.says(ConditionType.ADMITTED, status=False, reason=AdmittedReason.WAITING_FOR_BACKOFF):
            return Decision(Keep(), again=later)
        return _hold(job, AdmittedReason.WAITING_FOR_BACKOFF, "resumed", again=later)
    if seen.slot is None:
        return Decision(AskForSlot(spec.queue, spec.priority, spec.session_key(name=job.name, uid=job.uid)))
    if isinstance(seen.slot, Refusal):
        return _queued(job, spec, seen.slot, now)
    if not seen.history_available:
        # Said by those who would start, not by the thousands that wait anyway.
        return _no_history(job, now)
    return Decision(Claim(job.status.starts + 1, attempt))


def _used_up(job: Job) -> Finish:
    """A version that could not read the job's limits has charged the last attempt."""
    last = job.status.attempt_history[-1]
    message = f"attempt {last.attempt} was the last and failed: {last.message}"
    return Finish(Phase.FAILED, last.reason or ErrorClass.RESULT_ERROR, message)


def _is_resumed(job: Job) -> bool:
    """Whether somebody gave the annotation a new value since the suspension."""
    return bool(job.resume) and job.resume != job.status.last_resume


def _queued(job: Job, spec: AgentJobSpec, refusal: Refusal, now: datetime) -> Decision:
    """No slot now: wait, but not for ever when the job says so."""
    limit = spec.timeouts.queue
    if limit is None:
        return _hold(job, refusal.reason, refusal.message)
    since = (job.status.queue.since if job.status.queue else None) or now
    if now - since >= limit:
        message = f"no slot within timeouts.queue: {refusal.message}"
        return Decision(Finish(Phase.FAILED, ErrorClass.QUEUE_TIMEOUT, message))
    return _hold(job, refusal.reason, refusal.message, again=since + limit)


def next_attempt(job: Job) -> int:
    """The number of the attempt that the next start belongs to."""
    history = job.status.attempt_history
    if not history:
        return max(job.status.attempts, 1)
    return history[-1].attempt + (1 if history[-1].charged else 0)


def _illegal(seen: Observation) -> Finish:
    reason, message = rejection(seen.problems)
    return Finish(Phase.FAILED, reason, message or "the spec cannot be read")


def _unreadable(seen: Observation) -> Decision:
    cure = "bring the newer version of the operator back and the job goes on, or cancel it"
    message = f"this version cannot read what a newer one accepted: {seen.unreadable}; {cure}"
    return _hold(seen.job, AdmittedReason.SPEC_UNREADABLE, message, accept=False)


def _no_history(job: Job, now: datetime) -> Decision:
    message = "the database cannot be reached; the job goes on when it is back"
    again = now + HEAL_AGAIN
    if not job.accepted:
        return _wait(AcceptedReason.HISTORY_UNAVAILABLE, message, again=again)
    return _hold(job, AdmittedReason.HISTORY_UNAVAILABLE, message, again=again, accept=False)


def _wait(reason: AcceptedReason, message: str, *, again: datetime | None = None) -> Decision:
    return Decision(Wait(ConditionType.ACCEPTED, reason, message, accept=False), again=again)


def _hold(
    job: Job, reason: str, message: str, *, again: datetime | None = None, accept: bool | None = None
) -> Decision:
    must = not job.accepted if accept is None else accept
    return Decision(Wait(ConditionType.ADMITTED, reason, message, accept=must), again=again)


def _held(pods: Iterable[Pod]) -> tuple[Pod, ...]:
    return tuple(pod for pod in pods if pod.held)
