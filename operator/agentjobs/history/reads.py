"""A cluster's jobs for people: by namespace and page by page, safe for hostile jobs.

Answers and events are JSON text (`msgspec.Raw`), because they are not read here and objects take up to 25 times the
memory.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

from msgspec import Raw
from psycopg.rows import dict_row
from pydantic import BaseModel

from agentjobs import errors
from agentjobs.api import recorded
from agentjobs.api.job_filter import EVERY_JOB, JobFilter
from agentjobs.contract import MAX_JOB_STEPS
from agentjobs.history import pages
from agentjobs.history.database import Connection, Database
from agentjobs.history.labels import labels_of
from agentjobs.history.listing import KNOWN, Listing, Scope
from agentjobs.history.pages import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    MAX_TREE,
    Page,
    checked_limit,
    page_of,
    parse_cursor,
    write_job_cursor,
)
from agentjobs.history.records import StoredEvent, StoredStep
from agentjobs.history.statements import load

_Model = TypeVar("_Model", bound=BaseModel)
_Row = dict[str, Any]

_SQL: Final = load("reads")
_CONDITIONS: Final = "/* conditions */"
_MAX_START: Final = 2**31 - 1
_PAGE: Final = "SELECT ''::text AS uid, 0 AS place /* page */"
_JOB: Final = _SQL["jobs"].replace(_PAGE, _SQL["job"])
_TREE: Final = _SQL["jobs"].replace(_PAGE, _SQL["tree"])
_START: Final = "AND start = %(start)s "
_AFTER: Final = "AND (start, seq) > (%(last_start)s, %(last_seq)s) "
_BEFORE: Final = "AND (start, seq) < (%(last_start)s, %(last_seq)s) "


class Reads:
    """The jobs of one cluster, for people.

    Args:
        cluster: uid of the namespace kube-system; only its rows are read.

    Every method raises `errors.Unavailable` when the database cannot answer within five seconds.
    """

    def __init__(self, database: Database, *, cluster: str) -> None:
        self._database = database
        self._cluster = cluster

    async def jobs(
        self,
        namespaces: Scope,
        chosen: JobFilter = EVERY_JOB,
        *,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[recorded.RecordedJob]:
        """Return jobs of these namespaces, or of all for None, that match the filter, in its order.

        Args:
            limit: 1 to 500.
            cursor: `Page.cursor` of the page before, in the same order; filter and namespaces may be others.

        Raises:
            errors.Invalid: `limit` or `cursor` is wrong.
        """
        limit = checked_limit(limit)
        listing = Listing(namespaces, chosen, cursor)
        found: list[recorded.RecordedJob] = []
        for page in (listing.first_look(), listing.statement()):
            if page is not None and len(found) <= limit:
                parameters = {**listing.values, "cluster": self._cluster, "limit": limit + 1}
                # Planned again each time, because the best index depends on the values.
                rows = await self._rows(_SQL["jobs"].replace(_PAGE, page), parameters, prepare=False)
                found = list(map(_job, rows))
        more = len(found) > limit
        return Page(found[:limit], write_job_cursor(chosen.order, found[limit - 1]) if more else None)

    async def namespaces(self, *, limit: int) -> list[str]:
        """Return the namespaces that have jobs in history, sorted by name."""
        rows = await self._rows(f"{KNOWN} LIMIT %(limit)s", {"cluster": self._cluster, "limit": limit})
        return [row["namespace"] for row in rows]

    async def job(self, namespace: str, name_or_uid: str) -> recorded.RecordedJob:
        """Return a job by uid, else the newest that had the name.

        Raises:
            errors.NotFound: history has no such job in this namespace.
        """

        async def work(connection: Connection) -> _Row:
            return await self._found(connection, namespace, name_or_uid)

        return _job(await self._database.autocommit(work))

    async def job_history(self, namespace: str, name_or_uid: str) -> recorded.JobHistory:
        """Return a job, as `job` finds it, with its starts and transitions.

        Raises:
            errors.NotFound: history has no such job in this namespace.
        """

        async def work(connection: Connection) -> tuple[_Row, list[_Row], list[_Row]]:
            job = await self._found(connection, namespace, name_or_uid)
            parameters = {"uid": job["uid"], "limit": MAX_LIMIT}
            starts, moves = connection.cursor(row_factory=dict_row), connection.cursor(row_factory=dict_row)
            async with connection.pipeline():
                await starts.execute(_SQL["starts"], parameters)
                await moves.execute(_SQL["transitions"], parameters)
                return job, await starts.fetchall(), await moves.fetchall()

        job, begun, moved = await self._database.autocommit(work)
        return recorded.JobHistory(
            job=_job(job),
            spec_hash=job["spec_hash"],
            starts=_read(recorded.RecordedStart, reversed(begun)),
            transitions=_read(recorded.Transition, reversed(moved)),
        )

    async def tree(self, namespace: str, name_or_uid: str) -> recorded.RecordedTree:
        """Return a job, as `job` finds it, with those before it and all that follow them, at most 1000.

        Raises:
            errors.NotFound: history has no such job in this namespace.
        """

        async def work(connection: Connection) -> list[_Row]:
            job = await self._found(connection, namespace, name_or_uid)
            place = {"cluster": self._cluster, "namespace": namespace, "limit": MAX_TREE + 1}
            rows = connection.cursor(row_factory=dict_row)
            return await (await rows.execute(_TREE, {"uid": job["uid"], **place})).fetchall()

        found = _read(recorded.RelatedJob, map(_without_nulls, await self._database.autocommit(work)))
        return recorded.RecordedTree(items=found[:MAX_TREE], truncated=len(found) > MAX_TREE)

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
            errors.Invalid: `limit` or `cursor` is wrong.
        """
        limit = checked_limit(limit)
        parameters: _Row = {"uid": uid, "limit": limit + 1, "most": pages.MAX_PAGE_BYTES}
        conditions = ""
        if start is not None:
            conditions, parameters = _START, parameters | {"start": min(start, _MAX_START)}
        if cursor is not None:
            last_start, last_seq = parse_cursor(cursor, (int, int))
            conditions += _BEFORE if newest else _AFTER
            parameters |= {"last_start": last_start, "last_seq": last_seq}
        statement = _SQL["events_newest" if newest else "events"].replace(_CONDITIONS, conditions)
        rows = await self._rows(statement, parameters)
        items = [_stored_event(row) for row in rows[:limit] if row["before"] < pages.MAX_PAGE_BYTES]
        return page_of(items, lambda last: (last.start, last.seq), more=len(items) < len(rows))

    async def steps(
        self, uid: str, *, start: int | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[recorded.RecordedStep]:
        """Return a job's steps in the order of recording, void ones too; with `start` only those that it ran.

        Raises:
            errors.Invalid: `limit` or `cursor` is wrong.
        """
        limit = checked_limit(limit)
        (after,) = (0,) if cursor is None else parse_cursor(cursor, (int,))
        parameters: _Row = {"uid": uid, "limit": limit + 1, "after": after}
        conditions = ""
        if start is not None:
            conditions, parameters = _START, parameters | {"start": min(start, _MAX_START)}
        found = _read(
            recorded.RecordedStep, await self._rows(_SQL["steps"].replace(_CONDITIONS, conditions), parameters)
        )
        return page_of(found[:limit], lambda last: (last.n,), more=len(found) > limit)

    async def spans(self, uid: str) -> list[recorded.StepSpan]:
        """Return when each step of a job ran, in the order of recording; there are at most 20,000."""
        return _read(recorded.StepSpan, await self._rows(_SQL["spans"], {"uid": uid, "limit": MAX_JOB_STEPS}))

    async def step(self, uid: str, n: int) -> StoredStep | None:
        """Return one step of a job with its value, None if there is none."""
        parameters: _Row = {"uid": uid, "n": n, "after": n - 1, "limit": 1}

        async def work(connection: Connection) -> tuple[list[_Row], Any]:
            steps = connection.cursor(row_factory=dict_row)
            async with connection.pipeline():
                await steps.execute(_SQL["steps"], parameters)
                content = await connection.execute(_SQL["step_content"], parameters)
                return await steps.fetchall(), await content.fetchone()

        rows, content = await self._database.autocommit(work)
        if content is None or not rows or rows[0]["n"] != n:
            return None
        body = None if content.body is None else Raw(content.body.encode())
        return StoredStep(recorded.RecordedStep(**rows[0]), Raw(content.request.encode()), body)

    async def result(self, uid: str) -> Raw | None:
        """Return the job's final result, None while there is none."""
        return await self._text(_SQL["result"], uid)

    async def parameters(self, uid: str) -> Raw | None:
        """Return the values of the parameters of the job's template, None of a job without one."""
        return await self._text(_SQL["parameters"], uid)

    async def spec(self, uid: str) -> Raw | None:
        """Return the job's accepted spec, None while it was not."""
        return await self._text(_SQL["spec"], uid)

    async def _text(self, statement: str, uid: str) -> Raw | None:
        async def work(connection: Connection) -> Any:
            return await (await connection.execute(statement, {"uid": uid})).fetchone()

        row = await self._database.autocommit(work)
        return None if row is None or row[0] is None else Raw(row[0])

    async def _rows(self, statement: str, parameters: Mapping[str, Any], *, prepare: bool | None = None) -> list[_Row]:
        async def work(connection: Connection) -> list[_Row]:
            rows = connection.cursor(row_factory=dict_row)
            return await (await rows.execute(statement, parameters, prepare=prepare)).fetchall()

        return await self._database.autocommit(work)

    async def _found(self, connection: Connection, namespace: str, name_or_uid: str) -> _Row:
        parameters = {"cluster": self._cluster, "namespace": namespace, "name_or_uid": name_or_uid}
        row = await (await connection.cursor(row_factory=dict_row).execute(_JOB, parameters)).fetchone()
        if row is None:
            raise errors.NotFound(f"no AgentJob {name_or_uid!r} in the history of namespace {namespace!r}")
        return row


def _stored_event(row: _Row) -> StoredEvent:
    return StoredEvent(row["start"], row["seq"], row["time"], row["kind"], row["author"], Raw(row["data"]))


def _without_nulls(row: _Row) -> _Row:
    return {**row, "labels": labels_of(row["labels"])}


def _job(row: _Row) -> recorded.RecordedJob:
    return recorded.RecordedJob.model_validate(_without_nulls(row))


def _read(model: type[_Model], rows: Iterable[_Row]) -> list[_Model]:
    """Read rows whose columns are called as the model's fields."""
    return [model.model_validate(row) for row in rows]
