"""Why a job ended, waits or stopped, in half a sentence, and what cures it: by the reason that its conditions carry.

The same word can stand in several lists with another meaning (`Suspended`, `Rule`), so there is a table for each
situation. `explain` makes sentences of them; the dashboard's page of words shows the cures. Pure.
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


class Look(StrEnum):
    """Where a person looks next."""

    LOGS = "logs"
    TRANSCRIPT = "transcript"
    STEPS = "steps"
    SPEC = "yaml"
    MODELS = "models"
    QUEUE = "queue"
    TEMPLATE = "template"
    EVENTS = "events"
    TWIN = "twin"
    RESULT = "result"


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason. `clause` goes on after "Failed: " or "because"; `cure` is what a person does, empty for nothing."""

    clause: str
    cure: str = ""
    look: Look | None = None


_E: Final = ErrorClass
_RERUN: Final = "Run it again."

REJECTIONS: Final[Mapping[str, Cause]] = {
    AcceptedReason.DEPENDENCY_CYCLE: Cause("it waits for itself", "Correct `after`, then make a new job.", Look.SPEC),
    AcceptedReason.SPEC_TOO_LARGE: Cause(
        "its spec is too large", "Put long texts into ConfigMaps, then make a new job.", Look.SPEC
    ),
    AcceptedReason.UNRESOLVED_REFERENCE: Cause(
        "a text names something that is not known", "Correct the `$(…)`, then make a new job.", Look.SPEC
    ),
    AcceptedReason.LOCKED_FIELD: Cause(
        "it sets a field that its template locks", "Leave the field out, then make a new job.", Look.TEMPLATE
    ),
    AcceptedReason.TYPE_CONFLICT: Cause(
        "it has another kind of agent than its template", "Correct its agent, then make a new job.", Look.TEMPLATE
    ),
    AcceptedReason.INVALID_SPEC: Cause(
        "its spec breaks rules", "Correct the fields that the message names, then make a new job.", Look.SPEC
    ),
}
"""Why a job was not accepted, and failed."""

