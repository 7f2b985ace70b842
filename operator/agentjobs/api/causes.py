"""The causes of a job's state, by the reasons of its conditions: each is a clause, with a cure if there is one.

A reason can mean different things in different conditions (`Suspended`, `Rule`), so each situation has its own table.
`explain` builds sentences from them; the dashboard's reference of reasons shows the cures. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from agentjobs.api.conditions import (
    AcceptedReason,
    AdmittedReason,
    CancelledReason,
    CompleteReason,
    PodStartedReason,
    SkippedReason,
    SuspendedReason,
)
from agentjobs.contract import ErrorClass


class DetailPage(StrEnum):
    """A page with more about the cause."""

    LOGS = "logs"
    TRANSCRIPT = "transcript"
    STEPS = "steps"
    SPEC = "yaml"
    MODELS = "models"
    QUEUE = "queue"
    TEMPLATE = "template"
    EVENTS = "events"
    EQUAL_JOB = "equal-job"
    RESULT = "result"


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason. `clause` follows "Failed: " or "because"; `cure` is what a person can do, empty if nothing."""

    clause: str
    cure: str = ""
    page: DetailPage | None = None


_E: Final = ErrorClass
_RERUN: Final = "Run it again."

REJECTIONS: Final[Mapping[str, Cause]] = {
    AcceptedReason.DEPENDENCY_CYCLE: Cause(
        "it waits for itself", "Correct `after`, then create a new job.", DetailPage.SPEC
    ),
    AcceptedReason.SPEC_TOO_LARGE: Cause(
        "its spec is too large", "Move long texts into ConfigMaps, then create a new job.", DetailPage.SPEC
    ),
    AcceptedReason.UNRESOLVED_REFERENCE: Cause(
        "a text contains an unknown name", "Correct the `$(…)`, then create a new job.", DetailPage.SPEC
    ),
    AcceptedReason.LOCKED_FIELD: Cause(
        "it sets a field that its template locks", "Remove the field, then create a new job.", DetailPage.TEMPLATE
    ),
    AcceptedReason.TYPE_CONFLICT: Cause(
        "its kind of agent differs from its template's",
        "Correct its agent, then create a new job.",
        DetailPage.TEMPLATE,
    ),
    AcceptedReason.INVALID_SPEC: Cause(
        "its spec breaks rules", "Correct the fields that the message names, then create a new job.", DetailPage.SPEC
    ),
}
"""Why a job was not accepted, and failed."""

