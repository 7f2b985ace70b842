"""The contract of operator, gateway, model proxy and runner: names, endpoints, documents, exit codes, termination
message.

Pure and standard library only, because the runner imports it before anything else. A change here changes the protocol
between images of different versions: add, but never reuse a name with another meaning.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple, NotRequired, TypedDict

GROUP: Final = "agentjobs.dev"
VERSION: Final = "v1alpha1"

# Labels and finalizer of our objects. Label values have at most 63 characters, so job names have at most 52.
LABEL_JOB: Final = "agentjobs.dev/job"
LABEL_RELEASED: Final = "agentjobs.dev/released"
"""On an ended pod whose end is recorded, and which the operator no longer watches."""
LABEL_ATTEMPT: Final = "agentjobs.dev/attempt"
LABEL_QUEUE: Final = "agentjobs.dev/queue"
LABEL_LOCAL_QUEUE: Final = "kueue.x-k8s.io/queue-name"
"""Kueue's own."""
LABEL_SCHEDULE: Final = "agentjobs.dev/schedule"
"""On a job of a schedule: the schedule's name."""
LABEL_TEMPLATE: Final = "agentjobs.dev/template"
"""On a pod, and on a follow-up job: the name of its template."""
LABEL_PARENT: Final = "agentjobs.dev/parent"
"""On a follow-up job: the name of its parent."""
LABEL_FOLLOW_UP: Final = "agentjobs.dev/follow-up"
"""On a follow-up job: the name of the follow-up in the parent's spec."""
LABEL_RERUN_OF: Final = "agentjobs.dev/rerun-of"
"""On a job that repeats the work of another: that job's name."""
LABEL_RERUN_OF_UID: Final = "agentjobs.dev/rerun-of-uid"
"""On such a job: that job's uid, because a later job may have its name."""
LABEL_RERUN_CHANGES: Final = "agentjobs.dev/rerun-changes"
"""On such a job: the changed fields, joined with `_`, such as `input.message_agent.model`."""
ANNOTATION_PARENT_UID: Final = "agentjobs.dev/parent-uid"
ANNOTATION_ROOT: Final = "agentjobs.dev/root"
"""On a follow-up job: the name of the first job of the chain."""
ANNOTATION_DEPTH: Final = "agentjobs.dev/depth"
"""On a follow-up job: how many jobs of the chain come before it."""
ANNOTATION_IDEMPOTENCY_KEY: Final = "agentjobs.dev/idempotency-key"
"""On a job of a trigger: the key that all calls for this job share."""
ANNOTATION_RESUME: Final = "agentjobs.dev/resume"
"""A new value ends a suspension that was not requested in the spec."""
ANNOTATION_SESSION: Final = "agentjobs.dev/session"
"""On a pod: its session as a JSON list of three, so that the session stays locked if the job's object is gone."""
ANNOTATION_WORKTREE: Final = "agentjobs.dev/worktree"
"""On a pod: the PersistentVolumeClaim of its Named worktree, which is locked until the pod ends."""
ANNOTATION_SCHEDULED_TIME: Final = "agentjobs.dev/scheduled-time"
"""On a job of a schedule: its scheduled time, RFC 3339 in UTC."""
ANNOTATION_PREVIOUS_TIME: Final = "agentjobs.dev/previous-time"
"""On a job of a schedule: the previous scheduled time, RFC 3339 in UTC, if any."""
ANNOTATION_SCHEDULE_GENERATION: Final = "agentjobs.dev/schedule-generation"
"""On a job of a schedule: `metadata.generation` of the schedule that it was created from."""
ANNOTATION_TRIGGER: Final = "agentjobs.dev/trigger"
"""On a schedule: a new value requests one job now."""
ANNOTATION_REPLACED_BY: Final = "agentjobs.dev/replaced-by"
"""On a job that its schedule cancelled: the name of the job that replaces it."""
ANNOTATION_BUDGET: Final = "agentjobs.dev/budget"
"""On a pod: the budget of its job when the pod was created, as JSON with the field names of `spec.budget`."""
ANNOTATION_GATEWAY_CA: Final = "agentjobs.dev/gateway-ca"
"""On a pod: the CA certificates (PEM) for the gateway, which the kubelet mounts next to the token."""
FINALIZER: Final = "agentjobs.dev/record-end"
MANAGED_BY: Final = "agentjobs"

