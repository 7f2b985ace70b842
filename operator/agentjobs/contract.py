"""What operator, gateway and runner agree on: names, endpoints, documents, exit codes, the termination message.

Pure and standard library only, because the runner imports it before anything else. A change here is a change of the
protocol between images of different ages: add, never reuse a name with another meaning.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple, NotRequired, TypedDict

GROUP: Final = "agentjobs.dev"
VERSION: Final = "v1alpha1"

# Labels and finalizer of what we make. Label values are at most 63 characters, hence job names of at most 52.
LABEL_JOB: Final = "agentjobs.dev/job"
LABEL_RELEASED: Final = "agentjobs.dev/released"
"""On a pod that has ended, whose end is recorded, and which the operator does not watch any more."""
LABEL_ATTEMPT: Final = "agentjobs.dev/attempt"
LABEL_QUEUE: Final = "agentjobs.dev/queue"
LABEL_LOCAL_QUEUE: Final = "kueue.x-k8s.io/queue-name"
"""Kueue's own."""
LABEL_SCHEDULE: Final = "agentjobs.dev/schedule"
"""On a job that a schedule made: the schedule's name."""
LABEL_TEMPLATE: Final = "agentjobs.dev/template"
"""On a pod, and on a job that follows another: the name of its template."""
LABEL_PARENT: Final = "agentjobs.dev/parent"
"""On a job that follows another: the name of that one."""
LABEL_FOLLOW_UP: Final = "agentjobs.dev/follow-up"
"""On a job that follows another: the name of the follow-up in that one's spec."""
ANNOTATION_PARENT_UID: Final = "agentjobs.dev/parent-uid"
ANNOTATION_ROOT: Final = "agentjobs.dev/root"
"""On a job that follows another: the name of the job with which the chain begins."""
ANNOTATION_DEPTH: Final = "agentjobs.dev/depth"
"""On a job that follows another: how many jobs of the chain come before it."""
ANNOTATION_IDEMPOTENCY_KEY: Final = "agentjobs.dev/idempotency-key"
"""On a job that a trigger made: what was the same in all calls that mean this job."""
ANNOTATION_RESUME: Final = "agentjobs.dev/resume"
"""A new value of it ends a suspension that nobody asked for in the spec."""
ANNOTATION_SESSION: Final = "agentjobs.dev/session"
"""On a pod: its session as a JSON list of three, so that the session stays locked when the job's object is gone."""
ANNOTATION_WORKTREE: Final = "agentjobs.dev/worktree"
"""On a pod: the PersistentVolumeClaim of its Named worktree, which stays locked as long as the pod may write there."""
ANNOTATION_SCHEDULED_TIME: Final = "agentjobs.dev/scheduled-time"
"""On a job that a schedule made: the time it stands for, RFC 3339 in UTC."""
ANNOTATION_PREVIOUS_TIME: Final = "agentjobs.dev/previous-time"
"""On a job that a schedule made: the time of the start before it, RFC 3339 in UTC; absent when there is none."""
ANNOTATION_SCHEDULE_GENERATION: Final = "agentjobs.dev/schedule-generation"
"""On a job that a schedule made: `metadata.generation` of the schedule whose template it has."""
ANNOTATION_TRIGGER: Final = "agentjobs.dev/trigger"
"""On a schedule: a new value of it asks for one job now."""
ANNOTATION_REPLACED_BY: Final = "agentjobs.dev/replaced-by"
"""On a job that its schedule cancelled: the name of the job that takes its place."""
ANNOTATION_BUDGET: Final = "agentjobs.dev/budget"
"""On a pod: the budget of its job when the pod was made, as JSON with the field names of `spec.budget`."""
ANNOTATION_GATEWAY_CA: Final = "agentjobs.dev/gateway-ca"
"""On a pod: the PEM certificates its runner checks the gateway's with, for the kubelet to put beside the token."""
FINALIZER: Final = "agentjobs.dev/record-end"
MANAGED_BY: Final = "agentjobs"

