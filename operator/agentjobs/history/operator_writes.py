"""What the operator writes into history and asks of it.

`accept` is on the way of every start: no start without it. Everything else goes through `writer` in batches. All of it
is idempotent, and what is stored does not depend on the order records arrive in: the first acceptance of a job and the
first end of a start win, the highest transition is the job's phase unless an end is known, an older start is fenced by
a newer one whichever comes first. Two operators at once take the same locks in the same order (jobs by uid).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ARRAY, Text, exists, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from agentjobs.contract import Resolved
from agentjobs.history import operator_sql as sql
from agentjobs.history.batcher import Batcher
from agentjobs.history.database import Database
from agentjobs.history.records import (
    Deletion,
    JobKey,
    JobRecord,
    JobYield,
    Record,
    StartEnd,
    StartRecord,
    TransitionRecord,
)
from agentjobs.history.tables import jobs

_Row = dict[str, Any]

# Jobs closed in one transaction: an operator that was away for long may miss tens of thousands, and the deadline of a
# request, and those who wait for its locks, know no such numbers.
_CLOSED_AT_ONCE: Final = 500


class OperatorWrites:
    """History as the operator of one cluster sees it.

    Args:
        cluster: uid of the namespace kube-system; rows carry it, so that clusters may share a database.

    Every method raises `errors.Unavailable` when the database cannot answer within five seconds, which begin when it is
    asked: `accept` and `yielded` may wait for the query before theirs.
    """

    def __init__(self, database: Database, *, cluster: str) -> None:
        self._database = database
        self._cluster = cluster
        self._accepts = Batcher(self._accept_all)
        self._yields = Batcher(self._all_yields)

    @property
    def away(self) -> bool:
        """Whether PostgreSQL is known to be away: whatever is asked fails at once."""
        return self._database.breaker.away

    async def accept(self, job: JobRecord, start: StartRecord | None = None) -> Resolved:
        """Store a job and, when it starts now, its start; return the work as first accepted.

        One transaction, shared with others accepted at this moment. What returns may differ from `job.resolved`:
        another operator, or this one before a crash, was first, and its word stands. Afterwards every earlier start of
        the job is fenced.
        """
        return await self._accepts((job, start))

    async def _accept_all(self, batch: Sequence[tuple[JobRecord, StartRecord | None]]) -> list[Resolved]:
        """Accept many in one transaction; in order of uid, as everybody takes these locks."""
        rows = {job.job.uid: self._accept_row(job) for job, _ in reversed(batch)}  # of two for one job the first counts
        begun = [start for _, start in batch if start is not None]

        async def work(connection: AsyncConnection) -> dict[str, Resolved]:
            ordered = [rows[uid] for uid in sorted(rows)]
            stored = await connection.execute(sql.ACCEPT_NOW, ordered if len(ordered) > 1 else ordered[0])
            found: dict[str, Resolved] = {row.uid: row.resolved for row in stored}
            await _each(connection, sql.INSERT_START, [_start_row(each) for each in begun])
            await _each(connection, sql.FENCE_OLDER, [_start_key(each) for each in begun if each.start > 1])
            return found

        found = await self._database.run(work)
        return [found[job.job.uid] for job, _ in batch]

    async def write(self, batch: Sequence[Record]) -> None:
        """Store records of any kinds in one transaction; writing them again changes nothing.

        Raises:
            errors.Invalid: the database refuses one of them; nothing of the batch is stored.
        """
        if not batch:
            return
        await self._database.run(lambda connection: self._write(connection, batch))

    async def resolved(self, uid: str) -> Resolved | None:
        """Return the work a job was accepted with, None while it is not accepted."""

        async def work(connection: AsyncConnection) -> Resolved | None:
            found: Resolved | None = (await connection.execute(sql.RESOLVED, {"uid_": uid})).scalar_one_or_none()
            return found

        return await self._database.read(work)

    async def yielded(self, uid: str) -> JobYield:
        """Return the result of a job that ends or has ended, if it has one, and what all its starts used.

        The answer of its last start becomes final by this, unless an earlier one is.
        """
        return await self._yields(uid)

    async def _all_yields(self, uids: Sequence[str]) -> list[JobYield]:
        async def work(connection: AsyncConnection) -> dict[str, Any]:
            return {row.uid: row for row in await connection.execute(sql.YIELDS, {"uids": sorted(set(uids))})}

        async def settle(connection: AsyncConnection) -> None:
            await connection.execute(sql.SETTLE, {"uids": sorted(open_)})

        found = await self._database.read(work)
        if open_ := [uid for uid, row in found.items() if row.result is None and row.answer is not None]:
            await self._database.run(settle)
        return [_yield(found.get(uid)) for uid in uids]

    async def silence(self, uid: str, start: int) -> timedelta | None:
        """Return for how long the gateway has heard nothing of a start, None when it never did.

        By the database's clock alone: another one may be wrong by hours.
        """

        async def work(connection: AsyncConnection) -> timedelta | None:
            row = (await connection.execute(sql.SILENCE, {"uid_": uid, "start_": start})).first()
            return None if row is None else row[0]

        return await self._database.read(work)

    async def recorded(self, uid: str) -> str | None:
        """Return the phase a job ended with once its end is stored, else None. `Deleted` when its object vanished."""

        async def work(connection: AsyncConnection) -> str | None:
            row = (await connection.execute(sql.END, {"uid_": uid})).first()
            return None if row is None else str(row[0])

        return await self._database.read(work)

    async def lacking(self, records: Sequence[TransitionRecord | StartEnd]) -> list[TransitionRecord | StartEnd]:
        """Return those that are not stored: asking is cheaper than writing all again."""
        changed, over = _of(TransitionRecord, records), _of(StartEnd, records)

        async def work(connection: AsyncConnection) -> set[tuple[str, str, int]]:
            asked = {
                "transition_uids": [each.job.uid for each in changed],
                "transition_numbers": [each.transition for each in changed],
                "start_uids": [each.job.uid for each in over],
                "start_numbers": [each.start for each in over],
            }
            return {tuple(row) for row in await connection.execute(sql.LACKING, asked)}

        found = await self._database.read(work) if records else set()
        return [each for each in (*changed, *over) if _place_of(each) in found]

    async def job_of(self, namespace: str, schedule: str, name: str, *, since: datetime) -> str | None:
        """Return the uid of a schedule's job of that name, made since then and known to history; else None."""
        query = select(jobs.c.uid).where(
            jobs.c.cluster == self._cluster,
            jobs.c.namespace == namespace,
            jobs.c.name == name,
            jobs.c.schedule == schedule,
            jobs.c.created_at >= since,
        )

        async def work(connection: AsyncConnection) -> str | None:
            uid: str | None = (await connection.execute(query.limit(1))).scalar()
            return uid

        return await self._database.read(work)

    async def clock(self) -> datetime:
        """Return the database's time, which `close_vanished` compares with."""

        async def work(connection: AsyncConnection) -> datetime:
            now: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
            return now

        return await self._database.read(work)

    async def close_vanished(
        self, live: Collection[str], *, listed_at: datetime, namespaces: Collection[str] | None = None
    ) -> int:
        """Mark open jobs as deleted whose object no longer exists, and end their starts; return how many.

        Called once the caches are synced: an object may be deleted while no operator looks.

        Args:
            live: uids of every AgentJob in a complete LIST.
            listed_at: the database's `clock()` from before that LIST; jobs stored later are left alone.
            namespaces: those the LIST covered; None for all.
        """

        there = func.unnest(literal(list(live), ARRAY(Text))).table_valued("uid").render_derived(name="live")
        chosen = select(jobs.c.uid).where(
            jobs.c.cluster == self._cluster,
            *sql.OPEN,
            jobs.c.inserted_at < listed_at,
            # As EXISTS, which is a join: NOT IN looks through the whole list for each job once that has some 100,000.
            ~exists(select(there.c.uid).where(there.c.uid == jobs.c.uid)),
        )
        if namespaces is not None:
            chosen = chosen.where(jobs.c.namespace == func.any(literal(list(namespaces), ARRAY(Text))))

        async def find(connection: AsyncConnection) -> list[str]:
            return sorted((await connection.execute(chosen)).scalars())

        found, closed = await self._database.read(find), 0
        for begin in range(0, len(found), _CLOSED_AT_ONCE):
            closed += await self._close(found[begin : begin + _CLOSED_AT_ONCE], listed_at)
        return closed

    async def _close(self, vanished: Sequence[str], time: datetime) -> int:
        async def work(connection: AsyncConnection) -> int:
            uids = list((await connection.execute(sql.LOCK_OPEN, {"uids": vanished})).scalars())
            await connection.execute(sql.VANISH, {"uids": uids, "time_": time})
            await connection.execute(sql.END_VANISHED, {"uids": uids, "time_": time})
            return len(uids)

        return await self._database.run(work)

    async def _write(self, connection: AsyncConnection, batch: Sequence[Record]) -> None:
        keys = {record.job.uid: record.job for record in batch}
        await _each(connection, sql.IDENTIFY, [self._key_row(keys[uid]) for uid in sorted(keys)])
        await connection.execute(sql.LOCK_ALL, {"uids": sorted(keys)})
        await _each(connection, sql.ACCEPT, [self._accept_row(each) for each in _of(JobRecord, batch)])
        begun = _of(StartRecord, batch)
        await _each(connection, sql.INSERT_START, [_start_row(each) for each in begun])
        over = _of(StartEnd, batch)
        await _each(connection, sql.END_START, [_end_row(each) for each in over])
        await _each(connection, sql.FENCE_OLDER, [_start_key(each) for each in (*begun, *over) if each.start > 1])
        changed = _of(TransitionRecord, batch)
        await _each(connection, sql.INSERT_TRANSITION, [_transition_row(each) for each in changed])
        await _each(connection, sql.MOVE, [_move_row(each) for each in changed])
        if over_now := sorted({each.job.uid for each in changed if each.finished}):
            await connection.execute(sql.SETTLE, {"uids": over_now})
        gone = _of(Deletion, batch)
        await _each(connection, sql.DELETE, [{"uid_": each.job.uid, "time_": each.time} for each in gone])

    def _key_row(self, key: JobKey) -> _Row:
        return {
            "uid": key.uid,
            "cluster": self._cluster,
            "namespace": key.namespace,
            "name": key.name,
            "created_at": key.created,
            "schedule": key.schedule,
        }

    def _accept_row(self, record: JobRecord) -> _Row:
        return {
            **self._key_row(record.job),
            "resolved": record.resolved,
            "spec_hash": record.spec_hash,
            "partition_key": record.resolved["spec"].get("partitionKey") or "",
        }


