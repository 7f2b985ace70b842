"""Reasons not to begin the next start, in the order of `HOLDS`. Pure, a part of `decide`.

A hold gets a job without an active start, and returns what to do instead of a start: a need, or an action that waits,
suspends or ends the job; None if it does not apply. To add a hold, write a function and add it to `HOLDS` and to
docs/reference/holds.md.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from agentjobs.api.conditions import (
    AcceptedReason,
    AdmittedReason,
    CancelledReason,
    ConditionType,
    Phase,
    SkippedReason,
    SuspendedReason,
    find_condition,
)
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.problems import FieldProblem, rejection
from agentjobs.contract import ErrorClass
from agentjobs.core.job import needs
from agentjobs.core.job.actions import Decision, Finish, Keep, NeedOrDecision, Suspend, Wait
from agentjobs.core.job.awaiting import chain
from agentjobs.core.job.budget import is_suspended, is_unchanged, over_budget, reached
from agentjobs.core.job.end_start import SUSPENDED, cancelled, time_left
from agentjobs.core.job.observation import Job, Observation
from agentjobs.core.queues.admission import Refusal, Rejection
from agentjobs.models.budget import Limits, Scope

RECHECK_DELAY: Final = timedelta(seconds=2)  # how soon a missing object is noticed once it exists
# Checked less often over time, because a schedule may leave thousands of such jobs.
MAX_RECHECK_DELAY: Final = timedelta(seconds=60)
RECHECK_SHARE: Final = 10
LIST_AGAIN: Final = timedelta(seconds=1)  # minimum time between lookups of jobs by labels
SHORT_WAIT: Final = timedelta(minutes=1)
# Jobs that waited for a model resume spread over a tenth of that wait.
MODEL_SPREAD: Final = 0.1
LEAST_SPREAD: Final = timedelta(seconds=2)
MOST_SPREAD: Final = timedelta(seconds=30)
_NO_LIMITS: Final = Limits()
_BY_QUEUE: Final = (SuspendedReason.QUEUE_DRAINED, SuspendedReason.QUEUE_BUDGET_EXCEEDED)


def end_requested(seen: Observation, now: datetime) -> NeedOrDecision | None:
    """End a cancelled or deleted job."""
    return Decision(cancelled(seen.job, " before a start")) if seen.job.must_end else None


def equal_job(seen: Observation, now: datetime) -> NeedOrDecision | None:
    """Skip or cancel a job because another job has the same `unique` key."""
    found = seen.equal_job
    if found is None:
        return None
    if found.replaces:
        message = f"job {found.job.name} has the same unique key and took its place"
        return Decision(Finish(Phase.CANCELLED, CancelledReason.REPLACED, message))
    message = f"job {found.job.name} has the same unique key"
    return Decision(Finish(Phase.SKIPPED, SkippedReason.DUPLICATE, message, duplicate_of=found.job))


def unreadable_spec(seen: Observation, now: datetime) -> NeedOrDecision | None:
    """Hold a job that a newer version accepted with values that this version cannot read."""
    if not seen.unreadable:
        return None
    cure = "upgrade the operator again and the job continues, or cancel it"
    message = (
        f"a newer version of the operator accepted values that this version cannot read: {seen.unreadable}; {cure}"
    )
    if is_suspended(seen.job) and not seen.job.suspend:
        return Decision(Keep())  # this version cannot read the budget, so it cannot tell whether it was raised
    return _suspended(seen.job) or _admitted(seen.job, AdmittedReason.SPEC_UNREADABLE, message, accept=False)


def template(seen: Observation, now: datetime) -> NeedOrDecision | None:
    """Wait for a missing or invalid template."""
    if not seen.without or seen.problems:
        return None
    if seen.job.accepted:
        # History has lost the accepted spec, and the object alone is not enough.
        return Decision(Keep())
    return _unaccepted(AcceptedReason.TEMPLATE_NOT_FOUND, seen.without)


def broken_spec(seen: Observation, now: datetime) -> NeedOrDecision | None:
    """Fail a job whose spec is invalid or whose pod the API server rejects. Edits do not affect an accepted spec."""
    job = seen.job
    if seen.spec is None and job.accepted and not seen.history_available:
        # Only Postgres has the accepted spec.
        return Decision(Keep(), again=now + RECHECK_DELAY)
    if seen.spec is None or (seen.problems and not job.accepted):
        return Decision(_rejected(seen.problems))
    if job.accepted:
        return None
    if seen.pod_problems is None:
        return needs.PodDryRun()
    return Decision(_rejected(seen.pod_problems)) if seen.pod_problems else None


def other_jobs(seen: Observation, now: datetime) -> NeedOrDecision | None:
    """Wait for other jobs to end (`after`) before acceptance, because texts may read their answers."""
    job = seen.job
    if job.accepted or seen.legal_spec.after is None:
        return None
    awaited = seen.awaited
    if awaited is None:
        return needs.AwaitedJobs() if seen.history_available else history(seen, now)
    if awaited.cycle:
        message = f"can never start, because jobs wait for each other: {chain(awaited.cycle)}"
        return Decision(Finish(Phase.FAILED, AcceptedReason.DEPENDENCY_CYCLE, message))
    if awaited.is_old:
        return Decision(Keep(), again=now + LIST_AGAIN)
    if awaited.is_over:
        return Decision(_rejected(awaited.problems)) if awaited.problems else None
    again = now + _recheck_delay(job, now)
    condition = find_condition(job.status.conditions, ConditionType.ACCEPTED)
    is_current = (
        condition is not None
        and condition.reason == AcceptedReason.WAITING_FOR_JOBS
        and awaited.is_described_by(condition.message)
    )
    message = condition.message if condition is not None and is_current else awaited.message
    return _unaccepted(AcceptedReason.WAITING_FOR_JOBS, message, again=again)


def references(seen: Observation, now: datetime) -> NeedOrDecision | None:
    """Wait for missing or unusable ConfigMaps. They are read once, before acceptance."""
    if seen.job.accepted or not seen.references:
        return None
    if seen.missing is None:
        return needs.References()
    if not seen.missing:
        return None
    again = now + _recheck_delay(seen.job, now)
    return _unaccepted(AcceptedReason.REFERENCE_NOT_FOUND, "; ".join(seen.missing), again=again)


def suspension(seen: Observation, now: datetime) -> NeedOrDecision | None:
    """Suspend by the spec or a rule. Before all waits, because writing a wait would end the suspension."""
    return _suspended(seen.job) if seen.job.accepted else None


def queue_stop(seen: Observation, now: datetime) -> NeedOrDecision | None:
    """Stay suspended while the queue is drained or its budget is used up."""
    job, stop = seen.job, seen.stop
    condition = find_condition(job.status.conditions, ConditionType.SUSPENDED)
    if (
        stop is None
        or condition is None
        or not condition.is_true
        or condition.reason not in _BY_QUEUE
        or _is_resumed(job)
    ):
        return None
    return Decision(Keep() if condition.reason == stop.reason else Suspend(stop.reason, stop.message))


def budget(seen: Observation, now: datetime) -> NeedOrDecision | None:
    """Fail or suspend a job whose starts have used up its budget."""
    job, limits = seen.job, seen.limits
    if not job.status.starts or seen.spec is None or limits == _NO_LIMITS:
        return None
    suspended = is_suspended(job)
    if suspended and is_unchanged(job, limits):
        return Decision(Keep())
    if not suspended and (due := job.status.next_attempt_time) is not None and due > now:
        return None  # checked only when the job would start
    if seen.spent is None and seen.history_available:
        return needs.Spent(next_attempt(job) if limits.scope is Scope.ATTEMPT else None)
    if seen.spent is None:
        return Decision(Keep(), again=now + RECHECK_DELAY) if suspended else None
    message = reached(limits, seen.spent)
    return Decision(over_budget(seen.spec, limits, message)) if message else None


def queue(seen: Observation, now: datetime) -> NeedOrDecision | None:
    """Wait for a queue that does not exist or was deleted; `timeouts.queue` applies as for a slot."""
    if seen.queue_known:
        return None
    job, spec = seen.job, seen.legal_spec
    missing = f"no queue {spec.queue!r}"
    condition = ConditionType.ADMITTED if job.accepted else ConditionType.ACCEPTED
    message = f"spec.queue: {missing}; create an AgentQueue with that name, and the job continues"
    wait = Wait(condition, AcceptedReason.QUEUE_NOT_FOUND, message, accept=False)
    due = job.status.next_attempt_time or _start_time(job, spec)
    if job.suspend or (due is not None and due > now):
        return Decision(wait, again=None if job.suspend else due)  # it would not ask for a slot yet
    # Before acceptance the limit is the job's own or its template's. Without one the wait is not counted, because
    # a default of the queue would end the jobs that waited for the queue as soon as it is created.
    is_counted = job.accepted or spec.timeouts.queue is not None
    return _until_timeout(seen, now, replace(wait, in_line=is_counted), missing)


def prices(seen: Observation, now: datetime) -> NeedOrDecision | None:
    """Wait until all models of a job with a limit in dollars have prices."""
    if seen.job.accepted or not seen.unpriced:
        return None
    return _unaccepted(AcceptedReason.UNKNOWN_MODEL_PRICE, "; ".join(seen.unpriced))


def sinks(seen: Observation, now: datetime) -> NeedOrDecision | None:
    """Wait for a sink that the installation does not define."""
    if seen.job.accepted or not seen.unknown_sinks:
        return None
    names = ", ".join(map(repr, seen.unknown_sinks))
    cure = "name another, or ask the administrator to add it"
    return _unaccepted(AcceptedReason.SINK_NOT_FOUND, f"spec.notifications: no such sink: {names}; {cure}")


def acceptance(seen: Observation, now: datetime) -> NeedOrDecision | None:
    """Wait for Postgres, which stores accepted work, before acceptance."""
    return None if seen.job.accepted else history(seen, now)


def suspension_from_the_start(seen: Observation, now: datetime) -> NeedOrDecision | None:
    """Accept a job that was created suspended, so that its work is fixed, and suspend it."""
    return _suspended(seen.job)


def limits(seen: Observation, now: datetime) -> NeedOrDecision | None:
    """Fail a job that has used up its attempts or its running time."""
    job, spec = seen.job, seen.legal_spec
    if next_attempt(job) > spec.retry.max_attempts:
        return Decision(_used_up(job))
    if time_left(seen, spec) <= timedelta(0):
        return Decision(Finish(Phase.FAILED, ErrorClass.DEADLINE_EXCEEDED, "timeouts.running was used up"))
    return None


def start_time(seen: Observation, now: datetime) -> NeedOrDecision | None:
    """Wait for `startAt` or `startAfter`, before the first start only."""
    job, due = seen.job, _start_time(seen.job, seen.legal_spec)
    if due is None or due <= now:
        return None
    return _admitted(job, AdmittedReason.WAITING_FOR_START_TIME, f"starts at {_clock(due)}", again=due)


def backoff(seen: Observation, now: datetime) -> NeedOrDecision | None:
    """Wait for the backoff after the previous start."""
    job, due = seen.job, seen.job.status.next_attempt_time
    if due is None or due <= now:
        return None
    if job.has_condition(ConditionType.ADMITTED, status=False, reason=AdmittedReason.WAITING_FOR_BACKOFF):
        return Decision(Keep(), again=due)
    return _admitted(job, AdmittedReason.WAITING_FOR_BACKOFF, "resumed", again=due)


def model_limit(seen: Observation, now: datetime) -> NeedOrDecision | None:
    """Wait while the model's limit is used up, without a slot; `timeouts.queue` applies as for a slot."""
    if not seen.models or not seen.history_available:
        return None
    if seen.exhausted is None:
        return needs.ExhaustedModels()
    waits = [(seen.exhausted[model], model) for model in seen.models if model in seen.exhausted]
    if not waits:
        return None
    until, model = max(waits)
    rest = max(until - now, RECHECK_DELAY)  # by the database's clock, which may be behind ours
    # The end of a short wait changes often, and each new message is a write.
    when = f"until {_clock(until)}" if rest > SHORT_WAIT else "for less than a minute more"
    again = now + rest + _spread(seen.job, rest)
    return _in_line(seen, now, AdmittedReason.WAITING_FOR_MODEL_LIMIT, f"{model} is at its limit {when}", again)