# Environment of the runner's container.
ENV_GATEWAY_URL: Final = "AGENTJOBS_GATEWAY_URL"
ENV_GATEWAY_CA: Final = "AGENTJOBS_GATEWAY_CA"
"""Path of the CA bundle (PEM) for the gateway's certificate; unset for plain http or public roots."""
ENV_TOKEN_FILE: Final = "AGENTJOBS_TOKEN_FILE"  # noqa: S105  a variable's name, not a secret
ENV_NAMESPACE: Final = "AGENTJOBS_NAMESPACE"
ENV_JOB: Final = "AGENTJOBS_JOB"
ENV_START: Final = "AGENTJOBS_START"
ENV_TERMINATION_FILE: Final = "AGENTJOBS_TERMINATION_FILE"
ENV_GRACE_SECONDS: Final = "AGENTJOBS_GRACE_SECONDS"
ENV_ENGINE: Final = "AGENTJOBS_ENGINE"
"""The runner's engine that runs the agent. Without it (pods of older versions) `ENGINE_ADK`."""
ENGINE_ADK: Final = "adk"
ENGINE_CLAUDE_CODE: Final = "claude-code"
ENV_CLAUDE: Final = "AGENTJOBS_CLAUDE"
"""Path of Claude Code's CLI; unset for `claude` in PATH."""
ENV_CLAUDE_HOME: Final = "AGENTJOBS_CLAUDE_HOME"
"""Home folder of the person whose login Claude Code uses; unset for its own, initially empty home."""
ENV_WORKSPACE: Final = "AGENTJOBS_WORKSPACE"
"""Folder of the workspace, whose `TREE` is the checkout; unset without one."""
ENV_GIT_CREDENTIALS: Final = "AGENTJOBS_GIT_CREDENTIALS"
"""Folder with the keys of a Secret, in the clone and publish containers; unset without one."""
ENV_GIT_CACHE: Final = "AGENTJOBS_GIT_CACHE"
"""Folder that outlives pods, in the clone container; unset without one."""

ENV_MODELS_URL: Final = "AGENTJOBS_MODELS_URL"
"""Address of the model proxy. Unset if models are called directly, with keys of the pod's environment."""
ENV_MODEL_ALIASES: Final = "AGENTJOBS_MODEL_ALIASES"
"""JSON object: the installation's model aliases, and their models."""

ENV_LOG_FORMAT: Final = "AGENTJOBS_LOG_FORMAT"
"""`json` (the default) or `text`, for all our processes."""
ENV_MCP_HEADER: Final = "AGENTJOBS_MCP_HEADER_"
"""Prefix of the variables with headers for MCP servers, see `mcp_header_variable`."""

RUNNER_CONTAINER: Final = "runner"
RUNNER_COMMAND: Final = ("python", "-m", "agentjobs_runner")
CLONE_CONTAINER: Final = "workspace"
"""The init container that checks out the workspace."""
CLONE_COMMAND: Final = ("python", "-m", "agentjobs_runner.workspace", "clone")
PUBLISH_CONTAINER: Final = "publish"
"""The publish container. In its pod the runner is an init container, so it begins after the agent has ended."""
PUBLISH_COMMAND: Final = ("python", "-m", "agentjobs_runner.workspace", "publish")
WORKSPACE_MOUNT: Final = "/workspace"
TREE: Final = "tree"
"""The checkout, in the folder of the workspace."""
GIT_CREDENTIALS_MOUNT: Final = "/var/run/agentjobs-git"
GIT_CACHE_MOUNT: Final = "/var/cache/agentjobs-git"
GIT_CACHE_CLAIM: Final = "agentjobs-git-cache"
"""The claim of a namespace's cache of repositories, which agents must not mount."""
WORKSPACE_MOUNTS: Final = (WORKSPACE_MOUNT, GIT_CREDENTIALS_MOUNT, GIT_CACHE_MOUNT)
WORKSPACE_VOLUME: Final = "workspace"
WORKSPACE_VOLUMES: Final = (WORKSPACE_VOLUME, "git-read", "git-write", "git-cache", "publish-tmp")
GIT_PROVIDERS: Final[Mapping[str, str]] = {"github.com": "GitHub", "gitlab.com": "GitLab", "codeberg.org": "Gitea"}
"""The API for pull requests of well-known hosts."""
TOKEN_AUDIENCE: Final = "agentjobs-gateway"  # noqa: S105  an audience, not a secret
TOKEN_MOUNT: Final = "/var/run/agentjobs"  # noqa: S105  a folder
GATEWAY_CA_FILE: Final = f"{TOKEN_MOUNT}/gateway-ca.crt"
TERMINATION_FILE: Final = "/dev/termination-log"

