"""A job's relations to other objects: its template, jobs that it waits for, jobs with the same key, follow-ups."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from agentjobs.api.fields import DNS_LABEL, DNS_SUBDOMAIN, PARAMETER_NAME, Duration
from agentjobs.api.model import Integer, Model

MAX_TEMPLATE_NAME: Final = 63
"""Template names become label values."""
MAX_PARAMETERS: Final = 64
MAX_PARAMETER: Final = 4096
MAX_FOLLOW_UPS: Final = 16
MAX_ITEMS: Final = 100
"""Jobs of one `forEach`."""
MAX_AFTER: Final = 100
OF_TRIGGERS: Final = "trigger/"
"""Prefix of the `unique` keys that the gateway gives to jobs created by calls."""

ParameterName = Annotated[str, Field(min_length=1, max_length=63, pattern=PARAMETER_NAME)]
ParameterValue = Annotated[str, Field(max_length=MAX_PARAMETER)]
# The names of parameters are checked by `template`: a map in a CRD cannot restrict its keys.
Parameters = dict[str, ParameterValue]

EndPhase = Literal["Succeeded", "Failed", "Cancelled"]


class TemplateRef(Model):
    """An AgentTemplate of the same namespace."""

    name: str = Field(
        min_length=1, max_length=MAX_TEMPLATE_NAME, pattern=DNS_SUBDOMAIN, description="Name of the template."
    )


class After(Model):
    """Other jobs of the namespace that must have ended before this one is accepted; jobs, selector, or both."""

    jobs: tuple[Annotated[str, Field(min_length=1, max_length=63, pattern=DNS_LABEL)], ...] = Field(
        default=(), max_length=MAX_AFTER, description="Names of jobs, which need not exist yet."
    )
    selector: dict[str, Annotated[str, Field(max_length=63)]] = Field(
        default_factory=dict,
        max_length=8,
        description="Labels: all jobs that have them; at least one must exist.",
    )
    when: Literal["All", "Any"] = Field(
        default="All",
        description="Whether all of these jobs must have ended, in any phase, or one of them. Default: All.",
    )


class Unique(Model):
    """Runs only one of several equal jobs."""

    key: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="Jobs of the namespace with the same key are equal; may contain `$(…)`. Default: a hash of the "
        "work.",
    )
    period: Duration | None = Field(
        default=None,
        description="Only jobs created within this time of each other count, at least 1s. Default: no limit.",
    )
    states: Literal["Scheduled", "Incomplete", "Successful", "All"] = Field(
        default="Incomplete",
        description="Which earlier jobs count: Scheduled, those not started yet; Incomplete, those that have not "
        "ended; Successful, also those that succeeded; All. Default: Incomplete.",
    )
    on_conflict: Literal["Skip", "Replace"] = Field(
        default="Skip",
        description="Skip ends this job as Skipped. Replace cancels an earlier job that has not started, and this job "
        "takes its place; if the earlier one has started, this job is skipped. Default: Skip.",
    )


def is_of_a_trigger(spec: Mapping[str, Any]) -> bool:
    """Whether a job's `unique` was set by a trigger, so that its template's takes precedence. Never raises."""
    unique = spec.get("unique")
    key = unique.get("key") if isinstance(unique, Mapping) else None
    return isinstance(key, str) and key.startswith(OF_TRIGGERS)


class FollowUpInput(Model):
    """The input of a follow-up."""

    message: str = Field(
        min_length=1, max_length=65536, description="Replaces the message of the template. May hold `$(…)`."
    )


class FollowUp(Model):
    """A job that is created when this one has ended."""

    name: str = Field(
        min_length=1,
        max_length=40,
        pattern=DNS_LABEL,
        description="Name of the follow-up; its job is `<job>-<name>-<hash>`.",
    )
    when: tuple[EndPhase, ...] = Field(
        default=(), max_length=3, description="Phases of this job's end. Default: Succeeded."
    )
    outcomes: tuple[Annotated[str, Field(min_length=1, max_length=63)], ...] = Field(
        default=(), max_length=32, description="Only for these outcomes of the answer, see `output.outcomeKey`."
    )
    template_ref: TemplateRef = Field(description="What runs.")
    parameters: Parameters = Field(
        default_factory=dict, max_length=MAX_PARAMETERS, description="Values of its parameters. May hold `$(…)`."
    )
    input: FollowUpInput | None = Field(default=None, description="Its input, instead of the template's.")
    queue: str | None = Field(
        default=None, min_length=1, max_length=63, pattern=DNS_LABEL, description="Its queue. Default: the template's."
    )
    priority: Integer | None = Field(default=None, ge=0, le=9, description="Its priority. Default: the template's.")
    start_after: Duration | None = Field(default=None, description="Delay of its first start after its creation.")
    inherit: tuple[Literal["Session", "Workspace"], ...] = Field(
        default=(),
        max_length=4,
        description="What it shares with this job. Session: it continues this job's ADK session. Workspace: it uses "
        "this job's repository and worktree, which must be Named; its template decides what it publishes.",
    )
    for_each: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="`$(result.<path>)` of a list in the answer: one job for each item, at most "
        f"{MAX_ITEMS}. `$(item)` and `$(item.<path>)` are the item, `$(index)` its index from 0.",
    )
    after: tuple[Annotated[str, Field(min_length=1, max_length=40, pattern=DNS_LABEL)], ...] = Field(
        default=(),
        max_length=MAX_FOLLOW_UPS,
        description="Names of earlier follow-ups in the list: its job waits until all of their jobs have ended, and "
        "can read their answers as `$(after.results)`.",
    )
