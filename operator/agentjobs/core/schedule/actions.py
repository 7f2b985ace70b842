"""What the operator may do about a schedule: one closed union. mypy checks that `reconcile` has a branch for each.

Actions that write carry the whole new status. The difference to the raw status is patched with the resourceVersion of
the schedule that was observed; after a conflict it is observed again.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from agentjobs.api.schedule.status import ActiveJob, AgentScheduleStatus
from agentjobs.core.children import Refresh
from agentjobs.core.schedule.observation import MadeJob


class OccurrenceKind(StrEnum):
    """Why an occurrence gets a job; a label of metrics."""

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
    """Write occurrences into the status, before their jobs are made."""

    status: AgentScheduleStatus
    occurrences: tuple[ActiveJob, ...]
    missed: int = 0
    """Occurrences that are missed by this, for metrics; the status counts them already."""
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class MakeJob:
    """Make the job of a reserved occurrence, again if need be, under the name of its entry.

    The body is `scheduled_job(schedule, occurrence)`.
    """

    occurrence: ActiveJob
    kind: OccurrenceKind
    due: datetime
    """When the job should have been made, with its jitter: the metric of lag counts from there."""


@dataclass(frozen=True, slots=True)
class Record:
    """Write what has changed: jobs that exist or have ended, processed times, conditions."""

    status: AgentScheduleStatus
    missed: int = 0
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class CancelJob:
    """Set `spec.cancel` of a job that a later occurrence replaces, with its uid as precondition.

    The annotation `agentjobs.dev/replaced-by` goes with it, so that the job can say who cancelled it.
    """

    job: MadeJob
    by: str
    """Name of the job that waits for its end."""


@dataclass(frozen=True, slots=True)
class PruneJobs:
    """Delete finished jobs beyond the history limits, each by its uid. Only jobs whose end is in Postgres may go."""

    jobs: tuple[MadeJob, ...]


Action: TypeAlias = Keep | Refresh | Reserve | MakeJob | Record | CancelJob | PruneJobs


@dataclass(frozen=True, slots=True)
class Decision:
    """An action, and when to look again even if nothing happens."""

    action: Action
    again: datetime | None = None