# Endpoints of the gateway for a runner. The token identifies the pod, and so job and start; paths do not contain them.
PATH_ATTEMPT: Final = "/v1/attempt"
PATH_EVENTS: Final = "/v1/attempt/events"
PATH_HEARTBEAT: Final = "/v1/attempt/heartbeat"
PATH_RESULT: Final = "/v1/attempt/result"
PATH_STEPS: Final = "/v1/attempt/steps"
"""GET reads the recorded steps in pages (`?after=<number>`), POST appends to them."""
PATH_SESSION: Final = "/v1/attempt/session"
"""GET reads the session as it was before this job, in pages (`?after=<cursor>`): `SessionPage`. PUT stores this job's
turn: `Turn`, answered with 204."""
PATH_ARTIFACTS: Final = "/v1/attempt/artifacts"
"""GET lists the names of artifacts, of the session and of its user, in pages (`?after=<name>`): `ArtifactNames`."""
PATH_ARTIFACT: Final = "/v1/attempt/artifacts/content"
"""POST saves a version; the body is its bytes, `HEADER_ARTIFACT` has `ArtifactSave`; answered with `ArtifactSaved`.
GET (`?name=<name>`, `&version=<number>` or the newest) returns the bytes, with `ArtifactVersion` in `HEADER_ARTIFACT`;
404 with reason NotFound if there is none. DELETE (`?name=<name>`) deletes all versions; answered with 204."""
PATH_ARTIFACT_VERSIONS: Final = "/v1/attempt/artifacts/versions"
"""GET (`?name=<name>`) lists the versions of an artifact: `ArtifactVersions`, possibly empty."""
PATH_MEMORY: Final = "/v1/attempt/memory"
"""POST `MemoryQuery` searches other sessions of the same app and user; answered with `MemoryHits`."""
PATH_KEPT: Final = "/v1/attempt/kept"
"""GET lists the files that starts of the job's run keep for later ones: `KeptFiles`."""
PATH_KEPT_CONTENT: Final = "/v1/attempt/kept/content"
"""GET (`?name=<name>&offset=<bytes>`) returns up to `MAX_KEPT_PART_BYTES` of a file from there, fewer only at its end;
404 with reason NotFound if there is none. PUT (`?name=<name>&offset=<bytes>`) truncates the file to the offset and
appends the body of at most `MAX_KEPT_PART_BYTES`: 204; 422 if the file is shorter than the offset, 413 above
`MAX_KEPT_BYTES` or `MAX_KEPT_FILES`. DELETE (`?name=<name>`): 204. `&write=<number>` increases with each PUT and DELETE
of a start, except retries, so that an abandoned request that arrives late changes nothing."""
HEADER_ARTIFACT: Final = "Agentjobs-Artifact"
"""Its value is JSON in ASCII."""
USER_PREFIX: Final = "user:"
"""Artifacts and state with this prefix belong to the user of the app, in all sessions."""
APP_PREFIX: Final = "app:"
"""State with this prefix belongs to the app, for all users."""

# Paths of the model proxy, below `ENV_MODELS_URL`: the base URLs for providers' clients. As API key, clients send the
# pod's token, in the provider's own header.
MODELS_GEMINI: Final = "/gemini"
MODELS_VERTEX: Final = "/vertex"
MODELS_OPENAI: Final = "/openai/v1"
MODELS_ANTHROPIC: Final = "/anthropic"
HEADER_STEP: Final = "Agentjobs-Step"
"""On a request: the key of the call's step, percent-encoded; absent from calls by the user's own code."""
HEADER_MAX_WAIT: Final = "Agentjobs-Patience"
"""On a request: whole seconds that the client waits for the first byte. A call that waits for a limit is answered
before with 429, which costs no attempt, unlike a client's time-out."""
HEADER_MODEL: Final = "Agentjobs-Model"
"""On a response: the model that was called, if it differs from the requested one."""
REFUSAL_PREFIX: Final = "agentjobs.dev/"
"""Refusals of the proxy have the format of the provider's errors; the code is this prefix and an `ErrorClass`."""
REFUSAL_DELAY: Final = ";retry-after="
"""Follows the class, with whole seconds, for clients that expose the code but not the header."""
LONG_DELAY_SECONDS: Final = 60.0
"""Longer delays are put into the code of a refusal, because clients that retry themselves give up above this."""

# Interval of heartbeats; a pod on an evicted node counts as lost after 30 s without one.
HEARTBEAT_SECONDS: Final = 10.0
# A runner that cannot reach the gateway for this long exits with class JournalUnavailable.
GATEWAY_TIMEOUT_SECONDS: Final = 120.0

# Default of `timeouts.progress`.
PROGRESS_SECONDS: Final = 600.0

# Limits on bodies, in bytes. The gateway returns 413 above them; the runner cuts before sending.
MAX_EVENT_BYTES: Final = 64 * 1024
MAX_EVENTS_BODY_BYTES: Final = 1024 * 1024
MAX_EVENTS: Final = 2000
"""Per body, whose rows are inserted in one transaction."""
MAX_RESULT_BYTES: Final = 4 * 1024 * 1024
MAX_STEP_BYTES: Final = 1024 * 1024
"""Per body of a step. A larger one is refused with class StepTooLarge."""
MAX_STEPS_BODY_BYTES: Final = 2 * 1024 * 1024
MAX_STEPS: Final = 500
"""Per request."""
MAX_STEP_KEY_CHARS: Final = 512
MAX_VOID_BYTES: Final = 32 * 1024
"""For the void keys of one request as JSON, at most `MAX_STEPS` keys."""
MAX_STEP_REQUEST_BYTES: Final = 64 * 1024
MAX_JOB_STEPS: Final = 20_000
"""Recorded steps per job, in all starts. The gateway returns 413 with reason `JournalFull` above it, and the job ends
with that class."""
MAX_RUN_BYTES: Final = 256 * 1024 * 1024
"""For requests and bodies of one run's steps; see `MAX_JOB_STEPS`."""
MAX_TURN_BYTES: Final = 4 * 1024 * 1024
"""Per turn, for its events and its state."""
MAX_SESSION_BYTES: Final = 64 * 1024 * 1024
"""For all turns of one session. A further turn is refused with 413."""
MAX_STATE_BYTES: Final = 256 * 1024
"""For the state of a session, of a user of an app, and of an app, each as JSON."""
MAX_STATE_KEY_CHARS: Final = 256
MAX_ARTIFACT_BYTES: Final = 16 * 1024 * 1024
MAX_ARTIFACT_NAME_CHARS: Final = 255
MAX_ARTIFACTS: Final = 1000
"""Versions of all artifacts of one session, and of one user of an app. A further one is refused with 413."""
MAX_ARTIFACTS_BYTES: Final = 256 * 1024 * 1024
"""For all versions of all artifacts of one session, and of one user of an app."""
MAX_METADATA_BYTES: Final = 2 * 1024
"""For the metadata of one version, as JSON in ASCII."""
MAX_KEPT_PART_BYTES: Final = 1024 * 1024
MAX_KEPT_NAME_CHARS: Final = 200
MAX_KEPT_FILES: Final = 500
"""Per run."""
MAX_KEPT_BYTES: Final = 256 * 1024 * 1024
"""For all kept files of one run."""
MAX_QUERY_CHARS: Final = 8 * 1024
MAX_MEMORIES: Final = 50
MAX_MEMORY_CHARS: Final = 8 * 1024
"""For the text of one hit, which is cut."""
MAX_PUBLISHED_CHARS: Final = 512
"""For the address of a pull request."""
# The kubelet keeps 4,096 bytes of a termination message, and 12 KiB per pod in equal shares. This is the share of
# eight containers, including those injected by a service mesh or a secrets injector.
MAX_TERMINATION_BYTES: Final = 12 * 1024 // 8
MAX_SUMMARY_BYTES: Final = 512
MAX_MESSAGE_BYTES: Final = 1024
MAX_OUTCOME_CHARS: Final = 63
MAX_REASON_CHARS: Final = 63

