"""AgentJob.spec as frozen models: every field, its bounds, its default and its meaning. `agent`, `budget`,
`runtime`, `steps` and `isolation` have their own modules.

The CRD and the field reference are generated from here, so bounds and descriptions exist once. Rules between fields
are in `validation`. A field is added only when it is implemented.

The models refuse unknown fields and do not coerce: `"3"` is not a number. Aliases are the names in the CRD. Defaults
are applied here and not by the API server, which would write them into the object as if the job had set them.
"""

import re
from datetime import timedelta
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import Field, Strict

from agentjobs.api.changes import ALWAYS, BEFORE_START, NEVER, OF_ONE_RUN
from agentjobs.api.fields import APP_NAME, DNS_LABEL, MAX_PARTITION_KEY, ONE_LINE, Duration, Instant
from agentjobs.api.job.agent import RESERVED_AGENT_NAME, Agent
from agentjobs.api.job.budget import Budget
from agentjobs.api.job.isolation import Isolation
from agentjobs.api.job.notifications import MAX_NOTIFICATIONS, Notification
from agentjobs.api.job.references import ConfigMapKeyRef
from agentjobs.api.job.relations import MAX_FOLLOW_UPS, MAX_PARAMETERS, After, FollowUp, Parameters, TemplateRef, Unique
from agentjobs.api.job.runtime import Runtime
from agentjobs.api.job.steps import Steps
from agentjobs.api.job.workspace import Workspace
from agentjobs.api.model import Boolean, Integer, Model
from agentjobs.contract import PROGRESS_SECONDS

MAX_JOB_NAME: Final = 52
"""Job names become label values (63) and pod names (`<job>-<start>`); CronJob has the same limit."""
MAX_SPEC_BYTES: Final = 96 * 1024
"""kubectl keeps the whole spec a second time in an annotation, and annotations share 256 KiB."""
MAX_STATE_BYTES: Final = 16 * 1024
MAX_SCHEMA_BYTES: Final = 16 * 1024


class MessageFrom(Model):
    """The source of a message outside the job."""

    config_map_key_ref: ConfigMapKeyRef = Field(description="A key of a ConfigMap; read when the job is accepted.")


class Input(Model):
    """Input of the agent: exactly one of message and messageFrom."""

    message: str | None = Field(
        default=None,
        min_length=1,
        max_length=65536,
        description="The user's message. `$(job.name)`, `$(job.uid)` and, in jobs of a schedule, `$(schedule.time)` "
        "and `$(schedule.previousTime)` are replaced when the job is accepted; `$$(` writes `$(`.",
    )
    message_from: MessageFrom | None = Field(
        default=None, description="Reads the message from a ConfigMap; for long or shared texts."
    )
    state: dict[str, Any] = Field(
        default_factory=dict,
        description="State of the session at its start; at most 16 KiB as JSON. Its texts may hold the names of "
        "`input.message`. Omit a key instead of writing null, which client-side `kubectl apply` drops and other "
        "clients keep.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )


class Session(Model):
    """Identity of the ADK session. Two jobs with the same three never run together."""

    app_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=63,
        pattern=APP_NAME,
        description="Application the session belongs to. Default: the inline agent's name, else the job's name.",
    )
    user_id: str = Field(
        default="system", min_length=1, max_length=128, description="User the session belongs to. Default: `system`."
    )
    session_id: str | None = Field(
        default=None, min_length=1, max_length=128, description="Id of the session. Default: the job's uid."
    )
    mode: Literal["New", "Continue"] = Field(
        default="New",
        description="New begins with an empty session. Continue begins with the events and state of earlier jobs with "
        "the same appName, userId and sessionId, even if their objects are gone; it needs a sessionId, and an appName "
        "unless the inline agent has a name. Default: New.",
    )


class SchemaFrom(Model):
    """The source of a schema outside the job."""

    config_map_key_ref: ConfigMapKeyRef = Field(
        description="A key of a ConfigMap with the schema as JSON; read when the job is accepted."
    )


