"""Decides what happens to a job next. The heart: read it first.

Pure: `reconcile` observes, asks `decide`, and carries out one verdict; then it observes again. So every verdict must
bring the job nearer to its end or answer a question, or be `Keep`. To add a verdict, start in `verdicts`; mypy shows
the rest.

In one observation a valid success beats cancel, deadline and every other end.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from agentjobs.api.agentjob import AgentJobSpec, Rule
from agentjobs.api.conditions import (
    AcceptedReason,
    AdmittedReason,
    CancelledReason,
    CompleteReason,
    ConditionType,
    Phase,
    PodStartedReason,
    SuspendedReason,
    find_condition,
)
from agentjobs.api.problems import rejection
from agentjobs.api.status import AttemptRecord
from agentjobs.contract import GATEWAY_PATIENCE_SECONDS, ErrorClass, cut
from agentjobs.contract import Verdict as Said
from agentjobs.core.admission import Refusal
from agentjobs.core.diagnose import SNOOZE_DELAY, Ending, diagnose, lost, never_began, refused, silent, stopped
from agentjobs.core.observation import Job, Observation
from agentjobs.core.pods import Pod, Waiting
from agentjobs.core.policy import matching_rule
from agentjobs.core.retry import backoff
from agentjobs.core.verdicts import (
    Again,
    AskForSlot,
    AskHeartbeat,
    AskRecorded,
    Claim,
    Decision,
    DeleteJob,
    EndStart,
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

RECORD_BYTES = (
    512  # ten records, conditions and a result fit into 16 KiB of status; the runner's own report is whole in history
)
REPORT_AFTER = timedelta(seconds=10)  # images are pulled and nodes found within this on a good day
GIVE_UP_AFTER = timedelta(minutes=15)  # a container that has not started by then needs a person
SILENCE = timedelta(seconds=30)  # three missed heartbeats: no runner lives behind them
REPORT_STOP_AFTER = timedelta(seconds=2)  # most runners have stopped by then, and cost no write
STUCK_AFTER = timedelta(seconds=60)  # a kubelet that has not ended a pod this long after its grace period is away
ASK_AGAIN = timedelta(seconds=5)
DEADLINE_SLACK = timedelta(seconds=1)  # the kubelet counts whole seconds
SUSPENDED = "spec.suspend is true; set it to false and the job goes on"
# On top of timeouts.progress. A live runner ends itself sooner: two minutes without the gateway, and one to report.
SILENT_MARGIN = timedelta(seconds=GATEWAY_PATIENCE_SECONDS + 60)
HEAL_AGAIN = timedelta(seconds=2)  # how soon something missing that came back is noticed


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
            return _end(seen, active, None, lost("stopped before the pod was made"), now)
        return _missing(seen, active, now)
    if pod.ended:
        return _end(seen, active, pod, _diagnosed(job, pod), now)
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
    if obstacle is None:
        return Decision(MakePod(active.start, active.attempt), again=now + HEAL_AGAIN)
    if obstacle.final:
        return _end(seen, active, None, refused(obstacle), now)
    if obstacle.reason == PodStartedReason.POD_REFUSED and age >= GIVE_UP_AFTER:
        return _end(seen, active, None, never_began(Waiting(obstacle.reason, obstacle.message)), now)
    if age >= REPORT_AFTER and not seen.job.says(ConditionType.POD_STARTED, status=False, reason=obstacle.reason):
        return Decision(ReportPod(False, obstacle.reason, obstacle.message))
    return Decision(MakePod(active.start, active.attempt), again=now + HEAL_AGAIN)


def _terminating(seen: Observation, active: AttemptRecord, pod: Pod, now: datetime) -> Decision:
    """Told to stop and not gone: the kubelet may need its grace period, or be away for good."""
    if not pod.node:
        # Nobody will ever end a pod that no kubelet has seen.
        return _end(seen, active, pod, lost("the pod was deleted before a node took it"), now)
    if seen.deleting_for >= _grace(seen, pod) + STUCK_AFTER:
        return _end(seen, active, pod, lost(f"node {pod.node} does not end the pod", _loss(pod)), now)
    if pod.disruption == "DeletionByTaintManager":
        if seen.heartbeat is None and seen.history_available:
            return Decision(AskHeartbeat(active.start))
        silence = seen.heartbeat.silence if seen.heartbeat else None
        if silence is not None and silence >= SILENCE:
            return _end(seen, active, pod, lost(f"node {pod.node} stopped answering", ErrorClass.NODE_LOST), now)
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
        return _end(seen, active, pod, never_began(pod.waiting), now)
    if age < REPORT_AFTER:
        return Decision(Keep(), again=now + REPORT_AFTER - age)
    again = now + GIVE_UP_AFTER - age
    if pod.waiting is None or seen.job.says(ConditionType.POD_STARTED, status=False, reason=pod.waiting.reason):
        return Decision(Keep(), again=again)
    return Decision(ReportPod(False, pod.waiting.reason, pod.waiting.message), again=again)


def _end(seen: Observation, active: AttemptRecord, pod: Pod | None, ending: Ending, now: datetime) -> Decision:
    """The active start is over: charge it or not, and say what follows."""
    ending = stopped(seen.job, ending)
    open_ = ending.verdict in (Said.RETRY, Said.SNOOZE) or ending.outcome is not None
    if seen.spec is None and open_ and not seen.history_available and not seen.job.must_end:
        # Somebody broke the spec of an accepted job while Postgres, which knows the accepted one, is away.
        return Decision(Keep(), again=now + ASK_AGAIN)
    ran = _ran(active, pod, now)
    rule = _rule(seen, ending, pod)
    if rule is not None:
        ending = replace(ending, message=_told(rule, ending))
    then, charged = _then(seen, active, ending, ran, now) if rule is None else _by_rule(seen, active, ending, rule, now)
    ended = min(now, pod.terminated.finished) if pod and pod.terminated and pod.terminated.finished else now
    record = replace(
        active,
        # A node's clock may be another than ours; an end before the beginning, or to come, helps nobody.
        ended=max(ended, active.started or ended),
        verdict=ending.verdict.value,
        reason="" if ending.verdict is Said.SUCCEED else ending.reason,
        charged=charged,
        message=cut(ending.message, RECORD_BYTES),
    )
    fired = rule.name if rule else ""
    return Decision(EndStart(record, then, ran, fired), again=then.at if isinstance(then, Again) else None)


def _ran(active: AttemptRecord, pod: Pod | None, now: datetime) -> timedelta:
    """How long the container of a pod ran, by the node's clock, which may have been set meanwhile."""
    if pod is None or pod.container_started is None:
        return timedelta(0)
    ended = pod.terminated.finished if pod.terminated and pod.terminated.finished else now
    most = now - (active.started or pod.created)
    return max(timedelta(0), min(most, ended - pod.container_started))