USAGE: Final = ("llmCalls", "toolCalls", "inputTokens", "outputTokens")
"""The counters of a start's usage, by these names everywhere."""


class Verdict(StrEnum):
    """What should happen after a start, by the runner. The operator charges, applies limits and may override it."""

    SUCCEED = "Succeed"
    RETRY = "Retry"
    SNOOZE = "Snooze"
    FAIL = "Fail"
    CANCEL = "Cancel"


class ErrorClass(StrEnum):
    """Why a start ended. Stable names: users match on them, and metrics have them as labels."""

    RESULT_ERROR = "ResultError"
    MODEL_RATE_LIMITED = "ModelRateLimited"
    MODEL_UNAVAILABLE = "ModelUnavailable"
    MODEL_TIMEOUT = "ModelTimeout"
    MODEL_AUTH = "ModelAuth"
    MODEL_BAD_REQUEST = "ModelBadRequest"
    MODEL_OUT_OF_CREDIT = "ModelOutOfCredit"
    MODEL_OUTPUT_TRUNCATED = "ModelOutputTruncated"
    CONTENT_BLOCKED = "ContentBlocked"
    INVALID_OUTPUT = "InvalidOutput"
    CONTEXT_TOO_LONG = "ContextTooLong"
    TOOL_ERROR = "ToolError"
    AGENT_ERROR = "AgentError"
    IO = "IO"
    CONFIG_INVALID = "ConfigInvalid"
    MODULE_NOT_FOUND = "ModuleNotFound"
    ATTEMPT_TIMEOUT = "AttemptTimeout"
    PROGRESS_TIMEOUT = "ProgressTimeout"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    QUEUE_TIMEOUT = "QueueTimeout"
    QUEUE_FULL = "QueueFull"
    BUDGET_EXCEEDED = "BudgetExceeded"
    EVICTED = "Evicted"
    PREEMPTED = "Preempted"
    NODE_LOST = "NodeLost"
    RUNNER_LOST = "RunnerLost"
    RUNNER_CRASHED = "RunnerCrashed"
    JOURNAL_UNAVAILABLE = "JournalUnavailable"
    OOM_KILLED = "OOMKilled"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    UNSCHEDULABLE = "Unschedulable"
    MISSING_REFERENCE = "MissingReference"
    INTERRUPTED = "Interrupted"
    SNOOZED = "Snoozed"
    CANCELLED = "Cancelled"
    SUSPENDED = "Suspended"
    JOB_DELETED = "JobDeleted"
    PERMANENT = "Permanent"
    TOOL_TIMEOUT = "ToolTimeout"
    TOOL_INTERRUPTED = "ToolInterrupted"
    STEP_TOO_LARGE = "StepTooLarge"
    JOURNAL_FULL = "JournalFull"
    STEP_UNREADABLE = "StepUnreadable"
    DIVERGED = "Diverged"
    VERSION_MISMATCH = "VersionMismatch"
    MODEL_NOT_ALLOWED = "ModelNotAllowed"
    UNKNOWN_MODEL_PRICE = "UnknownModelPrice"
    BINARY_NOT_FOUND = "BinaryNotFound"
    COMMAND_FAILED = "CommandFailed"
    MAX_TURNS_EXCEEDED = "MaxTurnsExceeded"
    REPOSITORY_UNAVAILABLE = "RepositoryUnavailable"
    REPOSITORY_INVALID = "RepositoryInvalid"
    PUBLISH_FAILED = "PublishFailed"
    PUBLISH_REFUSED = "PublishRefused"