def slot(seen: Observation, now: datetime) -> NeedOrDecision | None:
    """Wait for a slot of the queue, or for the session. Fail after `timeouts.queue`, or if the queue rejects the
    job.
    """
    job, spec = seen.job, seen.legal_spec
    if seen.slot is None:
        return needs.Slot(spec.queue, spec.priority, spec.session_key(name=job.name, uid=job.uid))
    if isinstance(seen.slot, Rejection):
        return Decision(Finish(Phase.FAILED, ErrorClass(seen.slot.reason), seen.slot.message))
    if not isinstance(seen.slot, Refusal):
        return None
    return _in_line(seen, now, seen.slot.reason, seen.slot.message)


def history(seen: Observation, now: datetime) -> NeedOrDecision | None:
    """Wait for Postgres, which records each start. Written only by jobs that would otherwise start."""
    if seen.history_available:
        return None
    message, again = "the database cannot be reached; the job continues when it is back", now + RECHECK_DELAY
    if not seen.job.accepted:
        return _unaccepted(AcceptedReason.HISTORY_UNAVAILABLE, message, again=again)
    return _admitted(seen.job, AdmittedReason.HISTORY_UNAVAILABLE, message, again=again, accept=False)


Hold = Callable[[Observation, datetime], NeedOrDecision | None]
HOLDS: Final[tuple[Hold, ...]] = (
    end_requested,
    equal_job,
    unreadable_spec,
    template,
    broken_spec,
    other_jobs,
    references,
    suspension,
    queue_stop,
    budget,
    queue,
    prices,
    sinks,
    acceptance,
    suspension_from_the_start,
    limits,
    start_time,
    backoff,
    model_limit,
    slot,
    history,
)


