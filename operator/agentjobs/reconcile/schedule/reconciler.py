"""One schedule's loop: observe, decide, carry out one action, until the action is Keep.

As with jobs, each key has one worker, and every write has a precondition. Jobs are children of their schedule, created
as described in `core.children`. A deleted schedule needs no work: the garbage collector deletes its jobs.
"""

import logging
from collections.abc import Iterable, Iterator, Set
from datetime import datetime
from typing import Final, assert_never

from agentjobs.api.events import EventReason
from agentjobs.api.schedule.status import MAX_ACTIVE, AgentScheduleStatus
from agentjobs.bounded import Bounded
from agentjobs.contract import ANNOTATION_REPLACED_BY
from agentjobs.core.children import Refresh
from agentjobs.core.queues.admission import JobName
from agentjobs.core.schedule.actions import (
    Action,
    CancelJob,
    Event,
    Keep,
    MakeJob,
    PruneJobs,
    Record,
    Reserve,
)
from agentjobs.core.schedule.decide import decide, is_triggered
from agentjobs.core.schedule.job import scheduled_job
from agentjobs.core.schedule.model import Illegal, Plan, Schedule, illegal_template, read_plan
from agentjobs.core.schedule.observation import MadeJob, ScheduleObservation, made_job
from agentjobs.errors import Conflict, NotFound, Unavailable
from agentjobs.kube.resources import AGENTJOBS, AGENTSCHEDULES
from agentjobs.reconcile.children import Children, Pass
from agentjobs.reconcile.job.end_recorded import is_recorded
from agentjobs.reconcile.schedule.reporter import ScheduleReporter
from agentjobs.reconcile.setup import RETRY_SECONDS, Setup

logger = logging.getLogger(__name__)

# Maximum cached plans: enough for schedules that fire often; others are parsed when due.
KEPT: Final = 4096
# Each active occurrence is reserved and created; plus a few more writes.
MAX_STEPS: Final = 2 * MAX_ACTIVE + 16


