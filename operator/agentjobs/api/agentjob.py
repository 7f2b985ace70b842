"""AgentJob.spec as frozen models: every field, its bounds, its default and its meaning.

The CRD and the field reference are made from here, so bounds and descriptions stand once. What relates two fields is a
rule and stands in `validation`. A field exists when it is honoured, not before.

The models refuse unknown fields and do not coerce: `"3"` is no number. Aliases are the names in the CRD. Defaults are
applied here and not by the API server, which would write them into the object: the job would seem to set each field.
"""

import re
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import BeforeValidator, Field, PlainSerializer, Strict, WithJsonSchema

from agentjobs.api.durations import (
    DURATION_MAX_LENGTH,
    DURATION_MIN_LENGTH,
    DURATION_PATTERN,
    TIME_MAX_LENGTH,
    TIME_PATTERN,
    format_duration,
    format_time,
    parse_duration,
    parse_time,
)
from agentjobs.api.isolation import Isolation
from agentjobs.api.model import Boolean, Integer, Model, loose
from agentjobs.contract import PROGRESS_SECONDS

MAX_JOB_NAME: Final = 52
"""Job names become label values (63) and pod names (`<job>-<start>`); CronJob has the same limit."""
MAX_SPEC_BYTES: Final = 96 * 1024
"""kubectl keeps the whole spec a second time in an annotation, and annotations share 256 KiB."""
MAX_STATE_BYTES: Final = 16 * 1024
MAX_SCHEMA_BYTES: Final = 16 * 1024

DNS_LABEL: Final = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
CONFIG_KEY: Final = "^[-._a-zA-Z0-9]+$"
# What google-adk 2.13 asks of App.name; it refuses `user` besides.
APP_NAME: Final = "^[a-zA-Z][a-zA-Z0-9_-]*$"
MOUNT_PATH: Final = "^/[^:]*$"
ENV_NAME: Final = "^[-._a-zA-Z][-._a-zA-Z0-9]*$"
MODULE_REF: Final = r"^[a-zA-Z_][a-zA-Z0-9_]*(\.[a-zA-Z_][a-zA-Z0-9_]*)*(:[a-zA-Z_][a-zA-Z0-9_]*)?$"
TOOL_NAME: Final = r"^[a-zA-Z_][a-zA-Z0-9_]*(\.[a-zA-Z_][a-zA-Z0-9_]*)*(:[a-zA-Z_][a-zA-Z0-9_]*)?$"
MODEL_NAME: Final = r"^[^\s]+$"
SERVER_NAME: Final = "^[a-zA-Z0-9_-]+$"
HTTP_URL: Final = r"^https?://[^\s/?#@]+([/?#][^\s]*)?$"
"""Without a user and password, which have no place in an object."""
# A token of RFC 9110, 5.6.2.
HEADER_NAME: Final = "^[-!#$%&'*+.^_`|~a-zA-Z0-9]+$"
ONE_LINE: Final = r"^[^\x00-\x1f\x7f]+$"
MAX_PARTITION_KEY: Final = 253
IDENTIFIER: Final = "^[a-zA-Z_][a-zA-Z0-9_]*$"
"""Agent names. ADK asks for an identifier of Python; we for one that every label and log shows alike."""
RESERVED_AGENT_NAME: Final = "user"
"""ADK's name for whoever wrote the message."""
RESERVED_ENV_PREFIX: Final = "AGENTJOBS_"
SCRIPTED: Final = "scripted/"
"""Prefix of models that answer from a ConfigMap: `scripted/<configmap>/<key>`."""
QUANTITY_MAX_LENGTH: Final = 32
QUANTITY: Final = r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][-+]?[0-9]+)?$"