# Exit codes of the runner, from sysexits.h where one fits. The termination message decides; they are for people and for
# `kubectl get pods`, which shows Completed for 0 and Error for the rest.
EXIT_CODES: Final[Mapping[Verdict, int]] = {
    Verdict.SUCCEED: 0,
    Verdict.RETRY: 70,  # EX_SOFTWARE
    Verdict.SNOOZE: 75,  # EX_TEMPFAIL
    Verdict.FAIL: 78,  # EX_CONFIG
    Verdict.CANCEL: 77,  # EX_NOPERM is the nearest: the code refused
}
EXIT_FENCED: Final = 76  # EX_PROTOCOL: another pod holds this start


class AcceptedTemplate(TypedDict):
    """The template that a job was accepted with."""

    name: str
    generation: int
    locked: list[str]
    """Fields that may change after acceptance, but that the template locks."""
    parameters: dict[str, str]
    """The values of its parameters, for texts of follow-ups; in the other texts they are already replaced."""


class Resolved(TypedDict):
    """A job's work as accepted, which every start runs regardless of later edits."""

    spec: dict[str, Any]
    """The spec merged with its template, with defaults applied and `messageFrom` replaced by `message`; keys as in the
    CRD.
    """
    scripts: dict[str, str]
    """Contents of `scripted/…` models, by `<configmap>/<key>`."""
    steering: NotRequired[dict[str, Any]]
    """The template's and queue's values of fields that may change after acceptance. The job's own take precedence."""
    template: NotRequired[AcceptedTemplate]


class Result(TypedDict):
    """The answer of a job. The first one stored is final, unless its outcome lets the job run again."""

    text: str
    structured: Any
    """The answer as an object if it is a JSON object, else None."""
    outcome: NotRequired[str | None]
    """The structured answer's value at `output.outcomeKey`; None without a schema."""
    usage: dict[str, int]
    """Usage of the start that answered, by the names of `USAGE`."""
    cutFrom: NotRequired[int]
    """Size of the answer in bytes, if it was too large to store and `text` is only its beginning."""


class StepKind(StrEnum):
    """The kind of a step. More may be added: readers ignore unknown ones."""

    MODEL = "model"
    """A model's whole answer."""
    TOOL = "tool"
    """A tool's result, with its changes to the session."""
    NODE = "node"
    """The result of a function node of a graph."""
    VALUE = "value"
    """A value that the user's code recorded with `step()`, or a record of the runner."""


class Versions(TypedDict):
    """The versions with which a run began. A later start may have another image."""

    adk: str
    runner: str
    scheme: str
    """Format of step keys. Steps with keys of another format cannot be found."""
    agent: str
    """Digest of the agent's definition and code."""


class Step(TypedDict):
    """One step as the runner records it, identified by `(run, key)`: recording it again changes nothing.

    A tool call is recorded twice: when it begins (the intent: `ended` and `body` are None) and when it has ended. A
    retry begins it again, with a later `began`.
    """

    key: str
    kind: str
    agent: str
    name: str
    """Name of the model, tool, node or value."""
    began: str
    """RFC 3339, UTC, with microseconds: equal key, start and `began` identify a step that is sent again."""
    ended: str | None
    request: dict[str, Any]
    """Fingerprint of the step's request, to detect differences: a few digests and numbers, no texts."""
    body: Any
    """The step's value, as JSON of at most `MAX_STEP_BYTES`, with secrets redacted. None until it ends."""
    usage: dict[str, int]
    """By the names of `USAGE`: tool calls with the intent, the rest at the end. The only source of usage."""
    void: NotRequired[bool]
    """It counts and is shown, but later starts do not use it: a rejected answer."""


class StepsBody(TypedDict):
    """The body of `POST /v1/attempt/steps`; stored completely or not at all."""

    run: int
    """The run of `JournalHead`, or the start's own number to begin a new one."""
    versions: NotRequired[Versions]
    """Sent with the first request of a start."""
    void: list[str]
    """Keys of recorded steps that later starts must not use."""
    steps: list[Step]


class StepsAnswer(TypedDict):
    """The gateway's reply."""

    last: int
    """Number of the newest step of the job."""


class RecordedStep(TypedDict):
    """A step as a later start reads it."""

    n: int
    """Number in the job, from 1, in the order of recording."""
    start: int
    """The start that last began it."""
    key: str
    kind: str
    agent: str
    name: str
    ended: str | None
    """None for a call that did not end."""
    request: dict[str, Any]
    body: Any
    unreadable: NotRequired[bool]
    """Whether the stored body is not valid JSON; then `body` is None."""


class StepsPage(TypedDict):
    """The response of `GET /v1/attempt/steps`: the steps of the start's run, without void ones, by number."""

    steps: list[RecordedStep]
    next: int | None
    """`after` of the next page; None at the end."""


class JournalHead(TypedDict):
    """A start's summary of the steps of earlier starts."""

    run: int
    """The number of the start that began the run. Later starts continue the run, or begin their own."""
    last: int
    """Number of the newest step of the run, 0 if none."""
    versions: Versions | None
    """Versions of the start that began the run."""


