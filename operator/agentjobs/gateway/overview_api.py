"""What users read of many jobs at once, and of the installation: numbers of what runs, waits, happened and cost.

Who may list AgentJobs of a namespace may know how many there are; the numbers of others' namespaces are not in any sum.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime

import agentjobs
from agentjobs.api.recorded_overview import Activity, Installation, OpenCounts, Process, UsageSeries
from agentjobs.auth import User
from agentjobs.gateway.rights import InScope, may
from agentjobs.gateway.services import Installed, Numbers, ReadBudget, Reports, Shared, services_of
from agentjobs.gateway.shared_reads import seconds_of
from agentjobs.history.model_records import SeenProxy
from agentjobs.history.overview_protocols import SeriesBy
from agentjobs.problem import Problem

DEFAULT_LENGTH: Final = timedelta(days=1)

Since = Annotated[
    AwareDatetime | None,
    Query(description="Where it begins, 2026-11-29T08:00:00Z; a day before `until` by default, 1 hour to 90 days."),
]
Until = Annotated[AwareDatetime | None, Query(description="Where it ends; now by default.")]

router = APIRouter(tags=["overview"])


async def _may_read_all(request: Request) -> User:
    return await may(request, "list", namespace="")


@router.get("/v1/counts")
async def get_counts(scope: InScope, numbers: Numbers, budget: ReadBudget, shared: Shared) -> OpenCounts:
    """Count the jobs that have not ended, by namespace, queue, phase and what they wait for."""

    async def ask() -> OpenCounts:
        async with budget.taken():
            return await numbers.open_jobs(scope)

    return await shared.once("counts", scope, ask=ask)


@router.get("/v1/activity")
async def get_activity(
    scope: InScope,
    numbers: Numbers,
    budget: ReadBudget,
    shared: Shared,
    since: Since = None,
    until: Until = None,
) -> Activity:
    """Tell what happened to jobs over time, and why jobs failed.

    Slices have round lengths (1 min, 5 min, 15 min, 1 h, 2 h, 6 h, 12 h, 1 d), begin at multiples of them in UTC, and
    cover the time that is asked for: `since` and `until` of the answer are where the first begins and the last ends.
    """
    begin, end = _time(since, until, now=datetime.now(UTC))

    async def ask() -> Activity:
        async with budget.taken():
            return await numbers.activity(begin, end, scope)

    seconds, about = _shared(begin, end)
    return await shared.once("activity", scope, *about, ask=ask, seconds=seconds)


@router.get("/v1/usage/series")
async def get_usage_series(
    scope: InScope,
    numbers: Numbers,
    budget: ReadBudget,
    shared: Shared,
    by: Annotated[SeriesBy, Query(description="What usage is divided by.")] = "model",
    since: Since = None,
    until: Until = None,
) -> UsageSeries:
    """Tell what model calls used over time; those of the costliest eight keys apart, of all others together.

    Slices are as those of `/v1/activity`: 15 min, 1 h, 2 h or 6 h for up to 24 days, of longer times days.
    """
    begin, end = _time(since, until, now=datetime.now(UTC))

    async def ask() -> UsageSeries:
        async with budget.taken():
            return await numbers.usage_series(by, begin, end, scope)

    seconds, about = _shared(begin, end)
    return await shared.once("usage", scope, by, *about, ask=ask, seconds=seconds)


@router.get("/v1/installation", dependencies=[Depends(_may_read_all)])
async def get_installation(
    request: Request, installed: Installed, reports: Reports, budget: ReadBudget
) -> Installation:
    """Tell which processes run this installation and how its database is, for whom may list AgentJobs everywhere."""
    async with budget.taken():
        asked = datetime.now(UTC)
        database = await installed.database()
        answered = datetime.now(UTC)
        processes = await installed.processes()
        proxies = await reports.proxies()
    return Installation(
        version=agentjobs.__version__,
        cluster=await services_of(request).cluster(),
        processes=[*processes, *(_proxy(one) for one in proxies)],
        database_version=database.version,
        schema_version=database.schema,
        database_bytes=database.size,
        jobs=database.jobs,
        clock_skew_seconds=clock_skew(database.now, asked=asked, answered=answered),
    )


def clock_skew(theirs: datetime, *, asked: datetime, answered: datetime) -> float:
    """Return by how many seconds another clock is ahead at least, or behind: 0 where the way there explains it."""
    if asked <= theirs <= answered:
        return 0.0
    nearest = answered if theirs > answered else asked
    return round((theirs - nearest).total_seconds(), 3)


def _proxy(seen: SeenProxy) -> Process:
    version = str(seen.told.get("version") or "")
    return Process(kind="proxy", id=seen.id, version=version, since=seen.since, seen=seen.seen)


def _shared(begin: datetime, end: datetime) -> tuple[float, tuple[timedelta, int]]:
    """For how many seconds numbers over a time are shared, and what is the same for who asks for about that time.

    Everybody's "until now" is another moment; within these seconds all of them mean the same.
    """
    seconds = seconds_of(end - begin)
    return seconds, (end - begin, int(end.timestamp() // seconds))


def _time(since: datetime | None, until: datetime | None, *, now: datetime) -> tuple[datetime, datetime]:
    end = until or now
    try:
        return since or end - DEFAULT_LENGTH, end
    except OverflowError:
        raise Problem(400, "BadRequest", "until: there is no day before it.") from None