class Schedules:
    """Observe, decide, apply for all schedules of the watched namespaces."""

    def __init__(self, setup: Setup) -> None:
        ports = setup.ports
        self._state = setup.state
        self._cluster = ports.cluster
        self._history = ports.history
        self._writer = ports.writer
        self._reporter = ScheduleReporter(ports)
        self._dry_run = setup.dry_run
        self._children = Children(
            setup,
            parent=AGENTSCHEDULES,
            child=AGENTJOBS,
            kind="schedule",
            controller=lambda job: job.made_by_uid,
            created_before=self._job_before,
        )
        self._metrics = ports.metrics
        self._now = ports.now
        # By uid, with their generation; parsing one costs a millisecond.
        self._plans: Bounded[str, tuple[int, Plan | Illegal]] = Bounded(KEPT)

    async def reconcile(self, name: JobName) -> datetime | None:
        """Reconcile one schedule. Returns when to reconcile again even without an event."""
        current = Pass()
        for _ in range(MAX_STEPS):
            schedule = self._state.schedules.get(name)
            if schedule is None:
                return None
            seen = self._observe(schedule, await self._plan(schedule), current)
            decision = decide(seen, self._now())
            if not await self._carry_out(seen, decision.action, current):
                return decision.again
        raise RuntimeError(
            f"schedule {name[0]}/{name[1]}: {MAX_STEPS} actions in a row without reaching a stable state"
        )

    def _observe(self, schedule: Schedule, plan: Plan | Illegal, current: Pass) -> ScheduleObservation:
        jobs = [made_job(job) for job in self._state.jobs.by("schedule", schedule.uid)]
        return ScheduleObservation(
            schedule=schedule,
            plan=plan,
            jobs=(*jobs, *self._deleted_again(schedule, {job.name for job in jobs}, current)),
            fresh=current.fresh == schedule.resource_version,
            absent=frozenset(current.absent),
            refusals=current.refusals,
        )

    async def _plan(self, schedule: Schedule) -> Plan | Illegal:
        """Return the plan of the spec, or why the API server would reject its jobs' pods; checked once per
        generation.
        """
        known = self._plans.get(schedule.uid)
        if known is None or known[0] != schedule.generation:
            plan = read_plan(schedule)
            if isinstance(plan, Plan) and plan.spec.job_template.spec.template_ref is None:
                found = await self._dry_run.problems(schedule, plan.spec.job_template.spec)
                plan = illegal_template(found) if found else plan
            known = (schedule.generation, plan)
            self._plans.put(schedule.uid, known)
        return known[1]

    async def _job_before(self, schedule: Schedule, name: str) -> str | None:
        return await self._history.job_of(schedule.namespace, schedule.name, name, since=schedule.created)

    def _deleted_again(self, schedule: Schedule, known: Set[str], current: Pass) -> Iterator[MadeJob]:
        """Return jobs of reserved occurrences that were created and deleted before the status was written."""
        for occurrence, uid in self._children.deleted_again(schedule, schedule.status.active, known, current):
            yield MadeJob(occurrence.name, uid, created=occurrence.time, cancel=True, deleting=True)

    async def _carry_out(self, seen: ScheduleObservation, action: Action, current: Pass) -> bool:
        """Carry out an action. True to observe again immediately."""
        schedule = seen.schedule
        match action:
            case Keep():
                return False
            case Refresh():
                return await self._refresh(seen, action.names, current)
            case Reserve() | Record():
                await self._write(schedule, action.status, current)
                if isinstance(action, Reserve) and any(
                    is_triggered(seen, occurrence) for occurrence in action.occurrences
                ):
                    current.fresh = ""  # its name may have been used before, so history is checked first
                self._reporter.written(seen, action)
                self._metrics.schedule_missed.inc(action.missed)
            case MakeJob():
                return await self._make(seen, action, current)
            case CancelJob():
                return await self._cancel(seen, action)
            case PruneJobs():
                return await self._prune(seen, action)
            case _:
                assert_never(action)
        return True

    async def _refresh(self, seen: ScheduleObservation, jobs: Iterable[str], current: Pass) -> bool:
        known = {job.name for job in seen.jobs}
        reserved = (occurrence.name for occurrence in seen.reserved if occurrence.name not in known)
        if await self._children.refresh(seen.schedule, reserved, jobs, current):
            return True
        self._state.queue.add_after(AGENTSCHEDULES.key(seen.schedule.key), RETRY_SECONDS)
        return False

    async def _write(self, schedule: Schedule, status: AgentScheduleStatus, current: Pass) -> None:
        """Patch the status, if it has not changed since it was observed."""
        patch = status.patch_from(schedule.raw_status)
        if not patch:
            raise RuntimeError(f"schedule {schedule.namespace}/{schedule.name}: an action that changes nothing")
        await self._children.write(schedule, patch, current)

    async def _make(self, seen: ScheduleObservation, action: MakeJob, current: Pass) -> bool:
        """Create the job of a reserved occurrence, or find that it exists."""
        schedule, name = seen.schedule, action.occurrence.name
        created = await self._children.create(schedule, scheduled_job(schedule, action.occurrence), current)
        if (refusal := current.refusals.get(name)) is not None:
            self._reporter.job_refused(seen, action, refusal)
        if not created:
            return True
        late = (self._now() - action.due).total_seconds()
        self._metrics.schedule_start(action.kind, late)
        self._reporter.record(schedule, [Event(EventReason.STARTED, f"created job {name}")])
        fields = {"job": name, "kind": action.kind.value, "late_seconds": round(late, 3)}
        self._reporter.log("schedule.job_created", seen, action, **fields)
        # The job's event wakes the schedule. Other due occurrences come first: retiring can wait, creating a job
        # should not.
        return len(seen.reserved) > 1

    async def _cancel(self, seen: ScheduleObservation, action: CancelJob) -> bool:
        schedule = seen.schedule
        why = {ANNOTATION_REPLACED_BY: action.by}
        body = {"metadata": {"uid": action.job.uid, "annotations": why}, "spec": {"cancel": True}}
        try:
            answer = await self._cluster.patch(AGENTJOBS, schedule.namespace, action.job.name, body)
        except NotFound:
            # It is gone; the watch will report that.
            self._state.queue.add_after(AGENTSCHEDULES.key(schedule.key), RETRY_SECONDS)
            return False
        self._state.observe(AGENTJOBS, None, answer)
        self._reporter.record(
            schedule, [Event(EventReason.REPLACED, f"cancelled job {action.job.name}, to be replaced by {action.by}")]
        )
        fields = {"job": action.job.name, "reason": str(EventReason.REPLACED), "replaced_by": action.by}
        self._reporter.log("schedule.job_cancelled", seen, action, **fields)
        return True

    async def _prune(self, seen: ScheduleObservation, action: PruneJobs) -> bool:
        """Delete finished jobs whose end is stored; the others are retried later."""
        schedule, waiting = seen.schedule, False
        for job in action.jobs:
            if not await self._recorded(schedule.namespace, job):
                waiting = True
                continue
            try:
                await self._cluster.delete(AGENTJOBS, schedule.namespace, job.name, uid=job.uid)
            except (NotFound, Conflict):
                continue  # it is gone, or another job has its name
            self._reporter.log("schedule.job_pruned", seen, action, job=job.name)
        if waiting:
            self._state.queue.add_after(AGENTSCHEDULES.key(schedule.key), RETRY_SECONDS)
        return False

    async def _recorded(self, namespace: str, made: MadeJob) -> bool:
        job = self._state.jobs.get((namespace, made.name))
        try:
            return job is not None and await is_recorded(job, self._cluster, self._history, self._writer)
        except Unavailable:
            return False
