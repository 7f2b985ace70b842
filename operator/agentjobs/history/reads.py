"""What people read of a cluster's jobs: namespace by namespace, page by page, also of hostile jobs.

Answers and events come as JSON text (`msgspec.Raw`): nothing here reads them, and objects take up to 25 times the room.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from msgspec import Raw
from pydantic import BaseModel
from sqlalchemy import ColumnElement, FromClause, RowMapping, Select, case, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from agentjobs import errors
from agentjobs.api import recorded
from agentjobs.history import reads_sql as sql
from agentjobs.history.database import Database
from agentjobs.history.pages import Page, parse_cursor, write_cursor
from agentjobs.history.records import StoredEvent
from agentjobs.history.tables import events, jobs

_Item = TypeVar("_Item")
_Model = TypeVar("_Model", bound=BaseModel)

_MAX_START: Final = 2**31 - 1
# Page sizes: what a screen shows, and what one answer may hold.
DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = sql.MAX_ROWS
MAX_PAGE_BYTES: Final = 4 * 1024 * 1024
"""Of events' data; the one that goes beyond is the page's last. 500 of the largest were 32 MB, and several times that
in the gateway's memory."""


class Reads:
    """The jobs of one cluster, as people read them.

    Args:
        cluster: uid of the namespace kube-system; only its rows are read.

    Every method raises `errors.Unavailable` when the database cannot answer within five seconds.
    """

    def __init__(self, database: Database, *, cluster: str) -> None:
        self._database = database
        self._cluster = cluster

    async def jobs(
        self,
        namespace: str,
        *,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
        name: str | None = None,
        schedule: str | None = None,
        partition_key: str | None = None,
    ) -> Page[recorded.RecordedJob]:
        """Return jobs of a namespace, newest first; with `name`, `schedule` or `partition_key` only those that have it.

        Args:
            limit: 1 to 500.
            cursor: `Page.cursor` of the page before.

        Raises:
            errors.Invalid: limit or cursor is none.
        """
        limit = _checked_limit(limit)
        query = sql.JOBS.where(*self._of_namespace(namespace))
        if name is not None:
            query = query.where(jobs.c.name == name)
        if schedule is not None:
            query = query.where(jobs.c.schedule == schedule, sql.HAS_SCHEDULE)
        if partition_key is not None:
            query = query.where(jobs.c.partition_key == partition_key, sql.HAS_PARTITION)
        if cursor is not None:
            created, uid = parse_cursor(cursor, (datetime, str))
            query = query.where(tuple_(jobs.c.created_at, jobs.c.uid) < tuple_(created, uid))

        async def work(connection: AsyncConnection) -> list[recorded.RecordedJob]:
            return _read(recorded.RecordedJob, await connection.execute(query.limit(limit + 1)))

        found = await self._database.read(work)
        return _page(found[:limit], lambda last: (last.created, last.uid), more=len(found) > limit)

    async def job(self, namespace: str, name_or_uid: str) -> recorded.RecordedJob:
        """Return a job by uid, else the newest that had the name.

        Raises:
            errors.NotFound: history has none such in this namespace.
        """

        async def work(connection: AsyncConnection) -> recorded.RecordedJob:
            return recorded.RecordedJob(**(await self._found(connection, namespace, name_or_uid)))

        return await self._database.read(work)

    async def story(self, namespace: str, name_or_uid: str) -> recorded.Story:
        """Return a job, as `job` finds it, with its starts and transitions.

        Raises:
            errors.NotFound: history has none such in this namespace.
        """

        async def work(connection: AsyncConnection) -> recorded.Story:
            job = await self._found(connection, namespace, name_or_uid)
            of_job = {"uid_": job["uid"]}
            begun = (await connection.execute(sql.STARTS, of_job)).all()
            moved = (await connection.execute(sql.TRANSITIONS, of_job)).all()
            return recorded.Story(
                job=recorded.RecordedJob(**job),
                spec_hash=job["spec_hash"],
                starts=_read(recorded.RecordedStart, reversed(begun)),
                transitions=_read(recorded.Transition, reversed(moved)),
            )

        return await self._database.read(work)

    async def events(
        self,
        uid: str,
        *,
        start: int | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
        newest: bool = False,
    ) -> Page[StoredEvent]:
        """Return a job's events in the order of starts and of each start's own numbers; with `start` only that one's.

        With `newest` the order is turned round, and the page after holds older ones.

        Raises:
            errors.Invalid: limit or cursor is none.
        """
        limit = _checked_limit(limit)
        place = tuple_(events.c.start, events.c.seq)
        query = sql.EVENTS.order_by(*_in_order(events, newest=newest))
        if start is not None:
            query = query.where(events.c.start == min(start, _MAX_START))
        if cursor is not None:
            last = tuple_(*parse_cursor(cursor, (int, int)))
            query = query.where(place < last if newest else place > last)

        async def work(connection: AsyncConnection) -> Page[StoredEvent]:
            rows = (await connection.execute(_sized(query.limit(limit + 1), newest=newest), {"uid_": uid})).all()
            items = [_stored_event(row) for row in rows[:limit] if row.before < MAX_PAGE_BYTES]
            return _page(items, lambda last: (last.start, last.seq), more=len(items) < len(rows))

        return await self._database.read(work)

    async def result(self, uid: str) -> Raw | None:
        """Return the job's final result, None while there is none."""

        async def work(connection: AsyncConnection) -> Raw | None:
            return await final_result(connection, uid)

        return await self._database.read(work)

    async def spec(self, uid: str) -> Raw | None:
        """Return the job's spec as it was accepted, None while it was not."""

        async def work(connection: AsyncConnection) -> Raw | None:
            return raw((await connection.execute(sql.SPEC, {"uid_": uid})).scalar_one_or_none())

        return await self._database.read(work)

    async def _found(self, connection: AsyncConnection, namespace: str, name_or_uid: str) -> RowMapping:
        found = (
            sql.DETAIL.where(*self._of_namespace(namespace), or_(jobs.c.uid == name_or_uid, jobs.c.name == name_or_uid))
            .order_by((jobs.c.uid == name_or_uid).desc(), jobs.c.created_at.desc(), jobs.c.uid.desc())
            .limit(1)
        )
        row = (await connection.execute(found)).mappings().first()
        if row is None:
            raise errors.NotFound(f"history knows no AgentJob {name_or_uid!r} in namespace {namespace!r}")
        return row

    def _of_namespace(self, namespace: str) -> tuple[Any, Any]:
        return jobs.c.cluster == self._cluster, jobs.c.namespace == namespace