# Environment of the runner's container.
ENV_GATEWAY_URL: Final = "AGENTJOBS_GATEWAY_URL"
ENV_GATEWAY_CA: Final = "AGENTJOBS_GATEWAY_CA"
"""Path of a PEM bundle the gateway's certificate is checked against; unset for plain http or public roots."""
ENV_TOKEN_FILE: Final = "AGENTJOBS_TOKEN_FILE"  # noqa: S105  a variable's name, not a secret
ENV_NAMESPACE: Final = "AGENTJOBS_NAMESPACE"
ENV_JOB: Final = "AGENTJOBS_JOB"
ENV_START: Final = "AGENTJOBS_START"
ENV_TERMINATION_FILE: Final = "AGENTJOBS_TERMINATION_FILE"
ENV_GRACE_SECONDS: Final = "AGENTJOBS_GRACE_SECONDS"
ENV_ENGINE: Final = "AGENTJOBS_ENGINE"
"""Which engine of the runner runs the agent. Pods made before there was a choice lack it; they run `ENGINE_ADK`."""
ENGINE_ADK: Final = "adk"
ENGINE_CLAUDE_CODE: Final = "claude-code"
ENV_CLAUDE: Final = "AGENTJOBS_CLAUDE"
"""Path of Claude Code's CLI; unset where it is `claude` of PATH."""
ENV_CLAUDE_HOME: Final = "AGENTJOBS_CLAUDE_HOME"
"""Home folder of a person whose login Claude Code uses; unset for a home of its own, which begins empty."""
ENV_WORKSPACE: Final = "AGENTJOBS_WORKSPACE"
"""Folder of the workspace, whose `TREE` is the checkout; unset without one."""
ENV_GIT_CREDENTIALS: Final = "AGENTJOBS_GIT_CREDENTIALS"
"""Folder with the keys of a Secret, in the containers that clone and publish; unset without one."""
ENV_GIT_CACHE: Final = "AGENTJOBS_GIT_CACHE"
"""Folder that outlives pods, in the container that clones; unset without one."""

ENV_MODELS_URL: Final = "AGENTJOBS_MODELS_URL"
"""Address of the model proxy. Unset where models are asked directly, with keys of the pod's environment."""
ENV_MODEL_ALIASES: Final = "AGENTJOBS_MODEL_ALIASES"
"""JSON object: names of the installation for models, and the model that each stands for."""

ENV_LOG_FORMAT: Final = "AGENTJOBS_LOG_FORMAT"
"""`json` (the default) or `text`, of every process of ours."""
ENV_MCP_HEADER: Final = "AGENTJOBS_MCP_HEADER_"
"""Prefix of the variables that carry headers for tool servers, see `mcp_header_variable`."""

RUNNER_CONTAINER: Final = "runner"
RUNNER_COMMAND: Final = ("python", "-m", "agentjobs_runner")
CLONE_CONTAINER: Final = "workspace"
"""The init container that checks out the workspace."""
CLONE_COMMAND: Final = ("python", "-m", "agentjobs_runner.workspace", "clone")
PUBLISH_CONTAINER: Final = "publish"
"""The container that publishes. In its pod the runner is an init container: it begins when the agent is gone."""
PUBLISH_COMMAND: Final = ("python", "-m", "agentjobs_runner.workspace", "publish")
WORKSPACE_MOUNT: Final = "/workspace"
TREE: Final = "tree"
"""The checkout, in the folder of the workspace."""
GIT_CREDENTIALS_MOUNT: Final = "/var/run/agentjobs-git"
GIT_CACHE_MOUNT: Final = "/var/cache/agentjobs-git"
GIT_CACHE_CLAIM: Final = "agentjobs-git-cache"
"""The claim of a namespace's cache of repositories, which no agent may see."""
WORKSPACE_MOUNTS: Final = (WORKSPACE_MOUNT, GIT_CREDENTIALS_MOUNT, GIT_CACHE_MOUNT)
WORKSPACE_VOLUME: Final = "workspace"
WORKSPACE_VOLUMES: Final = (WORKSPACE_VOLUME, "git-read", "git-write", "git-cache", "publish-tmp")
GIT_PROVIDERS: Final[Mapping[str, str]] = {"github.com": "GitHub", "gitlab.com": "GitLab", "codeberg.org": "Gitea"}
"""Whose API makes pull requests, of the hosts that need not say it."""
TOKEN_AUDIENCE: Final = "agentjobs-gateway"  # noqa: S105  an audience, not a secret
TOKEN_MOUNT: Final = "/var/run/agentjobs"  # noqa: S105  a folder
GATEWAY_CA_FILE: Final = f"{TOKEN_MOUNT}/gateway-ca.crt"
TERMINATION_FILE: Final = "/dev/termination-log"

