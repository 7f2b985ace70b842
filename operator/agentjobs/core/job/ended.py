"""The summary of an idle job that is kept in memory instead of its object.

Most objects of a cluster are such jobs. If there is work for one, its object is read again first.
"""

from dataclasses import dataclass
from datetime import datetime
from sys import intern
from typing import TypeAlias

from agentjobs.api.conditions import AcceptedReason, ConditionType, Phase
from agentjobs.core.job.observation import Job


@dataclass(frozen=True, slots=True)
class EndedJob:
    """A job whose end is completely written, and whose last edit is observed."""

    namespace: str
    name: str
    uid: str
    created: datetime
    phase: Phase
    ended: datetime
    expires: datetime | None
    """When its TTL expires; None without one."""
    deleting: bool
    accepted: bool
    made_by: str
    made_by_uid: str
    of_generation: int
    parent_uid: str = ""
    in_cycle: bool = False
    """It never ran, because of a cycle of `after`."""

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name


KnownJob: TypeAlias = Job | EndedJob


def ended_job(job: Job) -> EndedJob:
    """Summarize an idle job."""
    return EndedJob(
        namespace=intern(job.namespace),
        name=job.name,
        uid=job.uid,
        created=job.created,
        phase=job.status.phase or Phase.PENDING,
        ended=job.status.completion_time or job.created,
        expires=job.expires,
        deleting=job.deleting,
        accepted=job.accepted or job.status.starts > 0,
        made_by=intern(job.made_by),
        made_by_uid=intern(job.made_by_uid),
        of_generation=job.of_generation,
        parent_uid=job.parent_uid,
        in_cycle=job.has_condition(ConditionType.FAILED, status=True, reason=AcceptedReason.DEPENDENCY_CYCLE),
    )
