"""One schedule's loop: observe, ask `schedule.decide`, carry out its verdict; and the next start's timer.

As with jobs, one worker a key and a precondition on every write. A start is claimed in the status before its job is
posted and retired there after, so whoever looks next can tell a job that was never made from one that is gone again.
Deleting a schedule needs nothing of us: its jobs are owned by it.
"""

import logging
from collections.abc import Iterable, Iterator, Set
from datetime import datetime
from typing import Final, assert_never

from agentjobs.api.events import EventReason
from agentjobs.api.schedule.status import (
    MAX_ACTIVE,
    AgentScheduleStatus,
)
from agentjobs.bounded import Bounded
from agentjobs.contract import ANNOTATION_REPLACED_BY
from agentjobs.core.children import Refresh
from agentjobs.core.queues.admission import JobName
from agentjobs.core.schedule.decide import decide
from agentjobs.core.schedule.job import scheduled_job
from agentjobs.core.schedule.model import Illegal, Plan, Schedule, illegal_template, read_plan
from agentjobs.core.schedule.observation import MadeJob, ScheduleObservation, made_job
from agentjobs.core.schedule.verdicts import (
    CancelJob,
    Claim,
    Keep,
    MakeJob,
    Note,
    PruneJobs,
    Record,
    Verdict,
)
from agentjobs.errors import Conflict, NotFound, Unavailable
from agentjobs.kube.resources import AGENTJOBS, AGENTSCHEDULES
from agentjobs.reconcile.children import Children, Pass
from agentjobs.reconcile.job.ends import is_recorded
from agentjobs.reconcile.job.facts import OUTAGE_SECONDS
from agentjobs.reconcile.job.story import ScheduleStory
from agentjobs.reconcile.setup import Setup

logger = logging.getLogger(__name__)

# Plans that are kept: those of schedules that fire often come again, the others are read when they are due.
KEPT: Final = 4096
# All the starts that may be active at once, each claimed and made, and a few writes beside.
MAX_STEPS: Final = 2 * MAX_ACTIVE + 16


