"""Schedules: times, past and planned jobs; trigger, suspend, resume."""

import re
import secrets
from datetime import UTC, datetime
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from agentjobs.api.fields import DNS_LABEL
from agentjobs.api.job_filter import JobFilter
from agentjobs.dashboard.forms import form_of
from agentjobs.dashboard.pages.dependencies import Renderer, UserRest
from agentjobs.dashboard.pages.fan_out import gathered
from agentjobs.dashboard.pages.parameters import only
from agentjobs.dashboard.rest import Rest
from agentjobs.dashboard.texts import link
from agentjobs.dashboard.views.paging import paged
from agentjobs.dashboard.views.schedules import ahead, calendar_since, past, schedule_view
from agentjobs.dashboard.views.urls import changes_of
from agentjobs.problem import Problem

router = APIRouter()

_COUNTED: Final = 200
_SHOWN: Final = 15
_ONCE: Final = re.compile("[0-9a-f]{16}")
_DONE: Final = {
    "trigger": "A job was requested.",
    "suspend": "The schedule is suspended. It creates no jobs; running jobs continue.",
    "resume": "The schedule is resumed. It creates jobs from the next time.",
}


@router.get("/schedules", dependencies=[only("page")])
async def all_schedules(request: Request, rest: UserRest, pages: Renderer) -> Response:
    """Show the schedules of the chosen namespaces."""
    found = await gathered(request, rest, rest.schedules)
    page = paged(found.rows, request.url.path, request.query_params.multi_items())
    schedules = [schedule_view(schedule) for schedule in page.rows]
    live = changes_of(found.picker.chosen)
    return pages.render(request, "schedules.html", schedules=schedules, page=page, gathered=found, live=live)


@router.get("/schedules/{namespace}/{name}", dependencies=[only("done", "made")])
async def show_schedule(
    request: Request, rest: UserRest, pages: Renderer, namespace: str, name: str, done: str = "", made: str = ""
) -> Response:
    """Show a schedule."""
    known = re.fullmatch(DNS_LABEL, made) is not None and len(made) <= 63
    sentence = _DONE.get(done, "")
    return await _page(request, rest, pages, namespace, name, done=sentence, made=made if known else "")


@router.post("/schedules/{namespace}/{name}/{action}")
async def act(request: Request, rest: UserRest, pages: Renderer, namespace: str, name: str, action: str) -> Response:
    """Create a job now, or suspend or resume a schedule."""
    if action not in _DONE:
        raise Problem(404, "NotFound", "Unknown action.")
    once = (await form_of(request)).get("once", "")
    # The same form sent twice requests the same job.
    body = {"value": once} if action == "trigger" and _ONCE.fullmatch(once) else {}
    try:
        done = await rest.act("schedules", namespace, name, action, body)
    except Problem as problem:
        if problem.status in (401, 404):
            raise
        return await _page(request, rest, pages, namespace, name, status=problem.status, refused=problem.message)
    return RedirectResponse(link("schedules", namespace, name, done=action, made=done.made), 303)


async def _page(
    request: Request, rest: Rest, pages: Renderer, namespace: str, name: str, *, status: int = 200, **texts: str
) -> Response:
    now = datetime.now(UTC)
    seen = await rest.schedule(namespace, name)
    chosen = JobFilter(schedule=(name,), since=calendar_since(seen, now))
    made = await rest.jobs(chosen, namespaces=[namespace], limit=_COUNTED)
    # The last jobs are shown also where they are older than the calendar.
    last = made.items or (await rest.jobs(JobFilter(schedule=(name,)), namespaces=[namespace], limit=_SHOWN)).items
    shown = {
        "schedule": schedule_view(seen),
        "past": past(seen, made.items, now),
        "ahead": ahead(seen, now),
        "counted_from": made.items[-1].created if made.cursor and made.items else None,
        "jobs": last[:_SHOWN],
        "once": secrets.token_hex(8),
        "now": now,
        "live": changes_of([namespace]) if status == 200 else None,
        "done": "",
        "made": "",
        "refused": "",
        **texts,
    }
    return pages.render(request, "schedule.html", status=status, **shown)
