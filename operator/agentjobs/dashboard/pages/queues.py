"""Queues: limits, running and waiting jobs; pause, drain, resume, and change the limit."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from agentjobs.api.job_filter import JobFilter, JobOrder
from agentjobs.api.queues.spec import MAX_SLOTS
from agentjobs.api.recorded import RecordedJob, RecordedJobs
from agentjobs.dashboard.forms import form_of
from agentjobs.dashboard.pages.dependencies import Renderer, UserRest
from agentjobs.dashboard.pages.fan_out import gathered
from agentjobs.dashboard.pages.job_reads import part
from agentjobs.dashboard.pages.parameters import only
from agentjobs.dashboard.rest import Rest
from agentjobs.dashboard.texts import link
from agentjobs.dashboard.views.paging import paged
from agentjobs.dashboard.views.queues import PHASES, queue_view, waiting_jobs, with_counts
from agentjobs.dashboard.views.states import counted
from agentjobs.dashboard.views.urls import changes_of
from agentjobs.problem import Problem

router = APIRouter()

_WAITING: Final = PHASES[1:]
_NOT_QUEUED: Final = tuple(phase for phase in _WAITING if phase != "Queued")
_SHOWN: Final = 25
# Most jobs of one response of REST. The order of starts is known if no more wait for a slot.
_ORDERED: Final = 500
_FAILED: Final = 10
_DONE: Final = {
    "pause": "The queue is paused. No jobs start; running jobs continue.",
    "drain": "The queue is draining. No jobs start; running jobs are suspended after their current step.",
    "resume": "The queue is resumed. Jobs start as soon as a slot is free.",
    "scale": "The limit is changed. Running jobs continue, also above the limit.",
}


@router.get("/queues", dependencies=[only("page")])
async def all_queues(request: Request, rest: UserRest, pages: Renderer) -> Response:
    """Show the queues of the chosen namespaces."""
    found = await gathered(request, rest, rest.queues)
    counts = (await part(rest.open_jobs(found.picker.chosen))).value
    queues = with_counts(found.rows, counts, complete=found.complete)
    page = paged(queues, request.url.path, request.query_params.multi_items())
    return pages.render(
        request,
        "queues.html",
        queues=[queue_view(queue, counts) for queue in page.rows],
        page=page,
        gathered=found,
        counted=counts is not None and not counts.more,
        live=changes_of(found.picker.chosen),
    )


@router.get("/queues/{namespace}/{name}", dependencies=[only("done", "made")])
async def show_queue(
    request: Request, rest: UserRest, pages: Renderer, namespace: str, name: str, done: str = "", made: str = ""
) -> Response:
    """Show a queue."""
    sentences = [_DONE[done]] if done in _DONE else []
    if sentences and made == "queue":
        sentences.append("An AgentQueue was created. Fields that it does not set come from the operator's settings.")
    return await _page(request, rest, pages, namespace, name, done=" ".join(sentences))


@router.get("/queues/{namespace}/{name}/drain")
async def confirm_drain(request: Request, rest: UserRest, pages: Renderer, namespace: str, name: str) -> Response:
    """Explain draining, and ask for confirmation."""
    queue = queue_view(await rest.queue(namespace, name))
    return pages.render(request, "queue_drain.html", queue=queue, running=counted(queue.running, "job"))


@router.post("/queues/{namespace}/{name}/scale")
async def scale(request: Request, rest: UserRest, pages: Renderer, namespace: str, name: str) -> Response:
    """Change how many jobs of a queue run at the same time."""
    typed = (await form_of(request)).get("max", "").strip()
    if not (typed.isascii() and typed.isdigit() and len(typed) <= len(str(MAX_SLOTS)) and int(typed) <= MAX_SLOTS):
        wrong = f"Enter a whole number from 0 to {MAX_SLOTS:,}."
        return await _page(request, rest, pages, namespace, name, status=422, typed=typed[:40], wrong=wrong)
    return await _acted(request, rest, pages, namespace, name, "scale", {"max": int(typed)})


@router.post("/queues/{namespace}/{name}/{action}")
async def act(request: Request, rest: UserRest, pages: Renderer, namespace: str, name: str, action: str) -> Response:
    """Pause, drain or resume a queue."""
    if action not in _DONE:
        raise Problem(404, "NotFound", "Unknown action.")
    return await _acted(request, rest, pages, namespace, name, action, {})


async def _acted(
    request: Request, rest: Rest, pages: Renderer, namespace: str, name: str, action: str, body: dict[str, int]
) -> Response:
    try:
        done = await rest.act("queues", namespace, name, action, body)
    except Problem as problem:
        if problem.status in (401, 404):
            raise
        return await _page(request, rest, pages, namespace, name, status=problem.status, refused=problem.message)
    return RedirectResponse(link("queues", namespace, name, done=action, made="queue" if done.message else ""), 303)


async def _page(
    request: Request, rest: Rest, pages: Renderer, namespace: str, name: str, *, status: int = 200, **texts: str
) -> Response:
    queue, found = await asyncio.gather(rest.queue(namespace, name), part(_jobs_of(rest, namespace, name)))
    refused_jobs = ""
    if found.problem is not None:
        if found.problem.status != 403:
            raise found.problem
        refused_jobs = "You may not list the jobs of this namespace."
    jobs = found.value or _QueueJobs()
    waiting = waiting_jobs(queue, jobs.queued, jobs.others, more=jobs.more_queued, now=datetime.now(UTC))
    shown = {
        "queue": queue_view(queue),
        "running": jobs.running,
        "waiting": waiting.items[:_SHOWN],
        "order_of_starts": waiting.order,
        "more_wait": len(waiting.items) > _SHOWN,
        "failed": jobs.failed,
        "refused_jobs": refused_jobs,
        "open_phases": _WAITING,
        "live": changes_of([namespace]) if status == 200 else None,
        "done": "",
        "refused": "",
        "wrong": "",
        "typed": None,
        **texts,
    }
    return pages.render(request, "queue.html", status=status, **shown)


@dataclass(frozen=True, slots=True)
class _QueueJobs:
    """Jobs of a queue; none where the person may not list them."""

    running: Sequence[RecordedJob] = ()
    queued: Sequence[RecordedJob] = ()
    more_queued: bool = False
    others: Sequence[RecordedJob] = ()
    """Jobs that wait for something else than a slot."""
    failed: Sequence[RecordedJob] = ()


async def _jobs_of(rest: Rest, namespace: str, queue: str) -> _QueueJobs:
    async def listed(phases: tuple[str, ...], limit: int, order: JobOrder = JobOrder.OLDEST) -> RecordedJobs:
        chosen = JobFilter(queue=(queue,), phase=phases, order=order)
        return await rest.jobs(chosen, namespaces=[namespace], limit=limit)

    running, queued, others, failed = await asyncio.gather(
        listed(("Running",), _SHOWN),
        listed(("Queued",), _ORDERED),
        listed(_NOT_QUEUED, _SHOWN + 1),
        listed(("Failed",), _FAILED, JobOrder.ENDED),
    )
    return _QueueJobs(running.items, queued.items, queued.cursor is not None, others.items, failed.items)