# Endpoints of the gateway for a runner. The token says which pod, hence which job and start; no path names them.
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
GET (`?name=<name>`, `&version=<number>` or the newest) answers the bytes, with `ArtifactVersion` in `HEADER_ARTIFACT`;
404 with reason NotFound where there is none. DELETE (`?name=<name>`) deletes all versions; answered with 204."""
PATH_ARTIFACT_VERSIONS: Final = "/v1/attempt/artifacts/versions"
"""GET (`?name=<name>`) lists the versions of an artifact: `ArtifactVersions`, empty where there is none."""
PATH_MEMORY: Final = "/v1/attempt/memory"
"""POST `MemoryQuery` searches what was said in other sessions of the same app and user; answered with `MemoryHits`."""
PATH_KEPT: Final = "/v1/attempt/kept"
"""GET lists the files that starts of the job's run keep for later ones: `KeptFiles`."""
PATH_KEPT_CONTENT: Final = "/v1/attempt/kept/content"
"""GET (`?name=<name>&offset=<bytes>`) answers up to `MAX_KEPT_PART_BYTES` of a file from there, fewer at its end only;
404 with reason NotFound where there is none. PUT (`?name=<name>&offset=<bytes>`) makes the file what it was up to the
offset, and then the body, which has at most `MAX_KEPT_PART_BYTES`: 204; 422 where it is shorter than the offset, 413
above `MAX_KEPT_BYTES` or `MAX_KEPT_FILES`. DELETE (`?name=<name>`): 204. With `&write=<number>`, which rises with each
PUT and DELETE of a start and is the same in further tries of one, a request that was given up and arrives after a later
one of the file changes nothing."""
HEADER_ARTIFACT: Final = "Agentjobs-Artifact"
"""Its value is JSON in ASCII."""
USER_PREFIX: Final = "user:"
"""A name of an artifact or of state that begins so belongs to the user of the app, whatever the session."""
APP_PREFIX: Final = "app:"
"""State whose name begins so belongs to the app, whoever the user is."""

# Paths of the model proxy, below `ENV_MODELS_URL`: what a provider's client takes as its base URL. The key that the
# client sends is the pod's token, in whichever header the provider has.
MODELS_GEMINI: Final = "/gemini"
MODELS_VERTEX: Final = "/vertex"
MODELS_OPENAI: Final = "/openai/v1"
MODELS_ANTHROPIC: Final = "/anthropic"
HEADER_STEP: Final = "Agentjobs-Step"
"""On a request: the key of the step that the call belongs to, percent-encoded; absent from calls of the user's own
code."""
HEADER_PATIENCE: Final = "Agentjobs-Patience"
"""On a request: whole seconds after which nobody waits for the first byte any more. A call that waits for a limit is
answered before: with 429, which costs no attempt, as a client's own time-out would."""
HEADER_MODEL: Final = "Agentjobs-Model"
"""On an answer: the model that was asked, where it is not the one that the request named."""
REFUSAL_PREFIX: Final = "agentjobs.dev/"
"""What the proxy refuses has the shape of the provider's own errors; its code is this and a class of `ErrorClass`."""
REFUSAL_DELAY: Final = ";retry-after="
"""Follows the class, with whole seconds, for clients that show the code but not the header."""
TOLD_DELAY_SECONDS: Final = 60.0
"""A delay above this is told in the code of a refusal: clients that wait by themselves give up above it."""

# The runner beats this often; the operator takes 30 s of silence of an evicted node's pod for its loss.
HEARTBEAT_SECONDS: Final = 10.0
# A runner that cannot reach the gateway for this long leaves with class JournalUnavailable.
GATEWAY_PATIENCE_SECONDS: Final = 120.0

# Default of `timeouts.progress`.
PROGRESS_SECONDS: Final = 600.0