class Output(Model):
    """Where the answer is and what it must match: one of schema and schemaFrom, fromState, outcomeKey, or several."""

    # `schema` is a method of pydantic's models.
    json_schema: dict[str, Any] | None = Field(
        default=None,
        alias="schema",
        description="JSON Schema of the answer, with `type: object` at its root; at most 16 KiB.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )
    schema_from: SchemaFrom | None = Field(
        default=None, description="Reads the schema from a ConfigMap; for large or shared schemas."
    )
    from_state: str | None = Field(
        default=None,
        min_length=1,
        max_length=63,
        description="Key of the session's state whose final value is the answer, instead of the agent's last answer "
        "(`output_key` in ADK).",
    )
    outcome_key: str = Field(
        default="outcome",
        min_length=1,
        max_length=63,
        description="Key at the top of the answer that holds its outcome, a string of at most 63 characters. "
        "Default: `outcome`.",
    )
    on_invalid: Literal["Repair", "Retry", "Fail"] = Field(
        default="Repair",
        description="What happens if the answer does not match: Repair asks the agent in the same session to correct "
        "it, and retries once `maxRepairs` are used up; Retry makes another attempt; Fail ends the job. Default: "
        "Repair.",
    )
    max_repairs: Integer = Field(default=2, ge=0, le=5, description="Corrections in one start. Default: 2.")


class Backoff(Model):
    """Wait before attempt n+1: min(initial × factorⁿ⁻¹, max), with jitter."""

    initial: Duration = Field(
        default=timedelta(seconds=15), description="Wait before the second attempt. Default: 15s."
    )
    factor: Integer = Field(default=2, ge=1, le=10, description="Growth from one wait to the next. Default: 2.")
    max: Duration = Field(default=timedelta(minutes=10), description="Longest wait. Default: 10m.")
    jitter_percent: Integer = Field(
        default=10, ge=0, le=50, description="Random share added or taken away, in percent. Default: 10."
    )


class Retry(Model):
    """How often a job is tried, with which backoff, and what later starts reuse."""

    max_attempts: Integer = Field(
        default=3, ge=1, le=100, description="Maximum attempts, including the first. Default: 3."
    )
    backoff: Backoff = Field(default_factory=Backoff, description="Wait between attempts.")
    resume: Literal["FromCheckpoint", "FromStart"] = Field(
        default="FromCheckpoint",
        description="Where a new attempt begins. FromCheckpoint continues after the last recorded step and reuses "
        "recorded answers and results, so that nothing is paid for or done twice. FromStart discards the steps of the "
        "failed attempt and runs the agent from its first step. Within an attempt (after a snooze, a suspension, a "
        "lost pod), a start always continues after the last recorded step. Default: FromCheckpoint.",
    )
    on_version_change: Literal["Continue", "Restart", "Fail"] = Field(
        default="Continue",
        description="What a later start does if ADK, the runner or the agent differs from the job's first start: "
        "Continue uses the recorded steps, with a warning, if they are compatible; Restart runs the agent from its "
        "first step; Fail ends the job with VersionMismatch. Default: Continue.",
    )
    max_snoozes: Integer = Field(
        default=100,
        ge=0,
        le=1000,
        description="Snoozes (rate limits, code that raises `Snooze`, a time-out after new steps) that cost no "
        "attempt; each further one costs one. Default: 100.",
    )
    max_infra_restarts: Integer = Field(
        default=10,
        ge=0,
        le=100,
        description="Starts lost to the cluster (node lost, evicted, preempted, pod deleted) that cost no attempt; "
        "each further one costs one. Starts that recorded new steps before they were lost do not count. Default: 10.",
    )


class ExitCodes(Model):
    """Exit codes of the runner's container."""

    operator: Literal["In", "NotIn"] = Field(description="Whether the code must be among the values, or must not be.")
    values: tuple[Annotated[int, Strict(), Field(ge=0, le=255)], ...] = Field(
        min_length=1, max_length=64, description="Exit codes."
    )


class PodCondition(Model):
    """A condition of the pod."""

    type: str = Field(min_length=1, max_length=316, description="Type of the condition, e.g. `DisruptionTarget`.")
    status: Literal["True", "False", "Unknown"] = Field(default="True", description="Its status. Default: True.")
    reason: str | None = Field(default=None, max_length=1024, description="Its reason. Default: any.")


class Rule(Model):
    """What happens after a matching ending. All given matchers must match."""

    name: str = Field(
        min_length=1, max_length=63, pattern=DNS_LABEL, description="Name of the rule; appears in `status.ruleCounts`."
    )
    on_errors: tuple[Annotated[str, Field(min_length=1, max_length=63)], ...] = Field(
        default=(),
        max_length=32,
        description="Error classes, e.g. `ModelRateLimited`; the start must have ended with one of them.",
    )
    on_outcomes: tuple[Annotated[str, Field(min_length=1, max_length=63)], ...] = Field(
        default=(),
        max_length=32,
        description="Outcomes, see `output.outcomeKey`; the answer's must be one of them. Only rules with onOutcomes "
        "match a success.",
    )
    on_exit_codes: ExitCodes | None = Field(default=None, description="Exit codes of the runner's container.")
    on_pod_conditions: tuple[PodCondition, ...] = Field(
        default=(), max_length=16, description="Conditions of the pod; one of them must hold."
    )
    action: Literal["Succeed", "Retry", "Snooze", "Fail", "Cancel", "Suspend"] = Field(
        description="What happens. Retry uses up an attempt, Snooze does not; Suspend waits for a new value of the "
        "annotation `agentjobs.dev/resume`."
    )
    delay: Duration | None = Field(
        default=None, description="Wait of Retry and Snooze. Default: the backoff for Retry, 30s for Snooze."
    )
    limit: Integer | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="How often the rule may fire in one job; then the next matching rule applies.",
    )