FAILURES: Final[Mapping[str, Cause]] = {
    **REJECTIONS,
    _E.RESULT_ERROR: Cause(
        "the agent ended without a usable answer", "Look at the model's last answer.", DetailPage.TRANSCRIPT
    ),
    _E.MODEL_RATE_LIMITED: Cause(
        "the model's provider limits the rate of requests",
        "Run it again later, or limit the queue or the model.",
        DetailPage.MODELS,
    ),
    _E.MODEL_UNAVAILABLE: Cause(
        "the model's provider could not be reached, or failed",
        "Run it again when the provider is back.",
        DetailPage.MODELS,
    ),
    _E.MODEL_TIMEOUT: Cause("the model's provider did not answer in time", _RERUN, DetailPage.STEPS),
    _E.MODEL_AUTH: Cause(
        "the provider refused the key",
        "Replace the provider's key in the installation, then run it again.",
        DetailPage.MODELS,
    ),
    _E.MODEL_BAD_REQUEST: Cause(
        "the provider refused the request",
        "Correct the model's name or its settings, then run it again.",
        DetailPage.SPEC,
    ),
    _E.MODEL_OUT_OF_CREDIT: Cause(
        "the account at the model's provider has no credit",
        "Add credit at the provider, then run it again.",
        DetailPage.MODELS,
    ),
    _E.MODEL_OUTPUT_TRUNCATED: Cause(
        "a model's answer was cut at its token limit", "Raise `maxOutputTokens`, then run it again.", DetailPage.SPEC
    ),
    _E.CONTENT_BLOCKED: Cause(
        "the provider's rules blocked the prompt or the answer, or the model refused",
        "Change the input.",
        DetailPage.TRANSCRIPT,
    ),
    _E.INVALID_OUTPUT: Cause(
        "the answer does not match the job's schema",
        "Correct `output.schema` or the instruction.",
        DetailPage.TRANSCRIPT,
    ),
    _E.CONTEXT_TOO_LONG: Cause(
        "the text is too long for the model",
        "Shorten the input, use `steps.compaction`, or use another model.",
        DetailPage.STEPS,
    ),
    _E.TOOL_ERROR: Cause("a tool failed", "Correct the tool, then run it again.", DetailPage.TRANSCRIPT),
    _E.AGENT_ERROR: Cause("the agent's own code failed", "Correct the code, then run it again.", DetailPage.LOGS),
    _E.IO: Cause("the disk was full or broken", "Give the pod more disk space, then run it again.", DetailPage.LOGS),
    _E.CONFIG_INVALID: Cause(
        "the definition of the job or the agent can never work", "Correct it, then create a new job.", DetailPage.SPEC
    ),
    _E.MODULE_NOT_FOUND: Cause(
        "a module that the job needs is not in the image", "Add it to the image, or correct its name.", DetailPage.SPEC
    ),
    _E.ATTEMPT_TIMEOUT: Cause("a start exceeded `timeouts.attempt`", "Raise `timeouts.attempt`.", DetailPage.STEPS),
    _E.PROGRESS_TIMEOUT: Cause(
        "it made no progress for `timeouts.progress`",
        "Find out what it waited for, or raise `timeouts.progress`.",
        DetailPage.LOGS,
    ),
    _E.DEADLINE_EXCEEDED: Cause("it ran longer than `timeouts.running`", "Raise `timeouts.running`.", DetailPage.STEPS),
    _E.QUEUE_TIMEOUT: Cause(
        "it waited for a slot longer than `timeouts.queue`",
        "Give its queue more slots, or create it if it does not exist; or raise `timeouts.queue`.",
        DetailPage.QUEUE,
    ),
    _E.QUEUE_FULL: Cause(
        "too many jobs waited in its queue", "Run it again when fewer wait, or raise `backlog.max`.", DetailPage.QUEUE
    ),
    _E.BUDGET_EXCEEDED: Cause(
        "a limit of its budget is reached", "Run it again with a larger budget.", DetailPage.MODELS
    ),
    _E.EVICTED: Cause(
        "its pod was evicted too often", "Find out why nodes evict it, then run it again.", DetailPage.EVENTS
    ),
    _E.PREEMPTED: Cause("its pod was preempted too often", "Give it a higher priority class.", DetailPage.EVENTS),
    _E.NODE_LOST: Cause("its node was lost too often", _RERUN, DetailPage.EVENTS),
    _E.RUNNER_LOST: Cause(
        "its pod was deleted or stopped from outside too often",
        "Find out what stops it, then run it again.",
        DetailPage.EVENTS,
    ),
    _E.RUNNER_CRASHED: Cause("its container exited without a reason", "Look at the end of its log.", DetailPage.LOGS),
    _E.JOURNAL_UNAVAILABLE: Cause(
        "the gateway could not be reached", "Run it again when the gateway is back.", DetailPage.LOGS
    ),
    _E.OOM_KILLED: Cause(
        "its container exceeded its memory limit", "Raise `runtime.resources.limits.memory`.", DetailPage.SPEC
    ),
    _E.IMAGE_PULL_FAILED: Cause(
        "its image cannot be pulled", "Correct `runtime.image` or the pull secret.", DetailPage.EVENTS
    ),
    _E.UNSCHEDULABLE: Cause(
        "no node has room for its pod", "Lower `runtime.resources`, or add nodes.", DetailPage.EVENTS
    ),
    _E.MISSING_REFERENCE: Cause(
        "a Secret or ConfigMap that its pod needs is missing", "Create it, then run the job again.", DetailPage.EVENTS
    ),
    _E.INTERRUPTED: Cause("its runner was stopped", _RERUN, DetailPage.LOGS),
    _E.SNOOZED: Cause("the agent's code snoozed too often", "Look at its log.", DetailPage.LOGS),
    _E.CANCELLED: Cause("a user or the agent's code cancelled it", _RERUN),
    _E.SUSPENDED: Cause("it was suspended while it ran", "Resume it."),
    _E.JOB_DELETED: Cause("the job was deleted"),
    _E.PERMANENT: Cause(
        "the agent's code reported a permanent error",
        "Do what the message says, then run it again.",
        DetailPage.LOGS,
    ),
    _E.TOOL_TIMEOUT: Cause("a tool exceeded its time-out", "Raise `steps.tools[].timeout`.", DetailPage.STEPS),
    _E.TOOL_INTERRUPTED: Cause(
        "a tool call was interrupted, and the job does not allow repeating it",
        "Find out whether the call took effect, then run the job again.",
        DetailPage.STEPS,
    ),
    _E.STEP_TOO_LARGE: Cause(
        "an answer or a result is larger than 1 MiB",
        "Return less from the tool, or save an artifact.",
        DetailPage.STEPS,
    ),
    _E.JOURNAL_FULL: Cause(
        "it reached the limit of recorded steps", "Split the work over several jobs.", DetailPage.STEPS
    ),
    _E.STEP_UNREADABLE: Cause("a recorded step cannot be read", _RERUN, DetailPage.STEPS),
    _E.DIVERGED: Cause(
        "a later start sent a request that differs from the recorded one",
        "Run it again, or set `steps.onDivergence`.",
        DetailPage.STEPS,
    ),
    _E.VERSION_MISMATCH: Cause(
        "the agent or its runner changed since its first start", "Run it again with the new version.", DetailPage.STEPS
    ),
    _E.MODEL_NOT_ALLOWED: Cause(
        "this namespace may not use that model", "Use a model that the message lists.", DetailPage.MODELS
    ),
    _E.UNKNOWN_MODEL_PRICE: Cause(
        "it has a budget in dollars, and a model has no known price",
        "Add its price to the installation.",
        DetailPage.MODELS,
    ),
    _E.BINARY_NOT_FOUND: Cause(
        "the image lacks a program that the job needs", "Put `claude` or `git` into the image.", DetailPage.SPEC
    ),
    _E.COMMAND_FAILED: Cause(
        "the agent's program exited without a result", "Look at the end of its log.", DetailPage.LOGS
    ),
    _E.MAX_TURNS_EXCEEDED: Cause("it reached `budget.maxTurns`", "Raise `budget.maxTurns`.", DetailPage.TRANSCRIPT),
    _E.REPOSITORY_UNAVAILABLE: Cause(
        "the repository could not be reached", "Run it again when the gateway is back.", DetailPage.LOGS
    ),
    _E.REPOSITORY_INVALID: Cause(
        "the repository refuses the credentials, or has no such ref", "Correct `workspace.git`.", DetailPage.LOGS
    ),
    _E.PUBLISH_FAILED: Cause("the agent succeeded, but the push or the pull request failed", _RERUN, DetailPage.LOGS),
    _E.PUBLISH_REFUSED: Cause(
        "the agent succeeded, but its changes must not or cannot be pushed",
        "Do what the message says.",
        DetailPage.LOGS,
    ),
}
"""Why a job or one of its starts failed."""