# Limits on bodies, in bytes. The gateway answers 413 above them; the runner cuts before it sends.
MAX_EVENT_BYTES: Final = 64 * 1024
MAX_EVENTS_BODY_BYTES: Final = 1024 * 1024
MAX_EVENTS: Final = 2000
"""Of one body: its rows are inserted in one transaction."""
MAX_RESULT_BYTES: Final = 4 * 1024 * 1024
MAX_STEP_BYTES: Final = 1024 * 1024
"""Of the body of one step. A larger one is refused with class StepTooLarge."""
MAX_STEPS_BODY_BYTES: Final = 2 * 1024 * 1024
MAX_STEPS: Final = 500
"""Of one request."""
MAX_STEP_KEY_CHARS: Final = 512
MAX_VOID_BYTES: Final = 32 * 1024
"""Of the void keys of one request as JSON, which are at most `MAX_STEPS`."""
MAX_STEP_REQUEST_BYTES: Final = 64 * 1024
MAX_JOB_STEPS: Final = 20_000
"""Recorded of one job, by all of its starts. The gateway answers 413 with reason `JournalFull` beyond it, and the job
ends with that class."""
MAX_RUN_BYTES: Final = 256 * 1024 * 1024
"""Of the requests and bodies of one run's steps; as `MAX_JOB_STEPS`."""
MAX_TURN_BYTES: Final = 4 * 1024 * 1024
"""Of the body of one turn: its events and its state."""
MAX_SESSION_BYTES: Final = 64 * 1024 * 1024
"""Of all turns of one session. A turn beyond is refused with 413."""
MAX_STATE_BYTES: Final = 256 * 1024
"""Of the state of one session, of one user of an app, of one app: each as JSON."""
MAX_STATE_KEY_CHARS: Final = 256
MAX_ARTIFACT_BYTES: Final = 16 * 1024 * 1024
MAX_ARTIFACT_NAME_CHARS: Final = 255
MAX_ARTIFACTS: Final = 1000
"""Versions of all artifacts of one session, and of one user of an app. One more is refused with 413."""
MAX_ARTIFACTS_BYTES: Final = 256 * 1024 * 1024
"""Of all versions of all artifacts of one session, and of one user of an app."""
MAX_METADATA_BYTES: Final = 2 * 1024
"""Of the metadata of one version, as JSON in ASCII."""
MAX_KEPT_PART_BYTES: Final = 1024 * 1024
MAX_KEPT_NAME_CHARS: Final = 200
MAX_KEPT_FILES: Final = 500
"""Of one run."""
MAX_KEPT_BYTES: Final = 256 * 1024 * 1024
"""Of all kept files of one run."""
MAX_QUERY_CHARS: Final = 8 * 1024
MAX_MEMORIES: Final = 50
MAX_MEMORY_CHARS: Final = 8 * 1024
"""Of the text of one hit, which is cut."""
MAX_PUBLISHED_CHARS: Final = 512
"""Of the address of a pull request."""
# The kubelet keeps 4,096 bytes of a termination message, and 12 KiB of those of a pod: an equal share for each of its
# containers. This is the share of eight, with those that a mesh or an injector of secrets puts beside ours.
MAX_TERMINATION_BYTES: Final = 12 * 1024 // 8
MAX_SUMMARY_BYTES: Final = 512
MAX_MESSAGE_BYTES: Final = 1024
MAX_OUTCOME_CHARS: Final = 63
MAX_REASON_CHARS: Final = 63

USAGE: Final = ("llmCalls", "toolCalls", "inputTokens", "outputTokens")
"""What is counted of a start, by these names wherever it is told."""


class Verdict(StrEnum):
    """What the runner says shall happen after its start. The operator still charges, limits and may overrule it."""

    SUCCEED = "Succeed"
    RETRY = "Retry"
    SNOOZE = "Snooze"
    FAIL = "Fail"
    CANCEL = "Cancel"


class ErrorClass(StrEnum):
    """Why a start ended as it did. Stable names: users match on them, metrics are labelled with them."""

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
    """The template that a job's work was made from."""

    name: str
    generation: int
    locked: list[str]
    """Fields that may be changed after acceptance, but that the template does not leave to the job."""
    parameters: dict[str, str]
    """The values of its parameters, for the texts of follow-ups; those of the work are in their places."""


class Resolved(TypedDict):
    """A job's work as accepted: what every start runs, whatever is edited later."""

    spec: dict[str, Any]
    """The spec with its template merged in, defaults applied and `messageFrom` replaced by `message`; keys as in the
    CRD."""
    scripts: dict[str, str]
    """Contents of `scripted/…` models, by `<configmap>/<key>`."""
    steering: NotRequired[dict[str, Any]]
    """What template and queue said of fields that may be changed after acceptance. The job's own stand before them."""
    template: NotRequired[AcceptedTemplate]


