"""Routes of runners: the attempt, its steps, events, heartbeats and result.

Paths do not name a job: the token identifies the pod, and the pod its start (`auth`). Claim and fence are in the
database: a runner that has lost its start gets 409 Fenced and exits. Requests are authenticated before bodies are read.
"""

import logging
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from agentjobs import contract
from agentjobs.auth import RunnerIdentity
from agentjobs.gateway.bodies import EventsBody, HeartbeatBody, ResultDocumentBody, StepsBody, openapi_body, parse
from agentjobs.gateway.limits import read_body
from agentjobs.gateway.problems import json_answer
from agentjobs.gateway.services import (
    Bodies,
    Runner,
    StepBudget,
    Traces,
    Writes,
    admitted,
    recording,
    services_of,
    writes_of,
)
from agentjobs.history.steps import MAX_PAGE_STEPS
from agentjobs.tracing import named

logger = logging.getLogger(__name__)

# Heartbeats are empty today; later runners may add something small.
MAX_HEARTBEAT_BYTES: Final = 4 * 1024

router = APIRouter(tags=["runner"])


@router.get(contract.PATH_ATTEMPT)
async def get_attempt(runner: Runner, writes: Writes, spans: Traces) -> Response:
    """Claim the start for the pod of the token, and return `contract.Attempt`: everything it needs to run."""
    began = datetime.now(UTC)
    place = {"namespace": runner.namespace, "job": runner.job}
    attempt = await writes.claim(runner.uid, runner.start, runner.pod_uid, **place, budget=runner.budget)
    spans.part(runner.uid, runner.start, "claim", begin=began, end=datetime.now(UTC), attributes={})
    logger.info("attempt.claimed", extra=_fields(runner))
    return json_answer(attempt)


@router.post(contract.PATH_EVENTS, status_code=204, openapi_extra=openapi_body(EventsBody))
async def post_events(request: Request) -> Response:
    """Store entries of the start's timeline. An entry that is sent twice is stored once."""
    services, limit = services_of(request), contract.MAX_EVENTS_BODY_BYTES
    async with admitted(request) as runner:
        writes = await writes_of(request)
        received = services.intake.body(request, EventsBody, limit, job=runner.job_key, pod=runner.pod_uid)
        async with received as body:
            events = [event.to_contract() for event in body.events]
            services.metrics.recorded(await writes.add_events(runner.uid, runner.start, runner.pod_uid, events))
    return Response(status_code=204)


@router.get(contract.PATH_STEPS)
async def get_steps(
    runner: Runner,
    writes: Writes,
    budget: StepBudget,
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="Only steps after this number.")] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_STEPS)] = MAX_PAGE_STEPS,
) -> Response:
    """Return `contract.StepsPage`: about 1 MiB of the steps of the run in order, without void steps."""
    async with budget.taken():
        page = await writes.read_steps(runner.uid, runner.start, runner.pod_uid, after=after, limit=limit)
    return json_answer(page)


@router.post(contract.PATH_STEPS, openapi_extra=openapi_body(StepsBody))
async def post_steps(request: Request) -> Response:
    """Record steps, all or none. Steps that are sent twice are recorded once. Returns `contract.StepsAnswer`."""
    services, limit = services_of(request), contract.MAX_STEPS_BODY_BYTES
    bodies = services.intake
    async with recording(request) as runner:
        writes = await writes_of(request)
        received = bodies.body(request, StepsBody, limit, job=runner.job_key, pod=runner.pod_uid, rates=bodies.steps)
        async with received as body:
            appended = await writes.append_steps(runner.uid, runner.start, runner.pod_uid, body.to_contract())
    services.metrics.stepped(appended.recorded)
    return json_answer(contract.StepsAnswer(last=appended.last))


@router.post(contract.PATH_HEARTBEAT, status_code=204, openapi_extra=openapi_body(HeartbeatBody))
async def post_heartbeat(request: Request) -> Response:
    """Record a heartbeat of the runner. The body may be empty."""
    async with admitted(request) as runner:
        writes = await writes_of(request)
        if raw := await read_body(request, MAX_HEARTBEAT_BYTES):
            parse(HeartbeatBody, raw)
        await writes.heartbeat(runner.uid, runner.start, runner.pod_uid)
    return Response(status_code=204)


@router.put(contract.PATH_RESULT, openapi_extra=openapi_body(ResultDocumentBody))
async def put_result(runner: Runner, writes: Writes, spans: Traces, bodies: Bodies, request: Request) -> Response:
    """Store how the start ended, and return the final result of the job, which may be that of another start."""
    began = datetime.now(UTC)
    limit = contract.MAX_RESULT_BYTES
    async with bodies.body(request, ResultDocumentBody, limit, job=runner.job_key, pod=runner.pod_uid) as body:
        document = body.to_contract()
        final = await writes.put_result(runner.uid, runner.start, runner.pod_uid, document)
    attributes = named(verdict=document["verdict"])
    spans.part(runner.uid, runner.start, "result", begin=began, end=datetime.now(UTC), attributes=attributes)
    ending = {"verdict": document["verdict"], "reason": document["reason"]}
    logger.info("result.stored", extra=_fields(runner) | ending)
    return json_answer({"final": final})


def _fields(runner: RunnerIdentity) -> dict[str, Any]:
    return {
        "namespace": runner.namespace,
        "job": runner.job,
        "uid": runner.uid,
        "start": runner.start,
        "pod": runner.pod,
    }
