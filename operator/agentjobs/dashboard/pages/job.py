"""The page of a job: what happened, and its tabs."""

import asyncio
import secrets
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from agentjobs.api.conditions import Phase
from agentjobs.api.known_job import Known, explained, message_of, queue_of, reason_of
from agentjobs.api.recorded import StepSpan
from agentjobs.dashboard.pages import job_tabs
from agentjobs.dashboard.pages.dependencies import Person, Renderer, UserRest
from agentjobs.dashboard.pages.job_reads import Number, entry_at, known_job, part
from agentjobs.dashboard.rest import Rest
from agentjobs.dashboard.texts import link
from agentjobs.dashboard.views.cause_links import place_to_look
from agentjobs.dashboard.views.job import engine_of, failure_of, input_of
from agentjobs.dashboard.views.step_links import SLACK, step_of
from agentjobs.dashboard.views.timeline import LEGEND, MAX_ROWS, NEWEST, timeline
from agentjobs.durations import parse_time
from agentjobs.problem import Problem

DONE: Final = {
    "cancel": "The job was cancelled. A running pod has its grace period.",
    "suspend": "The job was suspended. It gives up its pod.",
    "resume": "The job was resumed.",
    "rerun": "This job runs the work again.",
    "nothing": "This had no effect: the job has ended, or is being cancelled or deleted.",
}
"""Messages after an action."""
_ENTRIES: Final = 40
_STEPS: Final = 200
"""Steps after an answer among which those of its calls are."""
_STARTS: Final = 50
"""Rows of the table of starts at most."""

router = APIRouter()


@router.get("/jobs/{namespace}/{key}")
async def show_job(
    request: Request, person: Person, rest: UserRest, pages: Renderer, namespace: str, key: str, show: str = "overview"
) -> Response:
    """Show a job: its overview, or one of its tabs."""
    tab = job_tabs.TABS.get(show)
    if show == "overview" or tab is None:
        shown = await _overview(request, rest, namespace, key)
        show = "overview"
    else:
        known, parts = await asyncio.gather(known_job(rest, namespace, key), tab.load(request, rest, namespace, key))
        shown = await _head(rest, known) | parts
        if tab.more is not None:
            shown |= await tab.more(request, rest, known, parts)
    shown["request_done"] = DONE.get(request.query_params.get("done", ""), "")
    return pages.render(request, f"job_{show}.html", show=show, tabs=job_tabs.NAMES, **shown)


@router.get("/jobs/{namespace}/{key}/entries/{start}/{seq}/step")
async def step_of_call(
    person: Person,
    rest: UserRest,
    namespace: str,
    key: str,
    start: Number,
    seq: Number,
    call: Annotated[int, Query(ge=0, le=9999)] = 0,
) -> Response:
    """Redirect from a tool call in the transcript to its step; without one, to the steps around its time."""
    entry, spans = await asyncio.gather(entry_at(rest, namespace, key, start, seq), rest.spans(namespace, key))
    last = max((span.n for span in spans.items), default=1)
    after = next((span.n for span in spans.items if span.began >= entry.time - SLACK), last) - 1
    steps = await rest.steps(namespace, key, limit=_STEPS, after=after)
    found = step_of(entry, call, steps.items)
    if found is None:
        return RedirectResponse(link("jobs", namespace, key, show="steps", after=after), 303)
    return RedirectResponse(f"{link('jobs', namespace, key, show='steps', step=found.n)}#step-{found.n}", 303)


async def _overview(request: Request, rest: Rest, namespace: str, key: str) -> dict[str, Any]:
    """Read everything that the overview shows, in parallel."""
    known, spans, entries, result = await asyncio.gather(
        known_job(rest, namespace, key),
        part(rest.spans(namespace, key)),
        part(rest.entries(namespace, key, limit=_ENTRIES, newest=True)),
        part(rest.result(namespace, key)),
    )
    steps = spans.value.items if spans.value and known.history else []
    accepted = None
    if input_of(known, None) is None and known.history is not None:
        recorded = (await part(rest.spec(namespace, key))).value
        accepted = recorded.spec if recorded is not None else None
    now = datetime.now(UTC)
    since, until, start = _zoom(request)
    job_history = known.history
    # In a thread: thousands of steps take a while, and other requests must not wait for them.
    every = request.query_params.get("starts") == "all"
    most = MAX_ROWS if every else NEWEST
    draw = partial(timeline, since=since, until=until, start=start, most=most)
    picture = await asyncio.to_thread(draw, job_history, steps, now) if job_history else None
    return await _head(rest, known, steps) | {
        "picture": picture,
        "zoomed": (since or until or start) is not None,
        "legend": LEGEND,
        "every": every,
        "starts_listed": _STARTS if every else NEWEST,
        "failure": failure_of(known, entries.value.items if entries.value else (), steps),
        "job_input": input_of(known, accepted),
        "result": job_tabs.answer(result.value) if result.value and job_history else None,
        "engine": engine_of(known.spec or accepted or {}),
    }


async def _head(rest: Rest, known: Known, steps: list[StepSpan] | None = None) -> dict[str, Any]:
    """Return what all tabs have at their top."""
    others = None
    if known.phase == Phase.QUEUED and (queue := queue_of(known)):
        seen = (await part(rest.queue(known.namespace, queue))).value
        others = max(0, seen.phases.get(Phase.QUEUED, 0) - 1) if seen else None
    explanation = explained(known, steps or [], datetime.now(UTC), others=others)
    job = known.history.job if known.history else None
    return {
        "known": known,
        "job": job,
        "explanation": explanation,
        "look": place_to_look(known, explanation.page),
        "reason": reason_of(known),
        "message": message_of(known),
        "queue": queue_of(known),
        "once": secrets.token_hex(4),
        # By the name or uid in the address. Jobs that have ended are followed too: a late record may arrive, or a new
        # job may get the name, which the page then shows.
        "live": link("v1", "changes", job=f"{known.namespace}/{known.key}"),
    }


def _zoom(request: Request) -> tuple[datetime | None, datetime | None, int | None]:
    """Return the part of the timeline that the address selects. Raises Problem for an invalid time or number."""
    query = request.query_params
    try:
        since = parse_time(query["from"]) if query.get("from") else None
        until = parse_time(query["to"]) if query.get("to") else None
        start = int(query["start"]) if query.get("start") else None
    except ValueError:
        raise Problem(
            400, "BadRequest", "Invalid zoom: use `from` and `to` with RFC 3339 times, or `start` with a number."
        ) from None
    return since, until, start