HOLDS: Final[Mapping[str, Cause]] = {
    AcceptedReason.RESOLVED: Cause("It is accepted and will continue in a moment."),
    AcceptedReason.QUEUE_NOT_FOUND: Cause("Waits: its queue does not exist.", "Create the queue.", DetailPage.QUEUE),
    AcceptedReason.TEMPLATE_NOT_FOUND: Cause(
        "Waits: its template is missing or invalid.", "Create or correct the template.", DetailPage.TEMPLATE
    ),
    AcceptedReason.REFERENCE_NOT_FOUND: Cause(
        "Waits: a ConfigMap, or a key in it, is missing.",
        "Create it; the job continues automatically.",
        DetailPage.SPEC,
    ),
    AcceptedReason.UNKNOWN_MODEL_PRICE: Cause(
        "Waits: it has a budget in dollars, and a model has no known price.",
        "Add its price to the installation.",
        DetailPage.MODELS,
    ),
    AcceptedReason.SINK_NOT_FOUND: Cause(
        "Waits: it names a sink that the installation does not define.",
        "Add the sink to the installation.",
        DetailPage.SPEC,
    ),
    AcceptedReason.HISTORY_UNAVAILABLE: Cause("Waits: the database cannot be reached. It continues automatically."),
    AcceptedReason.WAITING_FOR_JOBS: Cause("Waits for other jobs to end."),
    AdmittedReason.ADMITTED: Cause("A start is claimed."),
    AdmittedReason.WAITING_FOR_START_TIME: Cause("Waits for its start time."),
    AdmittedReason.WAITING_FOR_SLOT: Cause("Waits for a slot of queue {queue}.", "", DetailPage.QUEUE),
    AdmittedReason.WAITING_FOR_RATE: Cause("Waits: queue {queue} reached its rate limit.", "", DetailPage.QUEUE),
    AdmittedReason.WAITING_FOR_LOCK: Cause("Waits: another job of its session or worktree is running."),
    AdmittedReason.WAITING_FOR_MODEL_LIMIT: Cause(
        "Waits: its model's limit for all jobs is used up.", "", DetailPage.MODELS
    ),
    AdmittedReason.QUEUE_HELD: Cause("Waits: queue {queue} is paused.", "Resume the queue.", DetailPage.QUEUE),
    AdmittedReason.BUDGET_HELD: Cause(
        "Waits: a budget of queue {queue} is used up.", "Raise the queue's budget, or wait.", DetailPage.QUEUE
    ),
    AdmittedReason.WAITING_FOR_BACKOFF: Cause("Waits before its next start."),
    AdmittedReason.SPEC_UNREADABLE: Cause(
        "Waits: a newer version of AgentJobs accepted it.", "Upgrade the operator to that version."
    ),
    AdmittedReason.SUSPENDED: Cause("It is suspended.", "Resume it."),
    AdmittedReason.FINISHED: Cause("It has ended."),
}
"""What a job waits for, as whole sentences; `{queue}` is its queue."""

