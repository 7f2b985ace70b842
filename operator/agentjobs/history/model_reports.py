"""Reports of model calls for people: usage by user and other keys, costs of a job's calls, current limits."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from msgspec import Raw
from psycopg.rows import dict_row

from agentjobs import errors
from agentjobs.api.recorded_models import CallsUnderWay
from agentjobs.api.recorded_usage import JobModelUsage, ModelUsage, RecordedCall, UsageBy, UsageLine, UsageReport
from agentjobs.history.database import Connection, Database, as_json
from agentjobs.history.model_records import MISSED, Limit, LimitsNow, LiveProxy, Shut
from agentjobs.history.pages import DEFAULT_LIMIT, MAX_LIMIT, Page, checked_limit, page_of, parse_cursor
from agentjobs.history.sanitize import clean_text
from agentjobs.history.statements import load

_SQL: Final = load("model_reports")

# How long usage is kept.
KEPT_DAYS: Final = 400


class ModelReports:
    """The model calls of one cluster, as `model_protocols.ModelReports` promises.

    Args:
        cluster: uid of the namespace kube-system; only its rows are read.

    Every method raises `errors.Unavailable` when the database cannot answer within five seconds.
    """

    def __init__(self, database: Database, *, cluster: str) -> None:
        self._database = database
        self._cluster = cluster

    async def usage(
        self,
        by: Sequence[UsageBy],
        *,
        first: date,
        last: date,
        namespace: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> UsageReport:
        """Return what the calls of these days used, divided by each combination of `by`.

        Args:
            first: the first day, in UTC.
            last: the last one; at most 400 days in all.
            namespace: only of jobs there; None for all.
            limit: lines, 1 to 500.

        Raises:
            errors.Invalid: the days, the limit or what it is divided by are wrong.
        """
        limit = checked_report(by, first=first, last=last, limit=limit)
        parameters = {"by": list(by), "first": first, "last": last, "namespace": namespace, "limit": limit + 2}
        total, *lines = await self._rows(_SQL["usage"], parameters)
        items = [UsageLine(**_counts(row), by={each: str(row[each]) for each in by}) for row in lines[:limit]]
        sums = ModelUsage(**_counts(total))
        return UsageReport(first=first, last=last, items=items, more=len(lines) > limit, total=sums)

    async def job_models(self, uid: str) -> list[JobModelUsage]:
        """Return what a job's calls used by provider and model, most expensive first; the first 500."""
        return [JobModelUsage(**row) for row in await self._rows(_SQL["job_models"], {"uid": uid, "limit": MAX_LIMIT})]

    async def calls(
        self, uid: str, *, step: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[RecordedCall]:
        """Return a job's model calls in the order in which they began, optionally of one step.

        Raises:
            errors.Invalid: `limit` or `cursor` is wrong.
        """
        limit = checked_limit(limit)
        began, after = place_of(cursor)
        named = None if step is None else clean_text(step)
        parameters = {"uid": uid, "step": named, "began": began, "after": after, "limit": limit + 1}
        found = [RecordedCall(**row) for row in await self._rows(_SQL["calls"], parameters)]
        return page_of(found[:limit], lambda last: (last.began, str(last.id)), more=len(found) > limit)

    async def content(self, uid: str, call: UUID) -> Raw | None:
        """Return request and answer of a job's call, None if not recorded."""
        [row] = await self._rows(_SQL["content"], {"uid": uid, "id": call}) or [{"content": None}]
        return None if row["content"] is None else Raw(row["content"].encode())

    async def proxies(self) -> list[LiveProxy]:
        """Return the live proxies, with their providers."""
        return [LiveProxy(**row) for row in await self._rows(_SQL["proxies"], {"missed": MISSED})]

    async def limits_now(self, limits: Collection[Limit]) -> LimitsNow:
        """Return the usage of these limits, closed keys, and unavailable models."""
        rows = [{"bucket": limit.bucket, "span": limit.window, "time_zone": limit.time_zone} for limit in limits]
        parameters = {"cluster": self._cluster, "limits": as_json(rows), "missed": MISSED, "limit": MAX_LIMIT}

        async def work(connection: Connection) -> tuple[list[Any], list[Any], list[Any]]:
            async with connection.pipeline():
                cursors = [await connection.execute(_SQL[name], parameters) for name in ("used", "shut", "spent_up")]
            used, shut, spent_up = [await cursor.fetchall() for cursor in cursors]
            return used, shut, spent_up

        used, shut, spent_up = await self._database.autocommit(work)
        return LimitsNow(
            used={limit.bucket: 0 for limit in limits} | {row.bucket: int(row.used) for row in used},
            closed=tuple(Shut(row.key, row.model, row.until, row.reason) for row in shut),
            exhausted=tuple(Shut("", row.model, row.until, row.reason) for row in spent_up),
        )

    async def under_way(self, namespace: str | None = None) -> list[CallsUnderWay]:
        """Return the calls that have not ended by job and model, the oldest first; the first 500."""
        parameters = {"namespace": namespace, "limit": MAX_LIMIT}
        return [CallsUnderWay(**row) for row in await self._rows(_SQL["under_way"], parameters)]

    async def _rows(self, statement: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        given = {"cluster": self._cluster, **parameters}

        async def work(connection: Connection) -> list[dict[str, Any]]:
            return await (await connection.cursor(row_factory=dict_row).execute(statement, given)).fetchall()

        return await self._database.autocommit(work)


def checked_report(by: Sequence[UsageBy], *, first: date, last: date, limit: int) -> int:
    """Return the limit of a valid report.

    Raises:
        errors.Invalid: the report is not possible.
    """
    if not by or len(set(by)) != len(by):
        raise errors.Invalid("by: expected at least one of " + ", ".join(UsageBy) + ", each once")
    if not timedelta() <= last - first < timedelta(days=KEPT_DAYS):
        raise errors.Invalid(f"{first} to {last}: usage is kept for {KEPT_DAYS} days; request 1 to {KEPT_DAYS} days")
    return checked_limit(limit)


def place_of(cursor: str | None) -> tuple[datetime, UUID]:
    """Return start time and id of the previous page's last call.

    Raises:
        errors.Invalid: it is not a cursor of calls.
    """
    if cursor is None:
        return datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0)
    began, call = parse_cursor(cursor, (datetime, str))
    try:
        return began, UUID(call)
    except ValueError:
        raise errors.Invalid(f"cursor: {cursor[:80]!r} is not of this list; omit it to start over") from None


def _counts(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] or 0 for name in ModelUsage.model_fields}
