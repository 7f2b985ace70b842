"""Routes of users: statistics of jobs (what runs, waits, happened and cost), and the installation.

Numbers cover only the namespaces whose AgentJobs the caller may list.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime

import agentjobs
from agentjobs.api.recorded_overview import Activity, Installation, OpenCounts, Process, UsageSeries
from agentjobs.auth import User
from agentjobs.gateway.rights import InScope, authorize
from agentjobs.gateway.services import Installed, Numbers, ReadBudget, Reports, Shared, services_of
from agentjobs.gateway.shared_reads import seconds_of
from agentjobs.history.model_records import LiveProxy
from agentjobs.history.overview_protocols import SeriesBy
from agentjobs.problem import Problem

DEFAULT_LENGTH: Final = timedelta(days=1)

Since = Annotated[
    AwareDatetime | None,
    Query(description="The begin, such as 2026-11-29T08:00:00Z: 1 hour to 90 days before `until`, one day by default."),
]
Until = Annotated[AwareDatetime | None, Query(description="The end; now by default.")]

router = APIRouter(tags=["overview"])


async def _may_read_all(request: Request) -> User:
    return await authorize(request, "list", namespace="")


@router.get("/v1/counts")
async def get_counts(scope: InScope, numbers: Numbers, budget: ReadBudget, shared: Shared) -> OpenCounts:
    """Count the unfinished jobs by namespace, queue, phase and reason."""

    async def read() -> OpenCounts:
        async with budget.taken():
            return await numbers.open_jobs(scope)

    return await shared.once("counts", scope, read=read)


@router.get("/v1/activity")
async def get_activity(
    scope: InScope,
    numbers: Numbers,
    budget: ReadBudget,
    shared: Shared,
    since: Since = None,
    until: Until = None,
) -> Activity:
    """Return what happened to jobs over time, and why jobs failed.

    Slices have round lengths (1 min, 5 min, 15 min, 1 h, 2 h, 6 h, 12 h, 1 d), begin at multiples of their length in
    UTC, and cover the requested time: `since` and `until` of the response are the ends of the first and the last slice.
    """
    begin, end = _time(since, until, now=datetime.now(UTC))

    async def read() -> Activity:
        async with budget.taken():
            return await numbers.activity(begin, end, scope)

    seconds, about = _shared(begin, end)
    return await shared.once("activity", scope, *about, read=read, seconds=seconds)


@router.get("/v1/usage/series")
async def get_usage_series(
    scope: InScope,
    numbers: Numbers,
    budget: ReadBudget,
    shared: Shared,
    by: Annotated[SeriesBy, Query(description="How usage is grouped.")] = "model",
    since: Since = None,
    until: Until = None,
) -> UsageSeries:
    """Return what model calls used over time, for the eight most expensive keys and for all others together.

    Slices begin as those of `/v1/activity`: 15 min, 1 h, 2 h or 6 h for up to 24 days, and days for longer times.
    """
    begin, end = _time(since, until, now=datetime.now(UTC))

    async def read() -> UsageSeries:
        async with budget.taken():
            return await numbers.usage_series(by, begin, end, scope)

    seconds, about = _shared(begin, end)
    return await shared.once("usage", scope, by, *about, read=read, seconds=seconds)


@router.get("/v1/installation", dependencies=[Depends(_may_read_all)])
async def get_installation(
    request: Request, installed: Installed, reports: Reports, budget: ReadBudget
) -> Installation:
    """Return the processes and the database of the installation. It takes the right to list AgentJobs everywhere."""
    async with budget.taken():
        requested = datetime.now(UTC)
        database = await installed.database()
        answered = datetime.now(UTC)
        processes = await installed.processes()
        proxies = await reports.proxies()
    return Installation(
        version=agentjobs.__version__,
        cluster=await services_of(request).cluster(),
        processes=[*processes, *(_proxy(proxy) for proxy in proxies)],
        database_version=database.version,
        schema_version=database.schema,
        database_bytes=database.size,
        jobs=database.jobs,
        clock_skew_seconds=clock_skew(database.now, requested=requested, answered=answered),
    )


def clock_skew(database_time: datetime, *, requested: datetime, answered: datetime) -> float:
    """Return the smallest possible difference of another clock in seconds; 0 if the time of the request explains it."""
    if requested <= database_time <= answered:
        return 0.0
    nearest = answered if database_time > answered else requested
    return round((database_time - nearest).total_seconds(), 3)


def _proxy(proxy: LiveProxy) -> Process:
    version = str(proxy.report.get("version") or "")
    return Process(kind="proxy", id=proxy.id, version=version, since=proxy.since, seen=proxy.seen)


def _shared(begin: datetime, end: datetime) -> tuple[float, tuple[timedelta, int]]:
    """Return for how many seconds numbers over a time are shared, and a key for requests for about the same time.

    The end of "until now" differs from request to request; within these seconds it counts as the same.
    """
    seconds = seconds_of(end - begin)
    return seconds, (end - begin, int(end.timestamp() // seconds))


def _time(since: datetime | None, until: datetime | None, *, now: datetime) -> tuple[datetime, datetime]:
    end = until or now
    try:
        return since or end - DEFAULT_LENGTH, end
    except OverflowError:
        raise Problem(400, "BadRequest", "until: must be later than the first day of the calendar.") from None
