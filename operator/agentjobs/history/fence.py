"""The fence: of all live pods of a job, only one may write.

A start belongs to the pod that claimed it, until it ends or a newer start exists. Each write of a runner checks the
fence in its own transaction, with the start's row locked, so that nothing can fence it before the write is committed.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from agentjobs import errors
from agentjobs.history.database import Connection, Database
from agentjobs.history.ownership import check, start_key
from agentjobs.history.statements import load

_SQL: Final = load("runner_writes")


class Fence:
    """`async with fence(uid, start, pod) as tx:` is a transaction in which the start belongs to the pod.

    Entering takes one round trip. Statements are sent with COMMIT unless one of their answers is read inside the
    block, so a write of any number of rows takes two round trips.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextlib.asynccontextmanager
    async def __call__(self, uid: str, start: int, pod: str, *, share: bool = False) -> AsyncIterator[Connection]:
        """Open a transaction behind the fence and commit it at the end of the block.

        Args:
            share: concurrently with other writers of the start. Otherwise one writes at a time, and it counts as a
            heartbeat.

        Raises:
            errors.Fenced, errors.NotFound: this pod may not write for this start.
            errors.Busy: another request is being stored; never with `share`.
            errors.Unavailable, errors.Invalid: as `Database.run`.
        """
        async with self._entered("fence_shared" if share else "fence_alone", uid, start, pod) as (tx, _):
            yield tx

    @contextlib.asynccontextmanager
    async def querying(
        self, uid: str, start: int, pod: str, question: str, parameters: Mapping[str, Any]
    ) -> AsyncIterator[tuple[Connection, Any]]:
        """Open a transaction like `async with fence(…)`, with the cursor of a query behind the fence.

        The query is sent with the fence, so it costs no round trip. The fence waits for a body of the start that
        another gateway is storing: a pod has at most one such request in each gateway.

        Raises:
            errors.Fenced, errors.NotFound, errors.Unavailable, errors.Invalid: as a call.
        """
        async with self._entered("fence_in_turn", uid, start, pod, (question, parameters)) as (tx, answer):
            yield tx, answer

    async def state(self, connection: Connection, uid: str, start: int) -> Any:
        """Read the state of a start, for `check`."""
        return await connection.execute(_SQL["fence_state"], start_key(uid, start))

    def check(self, state: Any, uid: str, start: int, pod: str) -> None:
        """Return if the pod holds the start, by the row of its state; for reads.

        Raises:
            errors.Fenced, errors.NotFound: it does not.
        """
        if state is None:
            raise errors.NotFound(f"job {uid} has no start {start}")
        check(state.pod_uid, state.fenced_at, uid=uid, start=start, pod=pod)

    @contextlib.asynccontextmanager
    async def _entered(
        self, statement: str, uid: str, start: int, pod: str, question: tuple[str, Mapping[str, Any]] | None = None
    ) -> AsyncIterator[tuple[Connection, Any]]:
        key = {**start_key(uid, start), "pod": pod}

        async def enter(tx: Connection) -> Any:
            passed = await tx.execute(_SQL[statement], key)
            answer = None if question is None else await tx.execute(*question)
            if await passed.fetchone() is None:
                await self._refuse(tx, uid, start, pod)
            return answer

        async with self._database.transaction(enter) as entered:
            yield entered

    async def heartbeat(self, uid: str, start: int, pod: str) -> None:
        """Record that the pod of a start is alive: one statement, which waits for a body that is being stored."""
        key = {**start_key(uid, start), "pod": pod}

        async def beat(connection: Connection) -> None:
            if await (await connection.execute(_SQL["heartbeat"], key)).fetchone() is None:
                await self._refuse(connection, uid, start, pod)

        await self._database.autocommit(beat)

    async def _refuse(self, connection: Connection, uid: str, start: int, pod: str) -> None:
        state = await self.state(connection, uid, start)
        self.check(await state.fetchone(), uid, start, pod)
        raise errors.Busy(f"Another request for start {start} of job {uid} is being stored.")