class SessionPage(TypedDict):
    """The response of `GET /v1/attempt/session`: the job's session before the job.

    The gateway finds the session by the job's accepted spec; the pod cannot choose one. The job's own turn is never
    included. `events`, `state` and `turns` are empty unless `session.mode` is Continue: then they contain what jobs of
    this session stored since its newest job with mode New. They are the same in every start of the job, because no
    other job of the session runs at the same time. `user` and `app` may change meanwhile.
    """

    events: list[Any]
    """ADK events as stored, oldest first."""
    state: dict[str, Any]
    """State of the session after its last turn, without `app:` and `user:` keys. Only on the first page."""
    user: dict[str, Any]
    """State of the user of the app, by names without `user:`. Only on the first page."""
    app: dict[str, Any]
    """State of the app in this namespace, by names without `app:`. Only on the first page."""
    turns: int
    """Number of earlier turns."""
    next: str | None
    """`after` of the next page; None at the end. A page contains about 1 MiB of events, or one larger event."""


class Turn(TypedDict):
    """The body of `PUT /v1/attempt/session`: what a job added to its session. Sent before the result of a success.

    A job has one turn. The same turn again changes nothing; another one of the same job replaces it. 422 for an invalid
    state or event, 413 above `MAX_TURN_BYTES` and `MAX_SESSION_BYTES`.
    """

    events: list[Any]
    """ADK events of this job only, complete and in order, each a JSON object. Secrets are redacted."""
    state: dict[str, Any]
    """The session's complete state after the job, without `app:`, `user:` and `temp:` keys."""
    user: dict[str, Any]
    """The job's changes of the user's state, by names without `user:`. Merged by name: the last commit wins. None is a
    value, as in ADK, and deletes nothing."""
    app: dict[str, Any]
    """The job's changes of the app's state, likewise."""


class ArtifactKind(StrEnum):
    """The kind of an artifact's part, so that it can be restored."""

    DATA = "data"
    """`inline_data`: the body is its bytes."""
    TEXT = "text"
    """`text`: the body is UTF-8."""
    FILE = "file"
    """`file_data`: the body is its URI."""


class ArtifactSave(TypedDict):
    """The metadata of a new version, in `HEADER_ARTIFACT`."""

    name: str
    """Any text of 1 to `MAX_ARTIFACT_NAME_CHARS` characters without NUL. With `user:` it belongs to the user, else to
    the session. It is not a path."""
    key: str
    """Identifies this save in the job's run, the same in every start: at most `MAX_STEP_KEY_CHARS`. Saving again under
    a key of the run returns the version of the first save, with the newest bytes. In a new run it is another save."""
    kind: str
    mime: str
    """Printable ASCII, at most 255 characters, or empty. Untrusted: it may come from a model."""
    metadata: dict[str, Any]


class ArtifactSaved(TypedDict):
    """The gateway's reply."""

    version: int
    """From 0, for each name."""


class ArtifactNames(TypedDict):
    """The names of artifacts, in order."""

    names: list[str]
    next: str | None
    """`after` of the next page; None at the end."""


class ArtifactVersion(TypedDict):
    """One version of an artifact, without its bytes."""

    version: int
    kind: str
    mime: str
    bytes: int
    time: str
    """When it was saved; RFC 3339, UTC."""
    metadata: dict[str, Any]


class ArtifactVersions(TypedDict):
    """All versions of an artifact, oldest first."""

    versions: list[ArtifactVersion]


class MemoryQuery(TypedDict):
    """A search: any text, at most `MAX_QUERY_CHARS`. Matches events that contain one of its words."""

    query: str
    limit: int
    """Maximum hits, 1 to `MAX_MEMORIES`."""


class MemoryHit(TypedDict):
    """An event of another session that contains a word of the query."""

    id: str
    """Author of the ADK event."""
    session: str
    """The id of its session."""
    author: str
    time: str
    """RFC 3339, UTC."""
    text: str
    """The texts of its parts without thoughts, at most `MAX_MEMORY_CHARS`."""


class MemoryHits(TypedDict):
    """Search results, best first. The job's own session is not searched, because it is not over."""

    memories: list[MemoryHit]


class KeptFile(TypedDict):
    """A file that is kept for later starts."""

    name: str
    """Printable ASCII of at most `MAX_KEPT_NAME_CHARS`. It is not a path."""
    bytes: int


class KeptFiles(TypedDict):
    """The response of `GET /v1/attempt/kept`, by name."""

    files: list[KeptFile]


class Published(TypedDict):
    """What a publish container published."""

    branch: str
    """Empty if nothing had changed."""
    commit: str
    """Hexadecimal."""
    pullRequest: NotRequired[str]
    """Its address, for people."""


class Used(TypedDict):
    """What the starts of a job have used, as counted by its budget."""

    costUSD: str
    tokens: int
    llmCalls: int
    toolCalls: int
    turns: NotRequired[int]
    """If `limits` has `maxTurns`: the recorded answers whose request contains `turn`, in all runs of the job."""


class Budget(TypedDict):
    """A job's budget and what it has used."""

    limits: dict[str, Any]
    """`spec.budget` when the pod was created, without `onExceeded`."""
    used: Used
    """Usage of earlier starts: all of them, or those of this attempt, by `limits.scope`."""


