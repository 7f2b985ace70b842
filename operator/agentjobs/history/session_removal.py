"""Removes sessions and what belongs to users: when a person asks for it, and when nothing used it for long.

Rows go in batches, each in a transaction that holds the owner's row, as its writers do. What a crash leaves is removed
by asking again.
"""

from collections import Counter
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from agentjobs.history.database import Connection, Database
from agentjobs.history.statements import load

# Of artifacts' versions, of turns, of states: each may be megabytes.
BATCH: Final = 50

_SQL: Final = load("session_reads")
_PARTS: Final = {"artifacts": "remove_artifacts", "turns": "remove_turns", "states": "remove_states"}


class Removal:
    """Removes scopes (`scopes`) with all that is in them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def remove(self, scope: UUID, *, unused_for: timedelta | None = None) -> Counter[str]:
        """Remove a scope; return how many `artifacts`, `turns`, `states` and `sessions` went.

        Args:
            unused_for: leave it where it was used since.
        """
        gone: Counter[str] = Counter()
        for part, statement in _PARTS.items():
            while count := await self._batch(statement, scope, unused_for):
                gone[part] += count
        return gone + Counter(sessions=await self._row(scope, unused_for))

    async def lost_chunks(self) -> int:
        """Remove some pieces of saves that were given up long ago; return how many."""

        async def work(connection: Connection) -> Any:
            return await (await connection.execute(_SQL["remove_lost_chunks"], {"batch": BATCH})).fetchone()

        return int((await self._database.autocommit(work))[0])

    async def _batch(self, statement: str, scope: UUID, unused_for: timedelta | None) -> int:
        async def work(tx: Connection) -> int:
            if await _locked(tx, scope, unused_for) is None:
                return 0
            found: Any = await (await tx.execute(_SQL[statement], {"id": scope, "batch": BATCH})).fetchone()
            return int(found[0])

        return await self._database.run(work)

    async def _row(self, scope: UUID, unused_for: timedelta | None) -> int:
        """Remove the scope itself; return 1 where it was a session."""

        async def work(tx: Connection) -> int:
            session = await _locked(tx, scope, unused_for)
            if session is None:
                return 0
            for statement in _PARTS.values():  # what came between the batches and now
                await tx.execute(_SQL[statement], {"id": scope, "batch": None})
            await tx.execute(_SQL["remove_scope"], {"id": scope})
            return int(session != "")

        return await self._database.run(work)


async def _locked(tx: Connection, scope: UUID, unused_for: timedelta | None) -> str | None:
    """Lock a scope and return the id of its session, empty for a user or an app; None where it is gone or in use."""
    found = await tx.execute(_SQL["lock_scope"], {"id": scope, "keep": unused_for})
    row: Any = await found.fetchone()
    return None if row is None else str(row.session_id)
