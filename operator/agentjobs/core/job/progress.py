"""The new status after an action: pure functions, one for each action that writes.

Each change of the phase counts as one transition, which numbers the rows of the history.
"""

import math
from dataclasses import replace
from datetime import datetime
from typing import Any

from agentjobs.api.conditions import (
    END_CONDITIONS,
    AcceptedReason,
    AdmittedReason,
    Condition,
    ConditionType,
    FollowUpReason,
    Phase,
    SuspendedReason,
    is_true,
    observed_at,
    phase_of,
    primary_condition,
    with_condition,
)
from agentjobs.api.job.status import (
    MAX_ATTEMPT_HISTORY,
    MAX_STEP_NAME,
    AgentJobStatus,
    AttemptRecord,
    Checkpoint,
    FollowUpStatus,
    PublishedWorkspace,
    QueuePlace,
    ResolvedSpec,
    ResultSummary,
)
from agentjobs.api.raw_status import MAX_CONDITIONS
from agentjobs.contract import cut, pod_name
from agentjobs.core.job.actions import Claim, EndStart, Finish, RecordFollowUps, ReportPod, Suspend, Wait
from agentjobs.core.job.observation import Job, Progress

_OURS = frozenset(kind.value for kind in ConditionType)
# Waits for which admission has no entry.
_WITHOUT_ENTRY = (AdmittedReason.SPEC_UNREADABLE, AdmittedReason.QUEUE_NOT_FOUND)
# Reasons of specs that will never be accepted.
_REJECTIONS = (
    AcceptedReason.INVALID_SPEC,
    AcceptedReason.SPEC_TOO_LARGE,
    AcceptedReason.UNRESOLVED_REFERENCE,
    AcceptedReason.LOCKED_FIELD,
    AcceptedReason.TYPE_CONFLICT,
    AcceptedReason.DEPENDENCY_CYCLE,
)


def observed(job: Job) -> AgentJobStatus:
    """Return the same status with the current generation observed."""
    return _observed(job, job.status)


def claimed(job: Job, action: Claim, *, spec_hash: str, queue: str, now: datetime) -> AgentJobStatus:
    """Claim a start: the only status write between a job's wait and its end."""
    status, moment = job.status, now.replace(microsecond=0)
    record = AttemptRecord(
        attempt=action.attempt, start=action.start, pod=pod_name(job.name, action.start), started=now
    )
    status = _resumed(job, _accepted(job, status, spec_hash, now), now)
    return _moved(
        job,
        replace(
            status,
            conditions=_set(job, status, ConditionType.ADMITTED, True, AdmittedReason.ADMITTED, _ordinal(action), now),
            start_time=status.start_time or moment,
            next_attempt_time=None,
            attempts=action.attempt,
            starts=action.start,
            attempt_history=(*status.attempt_history, record)[-MAX_ATTEMPT_HISTORY:],
            queue=_place(status, queue, moment),
        ),
        now,
    )


def waiting(job: Job, action: Wait, *, spec_hash: str | None, queue: str, now: datetime) -> AgentJobStatus:
    """Write what the job waits for. `spec_hash` is set if it has just been accepted."""
    status = job.status
    if spec_hash is not None:
        status = _accepted(job, status, spec_hash, now)
    status = _resumed(job, status, now)
    status = replace(status, conditions=_set(job, status, action.condition, False, action.reason, action.message, now))
    if action.reason in _WITHOUT_ENTRY:
        # The job is found by this name when the queue appears; only its template may name it.
        name = queue or (status.queue.name if status.queue else "")
        place = _place(status, name, now.replace(microsecond=0)) if action.in_line else QueuePlace(name=name)
        status = replace(status, queue=place if name else None)
    elif phase_of(status.conditions) is Phase.QUEUED:
        status = replace(status, queue=_place(status, queue, now.replace(microsecond=0)))
    elif queue and (status.queue is None or status.queue.since is not None):
        status = replace(status, queue=QueuePlace(name=queue))  # not a wait for a slot
    return _moved(job, status, now)


def reported(job: Job, action: ReportPod, *, now: datetime) -> AgentJobStatus:
    """Report a pod that does not start, or has started. No transition: the phase stays Running."""
    conditions = _set(job, job.status, ConditionType.POD_STARTED, action.started, action.reason, action.message, now)
    return _observed(job, job.status, conditions, reason=_reason(conditions))