class Attempt(TypedDict):
    """The response of `GET /v1/attempt`: everything a runner needs. With this GET the pod claims its start."""

    namespace: str
    job: str
    uid: str
    start: int
    attempt: int
    maxAttempts: int
    resolved: Resolved
    result: Result | None
    """Whether the job's result is already final: then the runner repeats the verdict Succeed and runs nothing."""
    undecided: NotRequired[str]
    """The outcome of an answer that this start has stored and that is not final, because a rule may run the job again.
    For the publish container; absent if there is none."""
    journal: NotRequired[JournalHead]
    """Absent from gateways of versions without a journal."""
    session: NotRequired[bool]
    """Whether `GET /v1/attempt/session` returns anything: earlier turns, or state of the user or the app. Absent from
    gateways that store no sessions."""
    budget: NotRequired[Budget]
    """Absent if the pod has none."""


class TimelineEntry(TypedDict):
    """One entry of a start's timeline. Its key is `(uid, start, seq)`: sending it twice stores it once."""

    seq: int
    time: str
    """RFC 3339, UTC."""
    kind: str
    """`started`, `resumed`, `model`, `tool`, `text`, `error`, `warning` (what ADK only logs), `repair`, `ended`."""
    author: str
    data: dict[str, Any]
    usage: NotRequired[dict[str, int]]
    """Only from runners of versions without a journal: usage since the previous entry, by the names of `USAGE`. The
    gateway adds it to the start's usage when it stores the entry, and so only once."""


class ResultDocument(TypedDict):
    """What the runner PUTs once at its end. `result` is set for Succeed only."""

    verdict: str
    reason: str
    message: str
    delaySeconds: float | None
    result: Result | None


class ResultAnswer(TypedDict):
    """The gateway's reply: the job's final result, which may be from another start."""

    final: Result | None


@dataclass(frozen=True, slots=True)
class TerminationMessage:
    """The runner's verdict in the termination message, from which alone the operator decides.

    `message` explains it (at most 1 KiB), `summary` is the beginning of the answer (at most 512 bytes).
    """

    verdict: Verdict
    reason: str
    message: str
    start: int
    uid: str
    delay_seconds: float | None = None
    summary: str = ""
    outcome: str | None = None
    """Outcome of the answer, for rules of `resultPolicy`, or None."""
    published: Published | None = None
    """Only set by the publish container."""

    def dump(self) -> str:
        """Return the JSON written to the termination file, at most `MAX_TERMINATION_BYTES` bytes of UTF-8.

        Only message and summary are cut.
        """
        message, summary = cut(self.message, MAX_MESSAGE_BYTES), cut(self.summary, MAX_SUMMARY_BYTES)
        while True:
            body: dict[str, Any] = {
                "agentjobs": 1,
                "verdict": self.verdict.value,
                "reason": self.reason,
                "start": self.start,
                "uid": self.uid,
                "message": message,
                "summary": summary,
            }
            if self.delay_seconds is not None:
                body["delaySeconds"] = self.delay_seconds
            if self.outcome is not None:
                body["outcome"] = self.outcome[:MAX_OUTCOME_CHARS]
            if self.published is not None:
                body["published"] = self.published
            text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
            if len(text.encode()) <= MAX_TERMINATION_BYTES or not (message or summary):
                return text
            # Escapes (quotes, control characters) can lengthen a text, so halve it until it fits.
            message, summary = message[: len(message) // 2], summary[: len(summary) // 2]

    @classmethod
    def load(cls, text: str) -> "TerminationMessage | None":
        """Parse a termination message; None if it is not ours or incomplete. Never raises."""
        try:
            body = json.loads(text)
            if body["agentjobs"] != 1:
                return None
            delay, outcome = body.get("delaySeconds"), body.get("outcome")
            verdict, reason = Verdict(body["verdict"]), str(body["reason"])
            if not _is_error_class(reason):
                if verdict is not Verdict.SUCCEED:
                    return None
                reason = ""
            return cls(
                verdict=verdict,
                reason=reason,
                message=cut(str(body["message"]), MAX_MESSAGE_BYTES),
                start=int(body["start"]),
                uid=str(body["uid"]),
                delay_seconds=None if delay is None else min(max(0.0, float(delay)), MAX_DELAY_SECONDS),
                summary=cut(str(body["summary"]), MAX_SUMMARY_BYTES),
                outcome=outcome[:MAX_OUTCOME_CHARS] if isinstance(outcome, str) else None,
                published=_published(body.get("published")),
            )
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
            return None


def _published(document: object) -> Published | None:
    """Parse the published workspace; None if missing or incomplete."""
    if not isinstance(document, dict):
        return None
    branch, commit, request = document.get("branch"), document.get("commit"), document.get("pullRequest")
    if not isinstance(branch, str) or not isinstance(commit, str) or len(branch) > 253 or len(commit) > 64:
        return None
    if commit.strip("0123456789abcdef"):
        return None
    found = Published(branch=branch, commit=commit)
    # People open it, so only http(s) is allowed.
    if isinstance(request, str) and len(request) <= MAX_PUBLISHED_CHARS and request.startswith(("https://", "http://")):
        found["pullRequest"] = request
    return found


def _is_error_class(text: str) -> bool:
    """Whether a text can be an error class, which becomes the reason of conditions and Events, and a column."""
    return text.isascii() and text.isalnum() and text[0].isalpha() and len(text) <= MAX_REASON_CHARS


# A snooze longer than a year is a mistake in the user's code.
MAX_DELAY_SECONDS: Final = 366 * 86400.0
_DELAY_DIGITS: Final = 9


def cut(text: str, limit: int) -> str:
    """Return `text` as at most `limit` bytes of valid UTF-8, ending in `…` if cut."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= limit:
        return raw.decode()
    return raw[: limit - 3].decode("utf-8", "ignore") + "…"


class RefusalCode(NamedTuple):
    """The parsed code of a refusal by the model proxy."""

    error_class: str
    """Unparsed, because a later version of the proxy may have more classes."""
    retry_after: float | None
    """Seconds until the call may be retried, or None."""


def refusal_code(error_class: ErrorClass, retry_after: float | None = None) -> str:
    """Return the code of a refusal, with the seconds until a retry if given."""
    delay = "" if retry_after is None else f"{REFUSAL_DELAY}{math.ceil(min(max(1.0, retry_after), MAX_DELAY_SECONDS))}"
    return f"{REFUSAL_PREFIX}{error_class.value}{delay}"


def refusal_identifier(error_class: ErrorClass, retry_after: float | None = None) -> str:
    """Return the same code as an identifier of at most 64 lower case letters, digits and underscores, for Claude
    Code.
    """
    _, _, delay = refusal_code(error_class, retry_after).partition(REFUSAL_DELAY)
    return f"{_IDENTIFIER_PREFIX}{error_class.name.lower()}{_IDENTIFIER_DELAY + delay if delay else ''}"


_IDENTIFIER_PREFIX: Final = "agentjobs_"
_IDENTIFIER_DELAY: Final = "_retry_after_"


def read_refusal(code: object) -> RefusalCode | None:
    """Parse a code in either form; None if it is not the model proxy's. Never raises."""
    if isinstance(code, str) and code.startswith(_IDENTIFIER_PREFIX):
        name, _, delay = code.removeprefix(_IDENTIFIER_PREFIX).partition(_IDENTIFIER_DELAY)
        known = ErrorClass.__members__.get(name.upper())
        kind = known.value if known is not None else name.title().replace("_", "")
        code = f"{REFUSAL_PREFIX}{kind}{REFUSAL_DELAY + delay if delay else ''}"
    if not isinstance(code, str) or not code.startswith(REFUSAL_PREFIX):
        return None
    kind, _, delay = code.removeprefix(REFUSAL_PREFIX).partition(REFUSAL_DELAY)
    if not kind or not _is_error_class(kind):
        return None
    seconds = float(delay) if delay.isascii() and delay.isdigit() and len(delay) <= _DELAY_DIGITS else None
    return RefusalCode(kind, None if seconds is None else min(max(1.0, seconds), MAX_DELAY_SECONDS))


def is_traced(variables: Mapping[str, str]) -> bool:
    """Whether OpenTelemetry's standard variables enable traces: an endpoint is set and nothing disables it."""
    if variables.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if variables.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() != "otlp":
        return False
    return bool(
        variables.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
        or variables.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
    )


def trace_id(uid: str) -> int:
    """Return the id of a job's trace: its uid without dashes, so that either can be found from the other."""
    plain = uid.replace("-", "")
    try:
        number = int(plain, 16) if len(plain) == 32 else 0
    except ValueError:
        number = 0
    return number or _digest(uid, 16)


def span_id(uid: str, start: int = 0) -> int:
    """Return the id of the span of a start, or of the whole job (0), derived from uid and number."""
    return _digest(f"{uid}/{start}", 8)


def _digest(text: str, size: int) -> int:
    import hashlib  # only needed for traces

    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:size]) or 1


