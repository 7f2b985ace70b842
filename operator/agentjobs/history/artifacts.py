"""The artifacts of runners: named bytes with versions, of a job's session or of its user.

A name is data, not a path. Bytes are transferred in pieces, so that no process holds a whole artifact: the pieces of a
new version are stored one by one, and its row together with the last one.
"""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

from agentjobs import errors
from agentjobs.contract import MAX_ARTIFACT_BYTES
from agentjobs.history.database import Connection, Database, as_json
from agentjobs.history.fence import Fence
from agentjobs.history.scopes import Scope
from agentjobs.history.sessions import read_session, use_scopes
from agentjobs.history.statements import load
from agentjobs.history.versions import Piece, Saving, StoredVersion, check_room, stored_version

PAGE_NAMES: Final = 500

_SQL: Final = load("sessions")


class Artifacts:
    """The artifacts of one cluster, as the runners of its jobs see them. Raises as `Sessions`."""

    def __init__(self, database: Database, *, cluster: str) -> None:
        self._database = database
        self._cluster = cluster
        self._fence = Fence(database)

    async def save(self, uid: str, start: int, pod_uid: str, saving: Saving, pieces: AsyncIterator[Piece]) -> int:
        """Store a version and return its number; with a known key of the run, replace the bytes of that version.

        Raises:
            errors.TooLarge: it is too large, or session or user are at their limit.
            errors.Invalid: the pieces end before the last one.
        """
        writer = _Writer(uid, start, pod_uid, uuid4())
        try:
            async for piece in pieces:
                writer.bytes += len(piece.data)
                if writer.bytes > MAX_ARTIFACT_BYTES:
                    raise errors.TooLarge(f"artifact {saving.name!r}: {MAX_ARTIFACT_BYTES} bytes is the limit")
                if piece.is_last:
                    return await self._finish(writer, saving, piece.data)
                await self._put_chunk(writer, piece.data)
            raise errors.Invalid(f"artifact {saving.name!r} has no end")
        finally:
            if writer.chunks and not writer.is_stored:
                await self._drop_chunks(writer.id)

    async def names(self, uid: str, start: int, pod_uid: str, *, after: str = "") -> tuple[list[str], str | None]:
        """Return the names of the artifacts of a job's session and user in order, and where the next page begins."""

        async def work(tx: Connection) -> list[Any]:
            own = await read_session(tx, uid, start, pod_uid, cluster=self._cluster)
            parameters = {"ids": [own.scope.id, own.scope.of_user.id], "after": after, "limit": PAGE_NAMES + 1}
            return await (await tx.execute(_SQL["artifact_names"], parameters)).fetchall()

        names = [row.name for row in await self._database.run(work)]
        page = names[:PAGE_NAMES]
        return page, page[-1] if len(names) > len(page) else None

    async def versions(self, uid: str, start: int, pod_uid: str, name: str) -> list[StoredVersion]:
        """Return the versions of an artifact, oldest first."""

        async def work(tx: Connection) -> list[Any]:
            scope = await self._scope(tx, uid, start, pod_uid, name)
            return await (await tx.execute(_SQL["artifact_versions"], {"scope": scope.id, "name": name})).fetchall()

        return [stored_version(row) for row in await self._database.run(work)]

    async def version(
        self, uid: str, start: int, pod_uid: str, name: str, version: int | None = None
    ) -> StoredVersion | None:
        """Return one version of an artifact, or the newest; None if there is none."""

        async def work(tx: Connection) -> StoredVersion | None:
            return await read_version(tx, await self._scope(tx, uid, start, pod_uid, name), name, version)

        return await self._database.run(work)

    async def delete(self, uid: str, start: int, pod_uid: str, name: str) -> None:
        """Delete all versions of an artifact."""
        async with self._fence(uid, start, pod_uid, share=True) as tx:
            scope = await self._scope(tx, uid, start, pod_uid, name)
            await use_scopes(tx, [scope])
            await tx.execute(_SQL["drop_artifact"], {"scope": scope.id, "name": name})

    def pieces(self, stored: StoredVersion) -> AsyncIterator[bytes]:
        """Read the bytes of a version, piece by piece."""
        return read_pieces(self._database, stored)

    async def _scope(self, tx: Connection, uid: str, start: int, pod_uid: str, name: str) -> Scope:
        own = await read_session(tx, uid, start, pod_uid, cluster=self._cluster)
        return own.scope.of_artifact(name)

    async def _put_chunk(self, writer: "_Writer", data: bytes) -> None:
        async with self._fence(writer.uid, writer.start, writer.pod, share=True) as tx:
            await tx.execute(_SQL["put_chunk"], {"id": writer.id, "n": writer.chunks, "data": data})
        writer.chunks += 1

    async def _drop_chunks(self, id_: UUID) -> None:
        try:
            await self._database.autocommit(lambda connection: connection.execute(_SQL["drop_chunks"], {"id": id_}))
        except errors.AgentJobsError:
            return  # the next sweep removes them

    async def _finish(self, writer: "_Writer", saving: Saving, last: bytes) -> int:
        """Store the pieces as a version, or replace the version with this key; return its number."""
        async with self._fence(writer.uid, writer.start, writer.pod, share=True) as tx:
            own = await read_session(tx, writer.uid, writer.start, writer.pod, cluster=self._cluster)
            scope = own.scope.of_artifact(saving.name)
            await use_scopes(tx, [scope])
            place = {"scope": scope.id, "name": saving.name, "save": _save(writer.uid, own.run, saving.key)}
            known: Any = await (await tx.execute(_SQL["saved"], place)).fetchone()
            await tx.execute(_SQL["put_chunk"], {"id": writer.id, "n": writer.chunks, "data": last})
            row = place | {"id": writer.id, "uid": writer.uid, "bytes": writer.bytes, "kind": saving.kind}
            row |= {"mime": saving.mime, "metadata": as_json(saving.metadata), "before": known and known.id}
            statement = _SQL["put_artifact" if known is None else "replace_artifact"]
            stored: Any = await (await tx.execute(statement, row)).fetchone()
            check_room(stored.artifacts, stored.artifact_bytes)
        writer.is_stored = True
        return int(stored.version)


@dataclass(slots=True)
class _Writer:
    """A version that is being written."""

    uid: str
    start: int
    pod: str
    id: UUID
    chunks: int = 0
    """Pieces that are stored without a version."""
    bytes: int = 0
    is_stored: bool = False


async def read_version(tx: Connection, scope: Scope, name: str, version: int | None) -> StoredVersion | None:
    """Return one version of an artifact, or the newest; None if there is none."""
    row: Any = await (
        await tx.execute(_SQL["artifact"], {"scope": scope.id, "name": name, "version": version})
    ).fetchone()
    return None if row is None else stored_version(row)


async def read_pieces(database: Database, stored: StoredVersion) -> AsyncIterator[bytes]:
    """Read the bytes of a version, piece by piece.

    Raises:
        errors.Gone: it was deleted meanwhile.
    """
    left, n = stored.bytes, 0
    while left > 0:
        parameters = {"id": stored.id, "n": n}

        async def work(connection: Connection, parameters: dict[str, Any] = parameters) -> Any:
            return await (await connection.execute(_SQL["chunk"], parameters)).fetchone()

        row = await database.autocommit(work)
        if row is None:
            raise errors.Gone("the artifact was deleted meanwhile")
        yield bytes(row.data)
        left, n = left - len(row.data), n + 1


def _save(uid: str, run: int, key: str) -> UUID:
    return UUID(bytes=hashlib.sha256(f"{uid}\n{run}\n{key}".encode()).digest()[:16])