def next_attempt(job: Job) -> int:
    """Return the attempt number of the next start."""
    records = job.status.attempt_history
    if not records:
        return max(job.status.attempts, 1)
    return records[-1].attempt + (1 if records[-1].charged else 0)


def _in_line(seen: Observation, now: datetime, reason: str, message: str, again: datetime | None = None) -> Decision:
    """Wait in the queue, and fail after `timeouts.queue`."""
    wait = Wait(ConditionType.ADMITTED, reason, message, accept=not seen.job.accepted)
    return _until_timeout(seen, now, wait, message, again)


def _until_timeout(seen: Observation, now: datetime, wait: Wait, why: str, again: datetime | None = None) -> Decision:
    """Wait, and fail after `timeouts.queue`; `why` is the reason that the failure names."""
    place, limit = seen.job.status.queue, seen.legal_spec.timeouts.queue
    if limit is None:
        return Decision(wait, again=again)
    since = (place.since if place and place.name == seen.legal_spec.queue else None) or now
    if now - since >= limit:
        return Decision(Finish(Phase.FAILED, ErrorClass.QUEUE_TIMEOUT, f"no slot within timeouts.queue: {why}"))
    return Decision(wait, again=min(again or since + limit, since + limit))


def _start_time(job: Job, spec: AgentJobSpec) -> datetime | None:
    """Return when the first start is due, or None."""
    if job.status.starts:
        return None
    return spec.start_at or (job.created + spec.start_after if spec.start_after else None)


