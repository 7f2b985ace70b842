"""The operator's writes and queries of history.

Every start needs `accept` first. Everything else goes through `writer` in batches. All writes are idempotent and
independent of their order: the first acceptance of a job and the first end of a start win, the highest transition is
the job's phase unless an end is known, and a newer start fences an older one even if it is stored first. Concurrent
operators take the same locks in the same order (jobs by uid).
"""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import Raw
from psycopg.types.json import Json

from agentjobs.contract import Resolved
from agentjobs.core.job.observation import FinalResult, ParentRecord, Progress
from agentjobs.history import slots, unique_keys
from agentjobs.history.batcher import Batcher
from agentjobs.history.database import Connection, Database
from agentjobs.history.equal_jobs import Decisions
from agentjobs.history.operator_rows import (
    accept_row,
    acceptance_row,
    end_row,
    key_row,
    start_row,
    steering_row,
    transition_row,
)
from agentjobs.history.records import (
    Acceptance,
    AcceptanceAnswer,
    Accepted,
    Deletion,
    JobRecord,
    Lives,
    Newest,
    NoSlot,
    Record,
    StartEnd,
    StartRecord,
    Steering,
    TransitionRecord,
)
from agentjobs.history.spending import query_spending, usage_of, used
from agentjobs.history.statements import load
from agentjobs.models.budget import Spend

_SQL: Final = load("operator_writes")

# Jobs closed in one transaction. After a long downtime there may be tens of thousands: too many for the deadline of a
# request, and for requests that wait for its locks.
_CLOSED_AT_ONCE: Final = 500