def _then(
    seen: Observation, active: AttemptRecord, ending: Ending, ran: timedelta, now: datetime
) -> tuple[Again | Finish | Suspend, bool]:
    """Apply the job's wishes and limits to an ending. The second value says whether an attempt is charged."""
    if ending.verdict is Said.SUCCEED:
        return _finish(ending, Phase.SUCCEEDED, CompleteReason.RESULT_ACCEPTED), False
    if seen.job.must_end:
        return _cancelled(seen.job), False
    if ending.verdict is Said.CANCEL:
        return Finish(Phase.CANCELLED, CancelledReason.CANCELLED, ending.message), False
    if ending.verdict is Said.FAIL or seen.spec is None:
        return Finish(Phase.FAILED, ending.reason, ending.message), False
    if ending.reason == ErrorClass.SUSPENDED:
        # The loss is our own doing: it spends nothing.
        return Suspend(SuspendedReason.REQUESTED, SUSPENDED), False
    if ending.reason == ErrorClass.ATTEMPT_TIMEOUT and _left(seen, seen.spec, ran) <= DEADLINE_SLACK:
        return Finish(Phase.FAILED, ErrorClass.DEADLINE_EXCEEDED, "timeouts.running was used up"), False
    then, charged = _again(seen, seen.spec, active, ending, now)
    if seen.job.suspend and isinstance(then, Again):
        return Suspend(SuspendedReason.REQUESTED, SUSPENDED, at=then.at), charged
    return then, charged


def _rule(seen: Observation, ending: Ending, pod: Pod | None) -> Rule | None:
    """The job's own rule for this ending. A wish to stop comes before all rules about failures."""
    job, spec = seen.job, seen.spec
    if spec is None or (job.must_end and ending.verdict is not Said.SUCCEED):
        return None
    if ending.reason == ErrorClass.SUSPENDED:
        return None
    return matching_rule(spec.result_policy, ending, pod, fired=job.status.rule_counts)


def _cancelled(job: Job, when: str = "") -> Finish:
    if not job.cancel:
        return Finish(Phase.CANCELLED, CancelledReason.DELETED, f"the job was deleted{when}")
    if job.replaced_by:
        return Finish(Phase.CANCELLED, CancelledReason.REPLACED, f"its schedule replaced it by {job.replaced_by}{when}")
    return Finish(Phase.CANCELLED, CancelledReason.REQUESTED, f"spec.cancel was set{when}")


