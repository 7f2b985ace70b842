"""What may happen to a schedule next: one closed union. A verdict without a branch in `reconcile` is a type error.

Verdicts that write carry the whole new status. It is patched with the resourceVersion of the schedule that was seen, as
the difference to its raw status; a conflict means to look again.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from agentjobs.api.schedule.status import ActiveJob, AgentScheduleStatus
from agentjobs.core.children import Refresh
from agentjobs.core.schedule.observation import MadeJob


class StartKind(StrEnum):
    """Why a job is made; a label of metrics."""

    SCHEDULED = "scheduled"
    CAUGHT_UP = "caught_up"
    TRIGGERED = "triggered"


@dataclass(frozen=True, slots=True)
class Note:
    """A Kubernetes Event on the schedule, to be recorded once its verdict is carried out."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Keep:
    """Nothing to do."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Write down that starts are made, before their jobs are."""

    status: AgentScheduleStatus
    starts: tuple[ActiveJob, ...]
    missed: int = 0
    """Starts that this claim passes over, for metrics; counted in the status already."""
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class MakeJob:
    """A start is claimed and its job is not there: make it (again) under the same name.

    The body is `scheduled_job.scheduled_job(schedule, start)`. AlreadyExists is adopted when the job's controller is
    this schedule by uid, and otherwise a `Refusal`; so is every other answer but an outage.
    """

    start: ActiveJob
    kind: StartKind
    due: datetime
    """When the start should have been made, with its jitter: what lag is measured from."""


@dataclass(frozen=True, slots=True)
class Record:
    """Write what has changed: jobs that exist or have ended, times that are settled, conditions."""

    status: AgentScheduleStatus
    missed: int = 0
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class CancelJob:
    """Set `spec.cancel` of a job that a later start replaces, with its uid as precondition.

    The annotation `agentjobs.dev/replaced-by` goes with it, so that the job can say who cancelled it.
    """

    job: MadeJob
    by: str
    """Name of the job that waits for its end."""


@dataclass(frozen=True, slots=True)
class PruneJobs:
    """Delete finished jobs beyond the history limits, each by its uid. Only jobs whose end is in Postgres may go."""

    jobs: tuple[MadeJob, ...]


Verdict: TypeAlias = Keep | Refresh | Claim | MakeJob | Record | CancelJob | PruneJobs


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict, and when to look again even if nothing happens."""

    verdict: Verdict
    again: datetime | None = None
