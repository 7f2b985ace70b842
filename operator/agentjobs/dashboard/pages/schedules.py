"""Schedules: their times, what they made and what is ahead; trigger, suspend, resume."""

import re
import secrets
from datetime import UTC, datetime
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from agentjobs.api.fields import DNS_LABEL
from agentjobs.api.job_filter import JobFilter
from agentjobs.dashboard.forms import form_of
from agentjobs.dashboard.pages.asking import Asked, Shown
from agentjobs.dashboard.pages.several import first_rows, gathered
from agentjobs.dashboard.rendering import link
from agentjobs.dashboard.rest import Rest
from agentjobs.dashboard.views.schedules import ahead, calendar_since, past, schedule_view
from agentjobs.dashboard.views.urls import changes_of
from agentjobs.problem import Problem

router = APIRouter()

_COUNTED: Final = 200
_SHOWN: Final = 15
_ONCE: Final = re.compile("[0-9a-f]{16}")
_DONE: Final = {
    "trigger": "A job was asked for.",
    "suspend": "The schedule is suspended. It makes no jobs; running ones go on.",
    "resume": "The schedule is resumed. It makes jobs from the next time on.",
}


@router.get("/schedules")
async def all_schedules(request: Request, rest: Asked, pages: Shown) -> Response:
    """Show the schedules of the chosen namespaces."""
    found = await gathered(request, rest, rest.schedules)
    seen, unshown = first_rows(found.answers)
    schedules = [schedule_view(one) for one in seen]
    live = changes_of(found.picker.chosen)
    return pages.render(request, "schedules.html", schedules=schedules, unshown=unshown, gathered=found, live=live)


@router.get("/schedules/{namespace}/{name}")
async def one_schedule(
    request: Request, rest: Asked, pages: Shown, namespace: str, name: str, done: str = "", made: str = ""
) -> Response:
    """Show a schedule."""
    known = re.fullmatch(DNS_LABEL, made) is not None and len(made) <= 63
    said = _DONE.get(done, "")
    return await _page(request, rest, pages, namespace, name, done=said, made=made if known else "")


@router.post("/schedules/{namespace}/{name}/{action}")
async def act(request: Request, rest: Asked, pages: Shown, namespace: str, name: str, action: str) -> Response:
    """Make a job now; suspend or resume a schedule."""
    if action not in _DONE:
        raise Problem(404, "NotFound", "There is no such action.")
    once = (await form_of(request)).get("once", "")
    # The same form, sent twice, asks for the same job.
    body = {"value": once} if action == "trigger" and _ONCE.fullmatch(once) else {}
    try:
        done = await rest.act("schedules", namespace, name, action, body)
    except Problem as problem:
        if problem.status in (401, 404):
            raise
        return await _page(request, rest, pages, namespace, name, status=problem.status, refused=problem.message)
    return RedirectResponse(link("schedules", namespace, name, done=action, made=done.made), 303)


async def _page(
    request: Request, rest: Rest, pages: Shown, namespace: str, name: str, *, status: int = 200, **said: str
) -> Response:
    now = datetime.now(UTC)
    seen = await rest.schedule(namespace, name)
    chosen = JobFilter(schedule=(name,), since=calendar_since(seen, now))
    made = await rest.jobs(chosen, namespaces=[namespace], limit=_COUNTED)
    # A schedule that has been silent for weeks still tells what it made last.
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
        **said,
    }
    return pages.render(request, "schedule.html", status=status, **shown)
