"""The page of a job: what happened, and its tabs."""

import asyncio
import secrets
from datetime import UTC, datetime
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from agentjobs.api.conditions import Phase
from agentjobs.api.known_job import Known, explained, message_of, queue_of, reason_of
from agentjobs.api.recorded import StepSpan
from agentjobs.dashboard.pages import job_tabs
from agentjobs.dashboard.pages.asking import Asked, Person, Shown
from agentjobs.dashboard.pages.job_asking import known_job, part
from agentjobs.dashboard.rendering import link
from agentjobs.dashboard.rest import Rest
from agentjobs.dashboard.views.job import engine_of, failure_of, input_of
from agentjobs.dashboard.views.places import place_to_look
from agentjobs.dashboard.views.timeline import LEGEND, timeline
from agentjobs.durations import parse_time
from agentjobs.problem import Problem

DONE: Final = {
    "cancel": "The job was told to stop. A pod that runs has its grace period.",
    "suspend": "The job was told to free its pod and wait.",
    "resume": "The job was told to go on.",
    "rerun": "This job was made to do the work again.",
}
"""What a page says after an action."""
_ENTRIES: Final = 40

router = APIRouter()


@router.get("/jobs/{namespace}/{key}")
async def show_job(
    request: Request, person: Person, rest: Asked, pages: Shown, namespace: str, key: str, show: str = "overview"
) -> Response:
    """Show a job: its overview, or one of its tabs."""
    tab = job_tabs.TABS.get(show)
    if show == "overview" or tab is None:
        shown = await _overview(request, rest, namespace, key)
        show = "overview"
    else:
        known, parts = await asyncio.gather(known_job(rest, namespace, key), tab.ask(request, rest, namespace, key))
        shown = await _head(rest, known) | parts
        if tab.more is not None:
            shown |= await tab.more(request, rest, known, parts)
    shown["request_done"] = DONE.get(request.query_params.get("done", ""), "")
    return pages.render(request, f"job_{show}.html", show=show, tabs=job_tabs.NAMES, **shown)


async def _overview(request: Request, rest: Rest, namespace: str, key: str) -> dict[str, Any]:
    """Ask for all that the first page shows, at once."""
    known, spans, entries, result = await asyncio.gather(
        known_job(rest, namespace, key),
        part(rest.spans(namespace, key)),
        part(rest.entries(namespace, key, limit=_ENTRIES, newest=True)),
        part(rest.result(namespace, key)),
    )
    steps = spans.value.items if spans.value and known.story else []
    accepted = None
    if input_of(known.spec, None) is None and known.story is not None:
        told = (await part(rest.spec(namespace, key))).value
        accepted = told.spec if told is not None else None
    now = datetime.now(UTC)
    since, until, start = _zoom(request)
    story = known.story
    # Of thousands of steps it takes a while, in which others are served.
    picture = (
        await asyncio.to_thread(timeline, story, steps, now, since=since, until=until, start=start) if story else None
    )
    return await _head(rest, known, steps) | {
        "picture": picture,
        "zoomed": (since or until or start) is not None,
        "legend": LEGEND,
        "failure": failure_of(known, entries.value.items if entries.value else (), steps),
        "asked": input_of(known.spec, accepted),
        "result": job_tabs.answer(result.value) if result.value and story else None,
        "engine": engine_of(known.spec or accepted or {}),
    }


async def _head(rest: Rest, known: Known, steps: list[StepSpan] | None = None) -> dict[str, Any]:
    """Return what is above all tabs."""
    others = None
    if known.phase == Phase.QUEUED and (queue := queue_of(known)):
        seen = (await part(rest.queue(known.namespace, queue))).value
        others = max(0, seen.phases.get(Phase.QUEUED, 0) - 1) if seen else None
    told = explained(known, steps or [], datetime.now(UTC), others=others)
    job = known.story.job if known.story else None
    return {
        "known": known,
        "job": job,
        "told": told,
        "look": place_to_look(known, told.look),
        "reason": reason_of(known),
        "message": message_of(known),
        "queue": queue_of(known),
        "once": secrets.token_hex(4),
        "live": None if known.is_over else link("v1", "changes", job=f"{known.namespace}/{known.uid}"),
    }


def _zoom(request: Request) -> tuple[datetime | None, datetime | None, int | None]:
    """Return which part of the time is wanted. Raises Problem for what is no time or number."""
    asked = request.query_params
    try:
        since = parse_time(asked["from"]) if asked.get("from") else None
        until = parse_time(asked["to"]) if asked.get("to") else None
        start = int(asked["start"]) if asked.get("start") else None
    except ValueError:
        raise Problem(400, "BadRequest", "Zoom by `from` and `to` in RFC 3339, or by the number of a start.") from None
    return since, until, start
