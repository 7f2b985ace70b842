"""What is done to one job from its page: cancel, suspend, resume, rerun."""

from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from agentjobs.api.explain import Order
from agentjobs.dashboard.forms import form_of
from agentjobs.dashboard.pages.asking import Asked, Person, Shown
from agentjobs.dashboard.pages.job_asking import known_job
from agentjobs.dashboard.rendering import link
from agentjobs.dashboard.views.job import Known
from agentjobs.problem import Problem

ORDERS: Final = frozenset(order.value for order in Order)

router = APIRouter()


@router.get("/jobs/{namespace}/{key}/cancel")
async def confirm_cancel(
    request: Request, person: Person, rest: Asked, pages: Shown, namespace: str, key: str
) -> Response:
    """Ask whether a job shall really be stopped: it cannot be undone."""
    known = await known_job(rest, namespace, key)
    return pages.render(request, "job_cancel.html", known=known)


@router.post("/jobs/{namespace}/{key}/{order}")
async def act(request: Request, person: Person, rest: Asked, namespace: str, key: str, order: str) -> Response:
    """Give a job an order, and go back to its page; to that of the new job after a rerun."""
    if order not in ORDERS:
        raise Problem(404, "NotFound", "There is no such action.")
    form = await form_of(request)
    name = form.get("name", "").strip()
    body = {"name": name} if order == Order.RERUN and name else {}
    done = await rest.act("agentjobs", namespace, await _target(rest, namespace, key, order), order, body)
    back = done.made if order == Order.RERUN and done.made else key
    return RedirectResponse(link("jobs", namespace, back, done=order), 303)


async def _target(rest: Asked, namespace: str, key: str, order: str) -> str:
    """Return which job is meant. One that runs again is named by its uid: another may have its name by now."""
    if order != Order.RERUN:
        return key
    known: Known = await known_job(rest, namespace, key)
    return known.uid if known.story is not None and known.uid else key