def start_ended(job: Job, action: EndStart, *, now: datetime) -> AgentJobStatus:
    """End the active start; another follows, or the job ends in the same write."""
    record, next_step = action.record, action.next_step
    status = replace(
        job.status,
        attempt_history=(*job.status.attempt_history[:-1], record),
        # Rounded up, so that many short starts are counted.
        running_seconds=job.status.running_seconds + math.ceil(action.ran.total_seconds()),
        rule_counts=_fired(job.status.rule_counts, action.rule),
        checkpoint=action.checkpoint or job.status.checkpoint,
    )
    if isinstance(next_step, Finish):
        return _ended(job, status, next_step, now)
    if isinstance(next_step, Suspend):
        status = replace(status, next_attempt_time=_ceiling(next_step.at) if next_step.at else None)
        return _held(job, status, next_step, now)
    message = (
        f"attempt {record.attempt + record.charged} starts at {_clock(next_step.at)}: {record.reason or record.message}"
    )
    conditions = _set(job, status, ConditionType.ADMITTED, False, AdmittedReason.WAITING_FOR_BACKOFF, message, now)
    conditions = tuple(each for each in conditions if each.type != ConditionType.POD_STARTED)
    status = replace(
        status,
        conditions=conditions,
        # Rounded up: a status has whole seconds, and a retry must not start early.
        next_attempt_time=_ceiling(next_step.at),
        infra_restarts=status.infra_restarts + (1 if next_step.infra else 0),
        snoozes=status.snoozes + (0 if next_step.infra or next_step.free or record.charged else 1),
        queue=replace(status.queue, since=None) if status.queue else None,
    )
    return _moved(job, status, now)


def checkpoint_of(known: Progress) -> Checkpoint | None:
    """Return the job's last recorded step for the status, or None."""
    return Checkpoint(known.last, cut(known.name, MAX_STEP_NAME), known.time) if known.last else None


def suspended(job: Job, action: Suspend, *, spec_hash: str | None, now: datetime, queue: str = "") -> AgentJobStatus:
    """Suspend the job. `spec_hash` is set if it has just been accepted; `queue` is its queue."""
    status = job.status if spec_hash is None else _accepted(job, job.status, spec_hash, now)
    if queue and status.queue is None:
        status = replace(status, queue=QueuePlace(name=queue))
    return _held(job, status, action, now)


def named(
    job: Job, status: AgentJobStatus, follow_ups: tuple[FollowUpStatus, ...] | None, *, now: datetime
) -> AgentJobStatus:
    """Return the final status with the matching follow-ups; None if they are not known yet."""
    if follow_ups == ():
        return status
    reason, condition = FollowUpReason.PENDING, ConditionType.FOLLOW_UPS_CREATED
    conditions = _set(job, status, condition, False, reason, "", now)
    return _observed(job, status, conditions, follow_ups=follow_ups)


def followed(job: Job, action: RecordFollowUps, *, now: datetime) -> AgentJobStatus:
    """Write the state of the follow-ups. No transition: the job has ended."""
    condition = ConditionType.FOLLOW_UPS_CREATED
    if not action.follow_ups and action.reason == FollowUpReason.CREATED:
        conditions = tuple(each for each in job.status.conditions if each.type != condition)
    else:
        made = action.reason == FollowUpReason.CREATED
        conditions = _set(job, job.status, condition, made, action.reason, action.message, now)
    return _observed(job, job.status, conditions, follow_ups=action.follow_ups or None)


def finished(job: Job, action: Finish, *, now: datetime) -> AgentJobStatus:
    """End a job without an active start."""
    return _ended(job, job.status, action, now)


def _fired(counts: dict[str, int] | None, rule: str) -> dict[str, int] | None:
    return {**(counts or {}), rule: (counts or {}).get(rule, 0) + 1} if rule else counts


def _held(job: Job, status: AgentJobStatus, action: Suspend, now: datetime) -> AgentJobStatus:
    conditions = _set(job, status, ConditionType.ADMITTED, False, AdmittedReason.SUSPENDED, "", now)
    conditions = tuple(each for each in conditions if each.type != ConditionType.POD_STARTED)
    status = replace(
        status,
        conditions=conditions,
        queue=replace(status.queue, since=None) if status.queue else None,
        # A value that is older than the suspension does not end it.
        last_resume=job.resume or None,
    )
    conditions = _set(job, status, ConditionType.SUSPENDED, True, action.reason, action.message, now)
    return _moved(job, replace(status, conditions=conditions), now)


