"""The overview: running, waiting and failed jobs, and costs."""

import asyncio
from datetime import UTC, datetime
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from agentjobs.api.conditions import Phase
from agentjobs.api.job_filter import JobFilter, JobOrder
from agentjobs.dashboard.pages.dependencies import Renderer, UserRest
from agentjobs.dashboard.pages.parameters import one_of, only
from agentjobs.dashboard.rest import Rest
from agentjobs.dashboard.views import overview as views
from agentjobs.dashboard.views.namespaces import chosen_namespaces, picker
from agentjobs.dashboard.views.time_axis import LAST, SPANS
from agentjobs.dashboard.views.urls import changes_of, with_values

router = APIRouter()

LISTED: Final = 6
"""Rows of the lists of running and of failed jobs."""
_RUNNING: Final = JobFilter(phase=(Phase.RUNNING.value,), order=JobOrder.OLDEST)


@router.get("/", dependencies=[only("range", "by"), one_of("by", views.BY)])
async def overview(request: Request, rest: UserRest, pages: Renderer) -> Response:
    """Show running, waiting and failed jobs, and costs."""
    query = request.query_params.multi_items()
    requested = request.query_params.get("range") or views.DEFAULT_RANGE
    span = requested if requested in SPANS else views.DEFAULT_RANGE
    by = request.query_params.get("by", "").strip() or views.BY[0]
    namespaces = chosen_namespaces(query)
    shown = await _shown(rest, namespaces, span, by)
    return pages.render(
        request,
        "overview.html",
        **shown,
        live=changes_of(namespaces),
        wrong_range=requested if requested != span else "",
        span=span,
        span_text=f"the {LAST[span]}",
        ranges=[(value, with_values("/", query, range=value), f"the {LAST[value]}") for value in SPANS],
        by=by,
        bys=[(value, with_values("/", query, by=value) + "#usage") for value in views.BY],
        picker=picker(shown["known"], query),
    )


async def _shown(rest: Rest, namespaces: tuple[str, ...], span: str, by: str) -> dict[str, Any]:
    """Read all parts of the page from REST, in parallel."""
    since, until = views.window(SPANS[span], datetime.now(UTC))
    failed = JobFilter(phase=(Phase.FAILED.value,), ended_since=since, order=JobOrder.ENDED)
    known, counts, activity, usage, running, failures = await asyncio.gather(
        rest.namespaces(),
        rest.open_jobs(namespaces),
        rest.activity(since, until, namespaces),
        rest.usage_series(by, since, until, namespaces),
        rest.jobs(_RUNNING, namespaces=namespaces, limit=LISTED),
        rest.jobs(failed, namespaces=namespaces, limit=LISTED),
    )
    untouched = views.is_untouched(counts, activity)
    ended, started = views.activity_charts(activity)
    return {
        "known": known,
        "is_first": untouched and not (await rest.jobs(namespaces=namespaces, limit=1)).items,
        "totals": views.totals(counts, activity),
        "waiting": views.waiting(counts, namespaces),
        "failing": views.failing(activity, namespaces, span),
        "ended": ended,
        "started": started,
        "used": views.used(usage),
        "running": running.items,
        "failures": failures.items,
    }
