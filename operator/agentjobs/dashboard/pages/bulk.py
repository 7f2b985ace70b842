"""Cancels many jobs or runs them again: a page that asks for confirmation, then one with the results.

The jobs are read again before they are listed. Each action names the job's uid, so that it never acts on another job
that has the name by now.
"""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import ImmutableMultiDict

from agentjobs.api.job_filter import MAX_VALUES, JobFilter
from agentjobs.api.recorded import RecordedJob
from agentjobs.api.recorded_overview import ActionDone
from agentjobs.dashboard.forms import form_of
from agentjobs.dashboard.pages.dependencies import Renderer, UserRest
from agentjobs.dashboard.pages.fan_out import of_each
from agentjobs.dashboard.rest import Rest
from agentjobs.dashboard.security import MAX_QUERY_BYTES
from agentjobs.dashboard.views import bulk, job_filters
from agentjobs.dashboard.views.namespaces import chosen_namespaces
from agentjobs.dashboard.views.urls import address
from agentjobs.durations import format_time, parse_time
from agentjobs.problem import Problem

router = APIRouter()

_TRIES: Final = 5
_LONGEST_WAIT: Final = 10.0
"""Longest `Retry-After` in seconds that is waited for."""
_MANY: Final = 500
"""Jobs of the largest page of REST."""


@dataclass(frozen=True, slots=True)
class _Matching:
    """The jobs of a list that one form acts on, and how to continue after them."""

    jobs: Sequence[RecordedJob]
    cursor: str
    """Where the others begin; empty if there are none."""
    left: int
    """How many others there are, at most 500."""
    more: bool
    """Whether there are more than these."""
    before: str
    """Jobs created later are left out on the next pages: a job that an earlier page created is not run again."""


@router.get("/bulk")
@router.get("/bulk/run")
async def reloaded() -> Response:
    """Redirect to the list: these pages are answers to forms."""
    return RedirectResponse(job_filters.PATH, 303)


@router.post("/bulk")
async def confirm(request: Request, rest: UserRest, pages: Renderer) -> Response:
    """Ask for confirmation to act on the selected jobs, or on all that match."""
    form = await form_of(request)
    action, _, of_all = form.get("action", "").partition("-")
    if action not in bulk.ACTIONS:
        raise Problem(400, "BadRequest", "The form has no valid action: expected cancel or rerun.")
    query = _query(form)
    matching = None
    if of_all:
        # A form without the field would match all jobs; that of a list without filters has an empty one.
        if "list_query" not in form:
            raise _invalid()
        matching = await _matching(rest, action, query, form, datetime.now(UTC))
        known = matching.jobs
        requested = tuple(bulk.target_of(job) for job in known)
    else:
        requested = bulk.targets(form.getlist("job"))
        if len(requested) > bulk.MAX_JOBS:
            raise Problem(
                400, "BadRequest", f"The form has {len(requested)} jobs, and {bulk.MAX_JOBS} are allowed: select fewer."
            )
        known = await _looked_up(rest, requested)
    items = bulk.plan(action, requested, known)
    return pages.render(
        request,
        "bulk.html",
        action=action,
        verb=bulk.ACTIONS[action],
        can=[item for item in items if not item.why_not],
        cannot=[item for item in items if item.why_not],
        matching=matching,
        token=secrets.token_hex(16),
        back=address(job_filters.PATH, query),
        list_query=form.get("list_query", ""),
    )


@router.post("/bulk/run")
async def run(request: Request, rest: UserRest, pages: Renderer) -> Response:
    """Act on each job, and show the results. The same form sent again changes nothing."""
    form = await form_of(request)
    query = _query(form)
    action, token, requested = form.get("action", ""), form.get("token", ""), bulk.targets(form.getlist("job"))
    if action not in bulk.ACTIONS or not bulk.is_token(token) or not 1 <= len(requested) <= bulk.MAX_JOBS:
        raise _invalid()
    done = await of_each(requested, lambda target: _done(rest, action, token, target))
    return pages.render(
        request,
        "bulk_done.html",
        action=action,
        done=[target for target in done if target.is_done],
        failed=[target for target in done if not target.is_done],
        back=address(job_filters.PATH, query),
        list_query=form.get("list_query", ""),
        cursor=form.get("cursor", ""),
        before=form.get("before", ""),
    )


