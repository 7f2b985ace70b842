"""Decides what happens to a schedule next: which occurrences get a job, which are missed, and the new status.

Pure, like `decide` for jobs: `reconcile` observes, decides, carries out one action, and observes again until the action
is Keep. docs/reference/schedule-times.md explains why each occurrence gets at most one job, even after crashes:

- An occurrence is in `status.active` before its job is created (Reserve), with a resourceVersion as precondition, and
  stays there until the job has ended. Times up to `lastScheduleTime` and `settledTime` are never considered again.
- The job's name is derived from the time. `core.children` decides when the job of an entry is created.
"""

from collections.abc import Iterator, Set
from dataclasses import replace
from datetime import datetime, timedelta

from agentjobs.api.conditions import Phase, find_condition, observed_at, with_condition
from agentjobs.api.events import EventReason
from agentjobs.api.schedule.status import (
    MAX_ACTIVE,
    ActiveJob,
    ActiveReason,
    AgentScheduleStatus,
    BlockedReason,
    DegradedReason,
    ScheduleConditionType,
)
from agentjobs.contract import ANNOTATION_RESUME
from agentjobs.core.children import Children, Create, Refresh, Retired
from agentjobs.core.schedule.actions import (
    CancelJob,
    Decision,
    Event,
    Keep,
    MakeJob,
    OccurrenceKind,
    PruneJobs,
    Record,
    Reserve,
)
from agentjobs.core.schedule.job import scheduled_name, triggered_name
from agentjobs.core.schedule.model import ON_TIME, Illegal, Plan
from agentjobs.core.schedule.observation import MadeJob, ScheduleObservation, blocked_reason

RETIRE_AFTER = timedelta(seconds=10)  # most of the load at the full minute is over then; an earlier write includes it
RECHECK_AFTER = timedelta(minutes=10)  # timers use monotonic time: they do not notice when the clock is set
TRY_AGAIN = timedelta(seconds=20)  # a quota or a policy rarely changes sooner
GIVE_UP_AFTER = timedelta(minutes=15)  # after that the job of a trigger is no longer expected
RESERVE_AT_ONCE = 10
_TICK = timedelta(microseconds=1)


def decide(seen: ScheduleObservation, now: datetime) -> Decision:
    """Return what to do about the schedule now, and when to reconcile again."""
    if seen.schedule.deleting:
        return Decision(Keep())
    children = _children(seen, now)
    match children.next_step():
        case Refresh() as question:
            return Decision(question)
        case Create(occurrence):
            return Decision(_make(seen, occurrence, now))
    return _Draft(seen, now, children.retire()).decision()


def _children(seen: ScheduleObservation, now: datetime) -> Children[ActiveJob, MadeJob]:
    return Children(
        entries=seen.schedule.status.active,
        found=seen.jobs,
        absent=seen.absent,
        refused=seen.refusals,
        is_fresh=seen.fresh,
        is_expired=lambda occurrence: _is_expired(seen, occurrence, now),
    )


def _make(seen: ScheduleObservation, occurrence: ActiveJob, now: datetime) -> MakeJob:
    due = _due(seen, occurrence)
    kind = OccurrenceKind.SCHEDULED if now - due <= ON_TIME else OccurrenceKind.CAUGHT_UP
    return MakeJob(occurrence, OccurrenceKind.TRIGGERED if is_triggered(seen, occurrence) else kind, due)


def is_triggered(seen: ScheduleObservation, occurrence: ActiveJob) -> bool:
    return occurrence.name != scheduled_name(seen.schedule.name, occurrence.time)


def _due(seen: ScheduleObservation, occurrence: ActiveJob) -> datetime:
    """Return when the job of a reserved occurrence was due."""
    plan = seen.plan
    return (
        plan.due(occurrence.time) if isinstance(plan, Plan) and not is_triggered(seen, occurrence) else occurrence.time
    )