async def final_result(connection: AsyncConnection, uid: str) -> Raw | None:
    return raw((await connection.execute(sql.RESULT, {"uid_": uid})).scalar_one_or_none())


def raw(found: str | None) -> Raw | None:
    return None if found is None else Raw(found)


def _stored_event(row: Any) -> StoredEvent:
    return StoredEvent(row.start, row.seq, row.time, row.kind, row.author, Raw(row.data))


def _checked_limit(limit: int) -> int:
    if not 1 <= limit <= MAX_LIMIT:
        raise errors.Invalid(f"limit: expected 1 to {MAX_LIMIT}, got {limit}")
    return limit


def _read(model: type[_Model], rows: Iterable[Any]) -> list[_Model]:
    """Read rows whose columns are called as the model's fields."""
    return [model.model_validate(dict(row._mapping)) for row in rows]


def _page(items: list[_Item], key: Callable[[_Item], Sequence[datetime | int | str]], *, more: bool) -> Page[_Item]:
    return Page(items, write_cursor(key(items[-1])) if more else None)


def _in_order(of: FromClause, *, newest: bool) -> Iterator[ColumnElement[Any]]:
    for column in (of.c.start, of.c.seq):
        yield column.desc() if newest else column


def _sized(page: Select[Any], *, newest: bool) -> Select[Any]:
    """Rows of events with the bytes `before` each; the data of those is left out that a page has no room for."""
    row = page.subquery()
    size = func.octet_length(row.c.data)
    before = func.coalesce(func.sum(size).over(order_by=tuple(_in_order(row, newest=newest)), rows=(None, -1)), 0)
    counted = select(row, before.label("before")).subquery()
    columns = [column for column in counted.c if column.name != "data"]
    data = case((counted.c.before < MAX_PAGE_BYTES, counted.c.data)).label("data")
    return select(*columns, data).order_by(*_in_order(counted, newest=newest))
