"""Condition types, their reasons and the phases of an AgentJob: the words that users and their tools match on.

Names here are API: they stay. Each carries its meaning, which the reference of conditions is made from. The core
decides which condition holds; this module only keeps the list in order and derives the phase from it.
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


class Word(StrEnum):
    """A name that is API, with what it means."""

    description: str

    def __new__(cls, value: str, description: str) -> Self:
        word = str.__new__(cls, value)
        word._value_ = value
        word.description = description
        return word


class Phase(Word):
    """One word for people. Machines should use conditions: phases may be added."""

    PENDING = "Pending", "Seen, not yet accepted; or waits for something it names (a queue, a ConfigMap)."
    SCHEDULED = "Scheduled", "Accepted; `startAt` or `startAfter` lies ahead."
    QUEUED = "Queued", "Waits for a slot in its queue."
    RUNNING = "Running", "A start is claimed: its pod exists or is being made."
    RETRYING = "Retrying", "Waits for `status.nextAttemptTime`, after a failed attempt or a snooze."
    SUSPENDED = "Suspended", "Stopped and resumable after its last recorded step; holds no slot and no pod."
    SUCCEEDED = "Succeeded", "Ended with a result."
    FAILED = "Failed", "Ended: attempts are used up, or another would fail the same way."
    CANCELLED = "Cancelled", "Ended because a user or the agent's code cancelled it, or another job took its place."
    SKIPPED = "Skipped", "Ended before a start: another job with the same `unique` key counts; `status.duplicateOf`."

    @property
    def is_terminal(self) -> bool:
        """Whether the phase is final."""
        return self in (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.SKIPPED)


DELETED: Final = "Deleted"
"""The phase that history gives a job whose object went before it ended. No object has it."""
OVER: Final = frozenset({DELETED, *(phase.value for phase in Phase if phase.is_terminal)})
"""The phases of history's jobs that no longer change."""


class ConditionType(Word):
    """What is said about a job."""

    ACCEPTED = "Accepted", "The spec is legal and all that it names was found; what the job runs is stored."
    ADMITTED = "Admitted", "The job holds a slot of its queue."
    POD_STARTED = "PodStarted", "Written only when a start's pod does not get going, and again when that has healed."
    SUSPENDED = "Suspended", "The job is stopped and can continue; the reason says who may resume it."
    COMPLETE = "Complete", "The job ended with a result."
    FAILED = "Failed", "The job ended without a result; the reason is the class of the last error."
    CANCELLED = "Cancelled", "The job was stopped."
    SKIPPED = "Skipped", "The job was not run, because another one with the same `unique` key counts."
    FINISHED = "Finished", "The job ended, however; for `kubectl wait --for=condition=Finished`."
    FOLLOW_UPS_CREATED = (
        "FollowUpsCreated",
        "All jobs that follow this one were made. Only of jobs whose end has follow-ups; it does not touch that end.",
    )


class AcceptedReason(Word):
    """Why a job is accepted, or not (yet)."""

    RESOLVED = "Resolved", "Accepted. The message holds the hash of what will run."
    QUEUE_NOT_FOUND = "QueueNotFound", "No queue of that name; the job waits until there is one."
    TEMPLATE_NOT_FOUND = (
        "TemplateNotFound",
        "No AgentTemplate of that name, or it is illegal; the job waits until there is one that is legal.",
    )
    REFERENCE_NOT_FOUND = (
        "ReferenceNotFound",
        "A ConfigMap or key is missing; the job waits until it is there, and looks every 2 s, later every minute.",
    )
    UNKNOWN_MODEL_PRICE = (
        "UnknownModelPrice",
        "`budget.maxCostUSD` is set, and a model of the spec has no known price, or nothing counts dollars; it waits.",
    )
    SINK_NOT_FOUND = "SinkNotFound", "`notifications` names a sink that the installation has not; it waits for it."
    HISTORY_UNAVAILABLE = "HistoryUnavailable", "The database cannot be reached; the job waits until it is back."
    WAITING_FOR_JOBS = "WaitingForJobs", "A job of `after` has not ended; the message names at most five."
    DEPENDENCY_CYCLE = (
        "DependencyCycle",
        "The job waits for itself: its `after` leads back to it, or to jobs that wait for each other. The job failed.",
    )
    SPEC_TOO_LARGE = "SpecTooLarge", "The spec is larger than 96 KiB, or `input.state` than 16 KiB. The job failed."
    UNRESOLVED_REFERENCE = (
        "UnresolvedReference",
        "A text holds `$(…)` with an unknown name; the message says which, where, and the known ones. The job failed.",
    )
    LOCKED_FIELD = "LockedField", "The job sets a field that its template locks. The job failed."
    TYPE_CONFLICT = "TypeConflict", "The job has another kind of agent than its template. The job failed."
    INVALID_SPEC = "InvalidSpec", "The spec breaks rules; the message names each field, value and cure. The job failed."


