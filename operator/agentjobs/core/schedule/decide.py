"""Decides what happens to a schedule next: which starts are made, which are missed, what is said about it.

Pure, like `decide` for jobs: `reconcile` observes, asks, carries out one verdict, and looks again until it says Keep.
Why each time starts at most once, whoever dies when, is argued in docs/reference/schedule-times.md; in short:

- A start is in `status.active` before its job is made (Claim), with a resourceVersion, and stays there until the job
  has ended. Times up to `lastScheduleTime` and `settledTime` are never looked at again.
- The job's name follows from the time. An entry without uid may have no job yet: it is made again under that name,
  after a fresh look at the status. An entry with uid never is.
"""

from collections.abc import Iterator, Set
from dataclasses import replace
from datetime import datetime, timedelta

from agentjobs.api.conditions import Phase, find_condition, seen_at, with_condition
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
from agentjobs.core.schedule.job import scheduled_name, triggered_name
from agentjobs.core.schedule.model import ON_TIME, Illegal, Plan
from agentjobs.core.schedule.observation import MadeJob, ScheduleObservation, blocked_reason
from agentjobs.core.schedule.verdicts import (
    CancelJob,
    Claim,
    Decision,
    Keep,
    MakeJob,
    Note,
    PruneJobs,
    Record,
    StartKind,
)

RETIRE_AFTER = timedelta(seconds=10)  # most of a minute's rush is over by then; what is written earlier takes it along
LOOK_AGAIN = timedelta(minutes=10)  # timers count a machine's uptime: they do not see a clock that is set
TRY_AGAIN = timedelta(seconds=20)  # a quota or a policy that refuses a job changes no sooner
GIVE_UP_AFTER = timedelta(minutes=15)  # a job asked for by hand that is still refused then surprises whoever asked
CLAIM_AT_ONCE = 10
_TICK = timedelta(microseconds=1)


def decide(seen: ScheduleObservation, now: datetime) -> Decision:
    """Return what shall happen to the schedule now, and when to look again."""
    if seen.schedule.deleting:
        return Decision(Keep())
    children = _children(seen, now)
    match children.next_step():
        case Refresh() as question:
            return Decision(question)
        case Create(start):
            return Decision(_make(seen, start, now))
    return _Draft(seen, now, children.retire()).decision()


def _children(seen: ScheduleObservation, now: datetime) -> Children[ActiveJob, MadeJob]:
    return Children(
        entries=seen.schedule.status.active,
        found=seen.jobs,
        absent=seen.absent,
        refused=seen.refusals,
        is_fresh=seen.fresh,
        is_expired=lambda start: _is_expired(seen, start, now),
    )


def _make(seen: ScheduleObservation, start: ActiveJob, now: datetime) -> MakeJob:
    due = _due(seen, start)
    kind = StartKind.SCHEDULED if now - due <= ON_TIME else StartKind.CAUGHT_UP
    return MakeJob(start, StartKind.TRIGGERED if _is_triggered(seen, start) else kind, due)


def _is_triggered(seen: ScheduleObservation, start: ActiveJob) -> bool:
    return start.name != scheduled_name(seen.schedule.name, start.time)


def _due(seen: ScheduleObservation, start: ActiveJob) -> datetime:
    """When a claimed start should have been made."""
    plan = seen.plan
    return plan.due(start.time) if isinstance(plan, Plan) and not _is_triggered(seen, start) else start.time


def _is_expired(seen: ScheduleObservation, start: ActiveJob, now: datetime) -> bool:
    """Whether a claimed start, if it has no job yet, shall get none any more."""
    plan, refusal = seen.plan, seen.refusals.get(start.name)
    if isinstance(plan, Illegal) or (refusal is not None and refusal.final):
        return True
    if _is_triggered(seen, start):
        return refusal is not None and now - start.time >= GIVE_UP_AFTER
    if plan.deadline is not None and now > _due(seen, start) + plan.deadline:
        return True
    following = None if plan.spec.catch_up.policy == "All" and refusal is None else plan.cron.next_after(start.time)
    return following is not None and plan.due(following) <= now


