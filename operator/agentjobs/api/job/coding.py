"""AgentJob.spec.agent.claudeCode and .container: agents that are programs of their own. A part of `agent`."""

from typing import Annotated, Final, Literal

from pydantic import Field

from agentjobs.api.job.references import ConfigMapKeyRef
from agentjobs.api.model import Model

MAX_PROMPT: Final = 32768
MAX_MCP_CONFIG: Final = 32768

ToolRule = Annotated[str, Field(min_length=1, max_length=253)]


class McpConfigFrom(Model):
    """Where the configuration of MCP servers is taken from instead of the job."""

    config_map_key_ref: ConfigMapKeyRef = Field(description="A key of a ConfigMap; read when the job is accepted.")


class ClaudeCode(Model):
    """Claude Code, Anthropic's coding agent, without a person at it."""

    permission_mode: Literal["Default", "AcceptEdits", "Plan", "DontAsk", "BypassPermissions"] = Field(
        default="Default",
        description="What it may do unasked: Default, what allowedTools allow and reading; AcceptEdits, editing files "
        "too; Plan, reading alone; DontAsk, what allowedTools allow alone; BypassPermissions, everything, with "
        "isolation.profile Restricted only. What is not allowed is denied: nobody is asked. Default: Default.",
    )
    system_prompt: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_PROMPT,
        description="Replaces its system prompt. May hold the names of `input.message`.",
    )
    append_system_prompt: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_PROMPT,
        description="Follows its system prompt. May hold the names of `input.message`. Default: a text which says that "
        "nobody answers, that this is the only turn, and that it must not wait for builds, reviews or notifications.",
    )
    allowed_tools: tuple[ToolRule, ...] = Field(
        default=(),
        max_length=64,
        description="Tools that it may use unasked, e.g. `Bash(git *)`, `Edit`, `mcp__papers`.",
    )
    disallowed_tools: tuple[ToolRule, ...] = Field(
        default=(), max_length=64, description="Tools that it does not have, beside those that would keep it waiting."
    )
    mcp_config: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_MCP_CONFIG,
        description="Servers of tools, as JSON of the form of its `--mcp-config`. `${NAME}` is a variable of "
        "`runtime.env`.",
    )
    mcp_config_from: McpConfigFrom | None = Field(
        default=None, description="Takes that configuration from a ConfigMap instead."
    )
    extra_args: tuple[Annotated[str, Field(min_length=1, max_length=1024)], ...] = Field(
        default=(),
        max_length=32,
        description="Further arguments for the CLI, e.g. `--add-dir`. Those that the runner sets are refused.",
    )


class Container(Model):
    """A program in an image of one's own that speaks the runner contract (docs/reference/runner-contract.md)."""

    command: tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...] = Field(
        default=(), max_length=64, description="Command of the container. Default: the image's own."
    )
    args: tuple[Annotated[str, Field(max_length=4096)], ...] = Field(
        default=(), max_length=64, description="Arguments of the command. Default: the image's own."
    )
