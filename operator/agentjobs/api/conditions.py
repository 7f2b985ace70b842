"""Condition types, their reasons and the phases of an AgentJob, which users and their tools match on.

These names are API and do not change. The reference of conditions is generated from their descriptions. The core
decides which condition holds; this module only keeps the list in order and derives the phase.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import Field

from agentjobs.contract import MAX_MESSAGE_BYTES, cut

ConditionStatus = Literal["True", "False", "Unknown"]
REASON_PATTERN: Final = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"


class DescribedEnum(StrEnum):
    """A name that is API, with its description."""

    description: str

    def __new__(cls, value: str, description: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.description = description
        return member


class Phase(DescribedEnum):
    """One word for people. Machines should use conditions, because phases may be added."""

    PENDING = "Pending", "Not yet accepted, or waits for an object that it names (a queue, a ConfigMap)."
    SCHEDULED = "Scheduled", "Accepted; waits for `startAt` or `startAfter`."
    QUEUED = "Queued", "Waits for a slot in its queue."
    RUNNING = "Running", "A start is claimed: its pod exists or is being created."
    RETRYING = "Retrying", "Waits for `status.nextAttemptTime`, after a failed attempt or a snooze."
    SUSPENDED = "Suspended", "Stopped; can continue after its last recorded step. Holds no slot and no pod."
    SUCCEEDED = "Succeeded", "Ended with a result."
    FAILED = "Failed", "Ended: attempts are used up, or another attempt would fail the same way."
    CANCELLED = "Cancelled", "Ended because a user or the agent's code cancelled it, or another job took its place."
    SKIPPED = "Skipped", "Ended before a start: `status.duplicateOf` has the same `unique` key."

    @property
    def is_terminal(self) -> bool:
        """Whether the phase is final."""
        return self in (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.SKIPPED)


DELETED: Final = "Deleted"
"""The phase in history of a job whose object was deleted before it ended. No object has it."""
OVER: Final = frozenset({DELETED, *(phase.value for phase in Phase if phase.is_terminal)})
"""The final phases of jobs in history."""


class ConditionType(DescribedEnum):
    """Aspects of a job's state."""

    ACCEPTED = "Accepted", "The spec is valid and all objects that it names were found; the job's work is stored."
    ADMITTED = "Admitted", "The job holds a slot of its queue."
    POD_STARTED = "PodStarted", "Written only when a start's pod does not run, and again when it does."
    SUSPENDED = "Suspended", "The job is stopped and can continue; the reason tells how it is resumed."
    COMPLETE = "Complete", "The job ended with a result."
    FAILED = "Failed", "The job ended without a result; the reason is the class of the last error."
    CANCELLED = "Cancelled", "The job was stopped."
    SKIPPED = "Skipped", "The job was not run, because another job has the same `unique` key."
    FINISHED = "Finished", "The job ended, in any phase; for `kubectl wait --for=condition=Finished`."
    FOLLOW_UPS_CREATED = (
        "FollowUpsCreated",
        "All follow-up jobs were created. Only on jobs whose end has follow-ups; it does not affect that end.",
    )


class AcceptedReason(DescribedEnum):
    """Why a job is accepted, or not (yet)."""

    RESOLVED = "Resolved", "Accepted. The message holds the hash of what will run."
    QUEUE_NOT_FOUND = "QueueNotFound", "The queue does not exist; the job waits for it."
    TEMPLATE_NOT_FOUND = (
        "TemplateNotFound",
        "The AgentTemplate is missing or invalid; the job waits for a valid one.",
    )
    REFERENCE_NOT_FOUND = (
        "ReferenceNotFound",
        "A ConfigMap or key is missing; the job waits for it, and checks every 2 s, later every minute.",
    )
    UNKNOWN_MODEL_PRICE = (
        "UnknownModelPrice",
        (
            "`budget.maxCostUSD` is set, and a model of the spec has no known price, or costs are not counted; the job "
            "waits."
        ),
    )
    SINK_NOT_FOUND = (
        "SinkNotFound",
        "`notifications` names a sink that the installation does not define; the job waits for it.",
    )
    HISTORY_UNAVAILABLE = "HistoryUnavailable", "The database cannot be reached; the job waits until it is back."
    WAITING_FOR_JOBS = "WaitingForJobs", "A job of `after` has not ended; the message names at most five."
    DEPENDENCY_CYCLE = (
        "DependencyCycle",
        (
            "The job's `after` forms a cycle: it leads back to the job, or to jobs that wait for each other. The job "
            "failed."
        ),
    )
    SPEC_TOO_LARGE = "SpecTooLarge", "The spec exceeds 96 KiB, or `input.state` exceeds 16 KiB. The job failed."
    UNRESOLVED_REFERENCE = (
        "UnresolvedReference",
        (
            "A text has an unknown name in `$(…)`; the message gives the name, the field and the known names. The job "
            "failed."
        ),
    )
    LOCKED_FIELD = "LockedField", "The job sets a field that its template locks. The job failed."
    TYPE_CONFLICT = "TypeConflict", "The job's kind of agent differs from its template's. The job failed."
    INVALID_SPEC = "InvalidSpec", "The spec breaks rules; the message names each field, value and cure. The job failed."