class Result(TypedDict):
    """The answer of a job. The first one stored is final, but for those whose outcome lets the job run again."""

    text: str
    structured: Any
    """The answer as JSON when it is a JSON object, else None."""
    outcome: NotRequired[str | None]
    """What a structured answer decided, by the job's `output.outcomeKey`; None without a schema."""
    usage: dict[str, int]
    """What the start that gave the answer used, by the names of `USAGE`."""
    cutFrom: NotRequired[int]
    """Bytes of the whole answer, where it was too large to keep and `text` is only its beginning."""


class StepKind(StrEnum):
    """What a step is. Open for additions: readers pass over what they do not know."""

    MODEL = "model"
    """A model's whole answer."""
    TOOL = "tool"
    """A tool's result, with what the tool did to the session."""
    NODE = "node"
    """What a function node of a graph gave."""
    VALUE = "value"
    """What the user's code gave to `step()`, or the runner noted for itself."""


class Versions(TypedDict):
    """By whom a run was begun. Another start may have another image."""

    adk: str
    runner: str
    scheme: str
    """Of the keys. Steps recorded under another scheme cannot be found again."""
    agent: str
    """Digest of the agent's definition and code."""


class Step(TypedDict):
    """One step as the runner records it. `(run, key)` names it: recording it again changes nothing.

    A tool call is recorded twice: when it begins (`ended` and `body` are None: the intent) and when it has ended. When
    it is tried again, it begins again, by a later `began`.
    """

    key: str
    kind: str
    agent: str
    name: str
    """Of the model, the tool, the node, the value."""
    began: str
    """RFC 3339, UTC, with microseconds: key, start and `began` tell that a step is the same one, sent again."""
    ended: str | None
    request: dict[str, Any]
    """What tells whether the step was asked the same before: a few digests and numbers, no texts."""
    body: Any
    """What the step gave, as JSON of at most `MAX_STEP_BYTES`; secrets are sealed. None while it has not ended."""
    usage: dict[str, int]
    """By the names of `USAGE`: a tool's call with its intent, the rest with the end. The only source of usage."""
    void: NotRequired[bool]
    """It counts and is shown, but no later start may use it: an answer that was refused."""


class StepsBody(TypedDict):
    """What `POST /v1/attempt/steps` takes; all of it is stored, or nothing."""

    run: int
    """The run of `JournalHead`, or the start's own number to begin a new one."""
    versions: NotRequired[Versions]
    """With the first request of a start."""
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
    """The start that began it last."""
    key: str
    kind: str
    agent: str
    name: str
    ended: str | None
    """None for a call that began and did not end."""
    request: dict[str, Any]
    body: Any
    unreadable: NotRequired[bool]
    """True where what is stored of the body is not JSON any more; `body` is None then."""


class StepsPage(TypedDict):
    """What `GET /v1/attempt/steps` answers: the steps of the start's run, without void ones, by number."""

    steps: list[RecordedStep]
    next: int | None
    """`after` of the next page; None at the end."""


class JournalHead(TypedDict):
    """What a start has to know of the steps of the starts before it."""

    run: int
    """The number of the start that began from nothing. Later starts go on in its run, or begin one of their own."""
    last: int
    """Number of the newest step of the run, 0 for none."""
    versions: Versions | None
    """Of the start that began the run."""


class SessionPage(TypedDict):
    """What `GET /v1/attempt/session` answers: the job's session as it stood before the job.

    The gateway knows the session by the job's accepted spec; the pod cannot name one. The job's own turn is never in
    it. `events`, `state` and `turns` are empty unless `session.mode` is Continue: then they hold what jobs of this
    session stored since the newest of them that had the mode New. They are the same in every start of the job, because
    no other job of the session runs beside it. `user` and `app` may change meanwhile.
    """

    events: list[Any]
    """ADK's Events as they were stored, oldest first."""
    state: dict[str, Any]
    """Of the session after its last turn, without `app:` and `user:` keys. Of the first page; empty in later ones."""
    user: dict[str, Any]
    """The state of the user of the app, by names without `user:`. Of the first page, as `state`."""
    app: dict[str, Any]
    """The state of the app in this namespace, by names without `app:`. Of the first page, as `state`."""
    turns: int
    """How many earlier turns there are."""
    next: str | None
    """`after` of the next page; None at the end. A page holds about 1 MiB of events, or one event that is larger."""


