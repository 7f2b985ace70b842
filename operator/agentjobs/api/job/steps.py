"""AgentJob.spec.steps: what is recorded of a start, and how single steps are retried. A part of the model in `spec`."""

from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import Field

from agentjobs.api.fields import MODEL_NAME, ONE_LINE, Duration
from agentjobs.api.model import Integer, Model

MAX_TOOL_RULES: Final = 32


class StepBackoff(Model):
    """Wait before try n+1 of a step: min(initial × factorⁿ⁻¹, max), with jitter."""

    initial: Duration = Field(default=timedelta(seconds=1), description="Wait before the second try. Default: 1s.")
    factor: Integer = Field(default=2, ge=1, le=10, description="Growth from one wait to the next. Default: 2.")
    max: Duration = Field(
        default=timedelta(seconds=30), description="Longest wait, at least as long as `initial`. Default: 30s."
    )
    jitter_percent: Integer = Field(
        default=10, ge=0, le=50, description="Random share added or taken away, in percent. Default: 10."
    )


class ModelCalls(Model):
    """How model calls are retried. Only this layer retries: the providers' clients do not."""

    max_attempts: Integer = Field(
        default=5,
        ge=1,
        le=20,
        description="Maximum tries of one call in one start, including the first. A call is retried if the provider is "
        "overloaded, unreachable, failing or too slow; after the last try the start ends with that error. Default: "
        "5.",
    )
    backoff: StepBackoff = Field(default_factory=StepBackoff, description="Wait between tries.")
    timeout: Duration = Field(
        default=timedelta(minutes=2),
        description="Maximum time of one try, at least 1s; then it counts as ModelTimeout. Should be shorter than "
        "`timeouts.progress`, because a running call is not progress. Default: 2m.",
    )


class ToolCalls(Model):
    """How calls of some tools are retried."""

    match: tuple[Annotated[str, Field(min_length=1, max_length=253, pattern=ONE_LINE)], ...] = Field(
        max_length=64,
        description="Names or patterns of tools: `*` matches any text, `?` one character, `[ab]` one of those.",
    )
    max_attempts: Integer = Field(
        default=1,
        ge=1,
        le=20,
        description="Maximum tries of one call in one start, including the first. A tool that raises or exceeds "
        "`timeout` is called again. Raise it only for tools that may run twice. Default: 1.",
    )
    backoff: StepBackoff = Field(default_factory=StepBackoff, description="Wait between tries.")
    timeout: Duration | None = Field(
        default=None,
        description="Maximum time of one try, at least 1s; then it counts as ToolTimeout. Default: only the limits of "
        "`timeouts`.",
    )
    on_interrupted: Literal["Retry", "Fail"] = Field(
        default="Retry",
        description="What a later start does about a call that began without a recorded result and may have taken "
        "effect: Retry calls the tool again, with the same idempotency key; Fail ends the job with ToolInterrupted. "
        "Default: Retry.",
    )


class Compaction(Model):
    """Replaces older events of the session with a summary, for runs that outgrow the model's context."""

    every_events: Integer = Field(
        ge=2, le=100_000, description="After how many new events a summary is written. The summary is a step too."
    )
    overlap: Integer = Field(
        default=0,
        ge=0,
        le=1000,
        description="How many events of the previous summary are summarized again, for continuity; fewer than "
        "`everyEvents`. Default: 0.",
    )
    model: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        pattern=MODEL_NAME,
        description="Model that writes the summaries. Default: the root agent's.",
    )


class Steps(Model):
    """What is recorded while the agent runs, and how single steps are retried.

    A step is a model's whole answer, a tool's result, or a value of the agent's code.
    """

    checkpoint: Literal["Steps", "None"] = Field(
        default="Steps",
        description="Steps records each step before anything acts on it: a later start repeats no recorded step and "
        "continues with the first missing one. With None, each start runs the agent from its first step; steps are "
        "only recorded for people to read. Default: Steps.",
    )
    on_divergence: Literal["Continue", "Fail"] = Field(
        default="Continue",
        description="What happens if a later start's request to a model or tool differs from the recorded one, for "
        "example because an instruction contains the time: Continue uses the recorded answer, with a warning; Fail "
        "ends the job with Diverged. Default: Continue.",
    )
    llm: ModelCalls = Field(default_factory=ModelCalls, description="How model calls are retried.")
    tools: tuple[ToolCalls, ...] = Field(
        default=(),
        max_length=MAX_TOOL_RULES,
        description="How tool calls are retried; the first entry that matches a tool's name applies. Other tools have "
        "the defaults.",
    )
    compaction: Compaction | None = Field(
        default=None, description="Replaces older events with summaries. Default: the session keeps all events."
    )