class AdmittedReason(Word):
    """Why a job holds a slot, or what it waits for."""

    ADMITTED = "Admitted", "A start is claimed."
    WAITING_FOR_START_TIME = "WaitingForStartTime", "`startAt` or `startAfter` lies ahead."
    WAITING_FOR_SLOT = "WaitingForSlot", "All slots of the queue, or of the job's partition, are taken."
    WAITING_FOR_RATE = "WaitingForRate", "The queue, or the job's partition, has had its starts of this period."
    WAITING_FOR_LOCK = "WaitingForLock", "Another job of the same session, or on the same worktree, is running."
    WAITING_FOR_MODEL_LIMIT = (
        "WaitingForModelLimit",
        "A limit of the job's model is used up for all jobs; the message names the model. The job holds no slot.",
    )
    QUEUE_HELD = "QueueHeld", "`stopPolicy` of the queue is Hold or HoldAndDrain: it starts nothing."
    BUDGET_HELD = (
        "BudgetHeld",
        "A budget of the queue, or of the job's partition, is used up; the message says until when.",
    )
    WAITING_FOR_BACKOFF = "WaitingForBackoff", "`status.nextAttemptTime` lies ahead."
    HISTORY_UNAVAILABLE = "HistoryUnavailable", "The database cannot be reached; no start without a record of it."
    SPEC_UNREADABLE = (
        "SpecUnreadable",
        "A newer version accepted the job, and this one cannot read it; the message names the field. It waits.",
    )
    QUEUE_NOT_FOUND = (
        "QueueNotFound",
        "The queue of an accepted job was deleted; the job waits until there is one again.",
    )
    SUSPENDED = "Suspended", "The job is suspended and holds no slot."
    FINISHED = "Finished", "The job ended and gave its slot back."


class SuspendedReason(Word):
    """Why a job is suspended, or no longer."""

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
        "`stopPolicy` of its queue is HoldAndDrain; the job continues by itself when that is over.",
    )
    QUEUE_BUDGET_EXCEEDED = (
        "QueueBudgetExceeded",
        "A budget of its queue is used up, whose `action` is Suspend; the job continues by itself when it has room.",
    )
    RESUMED = "Resumed", "The job continues, after its last recorded step."


class PodStartedReason(Word):
    """Why a start's pod does not run yet. The message is the kubelet's or the scheduler's."""

    POD_NAME_TAKEN = "PodNameTaken", "A pod of that name exists and is not ours; delete it, and the job continues."
    POD_REFUSED = "PodRefused", "The API server does not take the pod (a quota, a policy); it is tried again."
    NETWORK_POLICY_NAME_TAKEN = (
        "NetworkPolicyNameTaken",
        "A NetworkPolicy of that name exists and is not ours; delete it, and the job continues.",
    )
    VOLUME_CLAIM_UNUSABLE = (
        "VolumeClaimUnusable",
        (
            "The PersistentVolumeClaim of the worktree or of the cache is not ours, goes, or is too small; the message "
            "says what to do."
        ),
    )
    IMAGE_PULL_BACK_OFF = "ImagePullBackOff", "The image cannot be pulled; the kubelet waits before it tries again."
    ERR_IMAGE_PULL = "ErrImagePull", "The image cannot be pulled."
    INVALID_IMAGE_NAME = "InvalidImageName", "The image's name is none."
    UNSCHEDULABLE = "Unschedulable", "No node has room for the pod."
    SCHEDULING_GATED = (
        "SchedulingGated",
        "Another controller, such as Kueue, gates the pod; the job keeps its slot, and no time-out runs.",
    )
    CREATE_CONTAINER_CONFIG_ERROR = "CreateContainerConfigError", "A Secret or ConfigMap of `runtime.env` is missing."
    CONTAINER_CREATING = "ContainerCreating", "The node takes unusually long to make the container."
    POD_INITIALIZING = (
        "PodInitializing",
        (
            "The next container of a job with a workspace takes unusually long to be made; a Secret of `workspace` may "
            "be missing."
        ),
    )
    SILENT = (
        "Silent",
        "The container runs, but its runner was not heard of for `timeouts.progress` and three minutes; it is stopped.",
    )
    STOPPING = "Stopping", "The pod was told to stop and has its grace period; the message says why, and until when."
    STARTED = "Started", "The container runs; what was reported before has healed."


