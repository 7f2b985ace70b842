"""Numbers of jobs and usage of models, counted from indexes on request.

No counters need to be maintained (decision 0045); the cost of a query grows with the rows of its time range.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from agentjobs.api.recorded_overview import (
    Activity,
    ActivitySlice,
    FailureReason,
    OpenCounts,
    OpenJobs,
    UsagePoint,
    UsageSeries,
)
from agentjobs.history.database import Connection, Database
from agentjobs.history.model_records import SPEND_SLICE_SECONDS
from agentjobs.history.overview_protocols import SeriesBy
from agentjobs.history.slices import ACTIVITY_SECONDS, DAY_SECONDS, USAGE_SECONDS, Slices, slices_of
from agentjobs.history.statements import load

_SQL: Final = {**load("overview"), **load("namespaces")}

MAX_GROUPS: Final = 2000
"""Maximum rows of open jobs: namespaces times queues times reasons."""
MAX_REASONS: Final = 20
LATELY_SECONDS: Final = 900
"""Up to about a day, there are so few starts that their jobs are looked up one by one."""
MAX_KEYS: Final = 8
"""Maximum series of a chart."""
PHASES: Final[Mapping[str, str]] = {
    "Succeeded": "succeeded",
    "Failed": "failed",
    "Cancelled": "cancelled",
    "Skipped": "skipped",
}
"""The phases that jobs end in, each with its count."""


class Overview:
    """The jobs of one cluster, as `overview_protocols.OverviewHistory` promises.

    Args:
        cluster: uid of the namespace kube-system; only its rows are read.

    Every method raises `errors.Unavailable` when the database cannot answer within five seconds.
    """

    def __init__(self, database: Database, *, cluster: str) -> None:
        self._database = database
        self._cluster = cluster

    async def open_jobs(self, namespaces: Collection[str] | None = None) -> OpenCounts:
        """Return the number of unfinished jobs, by namespace, queue, phase and reason; largest first."""
        rows = await self._rows("open_jobs", namespaces, {"limit": MAX_GROUPS + 1})
        items = [OpenJobs(**row._asdict()) for row in rows[:MAX_GROUPS]]
        return OpenCounts(items=items, more=len(rows) > MAX_GROUPS)

    async def activity(self, since: datetime, until: datetime, namespaces: Collection[str] | None = None) -> Activity:
        """Return what happened to jobs in slices of time that cover this one, and why jobs failed.

        Raises:
            errors.Invalid: the time is not between an hour and 90 days long.
        """
        slices = slices_of(since, until, ACTIVITY_SECONDS)
        places = await self._namespaces() if namespaces is None else namespaces
        parameters = {**slices.parameters(), "places": sorted(places), "limit": MAX_REASONS}
        created = await self._rows("created", namespaces, parameters)
        started = await self._rows(await self._started(slices, namespaces), namespaces, parameters)
        ended = await self._rows("ended", namespaces, parameters)
        failures = await self._rows("failures", namespaces, parameters)
        counts: list[tuple[datetime, str, int]] = [
            *((row.slice, "created", row.jobs) for row in created),
            *((row.slice, "started", row.jobs) for row in started),
            *((row.slice, PHASES[row.phase], row.jobs) for row in ended if row.phase in PHASES),
        ]
        return activity_of(slices, counts, [FailureReason(**row._asdict()) for row in failures])

    async def usage_series(
        self, by: SeriesBy, since: datetime, until: datetime, namespaces: Collection[str] | None = None
    ) -> UsageSeries:
        """Return what model calls used that ended in slices of time which cover this one.

        Raises:
            errors.Invalid: the time is not between an hour and 90 days long.
        """
        slices = slices_of(since, until, USAGE_SECONDS)
        parameters: dict[str, Any] = {"by": by, "keys": MAX_KEYS}
        if slices.seconds < DAY_SECONDS:
            first, quarters = slices.begin // SPEND_SLICE_SECONDS, slices.seconds // SPEND_SLICE_SECONDS
            parameters |= {"first": first, "last": first + slices.count * quarters, "quarters": quarters}
            rows = await self._rows("usage_by_quarters", namespaces, parameters)
        else:
            parameters |= {"first_day": slices.since.date(), "last_day": slices.until.date()}
            rows = await self._rows("usage_by_days", namespaces, parameters)
        return series_of(slices, by, [row._asdict() for row in rows])

    async def _namespaces(self) -> list[str]:
        return [row.namespace for row in await self._rows("known", None, {})]

    async def _started(self, slices: Slices, namespaces: Collection[str] | None) -> str:
        """Return the statement that counts these starts with the least work."""
        if namespaces is None and (await self._rows("is_alone", None, {}))[0].is_alone:
            return "started_anywhere"
        return "started_lately" if slices.seconds <= LATELY_SECONDS else "started"

    async def _rows(
        self, statement: str, namespaces: Collection[str] | None, parameters: Mapping[str, Any]
    ) -> list[Any]:
        """Return the rows of a statement, which is planned again each time, see `overview.sql`.

        Each is a separate request: if the server cancels a slow one, the database does not count as unreachable.
        """
        named = None if namespaces is None else sorted(namespaces)
        given = {"cluster": self._cluster, "namespaces": named, **parameters}

        async def work(connection: Connection) -> list[Any]:
            return await (await connection.execute(_SQL[statement], given, prepare=False)).fetchall()

        return await self._database.autocommit(work)


def activity_of(slices: Slices, counts: Iterable[tuple[datetime, str, int]], failures: list[FailureReason]) -> Activity:
    """Return an activity of counts, each with the beginning of its slice and what was counted."""
    counted: dict[datetime, dict[str, int]] = {begin: {} for begin in slices.times}
    for begin, name, jobs in counts:
        counted[begin][name] = counted[begin].get(name, 0) + jobs
    parts = [ActivitySlice(begin=begin, **each) for begin, each in counted.items()]
    return Activity(since=slices.since, until=slices.until, seconds=slices.seconds, slices=parts, failures=failures)


def series_of(slices: Slices, by: SeriesBy, rows: Iterable[Mapping[str, Any]]) -> UsageSeries:
    """Return a series of rows, each of which has a slice's number, key, rank of the key (None of others) and counts."""
    keys: dict[int, str] = {}
    items, others = [], []
    for row in rows:
        rank = row["rank"]
        point = UsagePoint(
            begin=slices.time_of(int(row["slice"])),
            key="" if rank is None else row["key"],
            calls=row["calls"],
            input_tokens=row["input"],
            output_tokens=row["output"],
            cost_usd=row["cost"],
        )
        if rank is None:
            others.append(point)
        else:
            keys[rank] = row["key"]
            items.append(point)
    named = [keys[rank] for rank in sorted(keys)]
    return UsageSeries(
        since=slices.since,
        until=slices.until,
        seconds=slices.seconds,
        by=by,
        items=items,
        keys=named,
        others=others,
    )