class ResultPolicy(Model):
    """Rules that take precedence over the built-in handling of error classes."""

    rules: tuple[Rule, ...] = Field(
        default=(),
        max_length=32,
        description="Rules in order; the first that matches decides. Rules without onOutcomes do not apply to a "
        "success; `cancel` takes precedence over rules about failures.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )


class Timeouts(Model):
    """Time limits."""

    attempt: Duration = Field(
        default=timedelta(minutes=30),
        description="Maximum time of one start, at least 1s; then it is stopped. If it recorded new steps, the next "
        "start continues after them 30 s later and no attempt is charged; else the attempt failed. Default: 30m.",
    )
    progress: Duration = Field(
        default=timedelta(seconds=PROGRESS_SECONDS),
        description="Maximum time without progress, at least 1s: no model answer, no tool result, no text. Then the "
        "start is stopped with ProgressTimeout and charged like `attempt`. A longer single call counts as no "
        "progress. Default: 10m.",
    )
    queue: Duration | None = Field(
        default=None,
        description="Maximum wait for a slot, at least 1s; then the job fails with QueueTimeout. Waiting for a queue "
        "that does not exist counts; waiting for a start time, other jobs or missing objects does not. Default: no "
        "limit.",
    )
    running: Duration | None = Field(
        default=None,
        description="Maximum running time of all starts together, at least 1s; then the job fails with "
        "DeadlineExceeded. Waiting, backoff and suspension do not count. Default: no limit.",
    )


class SessionKey(NamedTuple):
    """Identity of a session; also the lock that prevents two jobs from running it at the same time."""

    app_name: str
    user_id: str
    session_id: str


class AgentJobSpec(Model):
    """The work of the job, which is immutable; queue, start time, priority, budget, cancel and TTL may change."""

    template_ref: Annotated[TemplateRef | None, NEVER] = Field(
        default=None,
        description="A template of the same namespace; the job's fields are merged over its fields when the job is "
        "accepted.",
    )
    parameters: Annotated[Parameters, NEVER] = Field(
        default_factory=dict,
        max_length=MAX_PARAMETERS,
        description="Values of the template's parameters, for `$(params.<name>)` in its texts and in the job's.",
    )
    agent: Annotated[Agent, NEVER] = Field(description="What runs. Required, here or in the template.")
    input: Annotated[Input, NEVER] = Field(description="The input of the agent. Required, here or in the template.")
    session: Annotated[Session, NEVER] = Field(
        default_factory=Session,
        description="Identity of the ADK session. Two jobs with the same appName, userId and sessionId never run "
        "together.",
    )
    queue: Annotated[str, BEFORE_START] = Field(
        default="agents",
        min_length=1,
        max_length=63,
        pattern=DNS_LABEL,
        description="Queue of the job: an AgentQueue, or one of the installation (`agents`, `scheduled`). Fixed after "
        "the first start. Default: `agents`.",
    )
    priority: Annotated[Integer, ALWAYS] = Field(
        default=2, ge=0, le=9, description="Priority in the queue: 0 is first, 9 is last. Default: 2."
    )
    partition_key: Annotated[str | None, NEVER] = Field(
        default=None,
        min_length=1,
        max_length=MAX_PARTITION_KEY,
        pattern=ONE_LINE,
        description="What the job is for: a tenant, a repository. History can be filtered by it. May hold the names of "
        "`input.message`.",
    )
    start_at: Annotated[Instant | None, BEFORE_START, OF_ONE_RUN] = Field(
        default=None, description="Earliest time of the first start. Excludes startAfter; fixed after the first start."
    )
    start_after: Annotated[Duration | None, BEFORE_START, OF_ONE_RUN] = Field(
        default=None,
        description="Delay of the first start after creation. Excludes startAt; fixed after the first start.",
    )
    after: Annotated[After | None, NEVER] = Field(
        default=None,
        description="Jobs that must have ended before this one is accepted. Texts can use their answers: "
        "`$(after.<job>.<path>)`, or all of them as JSON, `$(after.results)`.",
    )
    unique: Annotated[Unique | None, NEVER] = Field(
        default=None, description="Runs only one of several equal jobs. Default: every job runs."
    )
    output: Annotated[Output | None, NEVER] = Field(
        default=None, description="Structure of the answer. Default: any text."
    )
    retry: Annotated[Retry, NEVER] = Field(
        default_factory=Retry,
        description="How often the job is tried, after which wait, and what a later start keeps of the ones before.",
    )
    result_policy: Annotated[ResultPolicy, NEVER] = Field(
        default_factory=ResultPolicy, description="Rules for what happens after an ending, before the built-in ones."
    )
    follow_ups: Annotated[tuple[FollowUp, ...], NEVER] = Field(
        default=(),
        max_length=MAX_FOLLOW_UPS,
        description="Jobs that are created when this one has ended. Their texts can use `$(result.<path>)`, "
        "`$(params.<name>)`, `$(parent.name)`, `$(parent.phase)` and `$(parent.outcome)`.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    notifications: Annotated[tuple[Notification, ...], NEVER] = Field(
        default=(),
        max_length=MAX_NOTIFICATIONS,
        description="Sinks that are notified of the job's events.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["sink"]},
    )
    timeouts: Annotated[Timeouts, NEVER] = Field(default_factory=Timeouts, description="Time limits.")
    budget: Annotated[Budget | None, ALWAYS] = Field(
        default=None,
        description="What the job may spend. May change at any time: a raised limit applies from the next start, and "
        "a job that is suspended for its budget continues.",
    )
    steps: Annotated[Steps, NEVER] = Field(
        default_factory=Steps,
        description="What is recorded while the agent runs, and how single steps are retried. A step is a model's "
        "whole answer, a tool's result, or a value of the agent's code.",
    )
    workspace: Annotated[Workspace | None, NEVER] = Field(
        default=None, description="A checkout of a Git repository as the agent's folder. Default: none."
    )
    isolation: Annotated[Isolation, NEVER] = Field(
        default_factory=Isolation, description="Pod security and network policy of the job's pods."
    )
    runtime: Annotated[Runtime, NEVER] = Field(default_factory=Runtime, description="The pod of one start.")
    suspend: Annotated[Boolean, ALWAYS, OF_ONE_RUN] = Field(
        default=False,
        description="Set to true to stop the running start after its current step, and hold the job; false returns it "
        "to its old place in the queue, and it continues after the last recorded step. Default: false.",
    )
    cancel: Annotated[Boolean, ALWAYS, OF_ONE_RUN] = Field(
        default=False, description="Set to true to stop the job for good; this cannot be undone. Default: false."
    )
    ttl_seconds_after_finished: Annotated[Integer | None, ALWAYS] = Field(
        default=None,
        ge=0,
        le=2147483647,
        description="Seconds after its end until the object is deleted; its history remains. Default: the object is "
        "kept.",
    )

    def session_key(self, *, name: str, uid: str) -> SessionKey:
        """Return the identity of the session of the job called `name`, with its defaults."""
        inline = self.agent.inline
        app_name = self.session.app_name or (inline.name if inline is not None else None) or default_app_name(name)
        return SessionKey(app_name, self.session.user_id, self.session.session_id or uid)


def default_agent_name(job: str) -> str:
    """Return the default name of an inline agent: the job's name as an identifier that ADK accepts."""
    name = re.sub(r"[^a-zA-Z0-9_]", "_", job)
    return f"agent_{name}" if not name.isidentifier() or name == RESERVED_AGENT_NAME else name


def default_app_name(job: str) -> str:
    """Return the default name of an application: the job's name in a form that ADK accepts."""
    name = re.sub(r"[^a-zA-Z0-9_-]", "-", job)
    return f"job-{name}" if not re.match(APP_NAME, name) or name == RESERVED_AGENT_NAME else name