class Turn(TypedDict):
    """What `PUT /v1/attempt/session` takes: what a job added to its session. Sent before the result, when it succeeds.

    A job has one turn. The same turn again changes nothing; another one of the same job takes the place of the first.
    422 for a state or an event that is refused, 413 above `MAX_TURN_BYTES` and `MAX_SESSION_BYTES`.
    """

    events: list[Any]
    """ADK's Events of this job alone, whole and in order, each a JSON object. Secrets are sealed."""
    state: dict[str, Any]
    """All of the session's own state after the job: without `app:`, `user:` and `temp:` keys."""
    user: dict[str, Any]
    """What the job changed of the user's state, by names without `user:`. Merged by name: the last job that commits
    wins. None is a value, as in ADK; it deletes nothing."""
    app: dict[str, Any]
    """What the job changed of the app's state, likewise."""


class ArtifactKind(StrEnum):
    """What the part of an artifact was, so that it is given back as such."""

    DATA = "data"
    """`inline_data`: the body is its bytes."""
    TEXT = "text"
    """`text`: the body is UTF-8."""
    FILE = "file"
    """`file_data`: the body is its URI."""


class ArtifactSave(TypedDict):
    """What goes with the bytes of a new version, in `HEADER_ARTIFACT`."""

    name: str
    """Any text of 1 to `MAX_ARTIFACT_NAME_CHARS` characters without NUL. With `user:` it is the user's, else the
    session's. It is no path."""
    key: str
    """Names this save among those of the job's run, the same in every start: at most `MAX_STEP_KEY_CHARS`. Saving again
    under a key of the run answers the version that the first save made; its bytes are those that came last. In a run
    that begins anew it is another save."""
    kind: str
    mime: str
    """Printable ASCII, at most 255 characters; empty for none. What a model says: nothing acts on it."""
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
    """What to search for: any text, at most `MAX_QUERY_CHARS`. What has one of its words is found."""

    query: str
    limit: int
    """Of the hits, 1 to `MAX_MEMORIES`."""


class MemoryHit(TypedDict):
    """An event of an ended session that has a word of the query."""

    id: str
    """Of ADK's Event."""
    session: str
    """The id of its session."""
    author: str
    time: str
    """RFC 3339, UTC."""
    text: str
    """The texts of its parts without thoughts, at most `MAX_MEMORY_CHARS`."""


class MemoryHits(TypedDict):
    """What was found, best first. The job's own session is not searched: it goes on."""

    memories: list[MemoryHit]


class KeptFile(TypedDict):
    """A file that is kept for later starts."""

    name: str
    """Printable ASCII of at most `MAX_KEPT_NAME_CHARS`. It is no path."""
    bytes: int


class KeptFiles(TypedDict):
    """What `GET /v1/attempt/kept` answers, by name."""

    files: list[KeptFile]


class Published(TypedDict):
    """What a publish container did."""

    branch: str
    """Empty where nothing had changed."""
    commit: str
    """Hexadecimal."""
    pullRequest: NotRequired[str]
    """Its address, for people."""


class Used(TypedDict):
    """What the starts of a job used so far, as far as its budget counts them."""

    costUSD: str
    tokens: int
    llmCalls: int
    toolCalls: int
    turns: NotRequired[int]
    """Where `limits` has `maxTurns`: the recorded answers whose request says `turn`, of all runs of the job."""


class Budget(TypedDict):
    """What a job may still use."""

    limits: dict[str, Any]
    """`spec.budget` as it was when the pod was made, without `onExceeded`."""
    used: Used
    """By the starts before this one: all of them, or those of this attempt, by `limits.scope`."""


