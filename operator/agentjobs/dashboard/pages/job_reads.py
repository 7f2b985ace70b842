"""Reads a job from REST, and parts of its page that may fail without failing the page."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Generic, TypeVar

from fastapi import Path

from agentjobs.api.known_job import Known
from agentjobs.api.recorded import RecordedEntry
from agentjobs.dashboard.rest import Rest
from agentjobs.dashboard.views.job import session_of
from agentjobs.problem import Problem

T = TypeVar("T")
Number = Annotated[int, Path(ge=0, le=2**31 - 1)]
"""Of a start, an entry or a step in an address."""

PASSED_ON: Final = frozenset({401, 429})
"""Statuses that fail the whole page: the person has to sign in, or to wait."""
_AROUND: Final = 100


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """A part of a page, or the reason why it is missing."""

    value: T | None
    problem: Problem | None = None


async def part(response: Awaitable[T]) -> Part[T]:
    """Read a part of a page. Raises Problem with a status of PASSED_ON."""
    try:
        return Part(await response)
    except Problem as problem:
        if problem.status in PASSED_ON:
            raise
        return Part(None, problem)


async def known_job(rest: Rest, namespace: str, key: str) -> Known:
    """Return a job by its name or uid: from the API server, from history, or from both.

    Raises:
        Problem: the person may not read the job, or neither has it.
    """
    job_history, seen = await asyncio.gather(part(rest.job_history(namespace, key)), part(rest.object(namespace, key)))
    known = Known(key, namespace, job_history.value, seen.value, _why(job_history), _why(seen))
    if job_history.value is None and seen.value is None:
        raise _worst(job_history.problem, seen.problem)
    if job_history.value is not None and seen.value is not None and known.uid != job_history.value.job.uid:
        # History has an older job of this name; the one in the cluster is not in history yet.
        return Known(key, namespace, None, seen.value)
    return known


async def entry_at(rest: Rest, namespace: str, key: str, start: int, seq: int) -> RecordedEntry:
    """Return an entry of a start's transcript. Raises Problem where there is none of this number."""
    page = await rest.entries(namespace, key, start=start, limit=1, after=max(0, seq - 1))
    found = next((entry for entry in page.items if entry.seq == seq), None)
    if found is None:
        raise Problem(404, "NotFound", "Entry not found.")
    return found


async def entries_around(rest: Rest, namespace: str, key: str, start: int, time: datetime) -> list[RecordedEntry]:
    """Return the entries of a start around a time; of thousands they are found by halving."""
    newest = (await rest.entries(namespace, key, start=start, limit=1, newest=True)).items
    before, last = 0, newest[0].seq if newest else 0
    while last - before > _AROUND:
        middle = (before + last) // 2
        found = (await rest.entries(namespace, key, start=start, limit=1, after=middle)).items
        if found and found[0].time <= time:
            before = middle
        else:
            last = middle
    page = await rest.entries(namespace, key, start=start, limit=2 * _AROUND, after=max(0, before - _AROUND))
    return page.items


async def session_key(rest: Rest, known: Known) -> tuple[str, str, str]:
    """Return app, user and id of a job's session: from the accepted spec if it may be read, else by the defaults."""
    accepted = (await part(rest.spec(known.namespace, known.key))).value if known.history else None
    return session_of(accepted.spec if accepted is not None else known.spec, name=known.name, uid=known.uid)


def _why(found: Part[T]) -> str:
    return found.problem.message if found.problem is not None and found.problem.status != 404 else ""


def _worst(*problems: Problem | None) -> Problem:
    """Return the problem of a job that could not be read: NotFound only where both sources report that."""
    known = [problem for problem in problems if problem is not None]
    refused = next((problem for problem in known if problem.status == 403), None)
    away = next((problem for problem in known if problem.status >= 500), None)
    missing = Problem(404, "NotFound", "Job not found in the cluster or in history.")
    return refused or away or missing