class CompleteReason(Word):
    """How a job succeeded."""

    RESULT_ACCEPTED = "ResultAccepted", "The agent ended with an answer."
    RULE = "Rule", "A rule of `resultPolicy` counts this ending as a success; there is no answer."


class CancelledReason(Word):
    """Who stopped the job."""

    REQUESTED = "Requested", "`spec.cancel` was set."
    DELETED = "Deleted", "The job was deleted while it ran or waited, and a finalizer of another keeps its object."
    REPLACED = (
        "Replaced",
        (
            "A later job took its place before its first start (`unique.onConflict`), or its schedule replaced it: "
            "`concurrencyPolicy` is Replace, or this job was never accepted when the next start was due."
        ),
    )
    CANCELLED = "Cancelled", "The agent's code raised `Cancel`."
    RULE = "Rule", "A rule of `resultPolicy` decided this."


class SkippedReason(Word):
    """Why a job was not run."""

    DUPLICATE = "Duplicate", "Another job of the namespace has the same `unique` key; `status.duplicateOf` names it."


class FollowUpReason(Word):
    """Why the jobs of a follow-up exist, or not (yet)."""

    CREATED = "Created", "They exist, or have existed."
    PENDING = "Pending", "They are being made. While the database cannot be reached, they wait."
    NAME_TAKEN = (
        "NameTaken",
        "A job of that name exists and does not follow this one; delete it, and it is tried again.",
    )
    REFUSED = "Refused", "The API server does not take a job (a quota, a policy); it is tried again."
    SPEC_UNREADABLE = "SpecUnreadable", "A newer version accepted the job, and this one cannot read its follow-ups."
    INVALID = "Invalid", "The API server calls a job invalid; the message is the server's. Not tried again."
    DEPTH_EXCEEDED = (
        "DepthExceeded",
        "The chain of follow-ups is as long as the installation allows (chart value `followUps.depth`).",
    )
    MISSING_RESULT = "MissingResult", "A text names something that the answer does not have; the message says what."
    NO_LIST = "NoList", "What `forEach` names is no list."
    TOO_MANY = "TooMany", "`forEach` names a list of more than 100 items, or `after` leads to more than 100 jobs."
    TEXT_TOO_LONG = (
        "TextTooLong",
        "The message is longer than 64 KiB with the answer in it, a parameter than 4 KiB, or the spec than 96 KiB.",
    )
    UNUSABLE_TEXT = "UnusableText", "What the answer puts into a text cannot stand there; the message says why."
    AFTER_NOT_MADE = "AfterNotMade", "A follow-up that it has in `after` has not got all of its jobs."

    @property
    def may_heal(self) -> bool:
        """Whether the operator goes on trying."""
        return self in _HEALING


@dataclass(frozen=True, slots=True)
class Condition:
    """One entry of `status.conditions`, as in the Kubernetes API conventions."""

    type: Annotated[str, Field(max_length=316, description="What is said.")]
    status: Annotated[ConditionStatus, Field(description="Whether it holds.")]
    reason: Annotated[str, Field(max_length=63, description="Why, in one word; see the reference of conditions.")]
    message: Annotated[str, Field(max_length=MAX_MESSAGE_BYTES, description="Why, in a sentence.")]
    last_transition_time: Annotated[datetime, Field(description="When the status changed last.")]
    observed_generation: Annotated[int, Field(ge=0, description="`metadata.generation` this was said about.")] = 0

    @property
    def is_true(self) -> bool:
        """Whether the condition holds."""
        return self.status == "True"