def _invalid() -> Problem:
    return Problem(400, "BadRequest", "This form is invalid: go back to the list and select jobs there.")


def _query(form: ImmutableMultiDict[str, str]) -> list[tuple[str, str]]:
    """Return the query of the list that sent the form. Raises Problem where it is too long."""
    list_query = form.get("list_query", "")
    if len(list_query) > MAX_QUERY_BYTES:
        raise Problem(400, "BadRequest", "The address of the list is too long: use fewer filters.")
    return parse_qsl(list_query)


async def _matching(
    rest: Rest, action: str, query: Sequence[tuple[str, str]], form: ImmutableMultiDict[str, str], now: datetime
) -> _Matching:
    """Return the jobs of a list that the action can change, from the place that the form names."""
    wanted = job_filters.wanted(query, now)
    if not wanted.is_valid:
        raise Problem(400, "BadRequest", "A filter of the list is invalid: go back and correct it.")
    chosen, before = bulk.changeable(action, wanted.filter), form.get("before", "")
    if chosen is None:
        return _Matching((), "", 0, False, before)
    if before:
        chosen = replace(chosen, until=min(filter(None, (chosen.until, _time(before)))))
    namespaces = chosen_namespaces(query)
    page = await rest.jobs(chosen, namespaces=namespaces, limit=bulk.MAX_JOBS, cursor=form.get("cursor") or None)
    left, more = 0, False
    if page.cursor is not None:
        others = await rest.jobs(chosen, namespaces=namespaces, limit=_MANY, cursor=page.cursor)
        left, more = len(others.items), others.cursor is not None
    return _Matching(page.items, page.cursor or "", left, more, before or format_time(now))


def _time(text: str) -> datetime:
    try:
        return parse_time(text)
    except ValueError:
        raise _invalid() from None


async def _looked_up(rest: Rest, requested: Sequence[bulk.Target]) -> list[RecordedJob]:
    """Return these jobs as history has them now; several have the same name where a name was used again."""

    async def found(group: Sequence[bulk.Target]) -> list[RecordedJob]:
        names = JobFilter(name=tuple(dict.fromkeys(target.name for target in group)))
        return (await rest.jobs(names, namespaces=sorted({target.namespace for target in group}), limit=_MANY)).items

    return [job for jobs in await of_each(bulk.lookups(requested, MAX_VALUES), found) for job in jobs]


async def _done(rest: Rest, action: str, token: str, target: bulk.Target) -> bulk.Done:
    again = bulk.name_again(target, token) if action == "rerun" else ""
    try:
        answer = await _act_with_retries(rest, action, target, {"name": again} if again else {})
    except Problem as problem:
        if problem.status == 401:
            raise
        if again and problem.reason == "AlreadyExists":
            # The name is derived from this form, so an earlier request with this form created the job.
            return bulk.Done(target, True, again, "It was already created by this form.")
        return bulk.Done(target, False, "", problem.message)
    return bulk.Done(target, True, answer.made or again, answer.message)


async def _act_with_retries(rest: Rest, action: str, target: bulk.Target, body: dict[str, str]) -> ActionDone:
    """Request an action; on 429 wait as `Retry-After` says, and try again."""
    for _ in range(_TRIES - 1):
        try:
            return await rest.act("agentjobs", target.namespace, target.uid, action, body)
        except Problem as problem:
            wait = _wait_of(problem)
            if wait is None:
                raise
            await asyncio.sleep(wait)
    return await rest.act("agentjobs", target.namespace, target.uid, action, body)


def _wait_of(problem: Problem) -> float | None:
    seconds = problem.headers.get("Retry-After", "1")
    if problem.status != 429 or not seconds.isdigit() or float(seconds) > _LONGEST_WAIT:
        return None
    return float(seconds)
