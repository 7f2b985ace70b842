"""The fence: of all pods of a job that may still live, one writes.

A start belongs to the pod that claimed it, until it ends or a newer start exists. Each write of a runner passes the
fence in its own transaction, with the start's row locked, so that nothing can fence it before the write is committed.
"""

import contextlib
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Final

from agentjobs import errors
from agentjobs.history.database import Connection, Database
from agentjobs.history.statements import load

_SQL: Final = load("runner_writes")
_MAX_START: Final = 2**31 - 1


class Fence:
    """`async with fence(uid, start, pod) as tx:` is a transaction in which the start belongs to the pod.

    One round trip to enter. Statements given to `tx.execute` travel with COMMIT unless one of their answers is read
    inside of the block, so a write costs two round trips, also one of many rows.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextlib.asynccontextmanager
    async def __call__(self, uid: str, start: int, pod: str, *, share: bool = False) -> AsyncIterator[Connection]:
        """Open a transaction behind the fence and commit it at the end of the block.

        Args:
            share: beside other writers of the start. Otherwise one writes at a time, and it counts as a heartbeat.

        Raises:
            errors.Fenced, errors.NotFound: this pod may not write for this start.
            errors.Busy: it may, but another request is being stored; never with `share`.
            errors.Unavailable, errors.Invalid: as `Database.run`.
        """
        key = {**start_key(uid, start), "pod": pod}
        statement = _SQL["fence_shared" if share else "fence_alone"]

        async def enter(tx: Connection) -> None:
            if await (await tx.execute(statement, key)).fetchone() is None:
                await self._refuse(tx, uid, start, pod)

        async with self._database.transaction(enter) as (tx, _):
            yield tx

    async def heartbeat(self, uid: str, start: int, pod: str) -> None:
        """Note that the pod of a start lives: one statement, which waits for a body that is being stored."""
        key = {**start_key(uid, start), "pod": pod}

        async def beat(connection: Connection) -> None:
            if await (await connection.execute(_SQL["heartbeat"], key)).fetchone() is None:
                await self._refuse(connection, uid, start, pod)

        await self._database.autocommit(beat)

    async def _refuse(self, connection: Connection, uid: str, start: int, pod: str) -> None:
        state: Any = await (await connection.execute(_SQL["fence_state"], start_key(uid, start))).fetchone()
        if state is None:
            raise errors.NotFound(f"job {uid} has no start {start}")
        check(state.pod_uid, state.fenced_at, uid=uid, start=start, pod=pod)
        raise errors.Busy(f"Another request for start {start} of job {uid} is being stored.")


def check(
    holder: str | None, fenced_at: datetime | None, *, uid: str, start: int, pod: str, unclaimed: bool = False
) -> None:
    """Return if a start whose row says `holder` and `fenced_at` is the pod's, or with `unclaimed` nobody's yet.

    Raises:
        errors.Fenced: it is not.
    """
    if holder != pod and not (unclaimed and holder is None):
        told = "is not claimed" if holder is None else f"belongs to pod {holder}"
        raise errors.Fenced(f"start {start} of job {uid} {told}, not to pod {pod}")
    if fenced_at is not None:
        raise errors.Fenced(f"start {start} of job {uid} is over: it has ended or a newer start exists")


def start_key(uid: str, start: int) -> dict[str, Any]:
    """Return the parameters that name a start.

    Raises:
        errors.NotFound: no start has such a number.
    """
    if not 0 < start <= _MAX_START:
        raise errors.NotFound(f"there is no start {start}")
    return {"uid": uid, "start": start}