FAILURES: Final[Mapping[str, Cause]] = {
    **REJECTIONS,
    _E.RESULT_ERROR: Cause(
        "the agent ended without an answer that can be used", "See what the model said last.", Look.TRANSCRIPT
    ),
    _E.MODEL_RATE_LIMITED: Cause(
        "the model's provider says that it is too much at once",
        "Run it again later, or limit the queue or the model.",
        Look.MODELS,
    ),
    _E.MODEL_UNAVAILABLE: Cause(
        "the model's provider could not be reached, or failed", "Run it again when the provider is back.", Look.MODELS
    ),
    _E.MODEL_TIMEOUT: Cause("the model's provider did not answer in time", _RERUN, Look.STEPS),
    _E.MODEL_AUTH: Cause(
        "the provider refused the key",
        "Put a key that works where the installation keeps it, then run it again.",
        Look.MODELS,
    ),
    _E.MODEL_BAD_REQUEST: Cause(
        "the provider refused the request", "Correct the model's name or its settings, then run it again.", Look.SPEC
    ),
    _E.MODEL_OUT_OF_CREDIT: Cause(
        "the account with the model's provider is empty",
        "Add credit with the provider, then run it again.",
        Look.MODELS,
    ),
    _E.MODEL_OUTPUT_TRUNCATED: Cause(
        "a model's answer was cut at its limit of tokens", "Raise `maxOutputTokens`, then run it again.", Look.SPEC
    ),
    _E.CONTENT_BLOCKED: Cause(
        "the provider's rules blocked the prompt or the answer, or the model refused",
        "Change the input.",
        Look.TRANSCRIPT,
    ),
    _E.INVALID_OUTPUT: Cause(
        "the answer does not fit the schema that the job asks for",
        "Correct `output.schema` or the instruction.",
        Look.TRANSCRIPT,
    ),
    _E.CONTEXT_TOO_LONG: Cause(
        "the text is longer than the model takes", "Give it less, use `steps.compaction`, or another model.", Look.STEPS
    ),
    _E.TOOL_ERROR: Cause("a tool failed", "Correct the tool, then run it again.", Look.TRANSCRIPT),
    _E.AGENT_ERROR: Cause("the agent's own code failed", "Correct the code, then run it again.", Look.LOGS),
    _E.IO: Cause("the disk was full or broken", "Give the pod more room, then run it again.", Look.LOGS),
    _E.CONFIG_INVALID: Cause(
        "the definition of the job or the agent can never work", "Correct it, then make a new job.", Look.SPEC
    ),
    _E.MODULE_NOT_FOUND: Cause(
        "a module that the job names is not in the image", "Put it into the image, or correct its name.", Look.SPEC
    ),
    _E.ATTEMPT_TIMEOUT: Cause("an attempt took longer than it may", "Raise `timeouts.attempt`.", Look.STEPS),
    _E.PROGRESS_TIMEOUT: Cause(
        "nothing happened for too long", "See what it waited for, or raise `timeouts.progress`.", Look.LOGS
    ),
    _E.DEADLINE_EXCEEDED: Cause("it ran longer than it may", "Raise `timeouts.running`.", Look.STEPS),
    _E.QUEUE_TIMEOUT: Cause(
        "it waited longer for a slot than it may", "Give its queue more slots, or raise `timeouts.queue`.", Look.QUEUE
    ),
    _E.QUEUE_FULL: Cause(
        "too many jobs waited in its queue", "Run it again when fewer wait, or raise `backlog.max`.", Look.QUEUE
    ),
    _E.BUDGET_EXCEEDED: Cause("a limit of its budget is reached", "Run it again with a larger budget.", Look.MODELS),
    _E.EVICTED: Cause("its pod was evicted too often", "See why nodes evict it, then run it again.", Look.EVENTS),
    _E.PREEMPTED: Cause(
        "its pod had to make room for others too often", "Give it a higher priority class.", Look.EVENTS
    ),
    _E.NODE_LOST: Cause("its node was lost too often", _RERUN, Look.EVENTS),
    _E.RUNNER_LOST: Cause(
        "its pod was deleted or stopped from outside too often", "See who stops it, then run it again.", Look.EVENTS
    ),
    _E.RUNNER_CRASHED: Cause("its container ended without saying why", "See the end of its log.", Look.LOGS),
    _E.JOURNAL_UNAVAILABLE: Cause("the gateway could not be reached", "Run it again when it can.", Look.LOGS),
    _E.OOM_KILLED: Cause(
        "its container needed more memory than it may have", "Raise `runtime.resources.limits.memory`.", Look.SPEC
    ),
    _E.IMAGE_PULL_FAILED: Cause(
        "its image cannot be pulled", "Correct `runtime.image` or the pull secret.", Look.EVENTS
    ),
    _E.UNSCHEDULABLE: Cause(
        "no node has room for its pod", "Ask for less in `runtime.resources`, or add nodes.", Look.EVENTS
    ),
    _E.MISSING_REFERENCE: Cause(
        "a Secret or ConfigMap that its pod needs is missing", "Create it, then run the job again.", Look.EVENTS
    ),
    _E.INTERRUPTED: Cause("its runner was told to stop", _RERUN, Look.LOGS),
    _E.SNOOZED: Cause("the agent's code asked to come back later too often", "See its log.", Look.LOGS),
    _E.CANCELLED: Cause("the agent's code, or somebody, cancelled it", _RERUN),
    _E.SUSPENDED: Cause("it was suspended while it ran", "Resume it."),
    _E.JOB_DELETED: Cause("the job was deleted"),
    _E.PERMANENT: Cause(
        "the agent's code says that trying again cannot help",
        "Do what the message says, then run it again.",
        Look.LOGS,
    ),
    _E.TOOL_TIMEOUT: Cause("a tool took longer than it may", "Raise `steps.tools[].timeout`.", Look.STEPS),
    _E.TOOL_INTERRUPTED: Cause(
        "a tool call was interrupted, and the job says not to repeat it",
        "Find out whether the call took effect, then run the job again.",
        Look.STEPS,
    ),
    _E.STEP_TOO_LARGE: Cause(
        "an answer or a result is larger than 1 MiB", "Let the tool return less, or save an artifact.", Look.STEPS
    ),
    _E.JOURNAL_FULL: Cause("it recorded as many steps as one job may", "Split the work over several jobs.", Look.STEPS),
    _E.STEP_UNREADABLE: Cause("a recorded step cannot be read back", _RERUN, Look.STEPS),
    _E.DIVERGED: Cause(
        "a later start asked something other than what was recorded",
        "Run it again, or set `steps.onDivergence`.",
        Look.STEPS,
    ),
    _E.VERSION_MISMATCH: Cause(
        "the agent or its runner changed since its first start", "Run it again with the new version.", Look.STEPS
    ),
    _E.MODEL_NOT_ALLOWED: Cause("this namespace may not ask that model", "Use a model that it may ask.", Look.MODELS),
    _E.UNKNOWN_MODEL_PRICE: Cause(
        "it has a budget in dollars, and a model has no known price", "Give the installation its price.", Look.MODELS
    ),
    _E.BINARY_NOT_FOUND: Cause(
        "the image lacks a program that the job needs", "Put `claude` or `git` into the image.", Look.SPEC
    ),
    _E.COMMAND_FAILED: Cause("the agent's program ended without a result", "See the end of its log.", Look.LOGS),
    _E.MAX_TURNS_EXCEEDED: Cause("it had as many turns as it may", "Raise `budget.maxTurns`.", Look.TRANSCRIPT),
    _E.REPOSITORY_UNAVAILABLE: Cause("the repository could not be reached", "Run it again when it can.", Look.LOGS),
    _E.REPOSITORY_INVALID: Cause(
        "the repository refuses the credentials, or has no such ref", "Correct `workspace.git`.", Look.LOGS
    ),
    _E.PUBLISH_FAILED: Cause("the agent succeeded, but the push or the pull request failed", _RERUN, Look.LOGS),
    _E.PUBLISH_REFUSED: Cause(
        "the agent succeeded, but what it made must not or cannot be pushed", "Do what the message says.", Look.LOGS
    ),
}
"""Why a job failed, or a start of it."""