def _is_expired(seen: ScheduleObservation, occurrence: ActiveJob, now: datetime) -> bool:
    """Whether a reserved occurrence without a job has expired."""
    plan, refusal = seen.plan, seen.refusals.get(occurrence.name)
    if isinstance(plan, Illegal) or (refusal is not None and refusal.final):
        return True
    if is_triggered(seen, occurrence):
        return refusal is not None and now - occurrence.time >= GIVE_UP_AFTER
    if plan.deadline is not None and now > _due(seen, occurrence) + plan.deadline:
        return True
    following = (
        None if plan.spec.catch_up.policy == "All" and refusal is None else plan.cron.next_after(occurrence.time)
    )
    return following is not None and plan.due(following) <= now


class _Draft:
    """The new status, built step by step."""

    def __init__(self, seen: ScheduleObservation, now: datetime, retired: Retired[ActiveJob, MadeJob]) -> None:
        self.seen = seen
        self.retired = retired
        self.now = now
        self.status = seen.schedule.status
        self.reserved: list[ActiveJob] = []
        self.missed = 0
        self.events: list[Event] = []
        self.blocked: tuple[BlockedReason, str] | None = None
        self.again = now + RECHECK_AFTER

    def decision(self) -> Decision:
        """Return the next action."""
        before = self.seen.schedule.status
        self._count_ends(self.retired)
        self._resume()
        halt = self._halt()
        self._skip_pauses(halted=halt is not None)
        cancel = None
        if isinstance(self.seen.plan, Plan):
            # In this order, because the triggered job would delay the scheduled one.
            cancel = self._reserve_due(self.seen.plan) if halt is None else None
            self._trigger(self.seen.plan)
        self._set_next_time(halted=halt is not None)
        self._set_conditions(halt)
        if cancel is not None:
            return Decision(cancel)
        if self.reserved:
            return Decision(
                Reserve(self.status, tuple(self.reserved), self.missed, tuple(self.events)), again=self.again
            )
        if self._must_write(before):
            return Decision(Record(self.status, self.missed, tuple(self.events)), again=self.again)
        if old := self.seen.over_limit:
            return Decision(PruneJobs(old), again=self.again)
        return Decision(Keep(), again=self.again)

    def _count_ends(self, retired: Retired[ActiveJob, MadeJob]) -> None:
        """Record which reserved jobs exist; remove entries whose job has ended, is gone, or will not be created."""
        active = tuple(
            ActiveJob(active_job.name, active_job.time, job.uid) if job else active_job
            for active_job, job in retired.active
        )
        self.status = replace(self.status, active=active)
        for job in sorted(retired.ended, key=lambda active_job: (active_job.ended or self.now, active_job.name)):
            self._take_end(job)
        for entry in retired.expired:
            self._give_up(entry)

    def _take_end(self, job: MadeJob) -> None:
        if job.phase is Phase.SUCCEEDED:
            last = max(filter(None, (self.status.last_successful_time, job.ended)))
            self.status = replace(self.status, consecutive_failures=0, last_successful_time=last)
            if find_condition(self.status.conditions, ScheduleConditionType.DEGRADED):
                self._set_condition(ScheduleConditionType.DEGRADED, False, DegradedReason.JOBS_SUCCEED, "")
        elif job.phase is Phase.FAILED:
            failures = self.status.consecutive_failures + 1
            self.status = replace(self.status, consecutive_failures=failures)
            message = f"job {job.name} failed, {failures} in a row"
            self._set_condition(ScheduleConditionType.DEGRADED, True, DegradedReason.JOB_FAILED, message)

    def _give_up(self, occurrence: ActiveJob) -> None:
        """Record that a reserved occurrence gets no job: too late, or impossible."""
        refusal = self.seen.refusals.get(occurrence.name)
        why = refusal.message if refusal else self._why_late()
        if isinstance(self.seen.plan, Illegal):
            why = "the spec has become invalid"
        message = f"job {occurrence.name} was not created: {why}"
        self.events.append(Event(EventReason.START_FAILED, message))
        self._set_condition(ScheduleConditionType.DEGRADED, True, DegradedReason.START_FAILED, message)
        if not is_triggered(self.seen, occurrence):
            self._count_missed(1)
            self.status = replace(self.status, runs=max(0, self.status.runs - 1))

    def _why_late(self) -> str:
        """Return why a reserved occurrence was too late. The status may contain a refusal from an earlier pass."""
        refused = self._held_up(_REFUSED)
        return f"{refused}; it was too late" if refused else "it was too late"

    def _held_up(self, reasons: Set[str]) -> str:
        """Return the message of the condition Blocked, if it has one of these reasons."""
        condition = find_condition(self.seen.schedule.status.conditions, ScheduleConditionType.BLOCKED)
        return condition.message if condition is not None and condition.is_true and condition.reason in reasons else ""

    def _resume(self) -> None:
        """Reset the count of failures if the annotation has a new value."""
        value = self.seen.schedule.resume or None
        if value is not None and value != self.status.last_resume:
            self.status = replace(self.status, last_resume=value, consecutive_failures=0)

    def _halt(self) -> tuple[ActiveReason, str] | None:
        """Return why the schedule creates no jobs now; None if it does."""
        plan, status = self.seen.plan, self.status
        if isinstance(plan, Illegal):
            return plan.reason, plan.message
        spec = plan.spec
        if spec.suspend:
            return ActiveReason.SUSPENDED, "spec.suspend is true; set it to false and the schedule continues"
        if spec.max_consecutive_failures is not None and status.consecutive_failures >= spec.max_consecutive_failures:
            cure = f"fix the cause, then set the annotation {ANNOTATION_RESUME} to a new value"
            return ActiveReason.TOO_MANY_FAILURES, f"{status.consecutive_failures} jobs failed in a row; {cure}"
        if spec.max_runs is not None and status.runs >= spec.max_runs:
            cure = f"raise it above {status.runs} to continue"
            return ActiveReason.MAX_RUNS_REACHED, f"{status.runs} jobs were created, maxRuns is {spec.max_runs}; {cure}"
        return None

    def _skip_pauses(self, *, halted: bool) -> None:
        """Skip times that passed while the schedule was halted or had another expression or zone; they are not
        missed.
        """
        plan = self.seen.plan
        if not isinstance(plan, Plan):
            return
        condition = find_condition(self.status.conditions, ScheduleConditionType.ACTIVE)
        was_halted = condition is not None and not condition.is_true
        if (was_halted and not halted) or self.status.timing not in ("", plan.timing):
            self.status = replace(self.status, settled_time=max(self._settled, self.now.replace(microsecond=0)))
        self.status = replace(self.status, timing=plan.timing)

    @property
    def _settled(self) -> datetime:
        """Return until when all times are settled."""
        known = (self.seen.schedule.created, self.status.last_schedule_time, self.status.settled_time)
        return max(filter(None, known))

    def _reserve_due(self, plan: Plan) -> CancelJob | None:
        """Reserve the occurrences that are due and allowed. A blocking job may have to be cancelled first."""
        newest = self._newest_due(plan)
        if newest is None:
            return None
        times = self._eligible(plan, newest)
        blocking = [] if plan.spec.concurrency_policy == "Allow" else self._unfinished()
        if blocking:
            return self._wait_for(plan, blocking, times)
        if not times:
            self._miss_due(plan, newest)
            return None
        room = MAX_ACTIVE - len(self.status.active)
        if room <= 0:
            self.blocked = BlockedReason.TOO_MANY_JOBS, f"{MAX_ACTIVE} jobs have not ended"
        if plan.spec.max_runs is not None:
            room = min(room, plan.spec.max_runs - self.status.runs)
        room = min(room, RESERVE_AT_ONCE if plan.spec.concurrency_policy == "Allow" else 1)
        for time in times[: max(0, room)]:
            self._reserve_time(plan, time)
        if len(times) > room > 0:
            self.again = self.now
        return None

    def _newest_due(self, plan: Plan) -> datetime | None:
        """Return the newest unprocessed time whose jitter is over."""
        return next((time for time in self._backwards(plan, self.now) if plan.due(time) <= self.now), None)

    def _eligible(self, plan: Plan, newest: datetime) -> list[datetime]:
        """Return the times that may still get a job, oldest first."""
        limit = plan.spec.catch_up.limit if plan.spec.catch_up.policy == "All" else 1
        times: list[datetime] = []
        for time in self._backwards(plan, newest):
            if len(times) == limit or (plan.deadline is not None and self.now > plan.due(time) + plan.deadline):
                break
            times.append(time)
        return times[::-1]

    def _backwards(self, plan: Plan, until: datetime) -> Iterator[datetime]:
        """Yield unprocessed times, newest first."""
        time = plan.cron.latest_until(until)
        while time is not None and time > self._settled:
            yield time
            time = plan.cron.latest_until(time - _TICK)

    def _unfinished(self) -> list[MadeJob]:
        """Return jobs that have not ended, oldest first, and reserved occurrences whose job was just refused."""
        found = [job for job in self.seen.jobs if not job.finished]
        known = {job.name for job in self.seen.jobs}
        found += [
            MadeJob(reserved.name, "", reserved.time) for reserved in self.status.active if reserved.name not in known
        ]
        return sorted(found, key=lambda job: (job.created, job.name))

    def _wait_for(self, plan: Plan, blocking: list[MadeJob], times: list[datetime]) -> CancelJob | None:
        """Record that a due occurrence must wait for a job; return the job to cancel, if that helps."""
        if plan.spec.concurrency_policy == "Replace" and times:
            replacing = scheduled_name(self.seen.schedule.name, times[-1])
            for job in blocking:
                if job.uid and not job.cancel and not job.deleting:
                    return CancelJob(job, replacing)
        job = blocking[0]
        if times and self._is_outdated(job):
            return CancelJob(job, scheduled_name(self.seen.schedule.name, times[-1]))
        oldest = plan.cron.next_after(self._settled)
        late = (self.now if oldest is None else plan.due(oldest)) + ON_TIME
        condition = find_condition(self.status.conditions, ScheduleConditionType.BLOCKED)
        if self.now < late and not (condition and condition.is_true) and job.phase in _MOVING:
            # Most jobs end soon, so short overruns are not written.
            self.again = min(self.again, late)
            return None
        reason = (
            BlockedReason.JOB_ENDING if job.cancel or job.deleting else _BLOCKED.get(job.phase, BlockedReason.JOB_WAITS)
        )
        why = f": {job.why}" if job.why else ""
        self.blocked = reason, f"job {job.name} has not ended ({job.phase}){why}"
        if not job.accepted and job.why:
            message = f"job {job.name} is not accepted and blocks the next{why}"
            self._set_condition(ScheduleConditionType.DEGRADED, True, DegradedReason.JOB_NOT_ACCEPTED, message)
        return None

    def _is_outdated(self, job: MadeJob) -> bool:
        """Whether a job that was never accepted was created from an older spec, so that a correction does not apply to
        it.
        """
        made_before = 0 < job.of_generation < self.seen.schedule.generation
        return not job.accepted and made_before and bool(job.uid) and not job.cancel and not job.deleting

    def _reserve_time(self, plan: Plan, time: datetime) -> None:
        previous = self.status.last_schedule_time or plan.cron.latest_until(time - _TICK)
        self._count_missed(plan.cron.count(self._settled, time - _TICK))
        self.status = replace(self.status, last_schedule_time=time, runs=self.status.runs + 1)
        self._reserve(ActiveJob(scheduled_name(self.seen.schedule.name, time), time, previous=previous))

    def _reserve(self, occurrence: ActiveJob) -> None:
        self.reserved.append(occurrence)
        self.status = replace(self.status, active=(*self.status.active, occurrence))

    def _miss_due(self, plan: Plan, newest: datetime) -> None:
        """Record that all due times are missed."""
        count = plan.cron.count(self._settled, newest)
        what = f"{count} starts were" if count > 1 else "a start was"
        self._count_missed(count)
        self.status = replace(self.status, settled_time=newest)
        why = self._held_up(frozenset(BlockedReason))
        message = f"{what} missed, the last at {newest.isoformat()}{f'; blocked: {why}' if why else ''}"
        self.events.append(Event(EventReason.MISSED, message))

    def _count_missed(self, count: int) -> None:
        self.missed += count
        self.status = replace(self.status, missed=self.status.missed + count)

    def _trigger(self, plan: Plan) -> None:
        """Reserve the job of a new trigger; only an invalid spec prevents it."""
        value = self.seen.schedule.trigger
        if not value or value == self.status.last_trigger:
            return
        if len(self.status.active) >= MAX_ACTIVE:
            self.blocked = BlockedReason.TOO_MANY_JOBS, f"{MAX_ACTIVE} jobs have not ended"
            return
        self.status = replace(self.status, last_trigger=value)
        name = triggered_name(self.seen.schedule.name, value)
        if name in {job.name for job in self.seen.jobs} | {reserved.name for reserved in self.status.active}:
            message = f"job {name} exists: this value of the annotation was used before; use a new value"
            self.events.append(Event(EventReason.TRIGGER_REPEATED, message))
            return
        time = self.now.replace(microsecond=0)
        previous = self.status.last_schedule_time or plan.cron.latest_until(time)
        self._reserve(ActiveJob(name, time, previous=previous))

    def _set_next_time(self, *, halted: bool) -> None:
        plan, time = self.seen.plan, None
        if isinstance(plan, Plan) and not halted:
            pending = next(self._backwards(plan, self.now), None)
            if pending is not None and plan.due(pending) > self.now:
                time = pending
            else:
                time = plan.cron.next_after(max(self.now, self._settled))
            if time is not None:
                self.again = min(self.again, plan.due(time))
        self.status = replace(self.status, next_schedule_time=time)

    def _set_conditions(self, halt: tuple[ActiveReason, str] | None) -> None:
        """Set the conditions, and add an Event for a halt."""
        condition = find_condition(self.status.conditions, ScheduleConditionType.ACTIVE)
        reason, message = halt or (ActiveReason.SCHEDULED, "")
        self._set_condition(ScheduleConditionType.ACTIVE, halt is None, reason, message)
        if (condition.reason if condition else ActiveReason.SCHEDULED) != reason:
            self.events.append(Event(reason, message or "the schedule continues"))
        waiting = [
            self.seen.refusals[reserved.name] for reserved in self.status.active if reserved.name in self.seen.refusals
        ]
        if waiting:
            self.again = min(self.again, self.now + TRY_AGAIN)
            self.blocked = blocked_reason(waiting[0]), waiting[0].message
        if self.blocked:
            self._set_condition(ScheduleConditionType.BLOCKED, True, *self.blocked)
        elif find_condition(self.status.conditions, ScheduleConditionType.BLOCKED):
            self._set_condition(ScheduleConditionType.BLOCKED, False, BlockedReason.NOT_BLOCKED, "")
        generation, running = self.seen.schedule.generation, len(self.status.active)
        conditions = observed_at(self.status.conditions, generation)
        self.status = replace(self.status, conditions=conditions, observed_generation=generation, running=running)

    def _set_condition(self, kind: ScheduleConditionType, holds: bool, reason: str, message: str) -> None:
        conditions = with_condition(
            self.status.conditions,
            kind,
            status=holds,
            reason=reason,
            message=message,
            now=self.now,
            generation=self.seen.schedule.generation,
        )
        self.status = replace(self.status, conditions=conditions)

    def _must_write(self, before: AgentScheduleStatus) -> bool:
        """Whether the status must be written now. Existing jobs and the next time can wait a little."""
        if (self.status.next_schedule_time is None) != (before.next_schedule_time is None):
            return True
        calm = replace(before, running=self.status.running, next_schedule_time=self.status.next_schedule_time)
        if self.status == calm:
            return False
        if [active_job.name for active_job in self.status.active] == [active_job.name for active_job in before.active]:
            calm = replace(calm, active=self.status.active)
            return self.status != calm or self._retire_is_due(before)
        return True

    def _retire_is_due(self, before: AgentScheduleStatus) -> bool:
        reserved = {active_job.name for active_job in before.active if not active_job.uid}
        made = (job.created + RETIRE_AFTER for job in self.seen.jobs if job.name in reserved)
        retire = min(made, default=self.now)
        self.again = min(self.again, max(retire, self.now))
        return retire <= self.now


_REFUSED = frozenset({BlockedReason.JOB_REFUSED, BlockedReason.JOB_NAME_TAKEN})
_MOVING = frozenset({Phase.PENDING, Phase.SCHEDULED, Phase.QUEUED, Phase.RUNNING, Phase.RETRYING})
_BLOCKED = {
    Phase.RUNNING: BlockedReason.JOB_RUNNING,
    Phase.RETRYING: BlockedReason.JOB_RUNNING,
    Phase.QUEUED: BlockedReason.JOB_QUEUED,
    Phase.SUSPENDED: BlockedReason.JOB_SUSPENDED,
}