class Attempt(TypedDict):
    """What `GET /v1/attempt` answers: all a runner needs. By this GET the pod claims its start."""

    namespace: str
    job: str
    uid: str
    start: int
    attempt: int
    maxAttempts: int
    resolved: Resolved
    result: Result | None
    """Set when the job's result is already final: the runner repeats the verdict Succeed and runs nothing."""
    undecided: NotRequired[str]
    """The outcome of an answer that this very start has stored and that is not final, because a rule may let the job
    run again after it. For the container that publishes; absent where there is none."""
    journal: NotRequired[JournalHead]
    """Absent from gateways of before there was a journal."""
    session: NotRequired[bool]
    """Whether `GET /v1/attempt/session` has anything to tell: earlier turns, or state of the user or the app. Absent
    from gateways that store no sessions."""
    budget: NotRequired[Budget]
    """Absent where the pod has none."""


class Event(TypedDict):
    """One entry of a start's timeline. `(uid, start, seq)` is its key: sending it twice stores it once."""

    seq: int
    time: str
    """RFC 3339, UTC."""
    kind: str
    """`started`, `resumed`, `model`, `tool`, `text`, `error`, `warning` (what ADK only logs), `repair`, `ended`."""
    author: str
    data: dict[str, Any]
    usage: NotRequired[dict[str, int]]
    """Of runners from before there was a journal: what was used since the entry before, by the names of `USAGE`. The
    gateway adds it to the start's usage when it stores the entry, hence once however often the entry is sent."""


class ResultDocument(TypedDict):
    """What the runner PUTs once at its end. `result` goes with Succeed and is None otherwise."""

    verdict: str
    reason: str
    message: str
    delaySeconds: float | None
    result: Result | None


class ResultAnswer(TypedDict):
    """The gateway's reply: the result that is final for the job, which may be another start's."""

    final: Result | None


@dataclass(frozen=True, slots=True)
class TerminationMessage:
    """The runner's verdict as the kubelet carries it: the operator decides by this alone.

    `message` says why in words (at most 1 KiB), `summary` is the head of the answer (at most 512 bytes).
    """

    verdict: Verdict
    reason: str
    message: str
    start: int
    uid: str
    delay_seconds: float | None = None
    summary: str = ""
    outcome: str | None = None
    """What the answer decided; rules of `resultPolicy` match on it. None without one."""
    published: Published | None = None
    """Of the publish container alone."""

    def dump(self) -> str:
        """Return the JSON written to the termination file, at most `MAX_TERMINATION_BYTES` bytes of UTF-8.

        Message and summary are cut for that, and nothing else.
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
            # Escapes (quotes, control characters) can make a short text long; halve until it fits.
            message, summary = message[: len(message) // 2], summary[: len(summary) // 2]

    @classmethod
    def load(cls, text: str) -> "TerminationMessage | None":
        """Parse what a container left behind; None when it is not ours or not whole. Never raises."""
        try:
            body = json.loads(text)
            if body["agentjobs"] != 1:
                return None
            delay, outcome = body.get("delaySeconds"), body.get("outcome")
            verdict, reason = Verdict(body["verdict"]), str(body["reason"])
            if not _is_word(reason):
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


def _published(told: object) -> Published | None:
    """What a container says it published; None where it does not say it whole."""
    if not isinstance(told, dict):
        return None
    branch, commit, request = told.get("branch"), told.get("commit"), told.get("pullRequest")
    if not isinstance(branch, str) or not isinstance(commit, str) or len(branch) > 253 or len(commit) > 64:
        return None
    if commit.strip("0123456789abcdef"):
        return None
    found = Published(branch=branch, commit=commit)
    # People follow it: nothing but an address of the web.
    if isinstance(request, str) and len(request) <= MAX_PUBLISHED_CHARS and request.startswith(("https://", "http://")):
        found["pullRequest"] = request
    return found


def _is_word(text: str) -> bool:
    """Whether a text can be a class of errors: it becomes the reason of conditions and Events, and a column."""
    return text.isascii() and text.isalnum() and text[0].isalpha() and len(text) <= MAX_REASON_CHARS


# A snooze longer than a year is a mistake of the code that asked for it.
MAX_DELAY_SECONDS: Final = 366 * 86400.0
_DELAY_DIGITS: Final = 9


def cut(text: str, limit: int) -> str:
    """Return `text` as at most `limit` bytes of valid UTF-8, ending in `…` when something was cut."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= limit:
        return raw.decode()
    return raw[: limit - 3].decode("utf-8", "ignore") + "…"


class RefusalCode(NamedTuple):
    """What the code of a refusal of the model proxy says."""

    error_class: str
    """As it was told: a proxy of a later version may know classes that this reader does not."""
    retry_after: float | None
    """Seconds until the call may be made again; None where the code does not say."""