def _by_rule(
    seen: Observation, active: AttemptRecord, ending: Ending, rule: Rule, now: datetime
) -> tuple[Again | Finish | Suspend, bool]:
    """Do what a rule says, within the job's limits."""
    success = ending.verdict is Said.SUCCEED
    if success:
        # An answer that is not taken counts as an error of the agent.
        ending = replace(ending, reason=ErrorClass.RESULT_ERROR)
    match rule.action:
        case "Succeed":
            reason = CompleteReason.RESULT_ACCEPTED if success else CompleteReason.RULE
            return _finish(ending, Phase.SUCCEEDED, reason), False
        case "Cancel":
            return _finish(ending, Phase.CANCELLED, CancelledReason.RULE), False
        case "Fail":
            return _finish(ending, Phase.FAILED, ending.reason), False
    if seen.job.must_end:
        return replace(_cancelled(seen.job), summary=ending.summary, outcome=ending.outcome), False
    if rule.action == "Suspend":
        return Suspend(SuspendedReason.RULE, ending.message), False
    assert seen.spec is not None
    verdict = Said.SNOOZE if rule.action == "Snooze" else Said.RETRY
    if verdict is Said.RETRY and rule.delay is not None:
        # The rule's delay stands in for the backoff, not beside it.
        then, charged = _retry(seen, seen.spec, active, replace(ending, delay=None), now)
        return (replace(then, at=now + rule.delay) if isinstance(then, Again) else then), charged
    return _again(seen, seen.spec, active, replace(ending, verdict=verdict, delay=rule.delay, infra=False), now)


def _told(rule: Rule, ending: Ending) -> str:
    """What is said of an ending that a rule decided about."""
    if ending.verdict is Said.SUCCEED:
        return f"rule {rule.name}: the answer's outcome is {ending.outcome}"
    return f"rule {rule.name}: {ending.reason}: {ending.message}"


def _finish(ending: Ending, phase: Phase, reason: str) -> Finish:
    """The job ends by this ending, and with its answer if it gave one."""
    return Finish(phase, reason, ending.message, ending.summary, ending.outcome)


def _again(
    seen: Observation, spec: AgentJobSpec, active: AttemptRecord, ending: Ending, now: datetime
) -> tuple[Again | Finish, bool]:
    if ending.verdict is Said.SNOOZE and not _spent(seen, ending):
        return Again(now + (ending.delay or SNOOZE_DELAY), infra=ending.infra), False
    return _retry(seen, spec, active, ending, now)


def _left(seen: Observation, spec: AgentJobSpec, ran: timedelta = timedelta(0)) -> timedelta:
    """What is left of `timeouts.running`."""
    if spec.timeouts.running is None:
        return timedelta.max
    return spec.timeouts.running - timedelta(seconds=seen.job.status.running_seconds) - ran


def _spent(seen: Observation, ending: Ending) -> bool:
    """Whether the job has used up the endings of this kind that cost nothing."""
    status, retry = seen.job.status, seen.spec.retry if seen.spec else None
    if retry is None:
        return True
    if ending.infra:
        return status.infra_restarts >= retry.max_infra_restarts
    return status.snoozes >= retry.max_snoozes


def _retry(
    seen: Observation, spec: AgentJobSpec, active: AttemptRecord, ending: Ending, now: datetime
) -> tuple[Again | Finish, bool]:
    """A failure that another attempt may heal. Charged when a container began, and when free endings are used up."""
    # A start whose container never ran costs no attempt, but it must not go on for ever either.
    charged = ending.began or seen.job.status.infra_restarts >= spec.retry.max_infra_restarts
    if charged and active.attempt >= spec.retry.max_attempts:
        message = f"attempt {active.attempt} of {spec.retry.max_attempts} failed: {ending.message}"
        return _finish(replace(ending, message=message), Phase.FAILED, ending.reason), True
    seed = f"{seen.job.uid}/{active.start}"
    wait = backoff(spec.retry.backoff, active.attempt, seed=seed)
    if ending.delay is not None:
        wait = max(wait, ending.delay)
    return Again(now + wait, infra=not charged), charged


def _waiting(seen: Observation, now: datetime) -> Decision:
    """No start is claimed: end it, say what it waits for, or begin one."""
    job, spec = seen.job, seen.spec
    if job.must_end:
        return Decision(_cancelled(seen.job, " before a start"))
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
            return _wait(AcceptedReason.REFERENCE_NOT_FOUND, message, again=now + HEAL_AGAIN)
    held = _suspended(job)
    if held is not None and job.accepted:
        # Whatever else is missing: a wait for it would end the suspension.
        return held
    if not seen.queue_known:
        message = f"spec.queue: there is no queue {spec.queue!r}; the queues are agents and scheduled"
        return _wait(AcceptedReason.QUEUE_NOT_FOUND, message)
    if not seen.history_available:
        return _no_history(job, now)
    return held or _ready(seen, spec, now)


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
    job = seen.job
    if _left(seen, spec) <= timedelta(0):
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
    return Decision(Claim(job.status.starts + 1, next_attempt(job)))


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