class AdmittedReason(DescribedEnum):
    """Why a job holds a slot, or waits for one."""

    ADMITTED = "Admitted", "A start is claimed."
    WAITING_FOR_START_TIME = "WaitingForStartTime", "The job waits for `startAt` or `startAfter`."
    WAITING_FOR_SLOT = "WaitingForSlot", "All slots of the queue, or of the job's partition, are taken."
    WAITING_FOR_RATE = "WaitingForRate", "The queue, or the job's partition, reached its rate limit."
    WAITING_FOR_LOCK = "WaitingForLock", "Another job of the same session, or on the same worktree, is running."
    WAITING_FOR_MODEL_LIMIT = (
        "WaitingForModelLimit",
        "The model's limit for all jobs is used up; the message names the model. The job holds no slot.",
    )
    QUEUE_HELD = "QueueHeld", "`stopPolicy` of the queue is Hold or HoldAndDrain: no job starts."
    BUDGET_HELD = (
        "BudgetHeld",
        "A budget of the queue, or of the job's partition, is used up; the message says when its next period begins.",
    )
    WAITING_FOR_BACKOFF = "WaitingForBackoff", "The job waits for `status.nextAttemptTime`."
    HISTORY_UNAVAILABLE = "HistoryUnavailable", "The database cannot be reached, and starts must be recorded."
    SPEC_UNREADABLE = (
        "SpecUnreadable",
        (
            "A newer version accepted the job, and this version cannot read it; the message names the field. The job "
            "waits."
        ),
    )
    QUEUE_NOT_FOUND = (
        "QueueNotFound",
        "The queue of an accepted job was deleted; the job waits until it exists again.",
    )
    SUSPENDED = "Suspended", "The job is suspended and holds no slot."
    FINISHED = "Finished", "The job ended and released its slot."


class SuspendedReason(DescribedEnum):
    """Why a job is suspended, or was resumed."""

    REQUESTED = "Requested", "`spec.suspend` is true; setting it to false resumes the job."
    RULE = (
        "Rule",
        "A rule of `resultPolicy` suspended it; a new value of the annotation `agentjobs.dev/resume` resumes it.",
    )
    BUDGET_EXCEEDED = (
        "BudgetExceeded",
        "A limit of `spec.budget` is reached, and its `onExceeded` is Suspend; raising the limit resumes the job.",
    )
    QUEUE_DRAINED = (
        "QueueDrained",
        "`stopPolicy` of its queue is HoldAndDrain; the job continues automatically afterwards.",
    )
    QUEUE_BUDGET_EXCEEDED = (
        "QueueBudgetExceeded",
        (
            "A budget of its queue with `action` Suspend is used up; the job continues automatically when "
            "there is budget again."
        ),
    )
    RESUMED = "Resumed", "The job continues, after its last recorded step."


