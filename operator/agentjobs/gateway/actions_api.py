"""Actions of users on jobs, queues, schedules and templates, and the log of actions.

An action is an operation of the Python client with the caller's credentials (acting.py), so the API server authorizes
it. Each action is recorded (audit.py), including refused ones.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request

from agentjobs.api.queues.spec import StopPolicy
from agentjobs.api.recorded_overview import ActionDone, RecordedActions
from agentjobs.api_resource import Resource
from agentjobs.auth import User
from agentjobs.client.effects import Operation
from agentjobs.client.job import Job
from agentjobs.client.job_queue import Queue
from agentjobs.client.operations import Operations, new_name, of_template
from agentjobs.client.queue_operations import QueueOperations
from agentjobs.client.schedule import Schedule
from agentjobs.client.schedule_operations import ScheduleOperations
from agentjobs.gateway import rights
from agentjobs.gateway.acting import RETRY_SECONDS, Acting, acting_as_caller
from agentjobs.gateway.action_bodies import (
    NothingBody,
    RerunBody,
    RunBody,
    ScaleBody,
    TriggerScheduleBody,
    body_of,
    takes,
)
from agentjobs.gateway.audit import PendingAction, audited
from agentjobs.gateway.named_jobs import NamedJob, may_be_uid, named_job
from agentjobs.gateway.paths import (
    COLLECTION,
    QUEUE,
    SCHEDULE,
    TEMPLATE,
    Cursor,
    Limit,
    Name,
    Namespace,
    ObjectName,
)
from agentjobs.gateway.queue_counts import is_in_use
from agentjobs.gateway.rights import InScope
from agentjobs.gateway.services import ActionsDone, ReadBudget, services_of
from agentjobs.history.pages import DEFAULT_LIMIT
from agentjobs.kube.resources import AGENTJOBS, AGENTQUEUES, AGENTSCHEDULES
from agentjobs.problem import Problem

# A running operator creates the job of a trigger immediately. If no operator runs, the user should not have to wait.
_TRIGGER_SECONDS: Final = 5.0
_ENDED: Final = "The job had already ended, so nothing was changed."
_DELETED: Final = "The job is being deleted, so this has no effect."
_CANCELLED: Final = "The job is being cancelled, so this has no effect."

router = APIRouter(tags=["actions"])


@router.get("/v1/actions")
async def list_actions(
    scope: InScope,
    log: ActionsDone,
    budget: ReadBudget,
    uid: Annotated[
        str | None,
        Query(max_length=253, pattern="^[-a-z0-9.]*$", description="Only actions on the job with this uid."),
    ] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> RecordedActions:
    """List the actions of users through REST and the dashboard, including refused ones, newest first."""
    async with budget.taken():
        page = await log.actions(scope, uid=uid or None, limit=limit, cursor=cursor)
    return RecordedActions(items=page.items, cursor=page.cursor)


@router.post(COLLECTION + "/{name}/cancel", openapi_extra=takes(NothingBody))
async def cancel_job(request: Request, namespace: Namespace, name: Name) -> ActionDone:
    """Cancel a job: it stops and does not start again."""
    return await _ordered(request, PendingAction("AgentJob", namespace, name, "cancel"), Operations.cancel)


@router.post(COLLECTION + "/{name}/suspend", openapi_extra=takes(NothingBody))
async def suspend_job(request: Request, namespace: Namespace, name: Name) -> ActionDone:
    """Suspend a job: it stops its pod and waits until it is resumed."""
    return await _ordered(request, PendingAction("AgentJob", namespace, name, "suspend"), Operations.suspend)


@router.post(COLLECTION + "/{name}/resume", openapi_extra=takes(NothingBody))
async def resume_job(request: Request, namespace: Namespace, name: Name) -> ActionDone:
    """Resume a suspended job."""
    return await _ordered(request, PendingAction("AgentJob", namespace, name, "resume"), Operations.resume)


@router.post(COLLECTION + "/{name}/rerun", openapi_extra=takes(RerunBody))
async def rerun_job(request: Request, namespace: Namespace, name: Name) -> ActionDone:
    """Submit the work of a job as a new job, optionally with changes.

    If the object of the job is gone, or if it has a template and nothing is changed, this also takes `get configmaps`.
    With changes, a job with a template is made from the template as it is now.
    """
    pending = PendingAction("AgentJob", namespace, name, "rerun")
    user = await _allowed(request, pending, "create", AGENTJOBS)
    body = await body_of(request, RerunBody)
    async with _as_caller(request, user, pending) as caller:
        job = await _named(request, pending)
        again = Operations(namespace, RETRY_SECONDS).rerun(
            job.name, uid=job.uid, new_name_=body.name, edits=body.edits()
        )
        pending.message = (await caller.run(again)).name
    return _done(pending, made=pending.message)


@router.post(QUEUE + "/pause", openapi_extra=takes(NothingBody))
async def pause_queue(request: Request, namespace: Namespace, name: ObjectName) -> ActionDone:
    """Pause a queue: it starts no more jobs, and running jobs continue."""
    return await _stopped(request, PendingAction("AgentQueue", namespace, name, "pause"), "Hold")


@router.post(QUEUE + "/drain", openapi_extra=takes(NothingBody))
async def drain_queue(request: Request, namespace: Namespace, name: ObjectName) -> ActionDone:
    """Drain a queue: it starts no more jobs, and running jobs are suspended after their current step."""
    return await _stopped(request, PendingAction("AgentQueue", namespace, name, "drain"), "HoldAndDrain")


@router.post(QUEUE + "/resume", openapi_extra=takes(NothingBody))
async def resume_queue(request: Request, namespace: Namespace, name: ObjectName) -> ActionDone:
    """Resume a queue: it starts jobs again."""
    return await _stopped(request, PendingAction("AgentQueue", namespace, name, "resume"), "None")


@router.post(QUEUE + "/scale", openapi_extra=takes(ScaleBody))
async def scale_queue(request: Request, namespace: Namespace, name: ObjectName) -> ActionDone:
    """Set the number of jobs of a queue that may hold a slot at the same time."""
    pending = PendingAction("AgentQueue", namespace, name, "scale")
    user = await _allowed(request, pending, "patch", AGENTQUEUES)
    most = (await body_of(request, ScaleBody)).max

    def scaled(do: QueueOperations, known: bool | None) -> Operation[tuple[Queue, bool]]:
        return do.scale(name, most, known=known)

    return await _queue(request, user, pending, scaled)


@router.post(SCHEDULE + "/trigger", openapi_extra=takes(TriggerScheduleBody))
async def trigger_schedule(request: Request, namespace: Namespace, name: ObjectName) -> ActionDone:
    """Trigger a schedule: create a job now. `made` is null if no operator has created it within five seconds."""
    pending = PendingAction("AgentSchedule", namespace, name, "trigger")
    user = await _allowed(request, pending, "patch", AGENTSCHEDULES)
    value = (await body_of(request, TriggerScheduleBody)).value
    async with _as_caller(request, user, pending) as caller:
        do = ScheduleOperations(namespace, RETRY_SECONDS)
        triggered = do.trigger(name, value=value, timeout=_TRIGGER_SECONDS)
        try:
            made: str | None = (await caller.run(triggered)).name
            pending.message = made or ""
        except TimeoutError as error:
            # The request remains: an operator that returns creates the job.
            made, pending.message = None, str(error)
    return _done(pending, made=made)


@router.post(SCHEDULE + "/suspend", openapi_extra=takes(NothingBody))
async def suspend_schedule(request: Request, namespace: Namespace, name: ObjectName) -> ActionDone:
    """Suspend a schedule: it creates no jobs."""
    return await _schedule(
        request, PendingAction("AgentSchedule", namespace, name, "suspend"), ScheduleOperations.suspend
    )


@router.post(SCHEDULE + "/resume", openapi_extra=takes(NothingBody))
async def resume_schedule(request: Request, namespace: Namespace, name: ObjectName) -> ActionDone:
    """Resume a schedule that was suspended or stopped after too many failures."""
    return await _schedule(
        request, PendingAction("AgentSchedule", namespace, name, "resume"), ScheduleOperations.resume
    )


@router.post(TEMPLATE + "/run", openapi_extra=takes(RunBody))
async def run_template(request: Request, namespace: Namespace, name: ObjectName) -> ActionDone:
    """Create a job from a template. With a `name`, repeating the request creates no second job."""
    pending = PendingAction("AgentTemplate", namespace, name, "run")
    user = await _allowed(request, pending, "create", AGENTJOBS)
    body = await body_of(request, RunBody)
    more = {} if body.queue is None else {"queue": body.queue}
    spec = of_template(name, body.parameters, message=body.message, spec=more)
    job_name = body.name or new_name(name.replace(".", "-"))
    async with _as_caller(request, user, pending) as caller:
        submitted = Operations(namespace, RETRY_SECONDS).submit(spec, name=job_name, labels=None, annotations=None)
        pending.message = (await caller.run(submitted)).name
    return _done(pending, made=pending.message)


async def _ordered(request: Request, pending: PendingAction, order: Callable[..., Operation[Job]]) -> ActionDone:
    user = await _allowed(request, pending, "patch", AGENTJOBS)
    await body_of(request, NothingBody)
    async with _as_caller(request, user, pending) as caller:
        named = await _named(request, pending)
        job = await caller.run(order(Operations(pending.namespace, RETRY_SECONDS), named.name, uid=named.uid))
        pending.uid = job.uid
        pending.message = _without_effect(job, pending.action)
    return _done(pending)


def _without_effect(job: Job, action: str) -> str:
    """Return why an order does not affect the job; empty if it does."""
    if job.finished:
        return _ENDED
    if action == "cancel":
        return ""
    return _DELETED if job.deleting else _CANCELLED if job.cancelled else ""


async def _stopped(request: Request, pending: PendingAction, policy: StopPolicy) -> ActionDone:
    user = await _allowed(request, pending, "patch", AGENTQUEUES)
    await body_of(request, NothingBody)

    def stopped(do: QueueOperations, known: bool | None) -> Operation[tuple[Queue, bool]]:
        return do.stop(pending.name, policy, known=known)

    return await _queue(request, user, pending, stopped)


async def _queue(
    request: Request,
    user: User,
    pending: PendingAction,
    change: Callable[[QueueOperations, bool | None], Operation[tuple[Queue, bool]]],
) -> ActionDone:
    async with _as_caller(request, user, pending) as caller:
        known = await is_in_use(request, pending.namespace, pending.name)
        _, made = await caller.run(change(QueueOperations(pending.namespace, RETRY_SECONDS), known))
        pending.message = (
            "Its AgentQueue was created; settings that it does not have come from the installation." if made else ""
        )
    return _done(pending)


async def _schedule(
    request: Request, pending: PendingAction, change: Callable[[ScheduleOperations, str], Operation[Schedule]]
) -> ActionDone:
    user = await _allowed(request, pending, "patch", AGENTSCHEDULES)
    await body_of(request, NothingBody)
    async with _as_caller(request, user, pending) as caller:
        await caller.run(change(ScheduleOperations(pending.namespace, RETRY_SECONDS), pending.name))
    return _done(pending)


async def _allowed(request: Request, pending: PendingAction, verb: str, resource: Resource) -> User:
    """Return the caller if they may do this, before the body is read. A refusal is recorded."""
    user = await rights.authenticate(request)
    if pending.kind == "AgentJob" and may_be_uid(pending.name):
        pending.uid = pending.name  # so that refused actions are listed with the job, too
    name = "" if verb == "create" else pending.name
    try:
        await rights.authorize(request, verb, namespace=pending.namespace, name=name, resource=resource)
    except Problem:
        async with audited(request, user, pending):
            raise
    return user


@asynccontextmanager
async def _as_caller(request: Request, user: User, pending: PendingAction) -> AsyncIterator[Acting]:
    """Yield an `Acting` for the caller. The result is recorded, including a refusal for lack of capacity."""
    room = services_of(request).as_callers
    async with audited(request, user, pending), room.taken(), acting_as_caller(request) as caller:
        yield caller


async def _named(request: Request, pending: PendingAction) -> NamedJob:
    job = await named_job(request, pending.namespace, pending.name)
    pending.name, pending.uid = job.name, job.uid or ""
    return job


def _done(pending: PendingAction, *, made: str | None = None) -> ActionDone:
    message = "" if pending.message == made else pending.message
    return ActionDone(
        namespace=pending.namespace,
        kind=pending.kind,
        name=pending.name,
        action=pending.action,
        made=made,
        message=message,
    )
