"""Decides what happens to a schedule next: which starts are made, which are missed, what is said about it.

Pure, like `decide` for jobs: `reconcile` observes, asks, carries out one verdict, and looks again until it says Keep.
Why each time starts at most once, whoever dies when, is argued in docs/reference/schedule-times.md; in short:

- A start is in `status.active` before its job is made (Claim), with a resourceVersion, and stays there until the job
  has ended. Times up to `lastScheduleTime` and `settledTime` are never looked at again.
- The job's name follows from the time. An entry without uid may have no job yet: it is made again under that name,
  after a fresh look at the status. An entry with uid never is.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agentjobs.api.conditions import Condition, ConditionStatus, Phase, find_condition
from agentjobs.api.schedule_status import (
    MAX_ACTIVE,
    ActiveJob,
    ActiveReason,
    AgentScheduleStatus,
    BlockedReason,
    DegradedReason,
    ScheduleConditionType,
)
from agentjobs.contract import ANNOTATION_RESUME, MAX_MESSAGE_BYTES, cut
from agentjobs.core.plan import ON_TIME, Illegal, Plan
from agentjobs.core.schedule_observation import MadeJob, ScheduleObservation
from agentjobs.core.schedule_verdicts import (
    CancelJob,
    Claim,
    Confirm,
    Decision,
    Keep,
    MakeJob,
    Note,
    PruneJobs,
    Record,
    StartKind,
)
from agentjobs.core.scheduled_job import scheduled_name, triggered_name

RETIRE_AFTER = timedelta(seconds=10)  # most of a minute's rush is over by then; what is written earlier takes it along
LOOK_AGAIN = timedelta(minutes=10)  # timers count a machine's uptime: they do not see a clock that is set
TRY_AGAIN = timedelta(seconds=5)
CLAIM_AT_ONCE = 10


def decide(seen: ScheduleObservation, now: datetime) -> Decision:
    """Return what shall happen to the schedule now, and when to look again."""
    if seen.schedule.deleting:
        return Decision(Keep())
    if gone := _unknown(seen):
        return Decision(Confirm(gone))
    if making := _make(seen, now):
        return making
    return _Draft(seen, now).decision()


def _unknown(seen: ScheduleObservation) -> tuple[str, ...]:
    """Jobs that the status says exist and that neither the caches nor a GET of this look know."""
    known = {job.uid for job in seen.jobs}
    entries = seen.schedule.status.active
    return tuple(one.name for one in entries if one.uid and one.uid not in known and one.name not in seen.absent)


def _make(seen: ScheduleObservation, now: datetime) -> Decision | None:
    """The first claimed start without a job: make its job, unless it was refused a moment ago."""
    known = {job.name for job in seen.jobs}
    for start in seen.claims:
        if start.name in known or start.name in seen.refusals:
            continue
        if not seen.fresh:
            return Decision(Confirm())
        plan = seen.plan
        due = plan.due(start.time) if isinstance(plan, Plan) else start.time
        kind = StartKind.SCHEDULED if now - due <= ON_TIME else StartKind.CAUGHT_UP
        return Decision(MakeJob(start, kind, due))
    return None


@dataclass(slots=True)
class _Due:
    """Starts that may be made now, oldest first, and the newest time that is due whether it may or not."""

    starts: list[datetime]
    newest: datetime | None


class _Draft:
    """The status as it should be now, built up step by step."""

    def __init__(self, seen: ScheduleObservation, now: datetime) -> None:
        self.seen = seen
        self.now = now
        self.status = seen.schedule.status
        self.starts: list[ActiveJob] = []
        self.kind = StartKind.SCHEDULED
        self.missed = 0
        self.notes: list[Note] = []
        self.again = now + LOOK_AGAIN

    def decision(self) -> Decision:
        """Return the verdict that brings the schedule nearest to what it should be."""
        before = self.seen.schedule.status
        self._take_ends()
        self._resume()
        halt = self._halt()
        self._say(ScheduleConditionType.ACTIVE, halt is None, *(halt or (ActiveReason.SCHEDULED, "")))
        if isinstance(self.seen.plan, Plan):
            self._settle_pauses(self.seen.plan, before, halted=halt is not None)
            self._trigger(self.seen.plan)
            if halt is None and not self.starts and (stop := self._start(self.seen.plan)):
                return Decision(stop, again=self.again)
            self._look_ahead(self.seen.plan, halted=halt is not None)
        self.status = replace(
            self.status,
            observed_generation=self.seen.schedule.generation,
            running=len(self.status.active),
        )
        if self.starts:
            claim = Claim(self.status, tuple(self.starts), self.kind, self.missed, tuple(self.notes))
            return Decision(claim, again=self.again)
        if self._is_urgent(before):
            return Decision(Record(self.status, self.missed, tuple(self.notes)), again=self.again)
        if old := self._surplus():
            return Decision(PruneJobs(old), again=self.again)
        return Decision(Keep(), again=self.again)

    # --- what became of jobs ------------------------------------------------------------------------------------------

    def _take_ends(self) -> None:
        """Note which claimed jobs exist, and take those out that have ended or are gone."""
        by_name = {job.name: job for job in self.seen.jobs}
        active: list[ActiveJob] = []
        ended: list[MadeJob] = []
        for entry in self.status.active:
            job = by_name.get(entry.name)
            if job is None or (entry.uid and job.uid != entry.uid):
                if not entry.uid:
                    active.append(entry)
            elif job.finished:
                ended.append(job)
            else:
                active.append(ActiveJob(entry.name, entry.time, job.uid))
        self.status = replace(self.status, active=tuple(active))
        for job in sorted(ended, key=lambda one: (one.ended or self.now, one.name)):
            self._take_end(job)

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

    def _surplus(self) -> tuple[MadeJob, ...]:
        """Finished jobs beyond the history limits, oldest first; those whose end is not yet counted stay."""
        if not isinstance(self.seen.plan, Plan):
            return ()
        spec = self.seen.plan.spec
        counted = [
            job
            for job in self.seen.jobs
            if job.finished and not job.deleting and all(job.name != one.name for one in self.status.active)
        ]
        counted.sort(key=lambda job: (job.created, job.name), reverse=True)
        good = [job for job in counted if job.phase is Phase.SUCCEEDED]
        bad = [job for job in counted if job.phase is not Phase.SUCCEEDED]
        surplus = good[spec.successful_jobs_history_limit :] + bad[spec.failed_jobs_history_limit :]
        return tuple(reversed(surplus))

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

    def _settle_pauses(self, plan: Plan, before: AgentScheduleStatus, *, halted: bool) -> None:
        """What passed while the schedule was halted or another counts as settled."""
        said = find_condition(before.conditions, ScheduleConditionType.ACTIVE)
        paused = said is not None and not said.is_true and not halted
        edited = before.timing not in ("", plan.timing)
        if paused or edited:
            self.status = replace(self.status, settled_time=max(self._settled, self.now.replace(microsecond=0)))
        self.status = replace(self.status, timing=plan.timing)

    @property
    def _settled(self) -> datetime:
        """Times up to then are never looked at again."""
        known = (self.seen.schedule.created, self.status.last_schedule_time, self.status.settled_time)
        return max(filter(None, known))

    # --- starts -------------------------------------------------------------------------------------------------------

    def _trigger(self, plan: Plan) -> None:
        """Somebody asks for a job now; nothing but a broken spec stands in the way."""
        value = self.seen.schedule.trigger
        if not value or value == self.status.last_trigger:
            return
        if len(self.status.active) >= MAX_ACTIVE:
            self._block(BlockedReason.TOO_MANY_JOBS, f"{MAX_ACTIVE} jobs have not ended")
            return
        self.status = replace(self.status, last_trigger=value)
        name = triggered_name(self.seen.schedule.name, value)
        if any(job.name == name for job in self.seen.jobs) or any(one.name == name for one in self.status.active):
            message = f"job {name} exists: this value of the annotation was used before; give it one that was not"
            self.notes.append(Note("TriggerRepeated", message, warning=True))
            return
        time = self.now.replace(microsecond=0)
        previous = self.status.last_schedule_time or plan.cron.latest_until(time)
        self._claim(ActiveJob(name, time, previous=previous), StartKind.TRIGGERED)

    def _start(self, plan: Plan) -> CancelJob | None:
        """Claim what is due and allowed."""
        due = self._due(plan)
        if due.newest is None:
            self._unblock()
            return None
        if not due.starts:
            if not self._held_up(plan):
                self._unblock()
                self._settle(plan, due.newest)
            return None
        held = self._held_up(plan)
        if held:
            return self._hold(plan, held, due)
        self._unblock()
        room = min(MAX_ACTIVE - len(self.status.active), CLAIM_AT_ONCE)
        if plan.spec.max_runs is not None:
            room = min(room, plan.spec.max_runs - self.status.runs)
        if plan.spec.concurrency_policy != "Allow":
            room = min(room, 1)
        if room <= 0:
            self._block(BlockedReason.TOO_MANY_JOBS, f"{MAX_ACTIVE} jobs have not ended")
            return None
        for time in due.starts[:room]:
            self._claim_time(plan, time)
        return None

    def _due(self, plan: Plan) -> _Due:
        newest = self._newest_due(plan)
        if newest is None:
            return _Due([], None)
        limit = plan.spec.catch_up.limit if plan.spec.catch_up.policy == "All" else 1
        starts: list[datetime] = []
        for time in self._backwards(plan, newest):
            if len(starts) == limit or (plan.deadline is not None and self.now > plan.due(time) + plan.deadline):
                break
            starts.append(time)
        return _Due(starts[::-1], newest)

    def _newest_due(self, plan: Plan) -> datetime | None:
        """The newest time that is not settled and whose delay is over."""
        return next((time for time in self._backwards(plan, self.now) if plan.due(time) <= self.now), None)

    def _backwards(self, plan: Plan, until: datetime) -> Iterator[datetime]:
        time = plan.cron.latest_until(until)
        while time is not None and time > self._settled:
            yield time
            time = plan.cron.latest_until(time - timedelta(microseconds=1))

    def _held_up(self, plan: Plan) -> list[MadeJob]:
        """Jobs that must end before the next start."""
        if plan.spec.concurrency_policy == "Allow":
            return []
        return sorted((job for job in self.seen.jobs if not job.finished), key=lambda job: (job.created, job.name))

    def _hold(self, plan: Plan, held: list[MadeJob], due: _Due) -> CancelJob | None:
        job = held[0]
        if plan.spec.concurrency_policy == "Replace":
            for other in held:
                if not other.cancel and not other.deleting:
                    return CancelJob(other, f"replaced by {scheduled_name(self.seen.schedule.name, due.starts[-1])}")
        late = plan.due(due.starts[0]) + ON_TIME
        said = find_condition(self.status.conditions, ScheduleConditionType.BLOCKED)
        if self.now < late and not (said and said.is_true) and job.phase not in _STUCK:
            self.again = min(self.again, late)
            return None
        reason = BlockedReason.JOB_ENDING if job.cancel else _BLOCKED.get(job.phase, BlockedReason.JOB_WAITS)
        why = f": {job.why}" if job.why else ""
        self._block(reason, f"job {job.name} has not ended ({job.phase}){why}")
        return None

    def _claim_time(self, plan: Plan, time: datetime) -> None:
        passed_over = plan.cron.count(self._settled, time) - 1
        previous = self.status.last_schedule_time or plan.cron.latest_until(time - timedelta(microseconds=1))
        self.missed += passed_over
        self.status = replace(
            self.status, last_schedule_time=time, runs=self.status.runs + 1, missed=self.status.missed + passed_over
        )
        late = self.now - plan.due(time) > ON_TIME
        start = ActiveJob(scheduled_name(self.seen.schedule.name, time), time, previous=previous)
        self._claim(start, StartKind.CAUGHT_UP if late else StartKind.SCHEDULED)

    def _claim(self, start: ActiveJob, kind: StartKind) -> None:
        self.kind = kind
        self.starts.append(start)
        self.status = replace(self.status, active=(*self.status.active, start))

    def _settle(self, plan: Plan, newest: datetime) -> None:
        """Nothing that is due may still be made: say so."""
        missed = plan.cron.count(self._settled, newest)
        self.missed += missed
        self.status = replace(self.status, settled_time=newest, missed=self.status.missed + missed)
        what = f"{missed} starts were" if missed > 1 else "a start was"
        self.notes.append(Note("Missed", f"{what} missed, the last at {newest.isoformat()}", warning=True))

    # --- what is said -------------------------------------------------------------------------------------------------

    def _look_ahead(self, plan: Plan, *, halted: bool) -> None:
        time = None if halted else plan.cron.next_after(max(self.now, self._settled))
        self.status = replace(self.status, next_schedule_time=time)
        if time is not None:
            self.again = min(self.again, plan.due(time))

    def _block(self, reason: BlockedReason, message: str) -> None:
        self._say(ScheduleConditionType.BLOCKED, True, reason, message)

    def _unblock(self) -> None:
        if find_condition(self.status.conditions, ScheduleConditionType.BLOCKED):
            self._say(ScheduleConditionType.BLOCKED, False, BlockedReason.NOT_BLOCKED, "")

    def _say(self, kind: ScheduleConditionType, holds: bool, reason: str, message: str) -> None:
        conditions, generation = self.status.conditions, self.seen.schedule.generation
        status: ConditionStatus = "True" if holds else "False"
        message = cut(message, MAX_MESSAGE_BYTES)
        old = find_condition(conditions, kind)
        if old and (old.status, old.reason, old.message) == (status, str(reason), message):
            return
        since = old.last_transition_time if old and old.status == status else self.now.replace(microsecond=0)
        new = Condition(kind.value, status, str(reason), message, since, generation)
        others = tuple(condition for condition in conditions if condition.type != kind)
        self.status = replace(self.status, conditions=(*others, new))

    def _is_urgent(self, before: AgentScheduleStatus) -> bool:
        """Whether the status must be written now. That a job exists, and which time is next, can wait a little."""
        if (self.status.next_schedule_time is None) != (before.next_schedule_time is None):
            return True
        calm = replace(before, running=self.status.running, next_schedule_time=self.status.next_schedule_time)
        if self.status == calm:
            return False
        names = [entry.name for entry in self.status.active]
        if names == [entry.name for entry in before.active]:
            calm = replace(calm, active=self.status.active)
            if self.status == calm:
                return self._retire_is_due(before)
        return True

    def _retire_is_due(self, before: AgentScheduleStatus) -> bool:
        claimed = {entry.name for entry in before.active if not entry.uid}
        found = [job.created + RETIRE_AFTER for job in self.seen.jobs if job.name in claimed]
        if found:
            self.again = min(self.again, min(found))
        return bool(found) and min(found) <= self.now


_STUCK = frozenset({Phase.SUSPENDED})
_BLOCKED = {
    Phase.RUNNING: BlockedReason.JOB_RUNNING,
    Phase.RETRYING: BlockedReason.JOB_RUNNING,
    Phase.QUEUED: BlockedReason.JOB_QUEUED,
    Phase.SUSPENDED: BlockedReason.JOB_SUSPENDED,
}
