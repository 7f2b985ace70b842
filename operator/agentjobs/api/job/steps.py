"""AgentJob.spec.steps: what is recorded of a start, and how single steps are tried. A part of the model in `spec`."""

from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import Field

from agentjobs.api.fields import MODEL_NAME, ONE_LINE, Duration
from agentjobs.api.model import Integer, Model

MAX_TOOL_RULES: Final = 32


class StepBackoff(Model):
    """Wait before try n+1 of a step: min(initial × factorⁿ⁻¹, max), give or take the jitter."""

    initial: Duration = Field(default=timedelta(seconds=1), description="Wait before the second try. Default: 1s.")
    factor: Integer = Field(default=2, ge=1, le=10, description="Growth from one wait to the next. Default: 2.")
    max: Duration = Field(
        default=timedelta(seconds=30), description="Longest wait, at least as long as `initial`. Default: 30s."
    )
    jitter_percent: Integer = Field(
        default=10, ge=0, le=50, description="Random share added or taken away, in percent. Default: 10."
    )


class ModelCalls(Model):
    """How calls of models are tried. This is the only layer that retries: the providers' clients do not."""

    max_attempts: Integer = Field(
        default=5,
        ge=1,
        le=20,
        description="Tries of one call in one start, the first included. A call is tried again when the provider is "
        "overloaded, cannot be reached, fails or is too slow; after the last try the start ends with that error. "
        "Default: 5.",
    )
    backoff: StepBackoff = Field(default_factory=StepBackoff, description="Wait between two tries.")
    timeout: Duration = Field(
        default=timedelta(minutes=2),
        description="Longest time of one try, at least 1s; then it counts as ModelTimeout. A call is silence for "
        "`timeouts.progress`, which should be longer than this. Default: 2m.",
    )


class ToolCalls(Model):
    """How calls of some tools are tried."""

    match: tuple[Annotated[str, Field(min_length=1, max_length=253, pattern=ONE_LINE)], ...] = Field(
        max_length=64,
        description="Names of tools, or patterns of them: `*` stands for any text, `?` for one character, `[ab]` for "
        "one of those.",
    )
    max_attempts: Integer = Field(
        default=1,
        ge=1,
        le=20,
        description="Tries of one call in one start, the first included. A tool that raises or exceeds `timeout` is "
        "called again. Raise it only for tools that may run twice. Default: 1.",
    )
    backoff: StepBackoff = Field(default_factory=StepBackoff, description="Wait between two tries.")
    timeout: Duration | None = Field(
        default=None,
        description="Longest time of one try, at least 1s; then it counts as ToolTimeout. Default: no limit but those "
        "of `timeouts`.",
    )
    on_interrupted: Literal["Retry", "Fail"] = Field(
        default="Retry",
        description="What a later start does about a call that began and has no recorded result, so that nobody knows "
        "whether it took effect: Retry calls the tool again, with the same idempotency key; Fail ends the job with "
        "ToolInterrupted. Default: Retry.",
    )


class Compaction(Model):
    """Older events of the session are replaced by a summary, for runs that outgrow the model's context."""

    every_events: Integer = Field(
        ge=2, le=100_000, description="After how many new events a summary is written. The summary is a step, too."
    )
    overlap: Integer = Field(
        default=0,
        ge=0,
        le=1000,
        description="How many events of the summary before are summarized again, so that the thread is kept; fewer "
        "than `everyEvents`. Default: 0.",
    )
    model: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        pattern=MODEL_NAME,
        description="Model that writes the summaries. Default: the root agent's.",
    )


class Steps(Model):
    """What is recorded while the agent runs, and how single steps are tried.

    A step is a model's whole answer, a tool's result, or a value of the agent's code.
    """

    checkpoint: Literal["Steps", "None"] = Field(
        default="Steps",
        description="Steps records each step before anything acts on it: a later start repeats no recorded step and "
        "continues with the first one that is missing. None keeps nothing for later starts, which all run the agent "
        "from its first step; steps are still recorded for people to read. Default: Steps.",
    )
    on_divergence: Literal["Continue", "Fail"] = Field(
        default="Continue",
        description="What happens when a later start asks a model or tool something other than what was recorded, for "
        "example because an instruction contains the time: Continue takes the recorded answer and says so in a "
        "warning; Fail ends the job with Diverged. Default: Continue.",
    )
    llm: ModelCalls = Field(default_factory=ModelCalls, description="How calls of models are tried.")
    tools: tuple[ToolCalls, ...] = Field(
        default=(),
        max_length=MAX_TOOL_RULES,
        description="How calls of tools are tried; the first entry that matches a tool's name counts. A tool without "
        "an entry has the defaults.",
    )
    compaction: Compaction | None = Field(
        default=None, description="Summaries in place of older events. Default: the session keeps all events."
    )
