"""What a runner may write through the gateway.

Every write of a runner passes the fence in its own transaction: the row of its start is locked, it must be the pod that
claimed it, and the start must neither have ended nor be followed by a newer one. So of all pods that may still live,
one writes. What comes in was made by models and tools: data, stored as it is but for what PostgreSQL cannot hold. It
comes and goes as JSON text (`msgspec.Raw`) where nothing here reads it: objects take up to 25 times the room.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

import msgspec
from msgspec import Raw
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningUpdate

from agentjobs import errors
from agentjobs.contract import USAGE, Attempt, Event, ResultDocument, Verdict
from agentjobs.core.job.policy import may_run_again
from agentjobs.history import runner_sql as sql
from agentjobs.history.database import Database
from agentjobs.history.reads import final_result, raw
from agentjobs.history.sanitize import clean_text, dump_json

_MAX_SEQ: Final = 2**63 - 1
_MAX_START: Final = 2**31 - 1
# What JavaScript and every other reader of JSON counts exactly.
MAX_USAGE: Final = 2**53


class RunnerWrites:
    """What the runners of one cluster write.

    Args:
        cluster: uid of the namespace kube-system; only its jobs can be claimed.

    Every method raises `errors.Unavailable` when the database cannot answer within five seconds.
    """

    def __init__(self, database: Database, *, cluster: str) -> None:
        self._database = database
        self._cluster = cluster

    async def claim(self, uid: str, start: int, pod_uid: str, *, namespace: str, job: str) -> Attempt:
        """Bind a start to the pod that asks first and return its work; the same pod may ask again.

        `resolved` and `result` of what it returns are `Raw`.

        Args:
            uid: the job's, as the pod names it: whoever may make pods can write any uid there.
            namespace: where the pod is, which it cannot choose. Only a job of this place is its own.
            job: the name that goes with `uid`.

        Raises:
            errors.NotFound: no such start is recorded of such a job.
            errors.Fenced: another pod holds it, it has ended, or a newer start exists.
        """
        place = {"cluster_": self._cluster, "namespace_": namespace, "name_": job}

        async def work(connection: AsyncConnection) -> Attempt:
            row = (await connection.execute(sql.LOCK_START, _start_key(uid, start))).first()
            own = (await connection.execute(sql.WORK, {**place, "uid_": uid})).first()
            if row is None or own is None:
                raise errors.NotFound(f"job {uid} has no start {start}")
            _check_fence(row, uid, start, pod_uid, unclaimed=True)
            if own.resolved is None:
                raise errors.NotFound(f"job {uid} was never accepted")
            if row.pod_uid is None:
                await connection.execute(sql.CLAIM, {**_start_key(uid, start), "pod_uid_": pod_uid})
            return Attempt(
                namespace=namespace,
                job=job,
                uid=uid,
                start=start,
                attempt=row.attempt,
                maxAttempts=own.max_attempts,
                resolved=cast("Any", raw(own.resolved)),
                result=cast("Any", raw(own.result)),
            )

        return await self._database.run(work)

    async def add_events(self, uid: str, start: int, pod_uid: str, batch: Sequence[Event]) -> list[Event]:
        """Store events of a start and add what they used to its usage; those already there stay, and count once.

        Returns the events that were not there yet.

        Raises:
            errors.Fenced, errors.NotFound: as `claim`, or this pod never claimed the start.
            errors.Busy: another body of this start is being stored; at once, so that no connection waits for it.
            errors.Invalid: a time or number cannot be stored; nothing of the batch is.
        """
        rows = Raw(msgspec.json.encode([_event_values(event) for event in batch]))
        given = {event["seq"]: event for event in reversed(batch)}  # of two with one number the first

        async def work(connection: AsyncConnection) -> list[Event]:
            before = await _pass_fence(connection, uid, start, pod_uid, by=sql.PASS_ALONE)
            if not batch:
                return []
            stored = (await connection.execute(sql.INSERT_EVENTS, {**_start_key(uid, start), "rows_": rows})).scalars()
            new = [given[seq] for seq in sorted(stored)]
            if used := _sum(event.get("usage") or {} for event in new):
                total = _sum((before or {}, used))
                await connection.execute(sql.USE, {**_start_key(uid, start), "usage_": total})
            return new

        return await self._database.run(work)

    async def heartbeat(self, uid: str, start: int, pod_uid: str) -> None:
        """Note that the pod of a start lives, also while a body of it is being stored. Raises Fenced and NotFound as
        `add_events`."""

        async def work(connection: AsyncConnection) -> None:
            await _pass_fence(connection, uid, start, pod_uid, by=sql.PASS)

        await self._database.read(work)  # one statement, which commits by itself

    async def put_result(self, uid: str, start: int, pod_uid: str, document: ResultDocument) -> Raw | None:
        """Store how a start says it ended; return the job's final result, which may be another start's.

        The result itself, or its text and what is structured, may be `Raw`.

        The first result that comes with the verdict Succeed is final for the job; None while there is none. One after
        whose outcome a rule of the job lets it run again is kept with its start, until the operator ends the job by it.

        Raises:
            errors.Fenced, errors.NotFound, errors.Invalid, errors.Busy: as `add_events`.
        """
        result = document["result"]
        reported = {name: value for name, value in document.items() if name != "result"}
        # An older runner sends no usage with its events; then its own sum is all there is.
        used = None if result is None else {name: result["usage"].get(name, 0) for name in USAGE}

        async def work(connection: AsyncConnection) -> Raw | None:
            await _pass_fence(connection, uid, start, pod_uid, by=sql.PASS_ALONE)
            await connection.execute(sql.REPORT, {**_start_key(uid, start), "reported_": reported, "usage_": used})
            if document["verdict"] == Verdict.SUCCEED and result is not None:
                if await self._may_run_again(connection, uid, result.get("outcome")):
                    await connection.execute(sql.KEEP_ANSWER, {**_start_key(uid, start), "result_": result})
                else:
                    await connection.execute(sql.INSERT_RESULT, {**_row_key(uid, start), "result": result})
            return await final_result(connection, uid)

        return await self._database.run(work)

    async def _may_run_again(self, connection: AsyncConnection, uid: str, outcome: str | None) -> bool:
        if outcome is None:
            return False
        rules = (await connection.execute(sql.POLICY, {"uid_": uid})).scalar_one_or_none()
        return rules is not None and may_run_again(rules, outcome)


async def _pass_fence(
    connection: AsyncConnection, uid: str, start: int, pod_uid: str, *, by: ReturningUpdate[Any]
) -> Mapping[str, int] | None:
    """Note that a start's pod lives, with its row locked for the transaction; return what it had used before.

    Raises:
        errors.Fenced, errors.NotFound: this pod may not write for this start.
        errors.Busy: it may, but another request was at it.
    """
    key = _start_key(uid, start)
    passed = (await connection.execute(by, {**key, "pod_uid_": pod_uid})).first()
    if passed is not None:
        return cast("Mapping[str, int] | None", passed.usage)
    row = (await connection.execute(sql.FENCE, key)).first()
    if row is None:
        raise errors.NotFound(f"job {uid} has no start {start}")
    _check_fence(row, uid, start, pod_uid, unclaimed=False)
    raise errors.Busy(f"Another request for start {start} of job {uid} is being stored.")


def _check_fence(row: Any, uid: str, start: int, pod_uid: str, *, unclaimed: bool) -> None:
    if row.pod_uid != pod_uid and not (unclaimed and row.pod_uid is None):
        holder = "is not claimed" if row.pod_uid is None else f"belongs to pod {row.pod_uid}"
        raise errors.Fenced(f"start {start} of job {uid} {holder}, not to pod {pod_uid}")
    if row.fenced_at is not None:
        raise errors.Fenced(f"start {start} of job {uid} is over: it has ended or a newer start exists")


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in counts:
        for name in USAGE:
            if each.get(name):
                total[name] = min(total.get(name, 0) + each[name], MAX_USAGE)
    return total


def _start_key(uid: str, start: int) -> dict[str, Any]:
    return {"uid_": uid, "start_": _checked_start(start)}


def _row_key(uid: str, start: int) -> dict[str, Any]:
    return {"uid": uid, "start": _checked_start(start)}


def _checked_start(start: int) -> int:
    if not 0 < start <= _MAX_START:
        raise errors.NotFound(f"there is no start {start}")
    return start


def _event_values(event: Event) -> dict[str, Any]:
    if not 0 <= event["seq"] <= _MAX_SEQ:
        raise errors.Invalid(f"event seq: expected 0 to {_MAX_SEQ}, got {event['seq']}")
    return {
        "seq": event["seq"],
        "time": _event_time(event["time"]),
        "kind": clean_text(event["kind"]),
        "author": clean_text(event["author"]),
        "data": Raw(dump_json(event["data"])),
    }


def _event_time(value: str) -> datetime:
    try:
        time = datetime.fromisoformat(value)
        if time.tzinfo is None:
            raise ValueError("no time zone")
        time = time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise errors.Invalid(f"event time: expected RFC 3339 with a time zone, got {value[:64]!r}") from error
    if not 1970 <= time.year < 9999:  # what PostgreSQL stores beyond, Python cannot read back
        raise errors.Invalid(f"event time: expected a year from 1970 to 9998, got {value[:64]!r}")
    return time