class PodStartedReason(DescribedEnum):
    """Why a start's pod does not run yet. The message is the kubelet's or the scheduler's."""

    POD_NAME_TAKEN = "PodNameTaken", "Another pod has that name; delete it, and the job continues."
    POD_REFUSED = "PodRefused", "The API server rejects the pod (a quota, a policy); the operator retries."
    NETWORK_POLICY_NAME_TAKEN = (
        "NetworkPolicyNameTaken",
        "Another NetworkPolicy has that name; delete it, and the job continues.",
    )
    VOLUME_CLAIM_UNUSABLE = (
        "VolumeClaimUnusable",
        (
            "The PersistentVolumeClaim of the worktree or cache belongs to something else, is being deleted, or is "
            "too small; the message names the cure."
        ),
    )
    IMAGE_PULL_BACK_OFF = "ImagePullBackOff", "The image cannot be pulled; the kubelet waits before it retries."
    ERR_IMAGE_PULL = "ErrImagePull", "The image cannot be pulled."
    INVALID_IMAGE_NAME = "InvalidImageName", "The image name is invalid."
    UNSCHEDULABLE = "Unschedulable", "No node has room for the pod."
    SCHEDULING_GATED = (
        "SchedulingGated",
        "Another controller, such as Kueue, gates the pod; the job keeps its slot, and no time-out runs.",
    )
    CREATE_CONTAINER_CONFIG_ERROR = "CreateContainerConfigError", "A Secret or ConfigMap of `runtime.env` is missing."
    CONTAINER_CREATING = "ContainerCreating", "The node takes unusually long to create the container."
    POD_INITIALIZING = (
        "PodInitializing",
        (
            "The next container of a job with a workspace takes unusually long to be created; a Secret of "
            "`workspace` may be missing."
        ),
    )
    SILENT = (
        "Silent",
        "The container runs, but its runner did not report for `timeouts.progress` plus three minutes; it is stopped.",
    )
    STOPPING = (
        "Stopping",
        "The pod is being stopped, within its grace period; the message gives the reason and the deadline.",
    )
    STARTED = "Started", "The container runs; the problem reported before is gone."


class CompleteReason(DescribedEnum):
    """How a job succeeded."""

    RESULT_ACCEPTED = "ResultAccepted", "The agent ended with an answer."
    RULE = "Rule", "A rule of `resultPolicy` counts this ending as a success, without an answer."


class CancelledReason(DescribedEnum):
    """Who stopped the job."""

    REQUESTED = "Requested", "`spec.cancel` was set."
    DELETED = (
        "Deleted",
        "The job was deleted while it ran or waited, and another controller's finalizer keeps its object.",
    )
    REPLACED = (
        "Replaced",
        (
            "A later job took its place before its first start (`unique.onConflict`), or its schedule replaced it: "
            "`concurrencyPolicy` is Replace, or this job was still not accepted when the next start was due."
        ),
    )
    CANCELLED = "Cancelled", "The agent's code raised `Cancel`."
    RULE = "Rule", "A rule of `resultPolicy` cancelled it."


class SkippedReason(DescribedEnum):
    """Why a job was not run."""

    DUPLICATE = "Duplicate", "Another job of the namespace has the same `unique` key; `status.duplicateOf` names it."


class FollowUpReason(DescribedEnum):
    """Why the jobs of a follow-up exist or not."""

    CREATED = "Created", "They were created."
    PENDING = "Pending", "They are being created. This waits while the database cannot be reached."
    NAME_TAKEN = (
        "NameTaken",
        "A job of that name exists and is not a follow-up of this one; delete it, and the operator retries.",
    )
    REFUSED = "Refused", "The API server rejects a job (a quota, a policy); the operator retries."
    SPEC_UNREADABLE = "SpecUnreadable", "A newer version accepted the job, and this version cannot read its follow-ups."
    INVALID = "Invalid", "The API server reports that a job is invalid; the message is the server's. No retry."
    DEPTH_EXCEEDED = (
        "DepthExceeded",
        "The chain of follow-ups reached its maximum length (chart value `followUps.depth`).",
    )
    MISSING_RESULT = "MissingResult", "A text refers to a value that the answer does not have; the message names it."
    NO_LIST = "NoList", "The value of `forEach` is not a list."
    TOO_MANY = "TooMany", "`forEach` has more than 100 items, or `after` leads to more than 100 jobs."
    TEXT_TOO_LONG = (
        "TextTooLong",
        "With the answer put in, the message exceeds 64 KiB, a parameter 4 KiB, or the spec 96 KiB.",
    )
    UNUSABLE_TEXT = "UnusableText", "A value of the answer cannot be used in a text; the message gives the reason."
    AFTER_NOT_MADE = "AfterNotMade", "A follow-up in its `after` did not get all of its jobs."

    @property
    def is_retried(self) -> bool:
        """Whether the operator retries."""
        return self in _RETRIED


@dataclass(frozen=True, slots=True)
class Condition:
    """One entry of `status.conditions`, as in the Kubernetes API conventions."""

    type: Annotated[str, Field(max_length=316, description="Type of the condition.")]
    status: Annotated[ConditionStatus, Field(description="Whether the condition holds.")]
    reason: Annotated[str, Field(max_length=63, description="The reason in one word; see the reference of conditions.")]
    message: Annotated[str, Field(max_length=MAX_MESSAGE_BYTES, description="The reason in a sentence.")]
    last_transition_time: Annotated[datetime, Field(description="When the status last changed.")]
    observed_generation: Annotated[int, Field(ge=0, description="`metadata.generation` that this is about.")] = 0

    @property
    def is_true(self) -> bool:
        """Whether the condition holds."""
        return self.status == "True"


