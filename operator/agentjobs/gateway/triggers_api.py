"""The route of triggers: calls that create jobs from templates, with a Kubernetes token or a signature.

A caller with a token needs the right to `create agentjobs` in the namespace, and `get agentjobs` to receive a job that
an earlier call created. The gateway uses this token and no rights of its own.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Request, Response
from msgspec import Meta

from agentjobs.api.fields import DNS_SUBDOMAIN, PARAMETER_NAME
from agentjobs.api.job.relations import MAX_PARAMETER, MAX_PARAMETERS, MAX_TEMPLATE_NAME
from agentjobs.api.job.spec import MAX_JOB_NAME
from agentjobs.gateway.bodies import parse
from agentjobs.gateway.limits import announced, read_body
from agentjobs.gateway.paths import PLACE, Namespace
from agentjobs.gateway.problems import json_answer
from agentjobs.gateway.rights import acting, authorize
from agentjobs.gateway.services import Services, services_of
from agentjobs.gateway.triggers.answering import MAX_BODY_BYTES, Call, Challenge, Ignored
from agentjobs.gateway.triggers.calls import Unreadable, short_key
from agentjobs.gateway.triggers.file import Signature
from agentjobs.gateway.triggers.jobs import CallJob, Wanted, made_before, make, own_rights
from agentjobs.history.protocols import ReadHistory
from agentjobs.problem import Problem

ROUTE: Final = PLACE + "/triggers/{template}"
Template = Annotated[str, Path(max_length=MAX_TEMPLATE_NAME, pattern=DNS_SUBDOMAIN)]

_Parameter = Annotated[str, Meta(min_length=1, max_length=63, pattern=f"{PARAMETER_NAME}(?!\\n)")]
_Value = Annotated[str, Meta(max_length=MAX_PARAMETER)]

router = APIRouter(tags=["triggers"])


class InputBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`spec.input` of the job."""

    message: Annotated[str, Meta(min_length=1, max_length=65536)]


class TriggerBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a call with a token."""

    parameters: Annotated[dict[_Parameter, _Value], Meta(max_length=MAX_PARAMETERS)] = msgspec.field(
        default_factory=dict
    )
    input: InputBody | None = None
    idempotencyKey: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None  # noqa: N815  the API's name
    name: Annotated[str, Meta(min_length=1, max_length=MAX_JOB_NAME)] | None = None


@router.post(ROUTE, status_code=201)
async def trigger(request: Request, namespace: Namespace, template: Template) -> Response:
    """Create a job from a template: 201 with its name and uid, or 200 if the same call created it before."""
    services = services_of(request)
    if "authorization" in request.headers:
        return await _with_token(request, services, namespace, template)
    address = request.client.host if request.client else ""

    async with _body(request, services) as body:
        call = Call(namespace, template, request.headers, body, address)
        return _answer(*await services.signed_calls.answer(call, services.kube, lambda: _history(services)))


async def _with_token(request: Request, services: Services, namespace: str, template: str) -> Response:
    # Before the body is read. The API server authorizes the creation again.
    await authorize(request, "create", namespace=namespace)
    async with _body(request, services) as raw:
        body = parse(TriggerBody, raw or b"{}")
    try:
        key = None if body.idempotencyKey is None else short_key(body.idempotencyKey)
    except Unreadable as error:
        raise Problem(400, "BadRequest", f"idempotencyKey: {error}.") from None
    message = None if body.input is None else body.input.message
    wanted = Wanted(namespace, template, body.parameters, key=key, name=body.name, message=message)
    # A name that the caller chose may have been another call's.
    if key is not None and body.name is None:
        before = await made_before(lambda: _history(services), wanted, now=datetime.now(UTC))
        if before is not None:
            await authorize(request, "get", namespace=namespace, name=before.job)
            return _of_job(before, 200)
    with own_rights():
        made = await make(await acting(request), wanted)
    return _of_job(made, 201 if made.created else 200)


async def _history(services: Services) -> ReadHistory:
    return (await services.history()).people


@asynccontextmanager
async def _body(request: Request, services: Services) -> AsyncIterator[bytes]:
    size = min(announced(request) or MAX_BODY_BYTES, MAX_BODY_BYTES)
    async with services.signed_calls.bodies.taken(size):
        yield await read_body(request, MAX_BODY_BYTES)


def _answer(signature: Signature, outcome: CallJob | Challenge | Ignored) -> Response:
    match outcome:
        case Challenge(challenge):
            return json_answer({"challenge": challenge})
        case Ignored():
            return json_answer({"ignored": True})
        case CallJob() if signature is Signature.SLACK:
            # Slack accepts no other status, and shows the text to the user who typed a command.
            return _of_job(
                outcome, 200, text=f"Job {outcome.job} {'was created' if outcome.created else 'already exists'}."
            )
        case CallJob():
            return _of_job(outcome, 201 if outcome.created else 200)


def _of_job(made: CallJob, status: int, **more: Any) -> Response:
    answer = json_answer({"job": made.job, "uid": made.uid, "created": made.created, **more})
    answer.status_code = status
    return answer
