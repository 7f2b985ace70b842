"""Routes that read the API server as the caller: objects, Events, logs, queues, schedules and templates.

Every request goes to the API server with the caller's credentials, so the API server authorizes it. Lists are limited,
and jobs are counted in history, because listing all jobs of a namespace is expensive for the API server.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse

from agentjobs import errors
from agentjobs.api.queues.counts import queues_without_object
from agentjobs.api.recorded_overview import (
    LOG_TRUNCATED,
    ClusterObject,
    KubernetesEvents,
    QueueItem,
    QueueList,
    ScheduleItem,
    ScheduleList,
    TemplateItem,
    TemplateList,
)
from agentjobs.api_resource import Resource
from agentjobs.client.logs import relevant_container
from agentjobs.contract import controller_of, pod_name
from agentjobs.gateway import cluster_objects, kubernetes_events, rights
from agentjobs.gateway.acting import refusals_as_problems
from agentjobs.gateway.named_jobs import KnownJob, known_job, named_job, object_of
from agentjobs.gateway.paths import COLLECTION, PLACE, QUEUE, SCHEDULE, TEMPLATE, Name, Namespace, ObjectName
from agentjobs.gateway.queue_counts import queues_in_use
from agentjobs.gateway.services import services_of
from agentjobs.kube.client import KubeClient
from agentjobs.kube.resources import AGENTJOBS, AGENTQUEUES, AGENTSCHEDULES, AGENTTEMPLATES, EVENTS, PODS
from agentjobs.kube.wire import Obj
from agentjobs.problem import Problem, unavailable

MAX_LINES: Final = 5000
MAX_LOG_BYTES: Final = 1024 * 1024
# The limits of one list. A single object may be larger than one megabyte.
MAX_OBJECTS: Final = 1000
_MAX_OBJECTS_BYTES: Final = 8 * 1024 * 1024
_PAGE: Final = 100
_MAX_EVENTS: Final = 500
_STARTS_WITH_EVENTS: Final = 5
_SECONDS: Final = 10.0

_TRUNCATED: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "headers": {
            LOG_TRUNCATED: {
                "description": "Whether the log has earlier lines, or an earlier part of the first line.",
                "schema": {"type": "string", "enum": ["true", "false"]},
            }
        }
    }
}

router = APIRouter(tags=["cluster"])


@router.get(COLLECTION + "/{name}/object")
async def get_object(request: Request, namespace: Namespace, name: Name) -> ClusterObject:
    """Return the object of a job; 404 if it is gone, or if a uid is given and another job has its name now."""
    async with _as_caller(request, "get", AGENTJOBS, namespace, name) as cluster:
        found = await object_of(cluster, namespace, await named_job(request, namespace, name))
    return ClusterObject(object=cluster_objects.plain(found))


@router.get(COLLECTION + "/{name}/kubernetes-events")
async def list_kubernetes_events(request: Request, namespace: Namespace, name: Name) -> KubernetesEvents:
    """List the Kubernetes Events of a job and of the pods of its last five starts."""
    async with _as_caller(request, "get", AGENTJOBS, namespace, name) as cluster:
        job = await known_job(request, cluster, namespace, name)
        try:
            found, truncated = await _events(cluster, namespace, job)
        except errors.Denied:
            return KubernetesEvents(items=[], readable=False)
    return KubernetesEvents(items=kubernetes_events.readable(found), truncated=truncated)


@router.get(COLLECTION + "/{name}/logs", response_class=PlainTextResponse, responses=_TRUNCATED)
async def get_logs(
    request: Request,
    namespace: Namespace,
    name: Name,
    start: Annotated[
        int | None, Query(ge=1, le=2**31 - 1, description="The number of the start; the newest by default.")
    ] = None,
    lines: Annotated[int, Query(ge=1, le=MAX_LINES, description="The number of lines, from the end.")] = 500,
    container: Annotated[
        str | None,
        Query(
            max_length=63,
            pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
            description="`runner`; jobs with a workspace also have `workspace` and `publish`. By default the runner, "
            "or the container before it that failed.",
        ),
    ] = None,
    previous: Annotated[bool, Query(description="The log of the previous container in the same pod.")] = False,
    timestamps: Annotated[
        bool, Query(description="Whether each line begins with the time at which it was written, and a space.")
    ] = False,
) -> PlainTextResponse:
    """Return the log of a start's pod, at most the newest 1 MiB; 404 with reason PodGone if the pod is gone.

    The header `Agentjobs-Log-Truncated` is `true` if the log has earlier lines than those, else `false`.
    """
    async with _as_caller(request, "get", AGENTJOBS, namespace, name) as cluster:
        job = await known_job(request, cluster, namespace, name)
        pod = await _pod(cluster, namespace, job, start or job.starts)
        chosen = container or relevant_container(pod)
        if chosen not in cluster_objects.containers(pod):
            raise Problem(404, "NoContainer", f"The pod has no container {chosen!r}.")
        try:
            log = await cluster.log(
                namespace,
                pod["metadata"]["name"],
                container=chosen,
                lines=lines,
                most=MAX_LOG_BYTES,
                previous=previous,
                timestamps=timestamps,
            )
        except errors.NotFound:
            raise _pod_gone(job, start or job.starts) from None
        except errors.Invalid as error:
            raise Problem(409, "NoLog", f"The container has no log now: {error}") from error
    headers = {LOG_TRUNCATED: "true" if log.is_truncated else "false"}
    return PlainTextResponse(log.content.decode("utf-8", "replace"), headers=headers)


@router.get(PLACE + "/queues")
async def list_queues(
    request: Request,
    namespace: Namespace,
    count: Annotated[bool, Query(description="`false` counts no jobs and lists only queues with an object.")] = True,
) -> QueueList:
    """List the queues of a namespace: those with an object, and those with jobs."""
    async with _as_caller(request, "list", AGENTQUEUES, namespace) as cluster:
        found, truncated = await _listed(cluster, AGENTQUEUES, namespace)
        counts = await queues_in_use(request, namespace) if count else None
    items = [cluster_objects.queue(obj, namespace, counts) for obj in found]
    if count and not truncated:
        items += queues_without_object(namespace, counts, known={obj.name for obj in items})
    items.sort(key=lambda obj: obj.name)
    return QueueList(items=items, truncated=truncated, counted=counts is not None)


@router.get("/v1/queues")
async def list_all_queues(request: Request) -> QueueList:
    """List the AgentQueues of all namespaces. Their jobs are not counted."""
    found, truncated = await _listed_everywhere(request, AGENTQUEUES)
    items = [cluster_objects.queue(obj, _namespace_of(obj), None) for obj in found]
    return QueueList(items=items, truncated=truncated, counted=False)


@router.get(QUEUE)
async def get_queue(request: Request, namespace: Namespace, name: ObjectName) -> QueueItem:
    """Return a queue. Queues with jobs and the queues of the installation need no object."""
    async with _as_caller(request, "get", AGENTQUEUES, namespace, name) as cluster:
        counts = await queues_in_use(request, namespace)
        try:
            return cluster_objects.queue(await cluster.get(AGENTQUEUES, namespace, name), namespace, counts)
        except errors.NotFound:
            without = queues_without_object(namespace, counts, known=())
            if not (found := [obj for obj in without if obj.name == name]):
                raise
    return found[0]


@router.get(PLACE + "/schedules")
async def list_schedules(request: Request, namespace: Namespace) -> ScheduleList:
    """List the AgentSchedules of a namespace with their next ten times."""
    async with _as_caller(request, "list", AGENTSCHEDULES, namespace) as cluster:
        found, truncated = await _listed(cluster, AGENTSCHEDULES, namespace)
    return await _schedule_list(found, truncated)


@router.get("/v1/schedules")
async def list_all_schedules(request: Request) -> ScheduleList:
    """List the AgentSchedules of all namespaces with their next ten times."""
    found, truncated = await _listed_everywhere(request, AGENTSCHEDULES)
    return await _schedule_list(found, truncated)


@router.get(SCHEDULE)
async def get_schedule(request: Request, namespace: Namespace, name: ObjectName) -> ScheduleItem:
    """Return an AgentSchedule with its next ten times."""
    async with _as_caller(request, "get", AGENTSCHEDULES, namespace, name) as cluster:
        found = await cluster.get(AGENTSCHEDULES, namespace, name)
    return cluster_objects.schedule(found, namespace, now=datetime.now(UTC))


@router.get(PLACE + "/templates")
async def list_templates(request: Request, namespace: Namespace) -> TemplateList:
    """List the AgentTemplates of a namespace."""
    async with _as_caller(request, "list", AGENTTEMPLATES, namespace) as cluster:
        found, truncated = await _listed(cluster, AGENTTEMPLATES, namespace)
    return TemplateList(items=[cluster_objects.template(obj, namespace) for obj in found], truncated=truncated)


@router.get("/v1/templates")
async def list_all_templates(request: Request) -> TemplateList:
    """List the AgentTemplates of all namespaces."""
    found, truncated = await _listed_everywhere(request, AGENTTEMPLATES)
    return TemplateList(items=[cluster_objects.template(obj, _namespace_of(obj)) for obj in found], truncated=truncated)


@router.get(TEMPLATE)
async def get_template(request: Request, namespace: Namespace, name: ObjectName) -> TemplateItem:
    """Return an AgentTemplate."""
    async with _as_caller(request, "get", AGENTTEMPLATES, namespace, name) as cluster:
        return cluster_objects.template(await cluster.get(AGENTTEMPLATES, namespace, name), namespace)


@asynccontextmanager
async def _as_caller(
    request: Request, verb: str, resource: Resource, namespace: str, name: str = ""
) -> AsyncIterator[KubeClient]:
    """Yield a client with the credentials of the caller, if they may do this, with a time limit.

    An empty namespace means all.

    A refusal of the API server becomes a Problem with its message.
    """
    await rights.authorize(request, verb, namespace=namespace, name=name, resource=resource)
    async with services_of(request).as_callers.taken():
        cluster = await rights.acting(request)
        try:
            with refusals_as_problems():
                async with asyncio.timeout(_SECONDS):
                    yield cluster
        except TimeoutError:
            raise unavailable(f"The API server did not respond within {_SECONDS:g} s; try again.") from None


def _namespace_of(obj: Obj) -> str:
    return str(obj["metadata"]["namespace"])


async def _schedule_list(found: Sequence[Obj], truncated: bool) -> ScheduleList:
    now = datetime.now(UTC)
    # Ten times of a thousand schedules take a while; a thread keeps the loop free for other requests.
    items: list[ScheduleItem] = await asyncio.to_thread(
        lambda: [cluster_objects.schedule(obj, _namespace_of(obj), now=now) for obj in found]
    )
    return ScheduleList(items=items, truncated=truncated)


async def _listed_everywhere(request: Request, resource: Resource) -> tuple[list[Obj], bool]:
    """Return the objects of all namespaces, ordered by namespace and name, and whether there are more."""
    async with _as_caller(request, "list", resource, "") as cluster:
        found, truncated = await _listed(cluster, resource, None)
    return sorted(found, key=lambda obj: (_namespace_of(obj), str(obj["metadata"]["name"]))), truncated


async def _listed(cluster: KubeClient, resource: Resource, namespace: str | None) -> tuple[list[Obj], bool]:
    """Return the objects of a namespace, ordered by name, or of all, and whether there are more."""
    found: list[Obj] = []
    size = 0
    async with aclosing(cluster.pages(resource, namespace, limit=_PAGE)) as pages:
        async for items, _ in pages:
            if len(found) >= MAX_OBJECTS or size >= _MAX_OBJECTS_BYTES:
                return found, True
            found += items
            size += len(msgspec.json.encode(items))
    return found, False


async def _events(cluster: KubeClient, namespace: str, job: KnownJob) -> tuple[list[Mapping[str, Any]], bool]:
    """Return the Events of a job and its pods, and whether there are more."""
    of_job = await _some_events(cluster, namespace, f"involvedObject.uid={job.uid}")
    found: list[Mapping[str, Any]] = [*of_job]
    truncated = len(of_job) >= _MAX_EVENTS
    for start in range(max(1, job.starts - _STARTS_WITH_EVENTS + 1), job.starts + 1):
        pod = f"involvedObject.kind=Pod,involvedObject.name={pod_name(job.name, start)}"
        of_pod = await _some_events(cluster, namespace, pod)
        found += kubernetes_events.between(of_pod, job.created, job.deleted)
        truncated = truncated or len(of_pod) >= _MAX_EVENTS
    return found, truncated


async def _some_events(cluster: KubeClient, namespace: str, selector: str) -> list[Obj]:
    async with aclosing(cluster.pages(EVENTS, namespace, field_selector=selector, limit=_MAX_EVENTS)) as pages:
        items, _ = await anext(pages)
    return items


async def _pod(cluster: KubeClient, namespace: str, job: KnownJob, start: int) -> Obj:
    """Return the pod of a start. A pod with its name that belongs to another job does not count."""
    if not start:
        raise Problem(404, "NotStarted", f"AgentJob {job.name!r} has not started, so it has no log.")
    try:
        pod = await cluster.get(PODS, namespace, pod_name(job.name, start))
    except errors.NotFound:
        raise _pod_gone(job, start) from None
    controller = controller_of(pod["metadata"], AGENTJOBS.kind)
    if controller is None or controller.uid != job.uid:
        raise _pod_gone(job, start)
    return pod


def _pod_gone(job: KnownJob, start: int) -> Problem:
    message = f"The pod of start {start} of AgentJob {job.name!r} is gone, and so is its log."
    return Problem(
        404,
        "PodGone",
        f"{message} Its steps and events are still in history; set runtime.podRetention to keep pods longer.",
    )