def refusal_code(error_class: ErrorClass, retry_after: float | None = None) -> str:
    """Return the code of a refusal, with the seconds until the call may be made again where one is given."""
    delay = "" if retry_after is None else f"{REFUSAL_DELAY}{math.ceil(min(max(1.0, retry_after), MAX_DELAY_SECONDS))}"
    return f"{REFUSAL_PREFIX}{error_class.value}{delay}"


def refusal_identifier(error_class: ErrorClass, retry_after: float | None = None) -> str:
    """Return the same code as an identifier, at most 64 small letters, digits and underscores: Claude Code hands on no
    other."""
    _, _, delay = refusal_code(error_class, retry_after).partition(REFUSAL_DELAY)
    return f"{_IDENTIFIER_PREFIX}{error_class.name.lower()}{_IDENTIFIER_DELAY + delay if delay else ''}"


_IDENTIFIER_PREFIX: Final = "agentjobs_"
_IDENTIFIER_DELAY: Final = "_retry_after_"


def read_refusal(code: object) -> RefusalCode | None:
    """Return what a code says, in either form; None for one that is not the model proxy's. Never raises."""
    if isinstance(code, str) and code.startswith(_IDENTIFIER_PREFIX):
        name, _, told = code.removeprefix(_IDENTIFIER_PREFIX).partition(_IDENTIFIER_DELAY)
        known = ErrorClass.__members__.get(name.upper())
        kind = known.value if known is not None else name.title().replace("_", "")
        code = f"{REFUSAL_PREFIX}{kind}{REFUSAL_DELAY + told if told else ''}"
    if not isinstance(code, str) or not code.startswith(REFUSAL_PREFIX):
        return None
    kind, _, told = code.removeprefix(REFUSAL_PREFIX).partition(REFUSAL_DELAY)
    if not kind or not _is_word(kind):
        return None
    seconds = float(told) if told.isascii() and told.isdigit() and len(told) <= _DELAY_DIGITS else None
    return RefusalCode(kind, None if seconds is None else min(max(1.0, seconds), MAX_DELAY_SECONDS))


def is_traced(variables: Mapping[str, str]) -> bool:
    """Whether OpenTelemetry's standard variables ask for traces: an endpoint is named and nothing switches it off."""
    if variables.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if variables.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() != "otlp":
        return False
    return bool(
        variables.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
        or variables.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
    )


def trace_id(uid: str) -> int:
    """Id of a job's trace: its uid without the dashes, so that who knows the one finds the other."""
    plain = uid.replace("-", "")
    try:
        number = int(plain, 16) if len(plain) == 32 else 0
    except ValueError:
        number = 0
    return number or _digest(uid, 16)


def span_id(uid: str, start: int = 0) -> int:
    """Id of the span of a start, or of the whole job (0): spans can be added to it by uid and number."""
    return _digest(f"{uid}/{start}", 8)


def _digest(text: str, size: int) -> int:
    import hashlib  # only where traces are made

    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:size]) or 1


def pod_name(job: str, start: int) -> str:
    """Name of the pod of one start: `<job>-<start>`."""
    return f"{job}-{start}"


class Controller(NamedTuple):
    """Which object of ours controls another."""

    name: str
    uid: str


def controller_of(metadata: Mapping[str, Any], kind: str) -> Controller | None:
    """Return the object of our kind `kind` that controls the one with this metadata, None when none does.

    Labels say it too, but they can be edited freely; a kind of that name may exist in another group.
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


def policy_name(job: str) -> str:
    """Name of the NetworkPolicy of a job's pods: `<job>-egress`."""
    return f"{job}-egress"


def mcp_header_variable(agent: int, server: int, header: int) -> str:
    """Name of the variable that carries a header's value: the places of agent, server and header in the job.

    `agent` is 0 for the root and 1 for the first entry of `inline.agents`; the others count from 0.
    """
    return f"{ENV_MCP_HEADER}{agent}_{server}_{header}"


def start_of(pod: str, job: str) -> int | None:
    """The start that a pod's name says, or None when the pod is not named after `job`."""
    prefix, _, number = pod.rpartition("-")
    return (
        int(number) if prefix == job and number.isascii() and number.isdigit() and not number.startswith("0") else None
    )