class _Draft:
    """The status as it should be now, built up step by step."""

    def __init__(self, seen: ScheduleObservation, now: datetime, retired: Retired[ActiveJob, MadeJob]) -> None:
        self.seen = seen
        self.retired = retired
        self.now = now
        self.status = seen.schedule.status
        self.starts: list[ActiveJob] = []
        self.missed = 0
        self.notes: list[Note] = []
        self.blocked: tuple[BlockedReason, str] | None = None
        self.again = now + LOOK_AGAIN

    def decision(self) -> Decision:
        """Return the verdict that brings the schedule nearest to what it should be."""
        before = self.seen.schedule.status
        self._take_ends(self.retired)
        self._resume()
        halt = self._halt()
        self._settle_pauses(halted=halt is not None)
        cancel = None
        if isinstance(self.seen.plan, Plan):
            # In this order: the job made by hand would hold up the scheduled one.
            cancel = self._start(self.seen.plan) if halt is None else None
            self._trigger(self.seen.plan)
        self._look_ahead(halted=halt is not None)
        self._tell(halt)
        if cancel is not None:
            return Decision(cancel)
        if self.starts:
            return Decision(Claim(self.status, tuple(self.starts), self.missed, tuple(self.notes)), again=self.again)
        if self._is_urgent(before):
            return Decision(Record(self.status, self.missed, tuple(self.notes)), again=self.again)
        if old := self.seen.surplus:
            return Decision(PruneJobs(old), again=self.again)
        return Decision(Keep(), again=self.again)

    # --- what became of jobs ------------------------------------------------------------------------------------------

    def _take_ends(self, retired: Retired[ActiveJob, MadeJob]) -> None:
        """Note which reserved jobs exist; take those out that have ended, are gone, or will not be made."""
        active = tuple(ActiveJob(one.name, one.time, job.uid) if job else one for one, job in retired.active)
        self.status = replace(self.status, active=active)
        for job in sorted(retired.ended, key=lambda one: (one.ended or self.now, one.name)):
            self._take_end(job)
        for entry in retired.expired:
            self._give_up(entry)

    def _take_end(self, job: MadeJob) -> None:
        if job.phase is Phase.SUCCEEDED:
            last = max(filter(None, (self.status.last_successful_time, job.ended)))
            self.status = replace(self.status, consecutive_failures=0, last_successful_time=last)
            if find_condition(self.status.conditions, ScheduleConditionType.DEGRADED):
                self._say(ScheduleConditionType.DEGRADED, False, DegradedReason.JOBS_SUCCEED, "")
        elif job.phase is Phase.FAILED:
            failures = self.status.consecutive_failures + 1
            self.status = replace(self.status, consecutive_failures=failures)
            message = f"job {job.name} failed, {failures} in a row"
            self._say(ScheduleConditionType.DEGRADED, True, DegradedReason.JOB_FAILED, message)

    def _give_up(self, start: ActiveJob) -> None:
        """A claimed start gets no job: it was not made in time, or cannot be."""
        refusal = self.seen.refusals.get(start.name)
        why = refusal.message if refusal else self._why_late()
        if isinstance(self.seen.plan, Illegal):
            why = "the spec has become illegal"
        message = f"job {start.name} was not made: {why}"
        self.notes.append(Note(EventReason.START_FAILED, message))
        self._say(ScheduleConditionType.DEGRADED, True, DegradedReason.START_FAILED, message)
        if not _is_triggered(self.seen, start):
            self._miss(1)
            self.status = replace(self.status, runs=max(0, self.status.runs - 1))

    def _why_late(self) -> str:
        """What kept a claimed start from being made in time; a refusal is known for one look only, but was written."""
        refused = self._held_up(_REFUSED)
        return f"{refused}; it came too late" if refused else "it came too late"

    def _held_up(self, reasons: Set[str]) -> str:
        """What held starts up until this look, by the status, if it is for one of these reasons."""
        said = find_condition(self.seen.schedule.status.conditions, ScheduleConditionType.BLOCKED)
        return said.message if said is not None and said.is_true and said.reason in reasons else ""

    # --- whether it starts at all -------------------------------------------------------------------------------------

    def _resume(self) -> None:
        """A new value of the annotation forgets the failures."""
        value = self.seen.schedule.resume or None
        if value is not None and value != self.status.last_resume:
            self.status = replace(self.status, last_resume=value, consecutive_failures=0)

    def _halt(self) -> tuple[ActiveReason, str] | None:
        """Why the schedule makes no starts now."""
        plan, status = self.seen.plan, self.status
        if isinstance(plan, Illegal):
            return plan.reason, plan.message
        spec = plan.spec
        if spec.suspend:
            return ActiveReason.SUSPENDED, "spec.suspend is true; set it to false and the schedule goes on"
        if spec.max_consecutive_failures is not None and status.consecutive_failures >= spec.max_consecutive_failures:
            cure = f"mend the cause, then give the annotation {ANNOTATION_RESUME} a new value"
            return ActiveReason.TOO_MANY_FAILURES, f"{status.consecutive_failures} jobs failed in a row; {cure}"
        if spec.max_runs is not None and status.runs >= spec.max_runs:
            cure = f"raise it above {status.runs} to go on"
            return ActiveReason.MAX_RUNS_REACHED, f"{status.runs} starts were made, maxRuns is {spec.max_runs}; {cure}"
        return None

    def _settle_pauses(self, *, halted: bool) -> None:
        """What passed while the schedule was halted or another counts as settled."""
        plan = self.seen.plan
        if not isinstance(plan, Plan):
            return
        said = find_condition(self.status.conditions, ScheduleConditionType.ACTIVE)
        was_halted = said is not None and not said.is_true
        if (was_halted and not halted) or self.status.timing not in ("", plan.timing):
            self.status = replace(self.status, settled_time=max(self._settled, self.now.replace(microsecond=0)))
        self.status = replace(self.status, timing=plan.timing)

    @property
    def _settled(self) -> datetime:
        """Times up to then are never looked at again."""
        known = (self.seen.schedule.created, self.status.last_schedule_time, self.status.settled_time)
        return max(filter(None, known))

    # --- starts -------------------------------------------------------------------------------------------------------

    def _start(self, plan: Plan) -> CancelJob | None:
        """Claim what is due and allowed. What stands in the way may have to be cancelled first."""
        newest = self._newest_due(plan)
        if newest is None:
            return None
        starts = self._startable(plan, newest)
        held = [] if plan.spec.concurrency_policy == "Allow" else self._unfinished()
        if held:
            return self._hold(plan, held, starts)
        if not starts:
            self._pass_over(plan, newest)
            return None
        room = MAX_ACTIVE - len(self.status.active)
        if room <= 0:
            self.blocked = BlockedReason.TOO_MANY_JOBS, f"{MAX_ACTIVE} jobs have not ended"
        if plan.spec.max_runs is not None:
            room = min(room, plan.spec.max_runs - self.status.runs)
        room = min(room, CLAIM_AT_ONCE if plan.spec.concurrency_policy == "Allow" else 1)
        for time in starts[: max(0, room)]:
            self._claim_time(plan, time)
        if len(starts) > room > 0:
            self.again = self.now
        return None

    def _newest_due(self, plan: Plan) -> datetime | None:
        """The newest time that is not settled and whose delay is over."""
        return next((time for time in self._backwards(plan, self.now) if plan.due(time) <= self.now), None)

    def _startable(self, plan: Plan, newest: datetime) -> list[datetime]:
        """The times that may still be started, oldest first."""
        limit = plan.spec.catch_up.limit if plan.spec.catch_up.policy == "All" else 1
        starts: list[datetime] = []
        for time in self._backwards(plan, newest):
            if len(starts) == limit or (plan.deadline is not None and self.now > plan.due(time) + plan.deadline):
                break
            starts.append(time)
        return starts[::-1]

    def _backwards(self, plan: Plan, until: datetime) -> Iterator[datetime]:
        """Times that are not settled, newest first."""
        time = plan.cron.latest_until(until)
        while time is not None and time > self._settled:
            yield time
            time = plan.cron.latest_until(time - _TICK)

    def _unfinished(self) -> list[MadeJob]:
        """Jobs that have not ended, oldest first, and claimed starts whose job was refused a moment ago."""
        found = [job for job in self.seen.jobs if not job.finished]
        known = {job.name for job in self.seen.jobs}
        found += [MadeJob(one.name, "", one.time) for one in self.status.active if one.name not in known]
        return sorted(found, key=lambda job: (job.created, job.name))

    def _hold(self, plan: Plan, held: list[MadeJob], starts: list[datetime]) -> CancelJob | None:
        """A start is due and must wait."""
        if plan.spec.concurrency_policy == "Replace" and starts:
            replacing = scheduled_name(self.seen.schedule.name, starts[-1])
            for job in held:
                if job.uid and not job.cancel and not job.deleting:
                    return CancelJob(job, replacing)
        job = held[0]
        if starts and self._is_outdated(job):
            return CancelJob(job, scheduled_name(self.seen.schedule.name, starts[-1]))
        oldest = plan.cron.next_after(self._settled)
        late = (self.now if oldest is None else plan.due(oldest)) + ON_TIME
        said = find_condition(self.status.conditions, ScheduleConditionType.BLOCKED)
        if self.now < late and not (said and said.is_true) and job.phase in _MOVING:
            # Most jobs end soon, and a write for each overrun would tell nobody anything.
            self.again = min(self.again, late)
            return None
        reason = (
            BlockedReason.JOB_ENDING if job.cancel or job.deleting else _BLOCKED.get(job.phase, BlockedReason.JOB_WAITS)
        )
        why = f": {job.why}" if job.why else ""
        self.blocked = reason, f"job {job.name} has not ended ({job.phase}){why}"
        if not job.accepted and job.why:
            message = f"job {job.name} is not accepted and holds up the next{why}"
            self._say(ScheduleConditionType.DEGRADED, True, DegradedReason.JOB_NOT_ACCEPTED, message)
        return None

    def _is_outdated(self, job: MadeJob) -> bool:
        """Whether a job that was never accepted was made from another spec: a correction cannot reach it."""
        made_before = 0 < job.of_generation < self.seen.schedule.generation
        return not job.accepted and made_before and bool(job.uid) and not job.cancel and not job.deleting

    def _claim_time(self, plan: Plan, time: datetime) -> None:
        previous = self.status.last_schedule_time or plan.cron.latest_until(time - _TICK)
        self._miss(plan.cron.count(self._settled, time - _TICK))
        self.status = replace(self.status, last_schedule_time=time, runs=self.status.runs + 1)
        self._claim(ActiveJob(scheduled_name(self.seen.schedule.name, time), time, previous=previous))

    def _claim(self, start: ActiveJob) -> None:
        self.starts.append(start)
        self.status = replace(self.status, active=(*self.status.active, start))

    def _pass_over(self, plan: Plan, newest: datetime) -> None:
        """Nothing that is due may still be started: say so."""
        count = plan.cron.count(self._settled, newest)
        what = f"{count} starts were" if count > 1 else "a start was"
        self._miss(count)
        self.status = replace(self.status, settled_time=newest)
        why = self._held_up(frozenset(BlockedReason))
        message = f"{what} missed, the last at {newest.isoformat()}{f'; held up: {why}' if why else ''}"
        self.notes.append(Note(EventReason.MISSED, message))

    def _miss(self, count: int) -> None:
        self.missed += count
        self.status = replace(self.status, missed=self.status.missed + count)

    def _trigger(self, plan: Plan) -> None:
        """Somebody asks for a job now; nothing but a broken spec stands in the way."""
        value = self.seen.schedule.trigger
        if not value or value == self.status.last_trigger:
            return
        if len(self.status.active) >= MAX_ACTIVE:
            self.blocked = BlockedReason.TOO_MANY_JOBS, f"{MAX_ACTIVE} jobs have not ended"
            return
        self.status = replace(self.status, last_trigger=value)
        name = triggered_name(self.seen.schedule.name, value)
        if name in {job.name for job in self.seen.jobs} | {one.name for one in self.status.active}:
            message = f"job {name} exists: this value of the annotation was used before; give it one that was not"
            self.notes.append(Note(EventReason.TRIGGER_REPEATED, message))
            return
        time = self.now.replace(microsecond=0)
        previous = self.status.last_schedule_time or plan.cron.latest_until(time)
        self._claim(ActiveJob(name, time, previous=previous))

    # --- what is said -------------------------------------------------------------------------------------------------

    def _look_ahead(self, *, halted: bool) -> None:
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

    def _tell(self, halt: tuple[ActiveReason, str] | None) -> None:
        """Write the conditions, and an Event for a halt."""
        said = find_condition(self.status.conditions, ScheduleConditionType.ACTIVE)
        reason, message = halt or (ActiveReason.SCHEDULED, "")
        self._say(ScheduleConditionType.ACTIVE, halt is None, reason, message)
        if (said.reason if said else ActiveReason.SCHEDULED) != reason:
            self.notes.append(Note(reason, message or "the schedule goes on"))
        waiting = [self.seen.refusals[one.name] for one in self.status.active if one.name in self.seen.refusals]
        if waiting:
            self.again = min(self.again, self.now + TRY_AGAIN)
            self.blocked = blocked_reason(waiting[0]), waiting[0].message
        if self.blocked:
            self._say(ScheduleConditionType.BLOCKED, True, *self.blocked)
        elif find_condition(self.status.conditions, ScheduleConditionType.BLOCKED):
            self._say(ScheduleConditionType.BLOCKED, False, BlockedReason.NOT_BLOCKED, "")
        generation, running = self.seen.schedule.generation, len(self.status.active)
        conditions = seen_at(self.status.conditions, generation)
        self.status = replace(self.status, conditions=conditions, observed_generation=generation, running=running)

    def _say(self, kind: ScheduleConditionType, holds: bool, reason: str, message: str) -> None:
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

    def _is_urgent(self, before: AgentScheduleStatus) -> bool:
        """Whether the status must be written now. That a job exists, and which time is next, can wait a little."""
        if (self.status.next_schedule_time is None) != (before.next_schedule_time is None):
            return True
        calm = replace(before, running=self.status.running, next_schedule_time=self.status.next_schedule_time)
        if self.status == calm:
            return False
        if [one.name for one in self.status.active] == [one.name for one in before.active]:
            calm = replace(calm, active=self.status.active)
            return self.status != calm or self._retire_is_due(before)
        return True

    def _retire_is_due(self, before: AgentScheduleStatus) -> bool:
        claimed = {one.name for one in before.active if not one.uid}
        made = (job.created + RETIRE_AFTER for job in self.seen.jobs if job.name in claimed)
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