def _total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in counts:
        for name, count in each.items():
            total[name] = total.get(name, 0) + count
    return total


def _yield(row: Any) -> JobYield:
    if row is None:
        return JobYield()
    return JobYield(row.answer if row.result is None else row.result, _total(row.used or ()))


async def _each(connection: AsyncConnection, statement: Any, rows: list[_Row]) -> None:
    """Run `statement` for every row, pipelined by psycopg."""
    if rows:
        await connection.execute(statement, rows if len(rows) > 1 else rows[0])


def _of(kind: type[Any], batch: Iterable[Record]) -> list[Any]:
    return [record for record in batch if isinstance(record, kind)]


def _place_of(record: TransitionRecord | StartEnd) -> tuple[str, str, int]:
    """Which row a record is, as `operator_sql.LACKING` names it."""
    if isinstance(record, StartEnd):
        return "start", record.job.uid, record.start
    return "transition", record.job.uid, record.transition


def _start_row(record: StartRecord) -> _Row:
    return {
        "uid": record.job.uid,
        "start": record.start,
        "attempt": record.attempt,
        "pod": record.pod,
        "started_at": record.time,
        **_start_key(record),
    }


def _start_key(record: StartRecord | StartEnd) -> _Row:
    return {"uid_": record.job.uid, "start_": record.start}


def _end_row(record: StartEnd) -> _Row:
    return {
        "uid": record.job.uid,
        "start": record.start,
        "attempt": record.attempt,
        "pod": record.pod,
        "started_at": record.started,
        "ended_at": record.ended,
        "verdict": record.verdict,
        "reason": record.reason,
        "charged": record.charged,
        "message": record.message,
    }


def _transition_row(record: TransitionRecord) -> _Row:
    return {
        "uid": record.job.uid,
        "transition": record.transition,
        "time": record.time,
        "phase": record.phase,
        "reason": record.reason,
        "message": record.message,
        "finished": record.finished,
    }


def _move_row(record: TransitionRecord) -> _Row:
    return {
        "uid_": record.job.uid,
        "transition_": record.transition,
        "finished_": record.finished,
    }
