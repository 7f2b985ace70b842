"""The list of jobs: filters, orders, pages and views, all of them in the URL."""

import asyncio
from datetime import UTC, datetime
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from agentjobs.api.recorded import RecordedJobs
from agentjobs.dashboard.pages.dependencies import Renderer, UserRest
from agentjobs.dashboard.rest import Rest
from agentjobs.dashboard.views import job_filters, jobs
from agentjobs.dashboard.views.namespaces import chosen_namespaces, picker
from agentjobs.dashboard.views.urls import address, changes_of
from agentjobs.problem import Problem

router = APIRouter()
LISTED: Final = 40
"""Jobs on one page: with 50, the page and all that it loads would exceed 150 kB."""
_NOTHING = RecordedJobs(items=[], cursor=None)


@router.get("/jobs")
async def list_jobs(request: Request, rest: UserRest, pages: Renderer) -> Response:
    """List the jobs that match the URL."""
    query = request.query_params.multi_items()
    if (parameters := job_filters.canonical(query)) is not None:
        return RedirectResponse(address(job_filters.PATH, parameters), 303)
    now = datetime.now(UTC)
    wanted, namespaces = job_filters.wanted(query, now), chosen_namespaces(query)
    cursor = request.query_params.get("cursor") or None
    known, (found, refused) = await asyncio.gather(rest.namespaces(), _found(rest, wanted, namespaces, cursor))
    return pages.render(
        request,
        "jobs.html",
        live=changes_of(namespaces),
        wanted=wanted,
        refused=refused,
        rows=jobs.rows(found.items, now),
        views=jobs.views(query, namespaces),
        orders=jobs.orders(query, wanted),
        following=jobs.next_page(query, found.cursor),
        beginning=address(job_filters.PATH, jobs.first(query)) if cursor else None,
        known=address(job_filters.PATH, [pair for pair in jobs.first(query) if pair[0] not in wanted.unknown]),
        bare=address(job_filters.PATH, [("namespace", namespace) for namespace in namespaces]),
        list_query=address("", jobs.first(query)).removeprefix("?"),
        words=job_filters,
        picker=picker(known, query),
    )


async def _found(
    rest: Rest, wanted: job_filters.Wanted, namespaces: tuple[str, ...], cursor: str | None
) -> tuple[RecordedJobs, Problem | None]:
    """Return a page of jobs, or an empty one and the problem that REST answered."""
    if not wanted.is_valid:
        return _NOTHING, None
    try:
        return await rest.jobs(wanted.filter, namespaces=namespaces, limit=LISTED, cursor=cursor), None
    except Problem as problem:
        if problem.status not in (400, 422):
            raise
        return _NOTHING, problem