HOLDS: Final[Mapping[str, Cause]] = {
    AcceptedReason.RESOLVED: Cause("It is accepted and goes on in a moment."),
    AcceptedReason.QUEUE_NOT_FOUND: Cause("Waits: there is no queue of that name.", "Create the queue.", Look.QUEUE),
    AcceptedReason.TEMPLATE_NOT_FOUND: Cause(
        "Waits: there is no legal template of that name.", "Create or correct the template.", Look.TEMPLATE
    ),
    AcceptedReason.REFERENCE_NOT_FOUND: Cause(
        "Waits: a ConfigMap, or a key in it, is missing.", "Create it; the job goes on by itself.", Look.SPEC
    ),
    AcceptedReason.UNKNOWN_MODEL_PRICE: Cause(
        "Waits: it has a budget in dollars, and a model has no known price.",
        "Give the installation its price.",
        Look.MODELS,
    ),
    AcceptedReason.SINK_NOT_FOUND: Cause(
        "Waits: it names a sink that the installation does not have.", "Add the sink to the installation.", Look.SPEC
    ),
    AcceptedReason.HISTORY_UNAVAILABLE: Cause("Waits: the database cannot be reached. It goes on by itself."),
    AcceptedReason.WAITING_FOR_JOBS: Cause("Waits for other jobs to end."),
    AdmittedReason.ADMITTED: Cause("A start is claimed."),
    AdmittedReason.WAITING_FOR_START_TIME: Cause("Waits for its time."),
    AdmittedReason.WAITING_FOR_SLOT: Cause("Waits for a slot of queue {queue}.", "", Look.QUEUE),
    AdmittedReason.WAITING_FOR_RATE: Cause("Waits: queue {queue} has had its starts of this period.", "", Look.QUEUE),
    AdmittedReason.WAITING_FOR_LOCK: Cause("Waits: another job of its session or worktree runs."),
    AdmittedReason.WAITING_FOR_MODEL_LIMIT: Cause(
        "Waits: a limit of its model is used up for all jobs.", "", Look.MODELS
    ),
    AdmittedReason.QUEUE_HELD: Cause("Waits: queue {queue} is paused.", "Resume the queue.", Look.QUEUE),
    AdmittedReason.BUDGET_HELD: Cause(
        "Waits: a budget of queue {queue} is used up.", "Raise the queue's budget, or wait.", Look.QUEUE
    ),
    AdmittedReason.WAITING_FOR_BACKOFF: Cause("Waits before its next start."),
    AdmittedReason.SPEC_UNREADABLE: Cause(
        "Waits: a newer version of AgentJobs accepted it.", "Bring the operator to that version."
    ),
    AdmittedReason.SUSPENDED: Cause("It is suspended.", "Resume it."),
    AdmittedReason.FINISHED: Cause("It has ended."),
}
"""What a job waits for: whole sentences, in which `{queue}` is its queue."""