def _resumed(job: Job, status: AgentJobStatus, now: datetime) -> AgentJobStatus:
    """Clear the condition Suspended."""
    if not is_true(status.conditions, ConditionType.SUSPENDED):
        return status
    return replace(
        status, conditions=_set(job, status, ConditionType.SUSPENDED, False, SuspendedReason.RESUMED, "", now)
    )


def _ended(job: Job, status: AgentJobStatus, end: Finish, now: datetime) -> AgentJobStatus:
    if end.phase is Phase.FAILED and end.reason in _REJECTIONS:
        status = replace(
            status, conditions=_set(job, status, ConditionType.ACCEPTED, False, end.reason, end.message, now)
        )
    status = _resumed(job, status, now)
    status = replace(
        status, conditions=_set(job, status, ConditionType.ADMITTED, False, AdmittedReason.FINISHED, "", now)
    )
    conditions = _set(job, status, END_CONDITIONS[end.phase], True, end.reason, end.message, now)
    conditions = tuple(each for each in conditions if each.type != ConditionType.POD_STARTED)
    status = replace(
        status,
        conditions=conditions,
        completion_time=now.replace(microsecond=0),
        next_attempt_time=None,
        result=_result(end),
        duplicate_of=end.duplicate_of,
    )
    return _moved(job, status, now)


def _result(end: Finish) -> ResultSummary | None:
    """Return the part of the result that the end contains; history adds the rest."""
    if not end.answered and end.published is None:
        return None
    published = end.published
    workspace = None
    if published is not None:
        workspace = PublishedWorkspace(published["branch"], published["commit"], published.get("pullRequest", ""))
    return ResultSummary(summary=end.summary, outcome=end.outcome, workspace=workspace)


def _moved(job: Job, status: AgentJobStatus, now: datetime) -> AgentJobStatus:
    """Derive phase, reason and Finished, and count a transition if the phase changed."""
    phase = phase_of(status.conditions)
    conditions = _set(job, status, ConditionType.FINISHED, phase.is_terminal, phase, "", now)
    step = 0 if phase is job.status.phase and not _restarted(job.status, status) else 1
    moved = {"phase": phase, "reason": _reason(conditions), "transitions": job.status.transitions + step}
    return _observed(job, status, conditions, **moved)


def _observed(
    job: Job, status: AgentJobStatus, conditions: tuple[Condition, ...] | None = None, **changed: Any
) -> AgentJobStatus:
    """The status for the object's current generation, with other conditions and members if given."""
    conditions = observed_at(_fitting(status.conditions if conditions is None else conditions), job.generation)
    return replace(status, conditions=conditions, observed_generation=job.generation, lineage=job.lineage, **changed)


def _fitting(conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """Drop conditions of other writers beyond the CRD's limit: with them every write would be refused."""
    over_limit = len(conditions) - MAX_CONDITIONS
    if over_limit <= 0:
        return conditions
    others = [each for each in conditions if each.type not in _OURS]
    return tuple(each for each in conditions if each not in others[-over_limit:])


def _reason(conditions: tuple[Condition, ...]) -> str | None:
    primary = primary_condition(conditions)
    return primary.reason if primary else None


def _restarted(before: AgentJobStatus, after: AgentJobStatus) -> bool:
    return before.starts != after.starts


def _accepted(job: Job, status: AgentJobStatus, spec_hash: str, now: datetime) -> AgentJobStatus:
    conditions = _set(job, status, ConditionType.ACCEPTED, True, AcceptedReason.RESOLVED, f"spec hash {spec_hash}", now)
    return replace(status, conditions=conditions, resolved=ResolvedSpec(spec_hash=spec_hash))


def _place(status: AgentJobStatus, queue: str, moment: datetime) -> QueuePlace:
    if status.queue is not None and status.queue.name == queue and status.queue.since is not None:
        return status.queue
    return QueuePlace(name=queue, since=moment)


def _set(
    job: Job,
    status: AgentJobStatus,
    condition: ConditionType,
    holds: bool,
    reason: str,
    message: str,
    now: datetime,
) -> tuple[Condition, ...]:
    return with_condition(
        status.conditions,
        condition,
        status=holds,
        reason=reason,
        message=message,
        now=now,
        generation=job.generation,
    )


def _ordinal(action: Claim) -> str:
    return f"attempt {action.attempt}, start {action.start}"


def _clock(at: datetime) -> str:
    return _ceiling(at).strftime("%H:%M:%S")


def _ceiling(at: datetime) -> datetime:
    whole = at.replace(microsecond=0)
    return whole if whole == at else whole.fromtimestamp(whole.timestamp() + 1, tz=at.tzinfo)
