"""AgentJob.spec.agent: which agent runs, inline or in code, with its models, tools and instructions."""

import re
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import Field

from agentjobs.api.fields import (
    CONFIG_KEY,
    DNS_SUBDOMAIN,
    HEADER_NAME,
    HTTP_URL,
    IDENTIFIER,
    MODEL_NAME,
    MODULE_REF,
    SERVER_NAME,
    TOOL_NAME,
)
from agentjobs.api.job.coding import ClaudeCode, Container
from agentjobs.api.job.references import ConfigMapKeyRef
from agentjobs.api.model import Integer, Model
from agentjobs.models.names import SCRIPTED
from agentjobs.refused_value import RefusedValue

RESERVED_AGENT_NAME: Final = "user"
"""ADK's name for the author of the message."""
AgentName = Annotated[str, Field(min_length=1, max_length=63, pattern=IDENTIFIER)]
AgentClass = Literal["LlmAgent", "SequentialAgent", "ParallelAgent", "LoopAgent"]
ModelName = Annotated[str, Field(min_length=1, max_length=253, pattern=MODEL_NAME)]


AGENT_KINDS: Final = ("inline", "module", "claudeCode", "container")
"""The members of `agent`, of which exactly one must be set."""


class ConfigMapKey(NamedTuple):
    """A key of a ConfigMap of the job's namespace, as a value."""

    name: str
    key: str


def scripted_model(model: str | None) -> ConfigMapKey | None:
    """Return the ConfigMap key that a `scripted/<configmap>/<key>` model answers from, or None for other models.

    Raises:
        RefusedValue: a scripted model without ConfigMap and key; the message names value and cure.
    """
    if model is None or not model.startswith(SCRIPTED):
        return None
    name, _, key = model.removeprefix(SCRIPTED).partition("/")
    if not re.fullmatch(DNS_SUBDOMAIN, name) or not re.fullmatch(CONFIG_KEY, key):
        raise RefusedValue(model, f"names no ConfigMap and key; use {SCRIPTED}<configmap>/<key>")
    return ConfigMapKey(name, key)


class InstructionFrom(Model):
    """The source of an instruction outside the job."""

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
        description="A key of a Secret with the whole value, e.g. `Bearer …`. The pod gets it as a variable."
    )


class McpServer(Model):
    """A remote tool server that speaks the Model Context Protocol (MCP)."""

    name: str = Field(
        min_length=1, max_length=63, pattern=SERVER_NAME, description="Name in messages; letters, digits, `_`, `-`."
    )
    url: str = Field(
        min_length=1, max_length=2048, pattern=HTTP_URL, description="Address, e.g. `http://papers.tools.svc:8080/mcp`."
    )
    transport: Literal["StreamableHTTP", "SSE"] = Field(
        default="StreamableHTTP", description="Its transport. Default: StreamableHTTP."
    )
    tool_filter: tuple[Annotated[str, Field(min_length=1, max_length=253)], ...] = Field(
        default=(), max_length=64, description="Names of its tools that the agent gets. Default: all."
    )
    headers_from: tuple[HeaderFrom, ...] = Field(
        default=(),
        max_length=8,
        description="Headers of every request, from Secrets.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["header"]},
    )


class AgentBase(Model):
    """Fields of root agents and sub-agents."""

    agent_class: AgentClass = Field(
        default="LlmAgent",
        description="Class of the agent in ADK. SequentialAgent, ParallelAgent and LoopAgent call no model; they run "
        "their subAgents.",
    )
    description: str | None = Field(
        default=None,
        max_length=1024,
        description="Purpose of the agent. Other agents read it to decide where to transfer control.",
    )
    instruction: str | None = Field(
        default=None,
        max_length=32768,
        description="System instruction of an LlmAgent. `{key}` is replaced by that key of the session's state and "
        "must be in `input.state`; `{key?}` is empty if missing. `$(job.name)` and the other names of `input.message` "
        "are replaced before.",
    )
    instruction_from: InstructionFrom | None = Field(
        default=None,
        description="Reads the instruction from a ConfigMap; for long or shared texts.",
    )
    tools: tuple[Tool, ...] = Field(default=(), max_length=64, description="Tools of an LlmAgent.")
    mcp_servers: tuple[McpServer, ...] = Field(
        default=(),
        max_length=16,
        description="MCP servers whose tools an LlmAgent may call.",
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
        description="Maximum tokens of an LlmAgent's model answer, including thoughts. Default: the model's; for "
        "`anthropic/…` ADK's, 8192. A cut answer ends the job with ModelOutputTruncated.",
    )
    max_iterations: Integer | None = Field(default=None, ge=1, le=1000, description="Maximum rounds of a LoopAgent.")


class SubAgent(AgentBase):
    """A sub-agent, named in another agent's subAgents."""

    name: AgentName = Field(
        description="Name of the agent: letters, digits and `_`, not beginning with a digit, and not `user`."
    )
    model: ModelName | None = Field(
        default=None,
        description="Model of this agent. Default: `agent.model`, which takes precedence if it is scripted.",
    )


class Inline(AgentBase):
    """An agent defined in the job; needs no code."""

    name: AgentName | None = Field(
        default=None,
        description="Name of the agent: letters, digits and `_`, not beginning with a digit, and not `user`. "
        "Default: made from the job's name.",
    )
    agents: tuple[SubAgent, ...] = Field(
        default=(),
        max_length=32,
        description="All sub-agents in one flat list; `subAgents` arranges them by name.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )


class Module(Model):
    """An agent written in Python, in the runner's image."""

    ref: str = Field(
        min_length=1,
        max_length=512,
        pattern=MODULE_REF,
        description="`package.module:attribute`, where the attribute is an agent, an App, or a (possibly async) "
        "function that returns one. Without `:attribute`, as in ADK: an App called `app`, else an agent called "
        "`root_agent`, in the module or its module `agent`. So a folder made by `adk create` runs unchanged, also "
        "with a `root_agent.yaml`.",
    )
    args: dict[str, Any] = Field(
        default_factory=dict,
        description="Keyword arguments for the function that `ref` names.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )


class Agent(Model):
    """What runs: exactly one of inline, module, claudeCode and container."""

    model: ModelName | None = Field(
        default=None,
        description="Model of the root agent and of every agent without a model, also in graphs and tools; a scripted "
        "model replaces all models. Refused if no agent uses it. `gemini-…`, `openai/…` (also for hosts with OpenAI's "
        "API, see OPENAI_BASE_URL), `anthropic/…`, another `provider/model` in images with LiteLLM, or "
        "`scripted/<configmap>/<key>` for prepared answers in a ConfigMap. Required for claudeCode, as an Anthropic "
        "model: `sonnet`, `claude-…` or `anthropic/claude-…`.",
    )
    inline: Inline | None = Field(default=None, description="An agent defined here; needs no code.")
    module: Module | None = Field(default=None, description="An agent written in Python, in the runner's image.")
    claude_code: ClaudeCode | None = Field(
        default=None, description="Claude Code, from the CLI in the runner's image, in the workspace's folder."
    )
    container: Container | None = Field(
        default=None, description="Any program in an image of your own that speaks the runner contract."
    )
    run_config: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings of ADK's RunConfig, by its names: `max_llm_calls` (of one start; no limit by default, "
        "because `spec.budget.maxLLMCalls` counts all starts), `streaming_mode` (`NONE` or `SSE`), `custom_metadata`, "
        "`http_options`, `include_thoughts_from_other_agents`, `labels`, `response_modalities`, "
        "`save_input_blobs_as_artifacts`, `service_tier`, `support_cfc`, `tool_thread_pool_config`.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )
