"""What the operator may do about a schedule: one closed union. mypy checks that `reconcile` has a branch for each.

Actions that write contain the whole new status. The difference from the raw status is patched with the observed
resourceVersion; after a conflict the schedule is observed again.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from agentjobs.api.schedule.status import ActiveJob, AgentScheduleStatus
from agentjobs.core.children import Refresh
from agentjobs.core.schedule.observation import MadeJob


class OccurrenceKind(StrEnum):
    """Why an occurrence gets a job; used as a metric label."""

    SCHEDULED = "scheduled"
    CAUGHT_UP = "caught_up"
    TRIGGERED = "triggered"


@dataclass(frozen=True, slots=True)
class Event:
    """A Kubernetes Event on the schedule, to be recorded once its action is carried out."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Keep:
    """Nothing to do."""


@dataclass(frozen=True, slots=True)
class Reserve:
    """Write occurrences into the status, before their jobs are created."""

    status: AgentScheduleStatus
    occurrences: tuple[ActiveJob, ...]
    missed: int = 0
    """Occurrences that become missed, for metrics; the status already counts them."""
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class MakeJob:
    """Create the job of a reserved occurrence, if necessary again, under the name of its entry.

    The body is `scheduled_job(schedule, occurrence)`.
    """

    occurrence: ActiveJob
    kind: OccurrenceKind
    due: datetime
    """When the job was due, including jitter; the lag metric counts from then."""


@dataclass(frozen=True, slots=True)
class Record:
    """Write changes: jobs that exist or have ended, processed times, conditions."""

    status: AgentScheduleStatus
    missed: int = 0
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class CancelJob:
    """Set `spec.cancel` of a job that a later occurrence replaces, with its uid as precondition.

    It also sets the annotation `agentjobs.dev/replaced-by`, so that the job can report why it was cancelled.
    """

    job: MadeJob
    by: str
    """Name of the job that replaces it."""


@dataclass(frozen=True, slots=True)
class PruneJobs:
    """Delete finished jobs beyond the history limits, by uid. Only jobs whose end is in Postgres are deleted."""

    jobs: tuple[MadeJob, ...]


Action: TypeAlias = Keep | Refresh | Reserve | MakeJob | Record | CancelJob | PruneJobs


@dataclass(frozen=True, slots=True)
class Decision:
    """An action, and when to reconcile again even without an event."""

    action: Action
    again: datetime | None = None