Duration = Annotated[
    timedelta,
    BeforeValidator(lambda value: value if isinstance(value, timedelta) else parse_duration(value)),
    PlainSerializer(format_duration),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": DURATION_PATTERN,
            "minLength": DURATION_MIN_LENGTH,
            "maxLength": DURATION_MAX_LENGTH,
        }
    ),
]
Instant = Annotated[
    datetime,
    BeforeValidator(parse_time),
    PlainSerializer(format_time),
    WithJsonSchema({"type": "string", "pattern": TIME_PATTERN, "maxLength": TIME_MAX_LENGTH}),
]
Quantity = Annotated[
    str,
    BeforeValidator(lambda value: parse_quantity(value)),
    # Without a type: `cpu: 0.5` is legal in every pod, and int-or-string would refuse it.
    WithJsonSchema(
        {"x-kubernetes-preserve-unknown-fields": True, "pattern": QUANTITY, "maxLength": QUANTITY_MAX_LENGTH}
    ),
]
AgentName = Annotated[str, Field(min_length=1, max_length=63, pattern=IDENTIFIER)]
AgentClass = Literal["LlmAgent", "SequentialAgent", "ParallelAgent", "LoopAgent"]
ModelName = Annotated[str, Field(min_length=1, max_length=253, pattern=MODEL_NAME)]


class ConfigMapKey(NamedTuple):
    """A key of a ConfigMap of the job's namespace, as a value."""

    name: str
    key: str


def scripted_model(model: str | None) -> ConfigMapKey | None:
    """Return the ConfigMap key that a `scripted/<configmap>/<key>` model answers from, or None for other models.

    Raises:
        ValueError: a scripted model that names no ConfigMap and key; the message names value and cure.
    """
    if model is None or not model.startswith(SCRIPTED):
        return None
    name, _, key = model.removeprefix(SCRIPTED).partition("/")
    if not re.fullmatch(DNS_SUBDOMAIN, name) or not re.fullmatch(CONFIG_KEY, key):
        raise ValueError(f"{model[:80]!r} names no ConfigMap and key; use {SCRIPTED}<configmap>/<key>")
    return ConfigMapKey(name, key)


class ConfigMapKeyRef(Model):
    """A key of a ConfigMap in the job's namespace."""

    name: str = Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN, description="Name of the ConfigMap.")
    key: str = Field(min_length=1, max_length=253, pattern=CONFIG_KEY, description="Key in its data.")


class InstructionFrom(Model):
    """Where an instruction is taken from instead of the job."""

    config_map_key_ref: ConfigMapKeyRef = Field(description="A key of a ConfigMap; read when the job is accepted.")


class Tool(Model):
    """A tool an agent may call."""

    name: str = Field(
        min_length=1,
        max_length=512,
        pattern=TOOL_NAME,
        description="Name of a built-in tool of ADK (`google_search`, `exit_loop`), or `package.module:function` that "
        "the runner's image can import.",
    )


class SecretKeyRef(Model):
    """A key of a Secret in the job's namespace; read by the kubelet, never by the operator."""

    name: str = Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN, description="Name of the Secret.")
    key: str = Field(min_length=1, max_length=253, pattern=CONFIG_KEY, description="Key in its data.")


class HeaderFrom(Model):
    """A header whose value is a secret."""

    header: str = Field(min_length=1, max_length=253, pattern=HEADER_NAME, description="Name, e.g. `Authorization`.")
    secret_key_ref: SecretKeyRef = Field(
        description="A key of a Secret with the whole value, e.g. `Bearer …`. It reaches the pod as a variable."
    )


class McpServer(Model):
    """A remote server of tools that speaks the Model Context Protocol."""

    name: str = Field(
        min_length=1, max_length=63, pattern=SERVER_NAME, description="Name in messages; letters, digits, `_`, `-`."
    )
    url: str = Field(
        min_length=1, max_length=2048, pattern=HTTP_URL, description="Address, e.g. `http://papers.tools.svc:8080/mcp`."
    )
    transport: Literal["StreamableHTTP", "SSE"] = Field(
        default="StreamableHTTP", description="How it is spoken to. Default: StreamableHTTP."
    )
    tool_filter: tuple[Annotated[str, Field(min_length=1, max_length=253)], ...] = Field(
        default=(), max_length=64, description="Only these of its tools. Default: all."
    )
    headers_from: tuple[HeaderFrom, ...] = Field(
        default=(),
        max_length=8,
        description="Headers of every request, from Secrets.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["header"]},
    )


