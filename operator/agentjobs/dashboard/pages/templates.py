"""Templates: what they run, and a form that creates a job."""

import asyncio
import secrets
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from agentjobs.api.job_filter import JobFilter
from agentjobs.dashboard.forms import form_of
from agentjobs.dashboard.pages.dependencies import Renderer, UserRest
from agentjobs.dashboard.pages.fan_out import gathered
from agentjobs.dashboard.pages.parameters import only
from agentjobs.dashboard.texts import link
from agentjobs.dashboard.views.paging import paged
from agentjobs.dashboard.views.run_form import RunForm, empty_form, filled_form
from agentjobs.dashboard.views.templates import template_view
from agentjobs.dashboard.views.urls import changes_of
from agentjobs.problem import Problem

router = APIRouter()

_SHOWN: Final = 15


@router.get("/templates", dependencies=[only("page")])
async def all_templates(request: Request, rest: UserRest, pages: Renderer) -> Response:
    """Show the templates of the chosen namespaces."""
    found = await gathered(request, rest, rest.templates)
    page = paged(found.rows, request.url.path, request.query_params.multi_items())
    templates = [template_view(template) for template in page.rows]
    live = changes_of(found.picker.chosen)
    return pages.render(request, "templates.html", templates=templates, page=page, gathered=found, live=live)


@router.get("/templates/{namespace}/{name}", dependencies=[only()])
async def show_template(request: Request, rest: UserRest, pages: Renderer, namespace: str, name: str) -> Response:
    """Show a template and the form that runs it."""
    seen, made = await asyncio.gather(
        rest.template(namespace, name),
        rest.jobs(JobFilter(template=(name,)), namespaces=[namespace], limit=_SHOWN),
    )
    view = template_view(seen)
    shown = {"view": view, "form": empty_form(view, secrets.token_hex(8)), "jobs": made.items, "refused": ""}
    live = changes_of([namespace])
    return pages.render(request, "template.html", status=200, live=live, **shown)


@router.post("/templates/{namespace}/{name}/run")
async def run(request: Request, rest: UserRest, pages: Renderer, namespace: str, name: str) -> Response:
    """Create a job and redirect to it, or show the form with its errors."""
    sent = dict(await form_of(request))
    view = template_view(await rest.template(namespace, name))
    form, refused = filled_form(view, sent, secrets.token_hex(8)), ""
    status = 422
    if not form.wrong:
        try:
            done = await rest.act("templates", namespace, name, "run", _order(form))
            return RedirectResponse(link("jobs", namespace, done.made or form.job), 303)
        except Problem as problem:
            if problem.status in (401, 404):
                raise
            refused, status = problem.message, problem.status
    made = await rest.jobs(JobFilter(template=(name,)), namespaces=[namespace], limit=_SHOWN)
    shown = {"view": view, "form": form, "jobs": made.items, "refused": refused}
    return pages.render(request, "template.html", status=status, **shown)


def _order(form: RunForm) -> dict[str, Any]:
    order: dict[str, Any] = {"name": form.job, "parameters": dict(form.parameters)}
    return order if form.message is None else order | {"message": form.message}
