"""Routes of users about models: providers, prices, limits, running calls, usage and costs.

Reading about one namespace takes the right to list its AgentJobs; reading about all namespaces takes the right to list
AgentJobs in all of them. Only the names of providers' keys are shown; the gateway has no keys.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from agentjobs.api.recorded_models import JobModels, ModelsOverview
from agentjobs.api.recorded_usage import RecordedCalls, UsageBy, UsageReport
from agentjobs.auth import User
from agentjobs.contract import MAX_STEP_KEY_CHARS
from agentjobs.gateway.history_api import may_get, may_read_texts
from agentjobs.gateway.model_overview import limits_of, overview
from agentjobs.gateway.paths import COLLECTION, Cursor, Limit, Name, Namespace
from agentjobs.gateway.problems import json_answer
from agentjobs.gateway.rights import authorize
from agentjobs.gateway.services import History, ReadBudget, Reports
from agentjobs.history.pages import DEFAULT_LIMIT
from agentjobs.problem import Problem

DEFAULT_DAYS: Final = 30

OneNamespace = Annotated[
    str | None,
    Query(
        max_length=63,
        pattern="^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
        description="Only this namespace. By default all, which takes the right to list AgentJobs in all namespaces.",
    ),
]

router = APIRouter(tags=["models"])


async def _may_list(request: Request, namespace: OneNamespace = None) -> User:
    return await authorize(request, "list", namespace=namespace or "")


@router.get("/v1/models", dependencies=[Depends(_may_list)])
async def get_models(reports: Reports, budget: ReadBudget, namespace: OneNamespace = None) -> ModelsOverview:
    """Return the models of the installation, their prices, what remains of limits, and running calls."""
    async with budget.taken():
        proxies = await reports.proxies()
        report = max(proxies, key=lambda proxy: proxy.since).report if proxies else {}
        limits = await reports.limits_now(limits_of(report))
        under_way = await reports.under_way(namespace)
    return overview(report, limits, proxies=proxies, under_way=under_way, namespace=namespace)


@router.get("/v1/usage", dependencies=[Depends(_may_list)])
async def get_usage(
    reports: Reports,
    budget: ReadBudget,
    by: Annotated[
        list[UsageBy] | None, Query(description="How usage is grouped; several groupings are combined.")
    ] = None,
    since: Annotated[
        date | None, Query(description="The first day, in UTC; by default a report covers 30 days.")
    ] = None,
    until: Annotated[date | None, Query(description="The last day, in UTC; today by default.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    namespace: OneNamespace = None,
) -> UsageReport:
    """Return what model calls used and cost, the most expensive first, or in the order of days."""
    last = until or datetime.now(UTC).date()
    # The first days of the calendar have fewer days before them.
    first = since or last - min(timedelta(days=DEFAULT_DAYS - 1), last - date.min)
    async with budget.taken():
        return await reports.usage(by or [UsageBy.MODEL], first=first, last=last, namespace=namespace, limit=limit)


@router.get(COLLECTION + "/{name}/models", dependencies=[Depends(may_get)])
async def get_job_models(
    namespace: Namespace, name: Name, history: History, reports: Reports, budget: ReadBudget
) -> JobModels:
    """Return what the model calls of a job used and cost, by provider and model."""
    async with budget.taken():
        job = await history.job(namespace, name)
        return JobModels(items=await reports.job_models(job.uid))


@router.get(COLLECTION + "/{name}/calls", dependencies=[Depends(may_get)])
async def list_job_calls(
    namespace: Namespace,
    name: Name,
    history: History,
    reports: Reports,
    budget: ReadBudget,
    step: Annotated[
        str | None, Query(max_length=MAX_STEP_KEY_CHARS, description="Only calls of the step with this key.")
    ] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> RecordedCalls:
    """List the model calls of a job: their keys, how they ended, what they used and cost."""
    async with budget.taken():
        job = await history.job(namespace, name)
        page = await reports.calls(job.uid, step=step, limit=limit, cursor=cursor)
    return RecordedCalls(items=page.items, cursor=page.cursor)


@router.get(
    COLLECTION + "/{name}/calls/{call}/content",
    response_model=dict[str, Any],
    dependencies=[Depends(may_get), Depends(may_read_texts)],
)
async def get_call_content(
    namespace: Namespace, name: Name, call: UUID, history: History, reports: Reports, budget: ReadBudget
) -> Response:
    """Return request and response of a model call; 404 if the installation does not record them."""
    async with budget.taken():
        job = await history.job(namespace, name)
        content = await reports.content(job.uid, call)
    if content is None:
        raise Problem(404, "NotFound", f"Request and response of model call {call} are not recorded.")
    return json_answer({"content": content})