class AgentBase(Model):
    """What the root agent and further agents have in common."""

    agent_class: AgentClass = Field(
        default="LlmAgent",
        description="Class of the agent in ADK. SequentialAgent, ParallelAgent and LoopAgent call no model; they run "
        "their subAgents.",
    )
    description: str | None = Field(
        default=None,
        max_length=1024,
        description="What the agent is for. Other agents read it when they decide whom to hand over to.",
    )
    instruction: str | None = Field(
        default=None,
        max_length=32768,
        description="System instruction of an LlmAgent. `{key}` is replaced by that key of the session's state and "
        "must be in `input.state`; `{key?}` may be missing and is then empty. `$(job.name)` and the other names of "
        "`input.message` are put in before that.",
    )
    instruction_from: InstructionFrom | None = Field(
        default=None,
        description="Takes the instruction from a ConfigMap instead; for texts that are long or shared.",
    )
    tools: tuple[Tool, ...] = Field(default=(), max_length=64, description="Tools of an LlmAgent.")
    mcp_servers: tuple[McpServer, ...] = Field(
        default=(),
        max_length=16,
        description="Servers whose tools an LlmAgent may call.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    sub_agents: tuple[AgentName, ...] = Field(
        default=(),
        max_length=32,
        description="Names of entries of `inline.agents`, in the order in which they run. Every agent has one parent.",
    )
    max_output_tokens: Integer | None = Field(
        default=None,
        ge=1,
        description="Largest answer of an LlmAgent's model, in tokens, thoughts included. Default: the model's own; "
        "for `anthropic/…` ADK's, 8192. An answer that is cut ends the job as ModelOutputTruncated.",
    )
    max_iterations: Integer | None = Field(
        default=None, ge=1, le=1000, description="Rounds of a LoopAgent after which it ends."
    )


class SubAgent(AgentBase):
    """A further agent, named in somebody's subAgents."""

    name: AgentName = Field(
        description="Name of the agent: letters, digits and `_`, not beginning with a digit, and not `user`."
    )
    model: ModelName | None = Field(default=None, description="Model of this agent. Default: `agent.model`.")