def pod_name(job: str, start: int) -> str:
    """Return the name of the pod of one start: `<job>-<start>`."""
    return f"{job}-{start}"


class Controller(NamedTuple):
    """The AgentJobs object that controls another."""

    name: str
    uid: str


def controller_of(metadata: Mapping[str, Any], kind: str) -> Controller | None:
    """Return the object of our kind `kind` that controls the one with this metadata, or None.

    Labels could be edited, and a kind of that name may exist in another group.
    """
    owners = metadata.get("ownerReferences")
    for owner in owners if isinstance(owners, list) else ():
        if (
            isinstance(owner, Mapping)
            and owner.get("controller") is True
            and owner.get("kind") == kind
            and str(owner.get("apiVersion")).partition("/")[0] == GROUP
        ):
            return Controller(str(owner.get("name") or ""), str(owner.get("uid") or ""))
    return None


def owner_reference(kind: str, name: str, uid: str) -> dict[str, Any]:
    """Return the reference by which `controller_of` finds the object of our kind `kind`."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def policy_name(job: str) -> str:
    """Return the name of the NetworkPolicy of a job's pods: `<job>-egress`."""
    return f"{job}-egress"


def mcp_header_variable(agent: int, server: int, header: int) -> str:
    """Return the name of the variable with a header's value, from the indexes of agent, server and header in the job.

    `agent` is 0 for the root and 1 for the first entry of `inline.agents`; the other indexes count from 0.
    """
    return f"{ENV_MCP_HEADER}{agent}_{server}_{header}"


def start_of(pod: str, job: str) -> int | None:
    """Return the start in a pod's name, or None if the pod is not named after `job`."""
    prefix, _, number = pod.rpartition("-")
    return (
        int(number) if prefix == job and number.isascii() and number.isdigit() and not number.startswith("0") else None
    )
