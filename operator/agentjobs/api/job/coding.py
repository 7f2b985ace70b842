"""AgentJob.spec.agent.claudeCode and .container: agents that are separate programs. A part of `agent`."""

from typing import Annotated, Final, Literal

from pydantic import Field

from agentjobs.api.job.references import ConfigMapKeyRef
from agentjobs.api.model import Model

MAX_PROMPT: Final = 32768
MAX_MCP_CONFIG: Final = 32768

ToolRule = Annotated[str, Field(min_length=1, max_length=253)]


class McpConfigFrom(Model):
    """The source of the configuration of MCP servers outside the job."""

    config_map_key_ref: ConfigMapKeyRef = Field(description="A key of a ConfigMap; read when the job is accepted.")


class ClaudeCode(Model):
    """Claude Code, Anthropic's coding agent, running unattended."""

    permission_mode: Literal["Default", "AcceptEdits", "Plan", "DontAsk", "BypassPermissions"] = Field(
        default="Default",
        description="What it may do; anything else is denied, as no person can be asked. Default: reading, and what "
        "allowedTools allow; AcceptEdits: also editing files; Plan: only reading; DontAsk: only what allowedTools "
        "allow; BypassPermissions: everything, needs isolation.profile Restricted. Default: Default.",
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
        description="Appended to its system prompt. May hold the names of `input.message`. Default: a text which "
        "states that no one will answer, that this is the only turn, and that it must not wait for builds, reviews or "
        "notifications.",
    )
    allowed_tools: tuple[ToolRule, ...] = Field(
        default=(),
        max_length=64,
        description="Tools that it may use, e.g. `Bash(git *)`, `Edit`, `mcp__papers`.",
    )
    disallowed_tools: tuple[ToolRule, ...] = Field(
        default=(),
        max_length=64,
        description="Tools that it must not use, in addition to those that would keep it waiting.",
    )
    mcp_config: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_MCP_CONFIG,
        description="MCP servers, as JSON in the format of `--mcp-config`. `${NAME}` is a variable of `runtime.env`.",
    )
    mcp_config_from: McpConfigFrom | None = Field(
        default=None, description="Reads that configuration from a ConfigMap."
    )
    extra_args: tuple[Annotated[str, Field(min_length=1, max_length=1024)], ...] = Field(
        default=(),
        max_length=32,
        description="Further arguments for the CLI, e.g. `--add-dir`. Those that the runner sets are refused.",
    )


class Container(Model):
    """A program in a custom image that implements the runner contract (docs/reference/runner-contract.md)."""

    command: tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...] = Field(
        default=(), max_length=64, description="Command of the container. Default: the image's own."
    )
    args: tuple[Annotated[str, Field(max_length=4096)], ...] = Field(
        default=(), max_length=64, description="Arguments of the command. Default: the image's own."
    )
