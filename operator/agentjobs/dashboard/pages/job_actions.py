"""Actions on one job from its page: cancel, suspend, resume, rerun."""

import re
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from agentjobs.api.explain import Order
from agentjobs.api.fields import UID
from agentjobs.api.job.spec import MAX_JOB_NAME
from agentjobs.dashboard.forms import form_of
from agentjobs.dashboard.pages.asking import Asked, Person, Shown
from agentjobs.dashboard.pages.job_asking import known_job
from agentjobs.dashboard.texts import link
from agentjobs.problem import Problem

ORDERS: Final = frozenset(order.value for order in Order)
_ONCE: Final = re.compile(r"[0-9a-f]{8}")

router = APIRouter()


@router.get("/jobs/{namespace}/{key}/cancel")
async def confirm_cancel(
    request: Request, person: Person, rest: Asked, pages: Shown, namespace: str, key: str
) -> Response:
    """Ask for confirmation before a job is cancelled, which cannot be undone."""
    known = await known_job(rest, namespace, key)
    return pages.render(request, "job_cancel.html", known=known)


@router.post("/jobs/{namespace}/{key}/{order}")
async def act(request: Request, person: Person, rest: Asked, namespace: str, key: str, order: str) -> Response:
    """Act on a job, and return to its page; after a rerun to the page of the new job.

    The form has the uid of the job that was shown, because another job may have its name by now.
    """
    if order not in ORDERS:
        raise Problem(404, "NotFound", "There is no such action.")
    form = await form_of(request)
    body = {"name": _new_name(form.get("name", ""), form.get("once", ""), key)} if order == Order.RERUN else {}
    uid = form.get("uid", "")
    done = await rest.act("agentjobs", namespace, uid if re.fullmatch(UID, uid) else key, order, body)
    back = done.made if order == Order.RERUN and done.made else key
    return RedirectResponse(link("jobs", namespace, back, done=order), 303)


def _new_name(given: str, once: str, key: str) -> str | None:
    """Return the name of the new job: the given one, else one derived from the form; None for a form with neither.

    The same form sent twice makes one job.
    """
    if given.strip():
        return given.strip()
    stem = "again" if re.fullmatch(UID, key) else key
    return f"{stem[: MAX_JOB_NAME - 9].rstrip('-.')}-{once}" if _ONCE.fullmatch(once) else None
