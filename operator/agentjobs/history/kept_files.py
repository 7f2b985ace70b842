"""The files that runners keep for later starts, in PostgreSQL. The rules are in `kept`."""

from typing import Any, Final

from agentjobs.contract import MAX_KEPT_PART_BYTES, KeptFile
from agentjobs.history.database import Connection, Database
from agentjobs.history.fence import Fence
from agentjobs.history.kept import MERGED_BYTES, Room, Write, check_write, is_late
from agentjobs.history.ownership import start_key
from agentjobs.history.statements import load

_SQL: Final = load("kept_files")


class KeptFiles:
    """The kept files of all jobs, as their runners see them: those of the run that their start belongs to.

    Every method raises `errors.Unavailable` when the database cannot answer within five seconds, `errors.Fenced` and
    `errors.NotFound` when the start is not the pod's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._fence = Fence(database)

    async def files(self, uid: str, start: int, pod_uid: str) -> list[KeptFile]:
        """Return all files by name."""
        rows = await self._query(uid, start, pod_uid, "files", {})
        return [KeptFile(name=row.name, bytes=row.bytes) for row in rows]

    async def part(self, uid: str, start: int, pod_uid: str, name: str, offset: int) -> bytes | None:
        """Return up to `MAX_KEPT_PART_BYTES` of a file from `offset`, fewer at its end only; None without a file."""
        rows = await self._query(
            uid, start, pod_uid, "part", {"name": name, "offset": offset, "most": MAX_KEPT_PART_BYTES}
        )
        return bytes(rows[0].data) if rows else None

    async def write(self, uid: str, start: int, pod_uid: str, write: Write) -> None:
        """Truncate a file to the write's offset and append its data, in two round trips.

        Raises:
            errors.Invalid, errors.TooLarge: as `check_write`.
        """
        place = {**start_key(uid, start), "name": write.name, "offset": write.offset}
        async with self._fence.querying(uid, start, pod_uid, _SQL["look"], place) as (tx, answer):
            row: Any = await answer.fetchone()
            if is_late(write.number, start, row if row.known is not None else None):
                return
            check_write(write, Room(row.known, row.files, row.bytes))
            await _store(tx, {**place, "run": row.run, "at": row.at}, write, row)

    async def delete(self, uid: str, start: int, pod_uid: str, name: str, number: int | None = None) -> None:
        """Delete a file, if there is one."""
        place = {**start_key(uid, start), "name": name, "number": number}
        async with self._fence(uid, start, pod_uid, share=True) as tx:
            await tx.execute(_SQL["delete"], place)

    async def _query(self, uid: str, start: int, pod_uid: str, statement: str, parameters: dict[str, Any]) -> list[Any]:
        """Run a query for a start that the pod holds, in one round trip."""
        parameters = {**start_key(uid, start), **parameters}

        async def work(connection: Connection) -> list[Any]:
            async with connection.pipeline():
                state = await self._fence.state(connection, uid, start)
                found = await connection.execute(_SQL[statement], parameters, binary=True)
            self._fence.check(await state.fetchone(), uid, start, pod_uid)
            return await found.fetchall()

        return await self._database.autocommit(work)


async def _store(tx: Connection, place: dict[str, Any], write: Write, row: Any) -> None:
    """Store a write; `place` says where, `row.at` where the part begins that the offset cuts or follows."""
    parameters = {**place, "end": write.end, "number": write.number, "data": write.data}
    await tx.execute(_SQL["put_file"], parameters)
    if write.offset < (row.known or 0):
        await tx.execute(_SQL["cut"], parameters)
    if not write.data:
        return
    joins = row.at is not None and write.end - row.at <= MERGED_BYTES
    await tx.execute(_SQL["join" if joins else "add"], parameters)
