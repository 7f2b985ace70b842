"""All known facts about a schedule at one instant, as frozen values: the input of `schedule.decide`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from agentjobs.api.conditions import Phase, primary_condition
from agentjobs.api.schedule.status import ActiveJob, BlockedReason
from agentjobs.core.children import ChildRefusal, RefusalReason
from agentjobs.core.job.ended import EndedJob, KnownJob
from agentjobs.core.schedule.model import Illegal, Plan, Schedule


@dataclass(frozen=True, slots=True)
class MadeJob:
    """A job that the schedule controls, by uid."""

    name: str
    uid: str
    created: datetime
    phase: Phase = Phase.PENDING
    ended: datetime | None = None
    """When it ended; None if it has not."""
    cancel: bool = False
    """Whether its cancellation was requested."""
    deleting: bool = False
    why: str = ""
    """What it waits for: reason and message of its condition."""
    accepted: bool = True
    """Whether it was ever accepted. Otherwise it has cost nothing."""
    of_generation: int = 0
    """The schedule's generation that it was created from; 0 if its annotation is missing."""

    @property
    def finished(self) -> bool:
        return self.ended is not None


def made_job(job: KnownJob) -> MadeJob:
    """Return the part of a job that its schedule needs."""
    if isinstance(job, EndedJob):
        return MadeJob(
            name=job.name,
            uid=job.uid,
            created=job.created,
            phase=job.phase,
            ended=job.ended,
            deleting=job.deleting,
            accepted=job.accepted,
            of_generation=job.of_generation,
        )
    condition = None if job.finished else primary_condition(job.status.conditions)
    return MadeJob(
        name=job.name,
        uid=job.uid,
        created=job.created,
        phase=job.status.phase or Phase.PENDING,
        ended=(job.status.completion_time or job.created) if job.finished else None,
        cancel=job.cancel,
        deleting=job.deleting,
        why=f"{condition.reason}: {condition.message}" if condition else "",
        accepted=job.accepted or job.status.starts > 0,
        of_generation=job.of_generation,
    )


def blocked_reason(refusal: ChildRefusal) -> BlockedReason:
    """Return the reason for a job that could not be created."""
    is_taken = refusal.reason is RefusalReason.NAME_TAKEN
    return BlockedReason.JOB_NAME_TAKEN if is_taken else BlockedReason.JOB_REFUSED


@dataclass(frozen=True, slots=True)
class ScheduleObservation:
    """One schedule and everything that a decision about it depends on."""

    schedule: Schedule
    plan: Plan | Illegal
    """`read_plan(schedule)`; the caller caches it by uid and generation."""
    jobs: tuple[MadeJob, ...] = ()
    """All jobs whose controller is this schedule, by uid; as complete as the caches."""
    fresh: bool = False
    """Whether `schedule` was returned by a GET or PATCH in this pass, and not by a watch."""
    absent: frozenset[str] = frozenset()
    """Names of jobs that a GET in this pass did not find."""
    refusals: Mapping[str, ChildRefusal] = field(default_factory=dict)
    """By the job's name: why the last attempt to create it failed."""

    @property
    def reserved(self) -> tuple[ActiveJob, ...]:
        """Reserved occurrences whose job is not known to exist."""
        return tuple(entry for entry in self.schedule.status.active if not entry.uid)

    @property
    def over_limit(self) -> tuple[MadeJob, ...]:
        """Return finished jobs beyond the history limits, oldest first. Call it last, when all ends are counted."""
        if not isinstance(self.plan, Plan):
            return ()
        spec = self.plan.spec
        counted = [job for job in self.jobs if job.finished and not job.deleting]
        counted.sort(key=lambda job: (job.created, job.name), reverse=True)
        good = [job for job in counted if job.phase is Phase.SUCCEEDED]
        # Skipped jobs do not count as failures; the same number of them is kept.
        skipped = [job for job in counted if job.phase is Phase.SKIPPED]
        bad = [job for job in counted if job.phase not in (Phase.SUCCEEDED, Phase.SKIPPED)]
        kept = spec.failed_jobs_history_limit
        over_limit = {job.uid for job in (*good[spec.successful_jobs_history_limit :], *bad[kept:], *skipped[kept:])}
        return tuple(job for job in reversed(counted) if job.uid in over_limit)