def find_condition(conditions: Iterable[Condition], condition_type: str) -> Condition | None:
    """Return the condition of that type, or None."""
    for condition in conditions:
        if condition.type == condition_type:
            return condition
    return None


def is_true(conditions: Iterable[Condition], condition_type: str) -> bool:
    """Whether the condition of that type exists and holds."""
    found = find_condition(conditions, condition_type)
    return found is not None and found.is_true


def with_condition(
    conditions: Iterable[Condition],
    condition_type: DescribedEnum,
    *,
    status: bool,
    reason: str,
    message: str = "",
    now: datetime,
    generation: int,
) -> tuple[Condition, ...]:
    """Return the conditions with this one set, in its old position or at the end.

    The transition time moves only when the status changes; the message is cut to 1 KiB.
    """
    before = tuple(conditions)
    value: ConditionStatus = "True" if status else "False"
    old = find_condition(before, condition_type)
    since = old.last_transition_time if old is not None and old.status == value else now.replace(microsecond=0)
    new = Condition(condition_type.value, value, str(reason), cut(message, MAX_MESSAGE_BYTES), since, generation)
    if old is None:
        return (*before, new)
    return tuple(new if condition is old else condition for condition in before)


def observed_at(conditions: Iterable[Condition], generation: int) -> tuple[Condition, ...]:
    """Return the conditions with that generation: an edit is observed for all of them together.

    `kubectl wait` and kstatus ignore a condition whose generation differs from the object's.
    """
    return tuple(
        condition if condition.observed_generation == generation else replace(condition, observed_generation=generation)
        for condition in conditions
    )


def phase_of(conditions: Iterable[Condition]) -> Phase:
    """Derive the phase from the conditions alone."""
    conditions = tuple(conditions)
    by_type = {condition.type: condition for condition in conditions}
    for phase, ending in END_CONDITIONS.items():
        if ending in by_type and by_type[ending].is_true:
            return phase
    admitted = by_type.get(ConditionType.ADMITTED)
    if is_true(conditions, ConditionType.SUSPENDED):
        return Phase.SUSPENDED
    if admitted is None:
        return Phase.PENDING
    return Phase.RUNNING if admitted.is_true else _WAITING.get(admitted.reason, Phase.QUEUED)


def primary_condition(conditions: Iterable[Condition]) -> Condition | None:
    """Return the condition that explains why the job ended, else why it waits; None if neither."""
    return first_in(conditions, _PRECEDENCE)


def first_in(conditions: Iterable[Condition], order: Mapping[str, ConditionStatus]) -> Condition | None:
    """Return the first condition, in the order given, that has the status given for its type."""
    by_type = {condition.type: condition for condition in conditions}
    return next(
        (by_type[kind] for kind, status in order.items() if kind in by_type and by_type[kind].status == status), None
    )


_RETRIED: Final = (
    FollowUpReason.PENDING,
    FollowUpReason.NAME_TAKEN,
    FollowUpReason.REFUSED,
    FollowUpReason.SPEC_UNREADABLE,
)
END_CONDITIONS: Final[Mapping[Phase, ConditionType]] = {
    Phase.SUCCEEDED: ConditionType.COMPLETE,
    Phase.FAILED: ConditionType.FAILED,
    Phase.CANCELLED: ConditionType.CANCELLED,
    Phase.SKIPPED: ConditionType.SKIPPED,
}
"""The phases in which a job has ended, each with the condition that is then True."""
_WAITING: Final[dict[str, Phase]] = {
    AdmittedReason.WAITING_FOR_START_TIME: Phase.SCHEDULED,
    AdmittedReason.WAITING_FOR_BACKOFF: Phase.RETRYING,
    AdmittedReason.QUEUE_NOT_FOUND: Phase.PENDING,
}
# In order of precedence, each with the status in which it explains the job's state.
_PRECEDENCE: Final[dict[str, ConditionStatus]] = {
    **dict.fromkeys(END_CONDITIONS.values(), "True"),
    ConditionType.SUSPENDED: "True",
    ConditionType.POD_STARTED: "False",
    ConditionType.ADMITTED: "False",
    ConditionType.ACCEPTED: "False",
}
