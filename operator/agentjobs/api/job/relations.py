"""What relates a job to others: its template, the jobs that it waits for, its twins, the jobs that follow it."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from agentjobs.api.fields import DNS_LABEL, DNS_SUBDOMAIN, PARAMETER_NAME, Duration
from agentjobs.api.model import Integer, Model

MAX_TEMPLATE_NAME: Final = 63
"""Names of templates become label values."""
MAX_PARAMETERS: Final = 64
MAX_PARAMETER: Final = 4096
MAX_FOLLOW_UPS: Final = 16
MAX_ITEMS: Final = 100
"""Children of one `forEach`."""
MAX_AFTER: Final = 100
OF_TRIGGERS: Final = "trigger/"
"""How the keys of `unique` begin that the gateway gives to jobs of calls."""

ParameterName = Annotated[str, Field(min_length=1, max_length=63, pattern=PARAMETER_NAME)]
ParameterValue = Annotated[str, Field(max_length=MAX_PARAMETER)]
# The names of parameters are checked by `template`: a map of the CRD says nothing of its keys.
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
        default=(), max_length=MAX_AFTER, description="Names of jobs. One that does not exist yet is waited for."
    )
    selector: dict[str, Annotated[str, Field(max_length=63)]] = Field(
        default_factory=dict,
        max_length=8,
        description="Labels: all jobs that have them. At least one job must have them.",
    )
    when: Literal["All", "Any"] = Field(
        default="All",
        description="Whether all of these jobs must have ended, however they ended, or one of them. Default: All.",
    )


class Unique(Model):
    """Lets only one of several equal jobs run."""

    key: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="Jobs of the namespace with the same key are equal; may hold `$(…)`. Default: a hash of the work.",
    )
    period: Duration | None = Field(
        default=None,
        description="Only jobs created within this time of each other count, at least 1s. Default: all, however old.",
    )
    states: Literal["Scheduled", "Incomplete", "Successful", "All"] = Field(
        default="Incomplete",
        description="Which earlier jobs count: Scheduled, those without a first start; Incomplete, those that have not "
        "ended; Successful, these and those that succeeded; All. Default: Incomplete.",
    )
    on_conflict: Literal["Skip", "Replace"] = Field(
        default="Skip",
        description="Skip ends this job as Skipped. Replace cancels an earlier job that has had no start, and this one "
        "takes its place; where the earlier one has had a start, this one is skipped. Default: Skip.",
    )


def is_of_a_trigger(spec: Mapping[str, Any]) -> bool:
    """Whether a job's `unique` is a trigger's, which gives way to its template's. Never raises."""
    unique = spec.get("unique")
    key = unique.get("key") if isinstance(unique, Mapping) else None
    return isinstance(key, str) and key.startswith(OF_TRIGGERS)


class FollowUpInput(Model):
    """The input of a follow-up."""

    message: str = Field(
        min_length=1, max_length=65536, description="Replaces the message of the template. May hold `$(…)`."
    )


class FollowUp(Model):
    """A job that is made when this one has ended."""

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
    input: FollowUpInput | None = Field(default=None, description="What its agent is told, instead of the template's.")
    queue: str | None = Field(
        default=None, min_length=1, max_length=63, pattern=DNS_LABEL, description="Its queue. Default: the template's."
    )
    priority: Integer | None = Field(default=None, ge=0, le=9, description="Its priority. Default: the template's.")
    start_after: Duration | None = Field(default=None, description="Not before its creation plus this.")
    inherit: tuple[Literal["Session", "Workspace"], ...] = Field(
        default=(),
        max_length=4,
        description="What it takes over. Session: it continues this job's ADK session. Workspace: its repository and "
        "worktree are this job's, which must be Named; what it publishes is its template's.",
    )
    for_each: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="`$(result.<path>)` of a list in the answer: one job for each item, at most "
        f"{MAX_ITEMS}. `$(item)` and `$(item.<path>)` are the item, `$(index)` its number from 0.",
    )
    after: tuple[Annotated[str, Field(min_length=1, max_length=40, pattern=DNS_LABEL)], ...] = Field(
        default=(),
        max_length=MAX_FOLLOW_UPS,
        description="Names of follow-ups before it in the list: its job waits until all of their jobs have ended, and "
        "may read their answers as `$(after.results)`.",
    )
