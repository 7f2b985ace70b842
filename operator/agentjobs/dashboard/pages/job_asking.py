"""What the pages of a job ask REST for: the job itself, and parts that may be missing without the page being so."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from agentjobs.api.known_job import Known
from agentjobs.dashboard.rest import Rest
from agentjobs.dashboard.views.job import session_of
from agentjobs.problem import Problem

T = TypeVar("T")

PASSED_ON: Final = frozenset({401, 429})
"""What a page cannot leave out: somebody has to sign in, or to wait."""


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """A part of a page, or why it is missing."""

    value: T | None
    problem: Problem | None = None


async def part(asked: Awaitable[T]) -> Part[T]:
    """Ask for a part of a page. Raises Problem for what the page as a whole must answer."""
    try:
        return Part(await asked)
    except Problem as problem:
        if problem.status in PASSED_ON:
            raise
        return Part(None, problem)


async def known_job(rest: Rest, namespace: str, key: str) -> Known:
    """Return what is known of a job, by its name or uid: from the API server, from history, or from both.

    Raises:
        Problem: nothing of it may be shown, or it is nowhere.
    """
    story, seen = await asyncio.gather(part(rest.story(namespace, key)), part(rest.object(namespace, key)))
    known = Known(key, namespace, story.value, seen.value, _why(story), _why(seen))
    if story.value is None and seen.value is None:
        raise _worst(story.problem, seen.problem)
    if story.value is not None and seen.value is not None and known.uid != story.value.job.uid:
        # Another job had the name before; this one is not in history yet.
        return Known(key, namespace, None, seen.value)
    return known


async def session_key(rest: Rest, known: Known) -> tuple[str, str, str]:
    """Return app, user and id of a job's session: as accepted where that may be read, else by the rules of defaults."""
    told = (await part(rest.spec(known.namespace, known.key))).value if known.story else None
    return session_of(told.spec if told is not None else known.spec, name=known.name, uid=known.uid)


def _why(found: Part[T]) -> str:
    return found.problem.message if found.problem is not None and found.problem.status != 404 else ""


def _worst(*problems: Problem | None) -> Problem:
    """Return what to say of a job that nobody showed: it is not there only where both say so."""
    said = [one for one in problems if one is not None]
    refused = next((one for one in said if one.status == 403), None)
    away = next((one for one in said if one.status >= 500), None)
    missing = Problem(404, "NotFound", "There is no such job, neither in the cluster nor in history.")
    return refused or away or missing