class Inline(AgentBase):
    """An agent written down in the job; needs no code."""

    name: AgentName | None = Field(
        default=None,
        description="Name of the agent: letters, digits and `_`, not beginning with a digit, and not `user`. "
        "Default: made from the job's name.",
    )
    agents: tuple[SubAgent, ...] = Field(
        default=(),
        max_length=32,
        description="All further agents of the team in one flat list; `subAgents` arranges them by name.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )


class Module(Model):
    """An agent written in Python, in the runner's image."""

    ref: str = Field(
        min_length=1,
        max_length=512,
        pattern=MODULE_REF,
        description="`package.module:attribute`, where the attribute is an agent, an App, or a (maybe async) function "
        "that returns one. Without `:attribute` ADK's rule holds: an App called `app`, else an agent called "
        "`root_agent`, in the module, else in its module `agent`. So a folder made by `adk create` runs as it is, "
        "also one with a `root_agent.yaml`.",
    )
    args: dict[str, Any] = Field(
        default_factory=dict,
        description="Keyword arguments for the function that `ref` names.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )


class Agent(Model):
    """What runs: exactly one of inline and module."""

    model: ModelName | None = Field(
        default=None,
        description="Model of the root agent, and of all further agents that name none, in graphs and tools too; in a "
        "module a script replaces every model. `gemini-…`, `openai/…` (also for hosts that speak OpenAI's API, see "
        "OPENAI_BASE_URL), `anthropic/…`, another `provider/model` in images with LiteLLM, or "
        "`scripted/<configmap>/<key>` for answers written down in a ConfigMap.",
    )
    inline: Inline | None = Field(default=None, description="An agent written down here; needs no code.")
    module: Module | None = Field(default=None, description="An agent written in Python, in the runner's image.")
    run_config: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings of ADK's RunConfig, by its names: `max_llm_calls` (ADK's default: 500), "
        "`streaming_mode` (`NONE` or `SSE`), `custom_metadata`, `http_options`, "
        "`include_thoughts_from_other_agents`, `labels`, `response_modalities`, `save_input_blobs_as_artifacts`, "
        "`service_tier`, `support_cfc`, `tool_thread_pool_config`.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )


class MessageFrom(Model):
    """Where a message is taken from instead of the job."""

    config_map_key_ref: ConfigMapKeyRef = Field(description="A key of a ConfigMap; read when the job is accepted.")


class Input(Model):
    """What the agent is told: exactly one of message and messageFrom."""

    message: str | None = Field(
        default=None,
        min_length=1,
        max_length=65536,
        description="The user's message. `$(job.name)`, `$(job.uid)` and, in jobs of a schedule, `$(schedule.time)` "
        "and `$(schedule.previousTime)` are put in when the job is accepted; `$$(` writes `$(`.",
    )
    message_from: MessageFrom | None = Field(
        default=None, description="Takes the message from a ConfigMap instead; for texts that are long or shared."
    )
    state: dict[str, Any] = Field(
        default_factory=dict,
        description="State of the session at its start; at most 16 KiB as JSON. Texts in it may hold the names of "
        "`input.message`. Leave a key out instead of writing null: client-side `kubectl apply` drops nulls, other "
        "ways of writing keep them.",
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


class SchemaFrom(Model):
    """Where a schema is taken from instead of the job."""

    config_map_key_ref: ConfigMapKeyRef = Field(
        description="A key of a ConfigMap with the schema as JSON; read when the job is accepted."
    )


class Output(Model):
    """Where the answer is and what it must be like: one of schema and schemaFrom, fromState, outcomeKey, or several."""

    # `schema` is a method of pydantic's models.
    json_schema: dict[str, Any] | None = Field(
        default=None,
        alias="schema",
        description="JSON Schema of the answer, with `type: object` at its root; at most 16 KiB.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )
    schema_from: SchemaFrom | None = Field(
        default=None, description="Takes the schema from a ConfigMap instead; for schemas that are large or shared."
    )
    from_state: str | None = Field(
        default=None,
        min_length=1,
        max_length=63,
        description="Key of the session's state whose value at the end is the answer, instead of the agent's last "
        "answer; for documents that agents keep there (`output_key`).",
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
        description="What happens when the answer does not fit: Repair tells the agent in the same session, and tries "
        "again once `maxRepairs` are used up; Retry makes another attempt; Fail ends the job. Default: Repair.",
    )
    max_repairs: Integer = Field(default=2, ge=0, le=5, description="Corrections in one start. Default: 2.")


class Backoff(Model):
    """Wait before attempt n+1: min(initial × factorⁿ⁻¹, max), give or take the jitter."""

    initial: Duration = Field(
        default=timedelta(seconds=15), description="Wait before the second attempt. Default: 15s."
    )
    factor: Integer = Field(default=2, ge=1, le=10, description="Growth from one wait to the next. Default: 2.")
    max: Duration = Field(default=timedelta(minutes=10), description="Longest wait. Default: 10m.")
    jitter_percent: Integer = Field(
        default=10, ge=0, le=50, description="Random share added or taken away, in percent. Default: 10."
    )


class Retry(Model):
    """How often a job is tried, and after which wait. Every start begins anew."""

    max_attempts: Integer = Field(
        default=3, ge=1, le=100, description="Attempts in all, the first one included. Default: 3."
    )
    backoff: Backoff = Field(default_factory=Backoff, description="Wait between two attempts.")
    max_snoozes: Integer = Field(
        default=100,
        ge=0,
        le=1000,
        description="Snoozes (rate limits, code that asks to wait) that cost no attempt; from then on each costs one. "
        "Default: 100.",
    )
    max_infra_restarts: Integer = Field(
        default=10,
        ge=0,
        le=100,
        description="Starts lost to the cluster (node lost, evicted, preempted, pod deleted) that cost no attempt; "
        "from then on each costs one. Default: 10.",
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
    reason: str | None = Field(default=None, max_length=1024, description="Its reason; any when there is none here.")


class Rule(Model):
    """What shall happen after an ending of a certain kind. All matchers that are given must match."""

    name: str = Field(
        min_length=1, max_length=63, pattern=DNS_LABEL, description="Name of the rule; appears in `status.ruleCounts`."
    )
    on_errors: tuple[Annotated[str, Field(min_length=1, max_length=63)], ...] = Field(
        default=(),
        max_length=32,
        description="Classes of errors, e.g. `ModelRateLimited`; one of them must have come up.",
    )
    on_outcomes: tuple[Annotated[str, Field(min_length=1, max_length=63)], ...] = Field(
        default=(),
        max_length=32,
        description="Outcomes of an answer, see `output.outcomeKey`; the answer's must be one of them. Only such rules "
        "judge a success.",
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
        default=None, ge=1, le=1000, description="How often the rule may fire in one job; then the next one is tried."
    )


class ResultPolicy(Model):
    """Rules that are tried before the built-in classes of errors decide."""

    rules: tuple[Rule, ...] = Field(
        default=(),
        max_length=32,
        description="Rules in order; the first one that matches decides. A success comes before all rules without "
        "onOutcomes, `cancel` before all rules about failures.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )


class Timeouts(Model):
    """Limits in time."""

    attempt: Duration = Field(
        default=timedelta(minutes=30),
        description="Longest time of one start, at least 1s; then it is stopped and counts as a failed attempt. "
        "Default: 30m.",
    )
    progress: Duration = Field(
        default=timedelta(seconds=PROGRESS_SECONDS),
        description="Longest silence of a start, at least 1s: no model's answer, no tool's result, no text. Then it is "
        "stopped and counts as a failed attempt, with ProgressTimeout. A single call that takes longer is silence too. "
        "Default: 10m.",
    )
    queue: Duration | None = Field(
        default=None,
        description="Longest wait for a slot, at least 1s; then the job fails with QueueTimeout. Default: no limit.",
    )
    running: Duration | None = Field(
        default=None,
        description="Running time of all starts together, at least 1s; then the job fails with DeadlineExceeded. "
        "Waiting, backoff and suspension do not count. Default: no limit.",
    )


class KeyRef(Model):
    """A key of a ConfigMap or Secret, read by the kubelet."""

    name: str = Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN, description="Name of the object.")
    key: str = Field(min_length=1, max_length=253, pattern=CONFIG_KEY, description="Key in its data.")
    optional: Boolean | None = Field(
        default=None, description="Whether the pod may start without object or key. Default: false."
    )


class FieldRef(Model):
    """A field of the pod."""

    api_version: str | None = Field(default=None, max_length=63, description="Default: v1.")
    field_path: str = Field(min_length=1, max_length=253, description="Path of the field, e.g. `metadata.name`.")


class ResourceFieldRef(Model):
    """A resource of a container of the pod."""

    container_name: str | None = Field(default=None, max_length=63, description="Default: the runner's container.")
    resource: str = Field(min_length=1, max_length=63, description="The resource, e.g. `limits.memory`.")
    divisor: Quantity | None = Field(default=None, description="Unit of the value. Default: 1.")


class EnvVarSource(Model):
    """Where a variable's value comes from: exactly one of the four."""

    secret_key_ref: KeyRef | None = Field(default=None, description="A key of a Secret.")
    config_map_key_ref: KeyRef | None = Field(default=None, description="A key of a ConfigMap.")
    field_ref: FieldRef | None = Field(default=None, description="A field of the pod.")
    resource_field_ref: ResourceFieldRef | None = Field(default=None, description="A resource of the container.")


class EnvVar(Model):
    """An environment variable, as in a pod."""

    name: str = Field(
        min_length=1,
        max_length=253,
        pattern=ENV_NAME,
        description="Name of the variable; names that begin with `AGENTJOBS_` are ours.",
    )
    value: str | None = Field(default=None, max_length=32768, description="Its value.")
    value_from: EnvVarSource | None = Field(default=None, description="Takes the value from elsewhere, as in a pod.")


class Resources(Model):
    """Compute resources of the runner's container, as in a pod."""

    requests: dict[str, Quantity] | None = Field(
        default=None, max_length=16, description="What the scheduler sets aside, e.g. `cpu: 250m`, `memory: 512Mi`."
    )
    limits: dict[str, Quantity] | None = Field(
        default=None, max_length=16, description="What the container may use at most."
    )


class Reference(Model):
    """An object in the job's namespace, by name."""

    name: str = Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN, description="Its name.")


class OptionalReference(Reference):
    """An object in the job's namespace that may be missing."""

    optional: Boolean | None = Field(default=None, description="Whether the pod may start without it. Default: false.")


class EnvFrom(Model):
    """Variables from all keys of a ConfigMap or Secret."""

    prefix: str | None = Field(default=None, max_length=63, description="Put before each key.")
    config_map_ref: OptionalReference | None = Field(default=None, description="The ConfigMap.")
    secret_ref: OptionalReference | None = Field(default=None, description="The Secret.")


class Toleration(Model):
    """A taint the pod tolerates, as in a pod."""

    key: str | None = Field(default=None, max_length=316, description="Key of the taint; none matches all.")
    operator: Literal["Exists", "Equal"] | None = Field(default=None, description="Default: Equal.")
    value: str | None = Field(default=None, max_length=63, description="Value of the taint, with Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Effect of the taint; none matches all."
    )
    toleration_seconds: Integer | None = Field(default=None, ge=0, description="For how long, with NoExecute.")


class VolumeMount(Model):
    """Where a volume is in the runner's container."""

    name: str = Field(min_length=1, max_length=63, pattern=DNS_LABEL, description="Name of the volume.")
    mount_path: str = Field(
        min_length=1,
        max_length=1024,
        pattern=MOUNT_PATH,
        description="Absolute path. /tmp and /var/run/agentjobs are taken.",
    )
    sub_path: str | None = Field(default=None, max_length=1024, description="Path inside the volume.")
    read_only: Boolean | None = Field(default=None, description="Default: false.")


class Runtime(Model):
    """The pod of one start."""

    image: str | None = Field(
        default=None, min_length=1, max_length=1024, description="Image of the runner. Default: the operator's setting."
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        default=None, description="When the image is pulled. Default: the operator's setting."
    )
    resources: Resources | None = Field(
        default=None, description="Compute resources of the runner's container. Default: the operator's setting."
    )
    env: tuple[EnvVar, ...] = Field(
        default=(),
        max_length=64,
        description="Environment of the runner's container.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    termination_grace_period_seconds: Integer = Field(
        default=60, ge=0, le=3600, description="Seconds from the order to stop to the kill. Default: 60."
    )
    pod_retention: Literal["Keep", "KeepOnFailure", "Delete"] = Field(
        default="Keep",
        description="What becomes of finished pods: Keep leaves them with their job, KeepOnFailure only those that did "
        "not succeed, Delete none. Default: Keep.",
    )
    env_from: tuple[EnvFrom, ...] = Field(
        default=(), max_length=32, description="Variables from all keys of ConfigMaps and Secrets, as in a pod."
    )
    image_pull_secrets: tuple[Reference, ...] = Field(
        default=(), max_length=16, description="Secrets to pull the image with."
    )
    labels: dict[str, Annotated[str, Field(max_length=63)]] = Field(
        default_factory=dict, max_length=32, description="Labels of the pod, beside ours."
    )
    annotations: dict[str, Annotated[str, Field(max_length=4096)]] = Field(
        default_factory=dict, max_length=32, description="Annotations of the pod."
    )
    run_as_user: Integer = Field(
        default=65532,
        ge=0,
        le=2147483647,
        description="User the runner runs as; root (0) only with `isolation.profile: Baseline`. Default: 65532.",
    )
    fs_group: Integer = Field(
        default=65532, ge=1, le=2147483647, description="Group that owns the pod's volumes. Default: 65532."
    )
    service_account_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        pattern=DNS_SUBDOMAIN,
        description="Service account of the pod; must be in the operator's allow list. Default: `default`.",
    )
    automount_service_account_token: Boolean = Field(
        default=False,
        description="Whether the pod gets a token for the API server. Goes with serviceAccountName. Default: false.",
    )
    node_selector: dict[str, Annotated[str, Field(max_length=63)]] = Field(
        default_factory=dict, max_length=32, description="Labels of the nodes the pod may run on."
    )
    tolerations: tuple[Toleration, ...] = Field(default=(), max_length=32, description="Taints the pod tolerates.")
    affinity: dict[str, Any] = Field(
        default_factory=dict,
        description="Affinity, as in a pod.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )
    topology_spread_constraints: tuple[dict[str, Any], ...] = loose("How pods are spread, as in a pod.", 16)
    priority_class_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        pattern=DNS_SUBDOMAIN,
        description="Priority of the pod on its node.",
    )
    runtime_class_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        pattern=DNS_SUBDOMAIN,
        description="Runtime class, e.g. gVisor.",
    )
    volumes: tuple[dict[str, Any], ...] = loose("Volumes of the pod, as in a pod; no hostPath.", 32)
    volume_mounts: tuple[VolumeMount, ...] = Field(
        default=(), max_length=64, description="Where the volumes are in the runner's container."
    )


def parse_quantity(value: object) -> str:
    """Return a Kubernetes quantity (`250m`, `512Mi`, `2`, `0.5`) as text.

    Raises:
        ValueError: neither a number nor a quantity; the message names value and cure.
    """
    text = str(value) if type(value) in (int, float) else value
    if isinstance(text, str) and len(text) <= QUANTITY_MAX_LENGTH and re.fullmatch(QUANTITY, text, re.ASCII):
        return text
    raise ValueError(f"{value!r:.40} is not a quantity; use e.g. 250m, 0.5 or 512Mi")


class SessionKey(NamedTuple):
    """Identity of a session; also the lock that keeps two jobs from running it together."""

    app_name: str
    user_id: str
    session_id: str


class AgentJobSpec(Model):
    """What shall be done. The work is fixed; queue, start time, priority, cancel and TTL may be steered."""

    agent: Agent = Field(description="What runs.")
    input: Input = Field(description="What the agent is told.")
    session: Session = Field(
        default_factory=Session,
        description="Identity of the ADK session. Two jobs with the same appName, userId and sessionId never run "
        "together.",
    )
    queue: str = Field(
        default="agents",
        min_length=1,
        max_length=63,
        pattern=DNS_LABEL,
        description="Queue the job waits in: `agents` (10 at once) or `scheduled` (5 at once). Fixed after the first "
        "start. Default: `agents`.",
    )
    priority: Integer = Field(
        default=2, ge=0, le=9, description="Place in the queue: 0 is first, 9 is last. Default: 2."
    )
    partition_key: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_PARTITION_KEY,
        pattern=ONE_LINE,
        description="Whom or what the job is for: a tenant, a repository. Kept in the history, which lists by it. "
        "May hold the names of `input.message`.",
    )
    start_at: Instant | None = Field(
        default=None, description="Not before this instant. Excludes startAfter; fixed after the first start."
    )
    start_after: Duration | None = Field(
        default=None,
        description="Not before creation plus this. Excludes startAt; fixed after the first start.",
    )
    output: Output | None = Field(
        default=None, description="Structure of the answer. Default: the answer is text, whatever it says."
    )
    retry: Retry = Field(default_factory=Retry, description="How often the job is tried, and after which wait.")
    result_policy: ResultPolicy = Field(
        default_factory=ResultPolicy, description="What happens after which ending, before the built-in rules."
    )
    timeouts: Timeouts = Field(default_factory=Timeouts, description="Limits in time.")
    isolation: Isolation = Field(
        default_factory=Isolation, description="How far the job's pods are kept apart from the rest."
    )
    runtime: Runtime = Field(default_factory=Runtime, description="The pod of one start.")
    suspend: Boolean = Field(
        default=False,
        description="Set to true to stop the running start and hold the job; false puts it back into its queue at its "
        "old place, and it starts over. Default: false.",
    )
    cancel: Boolean = Field(
        default=False, description="Set to true to stop the job for good. There is no way back. Default: false."
    )
    ttl_seconds_after_finished: Integer | None = Field(
        default=None,
        ge=0,
        le=2147483647,
        description="Seconds after its end until the object is deleted; its history stays. Default: it is kept.",
    )

    def session_key(self, *, name: str, uid: str) -> SessionKey:
        """Return the identity of the session of the job called `name`, with its defaults."""
        inline = self.agent.inline
        app_name = self.session.app_name or (inline.name if inline is not None else None) or default_app_name(name)
        return SessionKey(app_name, self.session.user_id, self.session.session_id or uid)


def default_agent_name(job: str) -> str:
    """Return the name of an inline agent that has none: the job's name made an identifier that ADK accepts."""
    name = re.sub(r"[^a-zA-Z0-9_]", "_", job)
    return f"agent_{name}" if not name.isidentifier() or name == RESERVED_AGENT_NAME else name


def default_app_name(job: str) -> str:
    """Return the name of an application that has none: the job's name made one that ADK accepts."""
    name = re.sub(r"[^a-zA-Z0-9_-]", "-", job)
    return f"job-{name}" if not re.match(APP_NAME, name) or name == RESERVED_AGENT_NAME else name