class Schedules:
    """Observe, decide, apply for all schedules of the watched namespaces."""

    def __init__(self, setup: Setup) -> None:
        ports = setup.ports
        self._state = setup.state
        self._cluster = ports.cluster
        self._history = ports.history
        self._writer = ports.writer
        self._story = ScheduleStory(ports)
        self._trial = setup.trial
        self._children = Children(
            setup,
            parent=AGENTSCHEDULES,
            child=AGENTJOBS,
            word="schedule",
            controller=lambda job: job.made_by_uid,
            created_before=self._job_before,
        )
        self._metrics = ports.metrics
        self._now = ports.now
        # By uid, with the generation they were read from; reading one anew costs a millisecond.
        self._plans: Bounded[str, tuple[int, Plan | Illegal]] = Bounded(KEPT)

    async def reconcile(self, name: JobName) -> datetime | None:
        """Work on one schedule. Returns when to look again even if nothing happens."""
        look = Pass()
        for _ in range(MAX_STEPS):
            schedule = self._state.schedules.get(name)
            if schedule is None:
                return None
            seen = self._observe(schedule, await self._plan(schedule), look)
            decision = decide(seen, self._now())
            if not await self._carry_out(seen, decision.verdict, look):
                return decision.again
        raise RuntimeError(f"schedule {name[0]}/{name[1]}: {MAX_STEPS} verdicts in a row without rest")

    def _observe(self, schedule: Schedule, plan: Plan | Illegal, look: Pass) -> ScheduleObservation:
        jobs = [made_job(job) for job in self._state.jobs.by("schedule", schedule.uid)]
        return ScheduleObservation(
            schedule=schedule,
            plan=plan,
            jobs=(*jobs, *self._deleted_again(schedule, {job.name for job in jobs}, look)),
            fresh=look.fresh == schedule.resource_version,
            absent=frozenset(look.absent),
            refusals=look.refusals,
        )

    async def _plan(self, schedule: Schedule) -> Plan | Illegal:
        """What the spec asks for, unless the API server would never take the pods of its jobs; asked once an edit."""
        known = self._plans.get(schedule.uid)
        if known is None or known[0] != schedule.generation:
            plan = read_plan(schedule)
            if isinstance(plan, Plan):
                found = await self._trial.problems(schedule, plan.spec.job_template.spec)
                plan = illegal_template(found) if found else plan
            known = (schedule.generation, plan)
            self._plans.put(schedule.uid, known)
        return known[1]

    async def _job_before(self, schedule: Schedule, name: str) -> str | None:
        return await self._history.job_of(schedule.namespace, schedule.name, name, since=schedule.created)

    def _deleted_again(self, schedule: Schedule, known: Set[str], look: Pass) -> Iterator[MadeJob]:
        """Jobs of reserved entries that ran and were deleted before that was written down."""
        for start, uid in self._children.deleted_again(schedule, schedule.status.active, known, look):
            yield MadeJob(start.name, uid, created=start.time, cancel=True, deleting=True)

    async def _carry_out(self, seen: ScheduleObservation, verdict: Verdict, look: Pass) -> bool:
        """Do what the verdict says. True to look again at once."""
        schedule = seen.schedule
        match verdict:
            case Keep():
                return False
            case Refresh():
                return await self._refresh(seen, verdict.names, look)
            case Claim() | Record():
                await self._write(schedule, verdict.status, look)
                self._story.written(seen, verdict)
                self._metrics.schedule_missed.inc(verdict.missed)
            case MakeJob():
                return await self._make(seen, verdict, look)
            case CancelJob():
                return await self._cancel(seen, verdict)
            case PruneJobs():
                return await self._prune(seen, verdict)
            case _:
                assert_never(verdict)
        return True

    async def _refresh(self, seen: ScheduleObservation, jobs: Iterable[str], look: Pass) -> bool:
        known = {job.name for job in seen.jobs}
        reserved = (start.name for start in seen.reserved if start.name not in known)
        if await self._children.refresh(seen.schedule, reserved, jobs, look):
            return True
        self._state.queue.add_after(AGENTSCHEDULES.key(seen.schedule.key), OUTAGE_SECONDS)
        return False

    async def _write(self, schedule: Schedule, status: AgentScheduleStatus, look: Pass) -> None:
        """Patch the status if it changes anything, on condition that nobody wrote since."""
        patch = status.patch_from(schedule.raw_status)
        if not patch:
            raise RuntimeError(f"schedule {schedule.namespace}/{schedule.name}: a verdict that changes nothing")
        await self._children.write(schedule, patch, look)

    async def _make(self, seen: ScheduleObservation, verdict: MakeJob, look: Pass) -> bool:
        """Create the job of a claimed start, or find that it exists."""
        schedule, name = seen.schedule, verdict.start.name
        created = await self._children.create(schedule, scheduled_job(schedule, verdict.start), look)
        if (refusal := look.refusals.get(name)) is not None:
            self._story.job_refused(seen, verdict, refusal)
        if not created:
            return True
        late = (self._now() - verdict.due).total_seconds()
        self._metrics.schedule_start(verdict.kind, late)
        self._story.note(schedule, [Note(EventReason.STARTED, f"made job {name}")])
        said = {"job": name, "kind": verdict.kind.value, "late_seconds": round(late, 3)}
        self._story.tell("schedule.job_made", seen, verdict, **said)
        # The job's arrival brings the schedule back. First come the others that are due: a start that is made can wait
        # to be retired, one that is claimed should not wait to be made.
        return len(seen.reserved) > 1

    async def _cancel(self, seen: ScheduleObservation, verdict: CancelJob) -> bool:
        schedule = seen.schedule
        why = {ANNOTATION_REPLACED_BY: verdict.by}
        body = {"metadata": {"uid": verdict.job.uid, "annotations": why}, "spec": {"cancel": True}}
        try:
            answer = await self._cluster.patch(AGENTJOBS, schedule.namespace, verdict.job.name, body)
        except NotFound:
            # Gone already; the watch is about to say so.
            self._state.queue.add_after(AGENTSCHEDULES.key(schedule.key), OUTAGE_SECONDS)
            return False
        self._state.observe(AGENTJOBS, None, answer)
        self._story.note(
            schedule, [Note(EventReason.REPLACED, f"job {verdict.job.name} is cancelled for {verdict.by}")]
        )
        said = {"job": verdict.job.name, "reason": str(EventReason.REPLACED), "replaced_by": verdict.by}
        self._story.tell("schedule.job_cancelled", seen, verdict, **said)
        return True

    async def _prune(self, seen: ScheduleObservation, verdict: PruneJobs) -> bool:
        """Delete finished jobs whose end is stored. False when some have to wait for that."""
        schedule, waiting = seen.schedule, False
        for job in verdict.jobs:
            if not await self._recorded(schedule.namespace, job):
                waiting = True
                continue
            try:
                await self._cluster.delete(AGENTJOBS, schedule.namespace, job.name, uid=job.uid)
            except (NotFound, Conflict):
                continue  # it is gone, or another
            self._story.tell("schedule.job_pruned", seen, verdict, job=job.name)
        if waiting:
            self._state.queue.add_after(AGENTSCHEDULES.key(schedule.key), OUTAGE_SECONDS)
        return False

    async def _recorded(self, namespace: str, made: MadeJob) -> bool:
        job = self._state.jobs.get((namespace, made.name))
        try:
            return job is not None and await is_recorded(job, self._cluster, self._history, self._writer)
        except Unavailable:
            return False
