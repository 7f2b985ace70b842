"""What users read: the jobs of a namespace, their story and their results, also after the objects are gone.

A caller reads as themselves: `list agentjobs` for the list, `get agentjobs` for one job, asked of the API server for
every token (auth.py). The accepted work is not among the answers: it has the contents of ConfigMaps inlined, and who
may read AgentJobs may not therefore read those.
"""

from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from agentjobs.gateway.auth import User
from agentjobs.gateway.problems import Problem
from agentjobs.gateway.services import History, services_of
from agentjobs.history.gateway_history import DEFAULT_LIMIT, MAX_LIMIT

COLLECTION: Final = "/v1/namespaces/{namespace}/agentjobs"

Answer = TypeVar("Answer", bound=BaseModel)

# RFC 1123, as the API server has it for names; a uid fits too.
Namespace = Annotated[str, Path(pattern="^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
Name = Annotated[str, Path(pattern="^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$", description="The job's name or its uid.")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
Cursor = Annotated[str | None, Query(max_length=512, description="`cursor` of the page before.")]

router = APIRouter(tags=["history"])


class _Answer(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, from_attributes=True)


class JobAnswer(_Answer):
    """A job. `phase` is `Deleted` when its object went before it ended."""

    uid: str
    namespace: str
    name: str
    phase: str
    reason: str
    message: str
    created: datetime
    changed: datetime | None
    finished: datetime | None
    deleted: datetime | None
    attempts: int
    starts: int


class JobsAnswer(_Answer):
    """A page of jobs, newest first; `cursor` is null on the last one."""

    items: list[JobAnswer]
    cursor: str | None


class StartAnswer(_Answer):
    """One start: verdict and reason are the operator's, `reported` is what the runner said of itself."""

    start: int
    attempt: int
    pod: str
    started: datetime | None
    claimed: datetime | None
    heartbeat: datetime | None
    ended: datetime | None
    verdict: str | None
    reason: str | None
    charged: bool | None
    message: str | None
    reported: dict[str, Any] | None
    usage: dict[str, int] | None


class TransitionAnswer(_Answer):
    """One change of a job's phase."""

    transition: int
    time: datetime
    phase: str
    reason: str
    message: str


class StoryAnswer(_Answer):
    """A job with its starts and transitions, oldest first; the newest 500 of each."""

    job: JobAnswer
    spec_hash: str | None
    starts: list[StartAnswer]
    transitions: list[TransitionAnswer]


class EventAnswer(_Answer):
    """One entry of a start's timeline."""

    start: int
    seq: int
    time: datetime
    kind: str
    author: str
    data: dict[str, Any]


class EventsAnswer(_Answer):
    """A page of events in the order of starts and numbers; `cursor` is null on the last one."""

    items: list[EventAnswer]
    cursor: str | None


class JobResult(_Answer):
    """The answer of a job."""

    text: str
    structured: Any
    usage: dict[str, int]


class ResultAnswer(_Answer):
    """A job's final result."""

    uid: str
    name: str
    phase: str
    result: JobResult


async def _may_list(request: Request, namespace: Namespace) -> User:
    authorization = request.headers.get("authorization")
    return await services_of(request).authenticator.user(authorization, verb="list", namespace=namespace)


async def _may_get(request: Request, namespace: Namespace, name: Name) -> User:
    authorization = request.headers.get("authorization")
    return await services_of(request).authenticator.user(authorization, verb="get", namespace=namespace, name=name)


@router.get(COLLECTION, dependencies=[Depends(_may_list)])
async def list_jobs(
    namespace: Namespace,
    history: History,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    name: Annotated[
        str | None, Query(max_length=253, pattern="^[-a-z0-9.]*$", description="Only jobs of this name.")
    ] = None,
) -> JobsAnswer:
    """List the jobs of a namespace, newest first."""
    page = await history.jobs(namespace, limit=limit, cursor=cursor, name=name or None)
    return JobsAnswer(items=[_as(JobAnswer, row) for row in page.items], cursor=page.cursor)


@router.get(COLLECTION + "/{name}", dependencies=[Depends(_may_get)])
async def get_job(namespace: Namespace, name: Name, history: History) -> StoryAnswer:
    """Tell the story of a job: its starts and every change of its phase."""
    found = await history.job(namespace, name)
    return StoryAnswer(
        job=_as(JobAnswer, found.job),
        spec_hash=found.spec_hash,
        starts=[_as(StartAnswer, row) for row in await history.starts(found.job.uid)],
        transitions=[_as(TransitionAnswer, row) for row in await history.transitions(found.job.uid)],
    )


@router.get(COLLECTION + "/{name}/events", dependencies=[Depends(_may_get)])
async def list_events(
    namespace: Namespace,
    name: Name,
    history: History,
    start: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Only those of this start.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> EventsAnswer:
    """List what a job's runners told: model calls, tool calls, texts, errors."""
    found = await history.job(namespace, name)
    page = await history.events(found.job.uid, start=start, limit=limit, cursor=cursor)
    return EventsAnswer(items=[_as(EventAnswer, row) for row in page.items], cursor=page.cursor)


@router.get(COLLECTION + "/{name}/result", dependencies=[Depends(_may_get)])
async def get_result(namespace: Namespace, name: Name, history: History) -> ResultAnswer:
    """Answer the final result; 404 with reason NoResult while there is none."""
    job = (await history.job(namespace, name)).job
    result = await history.result(job.uid)
    if result is None:
        raise Problem(404, "NoResult", f"AgentJob {job.name!r} has no result; its phase is {job.phase}.")
    answer = JobResult(text=result["text"], structured=result["structured"], usage=result["usage"])
    return ResultAnswer(uid=job.uid, name=job.name, phase=job.phase, result=answer)


def _as(model: type[Answer], row: object) -> Answer:
    return model.model_validate(row)