POD_TROUBLE: Final[Mapping[str, Cause]] = {
    PodStartedReason.POD_NAME_TAKEN: Cause("another pod has its pod's name", "Delete that pod.", DetailPage.EVENTS),
    PodStartedReason.POD_REFUSED: Cause(
        "the API server rejects its pod", "Change the quota or the policy that the message names.", DetailPage.EVENTS
    ),
    PodStartedReason.NETWORK_POLICY_NAME_TAKEN: Cause(
        "another NetworkPolicy has its name", "Delete that NetworkPolicy.", DetailPage.EVENTS
    ),
    PodStartedReason.VOLUME_CLAIM_UNUSABLE: Cause(
        "its PersistentVolumeClaim cannot be used", "Do what the message says.", DetailPage.EVENTS
    ),
    PodStartedReason.IMAGE_PULL_BACK_OFF: Cause(
        "its image cannot be pulled", "Correct `runtime.image` or the pull secret.", DetailPage.EVENTS
    ),
    PodStartedReason.ERR_IMAGE_PULL: Cause(
        "its image cannot be pulled", "Correct `runtime.image` or the pull secret.", DetailPage.EVENTS
    ),
    PodStartedReason.INVALID_IMAGE_NAME: Cause(
        "its image name is invalid", "Correct `runtime.image`.", DetailPage.SPEC
    ),
    PodStartedReason.UNSCHEDULABLE: Cause(
        "no node has room for it", "Lower `runtime.resources`, or add nodes.", DetailPage.EVENTS
    ),
    PodStartedReason.SCHEDULING_GATED: Cause("another controller holds it back", "", DetailPage.EVENTS),
    PodStartedReason.CREATE_CONTAINER_CONFIG_ERROR: Cause(
        "a Secret or ConfigMap of its environment is missing", "Create it.", DetailPage.EVENTS
    ),
    PodStartedReason.CONTAINER_CREATING: Cause(
        "its container takes unusually long to be created", "", DetailPage.EVENTS
    ),
    PodStartedReason.POD_INITIALIZING: Cause(
        "its next container takes unusually long to be created",
        "Check whether a Secret of `workspace` is missing.",
        DetailPage.EVENTS,
    ),
    PodStartedReason.SILENT: Cause("its runner stopped reporting", "", DetailPage.LOGS),
    PodStartedReason.STOPPING: Cause("its pod is in its grace period"),
    PodStartedReason.STARTED: Cause("it runs; the problem is gone"),
}
"""Why a start's pod does not run yet."""

SUSPENSIONS: Final[Mapping[str, Cause]] = {
    SuspendedReason.REQUESTED: Cause("a user requested it", "Resume it."),
    SuspendedReason.RULE: Cause("a rule of its `resultPolicy` decided so", "Look at its answer, then resume it."),
    SuspendedReason.BUDGET_EXCEEDED: Cause(
        "a limit of its budget is reached",
        "Raise the limit in `spec.budget`; it continues automatically.",
        DetailPage.SPEC,
    ),
    SuspendedReason.QUEUE_DRAINED: Cause(
        "its queue is drained", "Resume the queue; it continues automatically.", DetailPage.QUEUE
    ),
    SuspendedReason.QUEUE_BUDGET_EXCEEDED: Cause(
        "a budget of its queue is used up",
        "Raise the queue's budget, or wait; it continues automatically.",
        DetailPage.QUEUE,
    ),
    SuspendedReason.RESUMED: Cause("it was resumed and will continue in a moment"),
}
"""Why a job is suspended."""

SUCCESSES: Final[Mapping[str, Cause]] = {
    CompleteReason.RESULT_ACCEPTED: Cause("with an answer", "", DetailPage.RESULT),
    CompleteReason.RULE: Cause("without an answer, by a rule of its `resultPolicy`"),
}
"""How a job succeeded."""

CANCELLATIONS: Final[Mapping[str, Cause]] = {
    CancelledReason.REQUESTED: Cause("a user requested it"),
    CancelledReason.DELETED: Cause("it was deleted before it ended"),
    CancelledReason.REPLACED: Cause("a later job took its place"),
    CancelledReason.CANCELLED: Cause("the agent's code cancelled it", "", DetailPage.LOGS),
    CancelledReason.RULE: Cause("a rule of its `resultPolicy` decided so"),
}
"""Who cancelled a job."""

SKIPS: Final[Mapping[str, Cause]] = {
    SkippedReason.DUPLICATE: Cause("another job has the same `unique` key", "", DetailPage.EQUAL_JOB),
}
"""Why a job was not run."""
