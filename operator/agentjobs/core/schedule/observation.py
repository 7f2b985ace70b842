"""Everything that is known about a schedule at one instant, as frozen values: the argument of `schedule.decide`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from agentjobs.api.conditions import Phase, primary_condition
from agentjobs.api.schedule.status import ActiveJob, BlockedReason
from agentjobs.core.children import Refusal, RefusalReason
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
    """When it ended; None while it has not."""
    cancel: bool = False
    """Whether its cancellation was requested."""
    deleting: bool = False
    why: str = ""
    """What it waits for: reason and message of its condition."""
    accepted: bool = True
    """Whether its work was ever accepted. A job that was not has cost nothing."""
    of_generation: int = 0
    """The schedule's generation that it was made from; 0 when its annotation is missing."""

    @property
    def finished(self) -> bool:
        return self.ended is not None


def made_job(job: KnownJob) -> MadeJob:
    """Reduce a job to what its schedule needs to know of it."""
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
    said = None if job.finished else primary_condition(job.status.conditions)
    return MadeJob(
        name=job.name,
        uid=job.uid,
        created=job.created,
        phase=job.status.phase or Phase.PENDING,
        ended=(job.status.completion_time or job.created) if job.finished else None,
        cancel=job.cancel,
        deleting=job.deleting,
        why=f"{said.reason}: {said.message}" if said else "",
        accepted=job.accepted or job.status.starts > 0,
        of_generation=job.of_generation,
    )


def blocked_reason(refusal: Refusal) -> BlockedReason:
    """Return what the status says of a job that could not be made."""
    is_taken = refusal.reason is RefusalReason.NAME_TAKEN
    return BlockedReason.JOB_NAME_TAKEN if is_taken else BlockedReason.JOB_REFUSED


@dataclass(frozen=True, slots=True)
class ScheduleObservation:
    """One schedule and everything a decision about it may depend on."""

    schedule: Schedule
    plan: Plan | Illegal
    """`read_plan(schedule)`; the caller keeps it for each uid and generation."""
    jobs: tuple[MadeJob, ...] = ()
    """All jobs whose controller is this very schedule, by uid; complete, as far as the caches are."""
    fresh: bool = False
    """Whether `schedule` is the API server's answer to a GET or PATCH of this pass, and not from a watch."""
    absent: frozenset[str] = frozenset()
    """Names of jobs that a GET of this pass did not find."""
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    """By the job's name: why the last attempt to make it failed."""

    @property
    def reserved(self) -> tuple[ActiveJob, ...]:
        """Occurrences that are reserved and whose job is not known to exist."""
        return tuple(entry for entry in self.schedule.status.active if not entry.uid)

    @property
    def over_limit(self) -> tuple[MadeJob, ...]:
        """Finished jobs beyond the history limits, oldest first. Use it last, when all ends are counted."""
        if not isinstance(self.plan, Plan):
            return ()
        spec = self.plan.spec
        counted = [job for job in self.jobs if job.finished and not job.deleting]
        counted.sort(key=lambda job: (job.created, job.name), reverse=True)
        good = [job for job in counted if job.phase is Phase.SUCCEEDED]
        # A job that did nothing takes no failure's place; its kind is kept to the same number.
        skipped = [job for job in counted if job.phase is Phase.SKIPPED]
        bad = [job for job in counted if job.phase not in (Phase.SUCCEEDED, Phase.SKIPPED)]
        kept = spec.failed_jobs_history_limit
        over_limit = {job.uid for job in (*good[spec.successful_jobs_history_limit :], *bad[kept:], *skipped[kept:])}
        return tuple(job for job in reversed(counted) if job.uid in over_limit)
