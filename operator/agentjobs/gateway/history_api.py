"""Routes that read history: jobs, their starts, steps and results, also after the objects are gone.

The API server decides what a caller may read (rights.py): lists take `list agentjobs`, one job takes `get agentjobs`.
The accepted spec has the contents of ConfigMaps inlined, so its route takes `get configmaps` as well.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from agentjobs.api.recorded import (
    JobHistory,
    RecordedEntries,
    RecordedJob,
    RecordedJobs,
    RecordedResult,
    RecordedSpec,
    RecordedSteps,
    RecordedTree,
    StepContent,
    StepSpans,
)
from agentjobs.api.recorded_overview import Namespaces
from agentjobs.auth import User
from agentjobs.gateway.job_filters import Chosen
from agentjobs.gateway.json_text import readable
from agentjobs.gateway.paths import COLLECTION, Cursor, Limit, Name, Namespace
from agentjobs.gateway.problems import json_answer
from agentjobs.gateway.rights import MAX_NAMESPACES, InScope, Scope, authorize, scope_of
from agentjobs.gateway.services import History, ReadBudget, Shared
from agentjobs.history.pages import DEFAULT_LIMIT, write_cursor
from agentjobs.history.protocols import ReadHistory
from agentjobs.kube.resources import CONFIGMAPS
from agentjobs.problem import Problem

Number = Annotated[int | None, Query(ge=0, le=2**31 - 1)]

router = APIRouter(tags=["history"])


async def _may_list(request: Request, namespace: Namespace) -> User:
    return await authorize(request, "list", namespace=namespace)


async def _readable(request: Request) -> Scope:
    return await scope_of(request)


_Readable = Annotated[Scope, Depends(_readable)]


async def may_get(request: Request, namespace: Namespace, name: Name) -> User:
    """Return the caller, who may read this job."""
    return await authorize(request, "get", namespace=namespace, name=name)


async def _job(history: ReadHistory, shared: Shared, namespace: str, name: str) -> RecordedJob:
    """Return a job; the parts of a page share the query. Raises errors.NotFound and Unavailable."""
    return await shared.once("row", (namespace,), name, read=lambda: history.job(namespace, name))


async def may_read_texts(request: Request, namespace: Namespace) -> User:
    """Return the caller, who may read the texts that jobs take from ConfigMaps."""
    return await authorize(request, "get", namespace=namespace, resource=CONFIGMAPS)


@router.get("/v1/namespaces")
async def list_namespaces(readable: _Readable, history: History, budget: ReadBudget, shared: Shared) -> Namespaces:
    """List the namespaces with jobs, present or past, that the caller may read, at most 500."""
    if readable is not None:
        return Namespaces(items=list(readable), everywhere=False)

    async def read() -> list[str]:
        async with budget.taken():
            return await history.namespaces(limit=MAX_NAMESPACES)

    return Namespaces(items=await shared.once("namespaces of all", None, read=read), everywhere=True)


@router.get("/v1/agentjobs")
async def list_all_jobs(
    scope: InScope,
    history: History,
    budget: ReadBudget,
    shared: Shared,
    chosen: Chosen,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> RecordedJobs:
    """List the jobs of the given namespaces, or of all that the caller may read; by default the newest first."""

    async def read() -> RecordedJobs:
        async with budget.taken():
            page = await history.jobs(scope, chosen, limit=limit, cursor=cursor)
        return RecordedJobs(items=page.items, cursor=page.cursor)

    return await shared.once("jobs", scope, limit, cursor, chosen, read=read)


@router.get(COLLECTION, dependencies=[Depends(_may_list)])
async def list_jobs(
    namespace: Namespace,
    history: History,
    budget: ReadBudget,
    shared: Shared,
    chosen: Chosen,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> RecordedJobs:
    """List the jobs of a namespace; by default the newest first."""
    return await list_all_jobs((namespace,), history, budget, shared, chosen, limit, cursor)


@router.get(COLLECTION + "/{name}", dependencies=[Depends(may_get)])
async def get_job(namespace: Namespace, name: Name, history: History, budget: ReadBudget, shared: Shared) -> JobHistory:
    """Return a job with its starts and its changes of phase."""

    async def read() -> JobHistory:
        async with budget.taken():
            return await history.job_history(namespace, name)

    return await shared.once("job", (namespace,), name, read=read)


@router.get(COLLECTION + "/{name}/tree", dependencies=[Depends(_may_list)])
async def get_tree(namespace: Namespace, name: Name, history: History, budget: ReadBudget) -> RecordedTree:
    """Return the whole chain of follow-ups that a job belongs to, at most 1000 jobs."""
    async with budget.taken():
        return await history.tree(namespace, name)


@router.get(COLLECTION + "/{name}/events", response_model=RecordedEntries, dependencies=[Depends(may_get)])
async def list_events(
    namespace: Namespace,
    name: Name,
    history: History,
    budget: ReadBudget,
    shared: Shared,
    start: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Only entries of this start.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    newest: Annotated[bool, Query(description="Return the newest entries first.")] = False,
    after: Annotated[Number, Query(description="With `start`: only entries after this number.")] = None,
) -> Response:
    """List the timeline that the runners of a job sent: model calls, tool calls, texts, errors."""
    if after is not None and start is None:
        # Entries are numbered in each start; ignoring the number would return those before it again.
        raise Problem(400, "BadRequest", "The request is invalid: query.after: needs the query parameter start.")
    async with budget.taken():
        job = await _job(history, shared, namespace, name)
        if cursor is None and start is not None and after is not None:
            cursor = write_cursor((start, after))
        page = await history.events(job.uid, start=start, limit=limit, cursor=cursor, newest=newest)
    return json_answer({"items": page.items, "cursor": page.cursor})


@router.get(COLLECTION + "/{name}/steps", dependencies=[Depends(may_get)])
async def list_steps(
    namespace: Namespace,
    name: Name,
    history: History,
    budget: ReadBudget,
    shared: Shared,
    start: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Only steps that this start ran.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    after: Annotated[Number, Query(description="Only steps after this number.")] = None,
) -> RecordedSteps:
    """List the recorded steps of a job without their results: which start ran them, when, and what they used."""
    async with budget.taken():
        job = await _job(history, shared, namespace, name)
        begin = write_cursor((after,)) if cursor is None and after is not None else cursor
        page = await history.steps(job.uid, start=start, limit=limit, cursor=begin)
    return RecordedSteps(items=page.items, cursor=page.cursor)


@router.get(COLLECTION + "/{name}/spans", dependencies=[Depends(may_get)])
async def get_spans(
    namespace: Namespace, name: Name, history: History, budget: ReadBudget, shared: Shared
) -> StepSpans:
    """Return when each step of a job ran, for a chart."""
    async with budget.taken():
        job = await _job(history, shared, namespace, name)
        return StepSpans(items=await history.spans(job.uid))


@router.get(COLLECTION + "/{name}/steps/{n}", response_model=StepContent, dependencies=[Depends(may_get)])
async def get_step(
    namespace: Namespace,
    name: Name,
    n: Annotated[int, Path(ge=1, le=2**31 - 1, description="The number of the step.")],
    history: History,
    budget: ReadBudget,
    shared: Shared,
) -> Response:
    """Return a recorded step with its result; 404 if history has no such step."""
    async with budget.taken():
        job = await _job(history, shared, namespace, name)
        found = await history.step(job.uid, n)
    if found is None:
        raise Problem(404, "NotFound", f"AgentJob {job.name!r} has no step {n} in history.")
    body = None if found.body is None else readable(found.body)
    step = found.step.model_dump(mode="json", by_alias=True)
    is_lost = found.body is not None and body is None
    return json_answer({"step": step, "request": found.request, "body": body, "unreadable": is_lost})


@router.get(COLLECTION + "/{name}/result", response_model=RecordedResult, dependencies=[Depends(may_get)])
async def get_result(
    namespace: Namespace, name: Name, history: History, budget: ReadBudget, shared: Shared
) -> Response:
    """Return the final result of a job; 404 with reason NoResult if it has none yet."""
    async with budget.taken():
        job = await _job(history, shared, namespace, name)
        result = await history.result(job.uid)
    if result is None:
        raise Problem(404, "NoResult", f"AgentJob {job.name!r} has no result; its phase is {job.phase}.")
    published = None if job.workspace is None else job.workspace.model_dump(by_alias=True)
    body = {"uid": job.uid, "name": job.name, "phase": job.phase, "result": result, "workspace": published}
    return json_answer(body)


@router.get(
    COLLECTION + "/{name}/spec",
    response_model=RecordedSpec,
    dependencies=[Depends(may_get), Depends(may_read_texts)],
)
async def get_spec(namespace: Namespace, name: Name, history: History, budget: ReadBudget, shared: Shared) -> Response:
    """Return the accepted spec of a job, with defaults and the texts of its ConfigMaps, to run it again."""
    async with budget.taken():
        job = await _job(history, shared, namespace, name)
        spec = await history.spec(job.uid)
        parameters = await history.parameters(job.uid)
    if spec is None:
        raise Problem(404, "NotFound", f"AgentJob {job.name!r} was never accepted, so it has no spec in history.")
    return json_answer({"uid": job.uid, "name": job.name, "spec": spec, "parameters": parameters or {}})