class OperatorWrites:
    """History for the operator of one cluster.

    Args:
        cluster: uid of the namespace kube-system; rows carry it, so that clusters may share a database.

    Every method raises `errors.Unavailable` if the database does not answer within five seconds after its query is
    sent: `accept` and `final_result` may first wait for a running query.
    """

    def __init__(self, database: Database, *, cluster: str) -> None:
        self._database = database
        self._cluster = cluster
        self._accepts = Batcher(self._accept_all)
        self._results = Batcher(self._final_results)
        self._progress = Batcher(self._progress_of)
        self._spent = Batcher(self._spent_by)

    @property
    def away(self) -> bool:
        """Whether PostgreSQL is known to be unreachable, so that every request fails immediately."""
        return self._database.breaker.away

    async def accept(self, acceptance: Acceptance) -> AcceptanceAnswer:
        """Store a job and, if it starts now, its start with its slot.

        One transaction, shared with other concurrent acceptances. The returned work may differ from the job's, if
        another operator, or this one before a crash, stored it first. Afterwards every earlier start of the job is
        fenced, unless the start is refused.
        """
        return await self._accepts(acceptance)

    async def _accept_all(self, batch: Sequence[Acceptance]) -> list[AcceptanceAnswer]:
        """Accept many, in their order."""
        answers: list[AcceptanceAnswer] = []
        for part in _one_claim_per_job(batch):
            answers += await self._accept_part(part)
        return answers

    async def _accept_part(self, batch: Sequence[Acceptance]) -> list[AcceptanceAnswer]:
        """Accept many in one transaction; details of refusals are read afterwards."""
        jobs = _first(batch, lambda acceptance: acceptance.job.job.uid)

        async def work(tx: Connection) -> tuple[Decisions, Any, Any]:
            keys = [key_row(acceptance.job.job, cluster=self._cluster) for acceptance in jobs.values()]
            decisions = await unique_keys.decide(tx, batch, keys, cluster=self._cluster)
            rows = [
                {**acceptance_row(acceptance, cluster=self._cluster), **decisions.columns(acceptance.job.job.uid)}
                for acceptance in jobs.values()
            ]
            stored = await _execute(tx, "accept_now", rows)
            going = decisions.going(batch)
            claimed = await slots.claim(tx, going, cluster=self._cluster)
            await _start(
                tx,
                [acceptance.start for acceptance in going if acceptance.start],
                {acceptance.job.job.uid for acceptance in going if acceptance.slot},
            )
            return decisions, stored, claimed

        decisions, stored, claimed = await self._database.run(work)
        others, going = dict(await stored.fetchall()), decisions.going(batch)
        of = [others.get(acceptance.job.job.uid, jobs[acceptance.job.job.uid].job.resolved) for acceptance in going]
        claims = {row.n: row for row in await claimed.fetchall()} if claimed is not None else {}
        answers: list[Accepted | NoSlot] = [
            Accepted(resolved, claims[n].claimed if n in claims else None) for n, resolved in enumerate(of)
        ]
        if reasons := {n: row.reason for n, row in claims.items() if row.claimed is None}:
            found = await slots.refusals(self._database, going, reasons, cluster=self._cluster)
            for n, refusal in found.items():
                answers[n] = replace(refusal, resolved=of[n])
        return decisions.answers(batch, answers)

    async def give_back(self, left: Collection[tuple[str, int, datetime]]) -> None:
        """Free slots whose starts never began, by uid, start and when each was claimed; none that was claimed again."""
        await slots.give_back(self._database, left)

    async def write(self, batch: Sequence[Record]) -> None:
        """Store records of any kinds in one transaction; writing them again changes nothing.

        Raises:
            errors.Invalid: the database refuses one of them; nothing of the batch is stored.
        """
        if not batch:
            return
        await self._database.run(lambda tx: self._write(tx, batch))

    async def resolved(self, uid: str) -> Resolved | None:
        """Return the accepted work of a job, None while it is not accepted."""
        found: Resolved | None = await self._value("resolved", {"uid": uid})
        return found

    async def final_result(self, uid: str) -> FinalResult:
        """Return the result of a job that ends or has ended, if it has one, and what all its starts used.

        This makes the answer of its last start final, unless an earlier one already is.
        """
        return await self._results(uid)

    async def _final_results(self, uids: Sequence[str]) -> list[FinalResult]:
        parameters = {"uids": list(set(uids)), "rows": _json([{"uid": uid, "start": None} for uid in set(uids)])}

        async def work(connection: Connection) -> tuple[dict[str, Any], dict[str, Any]]:
            async with connection.pipeline():
                answers = [await connection.execute(_SQL[name], parameters) for name in ("outcomes", "progress")]
            rows: list[list[Any]] = [await answer.fetchall() for answer in answers]
            return {row.uid: row for row in rows[0]}, {row.uid: row for row in rows[1]}

        found, progress = await self._database.autocommit(work)
        if open_ := [uid for uid, row in found.items() if row.answer is not None and not row.is_final]:
            await self._database.run(lambda tx: tx.execute(_SQL["finalize_results"], {"uids": sorted(open_)}))
        return [_final_result(found.get(uid), progress.get(uid)) for uid in uids]

    async def progress(self, uid: str, start: int) -> Progress:
        """Return the progress of a start: what it found recorded, and what it recorded that later starts can use.

        Of a start that history does not know: nothing.
        """
        return await self._progress((uid, start))

    async def _progress_of(self, starts: Sequence[tuple[str, int]]) -> list[Progress]:
        parameters = {"rows": _json([{"uid": uid, "start": start} for uid, start in set(starts)])}

        async def work(connection: Connection) -> dict[tuple[str, int], Any]:
            rows: list[Any] = await (await connection.execute(_SQL["progress"], parameters)).fetchall()
            return {(row.uid, row.start): row for row in rows}

        found = await self._database.autocommit(work)
        return [_progress(found.get(start)) for start in starts]

    async def spent(self, uid: str, attempt: int | None = None) -> Spend:
        """Return the usage of all starts of a job, or of one attempt; empty for an unknown job.

        Of tokens and model calls the larger count: that of the recorded steps, or that of the calls through the proxy.
        """
        return await self._spent((uid, attempt))

    async def _spent_by(self, attempts: Sequence[tuple[str, int | None]]) -> list[Spend]:
        of = [{"uid": uid, "attempt": attempt} for uid, attempt in set(attempts)]

        async def work(connection: Connection) -> dict[tuple[str, int | None], Any]:
            rows: list[Any] = await (await query_spending(connection, of)).fetchall()
            return {(row.uid, row.attempt): row for row in rows}

        found = await self._database.autocommit(work)
        return [used(usage_of(found[each]), found[each].cost) for each in attempts]

    async def silence(self, uid: str, start: int) -> timedelta | None:
        """Return for how long a start has not reported to the gateway, None if it never did.

        Only by the database's clock, because other clocks may be wrong by hours.
        """
        found: timedelta | None = await self._value("silence", {"uid": uid, "start": start})
        return found

    async def recorded(self, uid: str) -> str | None:
        """Return the phase a job ended with once its end is stored, else None. `Deleted` when its object vanished."""
        found: str | None = await self._value("recorded", {"uid": uid})
        return found

    async def lacking(self, records: Sequence[TransitionRecord | StartEnd]) -> list[TransitionRecord | StartEnd]:
        """Return the records that are not stored: reading is cheaper than writing all again."""
        changed, over = _of(TransitionRecord, records), _of(StartEnd, records)
        parameters = {
            "transitions": _json([{"uid": each.job.uid, "number": each.transition} for each in changed]),
            "starts": _json([{"uid": each.job.uid, "number": each.start} for each in over]),
        }

        async def work(connection: Connection) -> set[tuple[str, str, int]]:
            return {tuple(row) for row in await (await connection.execute(_SQL["lacking"], parameters)).fetchall()}

        found = await self._database.autocommit(work) if records else set()
        return [each for each in (*changed, *over) if _place_of(each) in found]

    async def job_of(self, namespace: str, schedule: str, name: str, *, since: datetime) -> str | None:
        """Return the uid of a schedule's job of that name, made since then and known to history; else None."""
        parameters = {
            "cluster": self._cluster,
            "namespace": namespace,
            "schedule": schedule,
            "name": name,
            "since": since,
        }
        uid: str | None = await self._value("job_of", parameters)
        return uid

    async def newest(self, namespace: str, names: Collection[str]) -> dict[str, Newest]:
        """Return the newest job of each of these names that history has, also of those whose objects are gone."""
        parameters = {"cluster": self._cluster, "namespace": namespace, "names": list(names)}

        async def work(connection: Connection) -> dict[str, Newest]:
            rows: list[Any] = await (await connection.execute(_SQL["newest"], parameters)).fetchall()
            return {row.name: Newest(row.uid, row.phase, row.reason, row.ended_at) for row in rows}

        return await self._database.autocommit(work) if parameters["names"] else {}

    async def answers(self, uids: Collection[str]) -> dict[str, Raw]:
        """Return the complete final answers of these jobs, if any: each has up to 4 MiB."""

        async def work(connection: Connection) -> dict[str, Raw]:
            found = await connection.execute(_SQL["answers"], {"uids": list(uids)})
            return {uid: Raw(answer) for uid, answer in await found.fetchall()}

        return await self._database.autocommit(work) if uids else {}

    async def parent(self, uid: str) -> ParentRecord:
        """Return a job's accepted spec, its complete answer, and its follow-up jobs, including deleted ones."""

        async def work(connection: Connection) -> Any:
            return await (await connection.execute(_SQL["parent"], {"uid": uid})).fetchone()

        row = await self._database.autocommit(work)
        if row is None:
            return ParentRecord(None, None, {})
        return ParentRecord(row.resolved, None if row.answer is None else Raw(row.answer), row.children or {})

    async def clock(self) -> datetime:
        """Return the database's time, which `close_vanished` compares with."""
        now: datetime = await self._value("clock", {})
        return now

    async def close_vanished(
        self, lives: Lives, *, listed_at: datetime, namespaces: Collection[str] | None = None
    ) -> int:
        """Mark open jobs as deleted whose object no longer exists, and end their starts; return how many.

        Called once the caches are synced, because objects may be deleted while no operator runs. Open jobs are read in
        pages.

        Args:
            lives: whether a complete LIST of AgentJobs had the object of that uid, namespace and name.
            listed_at: the database's `clock()` from before that LIST; jobs stored later are left alone.
            namespaces: those the LIST covered; None for all.
        """
        parameters = {
            "cluster": self._cluster,
            "listed_at": listed_at,
            "namespaces": None if namespaces is None else list(namespaces),
            "limit": _CLOSED_AT_ONCE,
        }
        after, closed = "", 0

        async def page(connection: Connection) -> list[tuple[str, str, str]]:
            found = await connection.execute(_SQL["open_jobs"], {**parameters, "after": after})
            return [tuple(row) for row in await found.fetchall()]

        while jobs := await self._database.autocommit(page):
            if vanished := [job[0] for job in jobs if not lives(*job)]:
                closed += await self._close(vanished, listed_at)
            after = jobs[-1][0]
        return closed

    async def _close(self, vanished: Sequence[str], time: datetime) -> int:
        async def work(tx: Connection) -> int:
            locked = await tx.execute(_SQL["lock_open"], {"uids": list(vanished)})
            uids = [row[0] for row in await locked.fetchall()]
            await tx.execute(_SQL["vanish"], {"uids": uids, "time": time})
            await tx.execute(_SQL["end_vanished"], {"uids": uids, "time": time})
            await slots.release(tx, all_of=uids)
            return len(uids)

        return await self._database.run(work)

    async def _write(self, tx: Connection, batch: Sequence[Record]) -> None:
        keys = _first((record.job for record in batch), lambda job: job.uid)
        await _execute(tx, "lock_jobs", [key_row(key, cluster=self._cluster) for key in keys.values()])
        accepted = _first(_of(JobRecord, batch), lambda record: record.job.uid)
        await _execute(tx, "accept", [accept_row(each, cluster=self._cluster) for each in accepted.values()])
        await _start(tx, _of(StartRecord, batch))
        over = _first(_of(StartEnd, batch), lambda record: (record.job.uid, record.start))
        await _execute(tx, "end_starts", [end_row(each) for each in over.values()])
        await _fence_older(tx, over.values())
        changed = [transition_row(each) for each in _of(TransitionRecord, batch)]
        await _execute(tx, "insert_transitions", changed)
        finished = sorted({each["uid"] for each in changed if each["finished"]})
        if finished:
            await tx.execute(_SQL["finalize_results"], {"uids": finished})
        await _execute(tx, "move", changed)
        latest = {each.job.uid: each for each in sorted(_of(Steering, batch), key=lambda record: record.generation)}
        await _execute(tx, "steer", [steering_row(each) for each in latest.values()])
        await _execute(tx, "published", [each for each in changed if each["workspace"] is not None])
        deletions = _of(Deletion, batch)
        await _execute(tx, "delete", [{"uid": each.job.uid, "time": each.time} for each in deletions])
        ended = [(each.job.uid, each.start) for each in over.values()]
        await slots.release(tx, ended, all_of={*finished, *(each.job.uid for each in deletions)})

    async def _value(self, statement: str, parameters: Mapping[str, Any]) -> Any:
        """Return the first column of the one row there may be."""

        async def work(connection: Connection) -> Any:
            return await (await connection.execute(_SQL[statement], parameters)).fetchone()

        row = await self._database.autocommit(work)
        return None if row is None else row[0]


