"""AgentTemplate.spec: a job's spec without fields of a single run, with parameters and locked fields.

The fields of the work are those of `AgentJobSpec`, all optional: they stay raw until they are merged with a job.
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from agentjobs.api.changes import ALWAYS
from agentjobs.api.job.relations import MAX_PARAMETER, MAX_PARAMETERS, ParameterName
from agentjobs.api.model import Boolean, Model

NOT_IN_TEMPLATES: Final = ("templateRef", "parameters", "startAt", "startAfter", "after", "suspend", "cancel")
"""Fields of a job's spec that belong to one job; `parameters` of a template are their declarations."""
Lockable = Literal[
    "agent",
    "budget",
    "followUps",
    "input",
    "isolation",
    "notifications",
    "output",
    "partitionKey",
    "priority",
    "queue",
    "resultPolicy",
    "retry",
    "runtime",
    "session",
    "steps",
    "timeouts",
    "unique",
    "workspace",
]


class Parameter(Model):
    """A value that jobs give, for `$(params.<name>)` in the template's texts."""

    name: ParameterName = Field(description="Its name: letters, digits, `_` and `-`.")
    description: str | None = Field(default=None, max_length=1024, description="What it is for.")
    default: str | None = Field(
        default=None, max_length=MAX_PARAMETER, description="Value in jobs that do not set it. Default: the empty text."
    )
    required: Boolean = Field(default=False, description="Whether jobs must set it. Default: false.")
    enum: tuple[Annotated[str, Field(max_length=MAX_PARAMETER)], ...] = Field(
        default=(), max_length=64, description="Allowed values. Default: all."
    )


class TemplateFields(Model):
    """The fields of a template in addition to those of the work."""

    description: Annotated[str | None, ALWAYS] = Field(
        default=None, max_length=1024, description="What jobs of this template do."
    )
    parameters: Annotated[tuple[Parameter, ...], ALWAYS] = Field(
        default=(),
        max_length=MAX_PARAMETERS,
        description="The parameters that jobs may set, and no others.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    locked: Annotated[tuple[Lockable, ...], ALWAYS] = Field(
        default=(), max_length=32, description="Fields that jobs of this template must not set."
    )
