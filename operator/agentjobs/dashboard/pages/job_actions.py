"""Actions on one job from its page: cancel, suspend, resume, rerun."""

import re
import secrets
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from agentjobs import errors
from agentjobs.api.explain import Order
from agentjobs.api.fields import UID
from agentjobs.api.job.spec import MAX_JOB_NAME
from agentjobs.api.job.team import as_object
from agentjobs.api.known_job import Known
from agentjobs.dashboard.forms import form_of
from agentjobs.dashboard.pages.dependencies import Person, Renderer, UserRest
from agentjobs.dashboard.pages.job_reads import known_job, part
from agentjobs.dashboard.rest import Rest
from agentjobs.dashboard.texts import link
from agentjobs.dashboard.views.rerun_form import Old, old_of_history, rerun_form
from agentjobs.dashboard.views.states import text_of
from agentjobs.dashboard.views.templates import template_view
from agentjobs.problem import Problem

ORDERS: Final = frozenset(order.value for order in Order)
_ONCE: Final = re.compile(r"[0-9a-f]{8}")

router = APIRouter()


@router.get("/jobs/{namespace}/{key}/cancel")
async def confirm_cancel(
    request: Request, person: Person, rest: UserRest, pages: Renderer, namespace: str, key: str
) -> Response:
    """Ask for confirmation before a job is cancelled, which cannot be undone."""
    known = await known_job(rest, namespace, key)
    return pages.render(request, "job_cancel.html", known=known)


@router.get("/jobs/{namespace}/{key}/again")
async def change(
    request: Request, person: Person, rest: UserRest, pages: Renderer, namespace: str, key: str
) -> Response:
    """Show the form that runs a job again with changes."""
    known = await known_job(rest, namespace, key)
    form = rerun_form(await _old(rest, known), known.name, secrets.token_hex(8))
    return pages.render(request, "job_again.html", known=known, form=form, refused="")


@router.post("/jobs/{namespace}/{key}/again")
async def run_changed(
    request: Request, person: Person, rest: UserRest, pages: Renderer, namespace: str, key: str
) -> Response:
    """Create the changed job and redirect to it, or show the form with its errors."""
    sent = dict(await form_of(request))
    uid = sent.get("uid", "")
    known = await known_job(rest, namespace, uid if re.fullmatch(UID, uid) else key)
    form, refused, status = rerun_form(await _old(rest, known), known.name, secrets.token_hex(8), sent), "", 422
    if not form.wrong:
        try:
            done = await rest.act("agentjobs", namespace, known.key, Order.RERUN, form.body)
            return RedirectResponse(link("jobs", namespace, done.made or form.body["name"], done=Order.RERUN), 303)
        except Problem as problem:
            if problem.status in (401, 404):
                raise
            refused, status = problem.message, problem.status
    return pages.render(request, "job_again.html", status=status, known=known, form=form, refused=refused)


@router.post("/jobs/{namespace}/{key}/{order}")
async def act(request: Request, person: Person, rest: UserRest, namespace: str, key: str, order: str) -> Response:
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
    # Another person may have ended it since the page was shown.
    is_changed = order == Order.RERUN or not done.message
    return RedirectResponse(link("jobs", namespace, back, done=order if is_changed else "nothing"), 303)


def _new_name(given: str, once: str, key: str) -> str | None:
    """Return the name of the new job: the given one, else one derived from the form; None for a form with neither.

    The same form sent twice makes one job.
    """
    if given.strip():
        return given.strip()
    stem = "again" if re.fullmatch(UID, key) else key
    return f"{stem[: MAX_JOB_NAME - 9].rstrip('-.')}-{once}" if _ONCE.fullmatch(once) else None


async def _old(rest: Rest, known: Known) -> Old:
    """Return the work of a job as a rerun takes it: from its object, or from history if that is gone.

    Raises:
        Problem: the person may not read the spec in history, it cannot be run again, or a server is unavailable.
    """
    if known.no_object:
        raise Problem(503, "Unavailable", "The cluster cannot be read now; try again.")
    if known.from_cluster is None:
        try:
            return old_of_history(await rest.spec(known.namespace, known.key))
        except errors.Invalid as error:
            raise Problem(422, "Invalid", str(error)) from error
    name = text_of(as_object(known.spec.get("templateRef")), "name")
    seen = (await part(rest.template(known.namespace, name))).value if name else None
    return Old(known.spec, template_view(seen) if seen is not None else None)