POD_TROUBLE: Final[Mapping[str, Cause]] = {
    PodStartedReason.POD_NAME_TAKEN: Cause("another pod has its pod's name", "Delete that pod.", Look.EVENTS),
    PodStartedReason.POD_REFUSED: Cause(
        "the API server does not take its pod", "Change the quota or the policy that the message names.", Look.EVENTS
    ),
    PodStartedReason.NETWORK_POLICY_NAME_TAKEN: Cause(
        "another NetworkPolicy has its name", "Delete that NetworkPolicy.", Look.EVENTS
    ),
    PodStartedReason.VOLUME_CLAIM_UNUSABLE: Cause(
        "its PersistentVolumeClaim cannot be used", "Do what the message says.", Look.EVENTS
    ),
    PodStartedReason.IMAGE_PULL_BACK_OFF: Cause(
        "its image cannot be pulled", "Correct `runtime.image` or the pull secret.", Look.EVENTS
    ),
    PodStartedReason.ERR_IMAGE_PULL: Cause(
        "its image cannot be pulled", "Correct `runtime.image` or the pull secret.", Look.EVENTS
    ),
    PodStartedReason.INVALID_IMAGE_NAME: Cause("its image has no legal name", "Correct `runtime.image`.", Look.SPEC),
    PodStartedReason.UNSCHEDULABLE: Cause(
        "no node has room for it", "Ask for less in `runtime.resources`, or add nodes.", Look.EVENTS
    ),
    PodStartedReason.SCHEDULING_GATED: Cause("another controller holds it back", "", Look.EVENTS),
    PodStartedReason.CREATE_CONTAINER_CONFIG_ERROR: Cause(
        "a Secret or ConfigMap of its environment is missing", "Create it.", Look.EVENTS
    ),
    PodStartedReason.CONTAINER_CREATING: Cause("its container takes unusually long to be made", "", Look.EVENTS),
    PodStartedReason.POD_INITIALIZING: Cause(
        "its next container takes unusually long to be made",
        "See whether a Secret of `workspace` is missing.",
        Look.EVENTS,
    ),
    PodStartedReason.SILENT: Cause("nothing was heard of it for too long", "", Look.LOGS),
    PodStartedReason.STOPPING: Cause("its pod has its grace period"),
    PodStartedReason.STARTED: Cause("it runs; what was wrong has healed"),
}
"""Why a start's pod does not get going."""

SUSPENSIONS: Final[Mapping[str, Cause]] = {
    SuspendedReason.REQUESTED: Cause("somebody asked for it", "Resume it."),
    SuspendedReason.RULE: Cause("a rule of its `resultPolicy` decided so", "Look at its answer, then resume it."),
    SuspendedReason.BUDGET_EXCEEDED: Cause(
        "a limit of its budget is reached", "Raise the limit in `spec.budget`; it goes on by itself.", Look.SPEC
    ),
    SuspendedReason.QUEUE_DRAINED: Cause("its queue is drained", "Resume the queue; it goes on by itself.", Look.QUEUE),
    SuspendedReason.QUEUE_BUDGET_EXCEEDED: Cause(
        "a budget of its queue is used up", "Raise the queue's budget, or wait; it goes on by itself.", Look.QUEUE
    ),
    SuspendedReason.RESUMED: Cause("it was resumed and goes on in a moment"),
}
"""Why a job is suspended."""

SUCCESSES: Final[Mapping[str, Cause]] = {
    CompleteReason.RESULT_ACCEPTED: Cause("with an answer", "", Look.RESULT),
    CompleteReason.RULE: Cause("without an answer, by a rule of its `resultPolicy`"),
}
"""How a job succeeded."""

CANCELLATIONS: Final[Mapping[str, Cause]] = {
    CancelledReason.REQUESTED: Cause("somebody asked for it"),
    CancelledReason.DELETED: Cause("it was deleted before it ended"),
    CancelledReason.REPLACED: Cause("a later job took its place"),
    CancelledReason.CANCELLED: Cause("the agent's own code decided so", "", Look.LOGS),
    CancelledReason.RULE: Cause("a rule of its `resultPolicy` decided so"),
}
"""Who cancelled a job."""

SKIPS: Final[Mapping[str, Cause]] = {
    SkippedReason.DUPLICATE: Cause("another job with the same `unique` key counts", "", Look.TWIN),
}
"""Why a job was not run."""
