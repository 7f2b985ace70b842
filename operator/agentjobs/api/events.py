"""The reasons of Kubernetes Events and their types: the reason alone decides between Normal and Warning.

Most Events have the reason of a condition, an error class or a phase; `EventReason` has the others. Waiting, and what a
person requested, is Normal. A failure, or what needs a person, is a Warning; so is an unknown reason, because runners
and kubelets have their own.
"""

from typing import Final, Literal

from agentjobs.api.conditions import (
    AcceptedReason,
    AdmittedReason,
    CancelledReason,
    CompleteReason,
    DescribedEnum,
    FollowUpReason,
    Phase,
    PodStartedReason,
    SkippedReason,
    SuspendedReason,
)
from agentjobs.api.queues.status import LimitedReason, OpenReason
from agentjobs.api.schedule.status import ActiveReason, BlockedReason, DegradedReason
from agentjobs.contract import ErrorClass, Verdict

EventType = Literal["Normal", "Warning"]


class EventReason(DescribedEnum):
    """Reasons that only Events have."""

    STARTED = "Started", "A job's start was claimed, or a schedule created a job; the message names the pod or the job."
    SUSPENDED = "Suspended", "The job holds no slot and no pod until it is resumed."
    SPEC_CHANGED = "SpecChanged", "An edit of accepted work has no effect; the message names the fields."
    REPLACED = "Replaced", "A schedule cancels a job because the next start is due."
    FOLLOW_UPS_CREATED = "FollowUpsCreated", "Follow-up jobs were created; the message names them."
    MISSED = "Missed", "Times of a schedule passed without a job."
    START_FAILED = "StartFailed", "A job of a schedule could not be created."
    TRIGGER_REPEATED = "TriggerRepeated", "A value of the annotation `agentjobs.dev/trigger` was used before."


def severity(reason: str) -> EventType:
    """Return the type of an Event with this reason."""
    return "Normal" if reason in NORMAL else "Warning"


NORMAL: Final[frozenset[str]] = frozenset(
    {
        EventReason.STARTED,
        EventReason.SUSPENDED,
        EventReason.REPLACED,
        AcceptedReason.RESOLVED,
        AcceptedReason.WAITING_FOR_JOBS,
        AdmittedReason.ADMITTED,
        AdmittedReason.WAITING_FOR_START_TIME,
        AdmittedReason.WAITING_FOR_SLOT,
        AdmittedReason.WAITING_FOR_RATE,
        AdmittedReason.WAITING_FOR_LOCK,
        AdmittedReason.QUEUE_HELD,
        AdmittedReason.BUDGET_HELD,
        AdmittedReason.WAITING_FOR_BACKOFF,
        AdmittedReason.FINISHED,
        AdmittedReason.WAITING_FOR_MODEL_LIMIT,
        *(reason for reason in SuspendedReason if reason is not SuspendedReason.BUDGET_EXCEEDED),
        *CompleteReason,
        *CancelledReason,
        *SkippedReason,
        EventReason.FOLLOW_UPS_CREATED,
        FollowUpReason.CREATED,
        FollowUpReason.PENDING,
        PodStartedReason.STARTED,
        PodStartedReason.STOPPING,
        PodStartedReason.SCHEDULING_GATED,
        ErrorClass.SNOOZED,
        ErrorClass.JOB_DELETED,
        Verdict.SUCCEED,
        Verdict.SNOOZE,
        Verdict.CANCEL,
        *(phase for phase in Phase if phase is not Phase.FAILED),
        *(reason for reason in OpenReason if reason not in (OpenReason.INVALID_SPEC, OpenReason.BUDGET_EXCEEDED)),
        *(reason for reason in LimitedReason if reason is not LimitedReason.BUDGET_EXCEEDED),
        ActiveReason.SCHEDULED,
        ActiveReason.MAX_RUNS_REACHED,
        BlockedReason.NOT_BLOCKED,
        BlockedReason.JOB_RUNNING,
        BlockedReason.JOB_QUEUED,
        BlockedReason.JOB_SUSPENDED,
        BlockedReason.JOB_ENDING,
        DegradedReason.JOBS_SUCCEED,
    }
)
WARNING: Final[frozenset[str]] = frozenset(
    {
        EventReason.SPEC_CHANGED,
        EventReason.MISSED,
        EventReason.START_FAILED,
        EventReason.TRIGGER_REPEATED,
        AcceptedReason.QUEUE_NOT_FOUND,
        AcceptedReason.TEMPLATE_NOT_FOUND,
        AcceptedReason.REFERENCE_NOT_FOUND,
        AcceptedReason.UNKNOWN_MODEL_PRICE,
        AcceptedReason.SINK_NOT_FOUND,
        AcceptedReason.HISTORY_UNAVAILABLE,
        AcceptedReason.SPEC_TOO_LARGE,
        AcceptedReason.UNRESOLVED_REFERENCE,
        AcceptedReason.LOCKED_FIELD,
        AcceptedReason.TYPE_CONFLICT,
        AcceptedReason.INVALID_SPEC,
        AcceptedReason.DEPENDENCY_CYCLE,
        AdmittedReason.SPEC_UNREADABLE,
        SuspendedReason.BUDGET_EXCEEDED,
        *(reason for reason in PodStartedReason if reason not in NORMAL),
        *(reason for reason in ErrorClass if reason not in NORMAL),
        *(reason for reason in FollowUpReason if reason not in (FollowUpReason.CREATED, FollowUpReason.PENDING)),
        Verdict.RETRY,
        Verdict.FAIL,
        Phase.FAILED,
        ActiveReason.INVALID_SCHEDULE,
        ActiveReason.NEVER_FIRES,
        ActiveReason.TOO_MANY_FAILURES,
        BlockedReason.JOB_WAITS,
        BlockedReason.JOB_NAME_TAKEN,
        BlockedReason.JOB_REFUSED,
        BlockedReason.TOO_MANY_JOBS,
        DegradedReason.JOB_FAILED,
        DegradedReason.JOB_NOT_ACCEPTED,
    }
)