async def _execute(tx: Connection, statement: str, rows: Sequence[Any]) -> Any:
    return await tx.execute(_SQL[statement], {"rows": _json(rows)}) if rows else None


async def _start(tx: Connection, begun: Sequence[StartRecord], slotted: Collection[str] = ()) -> None:
    """Insert starts; those of `slotted` jobs only where they hold a slot."""
    earliest = _first(sorted(begun, key=lambda record: record.time), lambda record: (record.job.uid, record.start))
    rows = [{**start_row(each), "slotted": each.job.uid in slotted} for each in earliest.values()]
    await _execute(tx, "insert_starts", rows)
    await _fence_older(tx, begun, slotted)


async def _fence_older(tx: Connection, starts: Iterable[StartRecord | StartEnd], slotted: Collection[str] = ()) -> None:
    rows = [
        {"uid": each.job.uid, "start": each.start, "slotted": each.job.uid in slotted}
        for each in starts
        if each.start > 1
    ]
    await _execute(tx, "fence_older", rows)


def _one_claim_per_job(batch: Sequence[Acceptance]) -> list[list[Acceptance]]:
    """Split a batch before a job's second claim of a slot, because a job's claims are answered one after another."""
    parts: list[list[Acceptance]] = [[]]
    seen: dict[str, bool] = {}
    for acceptance in batch:
        uid = acceptance.job.job.uid
        if uid in seen and (acceptance.slot is not None or seen[uid]):
            parts.append([])
            seen.clear()
        seen[uid] = seen.get(uid, False) or acceptance.slot is not None
        parts[-1].append(acceptance)
    return parts


def _json(rows: Sequence[Any]) -> Json:
    """Return rows as one JSON value, because encoding an array per column takes many times the CPU."""
    return Json(rows, msgspec.json.encode)


def _first(records: Iterable[Any], key: Any) -> dict[Hashable, Any]:
    """Return the first record of each key."""
    found: dict[Hashable, Any] = {}
    for record in records:
        found.setdefault(key(record), record)
    return found


def _final_result(row: Any, progress: Any) -> FinalResult:
    if row is None:
        return FinalResult()
    return FinalResult(row.answer, usage_of(row), None if progress is None else _progress(progress), row.cost)


def _progress(row: Any) -> Progress:
    if row is None:
        return Progress()
    return Progress(row.before, row.n or 0, row.name or "", row.ended, row.advanced)


def _of(kind: type[Any], batch: Iterable[Record]) -> list[Any]:
    return [record for record in batch if isinstance(record, kind)]


def _place_of(record: TransitionRecord | StartEnd) -> tuple[str, str, int]:
    """Return the row of a record, for the statement `lacking`."""
    if isinstance(record, StartEnd):
        return "start", record.job.uid, record.start
    return "transition", record.job.uid, record.transition