def find_condition(conditions: Iterable[Condition], condition_type: str) -> Condition | None:
    """Return the condition of that type, or None when nothing has been said yet."""
    for condition in conditions:
        if condition.type == condition_type:
            return condition
    return None


def is_true(conditions: Iterable[Condition], condition_type: str) -> bool:
    """Whether the condition of that type is present and holds."""
    found = find_condition(conditions, condition_type)
    return found is not None and found.is_true


def with_condition(
    conditions: Iterable[Condition],
    condition_type: Word,
    *,
    status: bool,
    reason: str,
    message: str = "",
    now: datetime,
    generation: int,
) -> tuple[Condition, ...]:
    """Return the conditions with this one set, in its old place or at the end.

    The transition time moves only when the status changes; the message is cut to 1 KiB.
    """
    before = tuple(conditions)
    word: ConditionStatus = "True" if status else "False"
    old = find_condition(before, condition_type)
    since = old.last_transition_time if old is not None and old.status == word else now.replace(microsecond=0)
    new = Condition(condition_type.value, word, str(reason), cut(message, MAX_MESSAGE_BYTES), since, generation)
    if old is None:
        return (*before, new)
    return tuple(new if condition is old else condition for condition in before)


def seen_at(conditions: Iterable[Condition], generation: int) -> tuple[Condition, ...]:
    """Return the conditions as said about that generation: an edit is looked at for all of them at once.

    `kubectl wait` and kstatus do not believe a condition whose generation is not the object's.
    """
    return tuple(
        condition if condition.observed_generation == generation else replace(condition, observed_generation=generation)
        for condition in conditions
    )


def phase_of(conditions: Iterable[Condition]) -> Phase:
    """Derive the phase; the conditions alone say it."""
    conditions = tuple(conditions)
    said = {condition.type: condition for condition in conditions}
    for ending, phase in _ENDINGS.items():
        if ending in said and said[ending].is_true:
            return phase
    admitted = said.get(ConditionType.ADMITTED)
    if is_true(conditions, ConditionType.SUSPENDED):
        return Phase.SUSPENDED
    if admitted is None:
        return Phase.PENDING
    return Phase.RUNNING if admitted.is_true else _WAITING.get(admitted.reason, Phase.QUEUED)


def primary_condition(conditions: Iterable[Condition]) -> Condition | None:
    """Return the condition that says why the job ended, else why it waits; None when it does not."""
    return first_in(conditions, _PRECEDENCE)


def first_in(conditions: Iterable[Condition], order: Mapping[str, ConditionStatus]) -> Condition | None:
    """Return the first condition, in the given order of types, that has the status given for its type."""
    said = {condition.type: condition for condition in conditions}
    return next((said[kind] for kind, status in order.items() if kind in said and said[kind].status == status), None)


_HEALING: Final = (
    FollowUpReason.PENDING,
    FollowUpReason.NAME_TAKEN,
    FollowUpReason.REFUSED,
    FollowUpReason.SPEC_UNREADABLE,
)
_ENDINGS: Final[dict[str, Phase]] = {
    ConditionType.COMPLETE: Phase.SUCCEEDED,
    ConditionType.FAILED: Phase.FAILED,
    ConditionType.CANCELLED: Phase.CANCELLED,
    ConditionType.SKIPPED: Phase.SKIPPED,
}
_WAITING: Final[dict[str, Phase]] = {
    AdmittedReason.WAITING_FOR_START_TIME: Phase.SCHEDULED,
    AdmittedReason.WAITING_FOR_BACKOFF: Phase.RETRYING,
    AdmittedReason.QUEUE_NOT_FOUND: Phase.PENDING,
}
# In the order of precedence, each with the status in which it explains the job.
_PRECEDENCE: Final[dict[str, ConditionStatus]] = {
    **dict.fromkeys(_ENDINGS, "True"),
    ConditionType.SUSPENDED: "True",
    ConditionType.POD_STARTED: "False",
    ConditionType.ADMITTED: "False",
    ConditionType.ACCEPTED: "False",
}
