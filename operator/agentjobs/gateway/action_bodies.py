"""What users send with actions. Keys that are not known are refused: an action with half of its wishes is another."""

from typing import Annotated, Any, Final, TypeVar

import msgspec
from fastapi import Request
from msgspec import Meta

from agentjobs.api.fields import PARAMETER_NAME
from agentjobs.api.job.relations import MAX_PARAMETER, MAX_PARAMETERS
from agentjobs.api.job.spec import MAX_JOB_NAME
from agentjobs.api.raw_status import MAX_RESUME
from agentjobs.gateway.bodies import SCHEMA_REF, parse
from agentjobs.gateway.limits import read_body

Model = TypeVar("Model", bound=msgspec.Struct)

MAX_BODY_BYTES: Final = 1024 * 1024
_MAX_MESSAGE: Final = 65536
"""Characters, as of `spec.input.message`."""

_JobName = Annotated[str, Meta(min_length=1, max_length=MAX_JOB_NAME)]
_QueueName = Annotated[str, Meta(min_length=1, max_length=253)]
_Parameter = Annotated[str, Meta(min_length=1, max_length=63, pattern=f"{PARAMETER_NAME}(?!\\n)")]
_Value = Annotated[str, Meta(max_length=MAX_PARAMETER)]
_Asked = Annotated[str, Meta(min_length=1, max_length=MAX_RESUME, pattern=r"^[-._a-zA-Z0-9]+$(?!\n)")]


class NothingBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`{}`, or no body at all."""


class RerunBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a job is run again."""

    name: _JobName | None = None
    """Of the new job; one is made up by default."""


class ScaleBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many jobs of a queue hold a slot at once."""

    max: Annotated[int, Meta(ge=0, le=2**31 - 1)]


class AskBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which job of a schedule is asked for."""

    value: _Asked | None = None
    """The same value asks for the same job, so that it may be sent twice."""


class RunBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The job of a template."""

    name: _JobName | None = None
    """With a name, running twice makes one job."""
    parameters: Annotated[dict[_Parameter, _Value], Meta(max_length=MAX_PARAMETERS)] = msgspec.field(
        default_factory=dict
    )
    message: Annotated[str, Meta(min_length=1, max_length=_MAX_MESSAGE)] | None = None
    queue: _QueueName | None = None


MODELS: Final = (NothingBody, RerunBody, ScaleBody, AskBody, RunBody)
"""For the OpenAPI document."""


async def body_of(request: Request, model: type[Model]) -> Model:
    """Return the body of an action; none counts as `{}`.

    Raises:
        Problem: 400, 408, 413, 422.
    """
    return parse(model, await read_body(request, MAX_BODY_BYTES) or b"{}")


def takes(model: type[msgspec.Struct]) -> dict[str, Any]:
    """Return what a route adds to its OpenAPI entry to say which body it may have."""
    schema = {"$ref": SCHEMA_REF.format(model=model.__name__)}
    required = bool([one for one in msgspec.structs.fields(model) if one.required])
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}