def _spread(job: Job, wait: timedelta) -> timedelta:
    """Return a delay after a model's limit ends, so that jobs do not resume at the same time."""
    share = random.Random(f"{job.uid}/{job.status.starts}").random()  # noqa: S311  jitter, not a secret
    return min(max(wait * MODEL_SPREAD, LEAST_SPREAD), MOST_SPREAD) * share


def _clock(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _recheck_delay(job: Job, now: datetime) -> timedelta:
    """Return when to check a job that is not accepted again: after a tenth of the time that it has waited."""
    written = find_condition(job.status.conditions, ConditionType.ACCEPTED)
    waited = now - written.last_transition_time if written is not None else timedelta(0)
    return min(MAX_RECHECK_DELAY, max(RECHECK_DELAY, waited / RECHECK_SHARE))


def _suspended(job: Job) -> Decision | None:
    if job.suspend:
        if job.has_condition(ConditionType.SUSPENDED, status=True, reason=SuspendedReason.REQUESTED):
            return Decision(Keep())
        return Decision(Suspend(SuspendedReason.REQUESTED, SUSPENDED, accept=not job.accepted))
    if job.has_condition(ConditionType.SUSPENDED, status=True, reason=SuspendedReason.RULE) and not _is_resumed(job):
        return Decision(Keep())
    return None


def _is_resumed(job: Job) -> bool:
    """Whether the annotation has a new value since the suspension."""
    return bool(job.resume) and job.resume != job.status.last_resume


def _used_up(job: Job) -> Finish:
    """Fail a job whose last attempt was charged by a version that could not read its limits."""
    last = job.status.attempt_history[-1]
    message = f"attempt {last.attempt} was the last and failed: {last.message}"
    return Finish(Phase.FAILED, last.reason or ErrorClass.RESULT_ERROR, message)


def _rejected(problems: tuple[FieldProblem, ...]) -> Finish:
    reason, message = rejection(problems)
    return Finish(Phase.FAILED, reason, message or "the spec cannot be read")


def _unaccepted(reason: AcceptedReason, message: str, *, again: datetime | None = None) -> Decision:
    return Decision(Wait(ConditionType.ACCEPTED, reason, message, accept=False), again=again)


def _admitted(
    job: Job, reason: str, message: str, *, again: datetime | None = None, accept: bool | None = None
) -> Decision:
    must = not job.accepted if accept is None else accept
    return Decision(Wait(ConditionType.ADMITTED, reason, message, accept=must), again=again)
