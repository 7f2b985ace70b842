"""Removes sessions and users' data: on request, and if they have not been used for long.

Rows are deleted in batches, each in a transaction that locks the owner's row, as its writers do. After a crash, repeat
the request.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from agentjobs.history.database import Connection, Database
from agentjobs.history.statements import load

# Rows of one transaction. An artifact may have 16 MiB, a turn 4.
BATCH: Final = 100
ARTIFACTS: Final = 20
# Sessions per batch: most have a turn or two.
SCOPES: Final = 100

_SQL: Final = load("session_reads")
_PARTS: Final = {"artifacts": "remove_artifacts", "turns": "remove_turns", "states": "remove_states"}


class Removal:
    """Removes scopes (`scopes`) with all that is in them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def remove(self, scopes: Sequence[UUID], *, unused_for: timedelta | None = None) -> Counter[str]:
        """Remove scopes; return how many `artifacts`, `turns`, `states` and `sessions` went.

        Args:
            unused_for: leave those that were used since.
        """
        counts: Counter[str] = Counter()
        for begin in range(0, len(scopes), SCOPES):
            some = list(scopes[begin : begin + SCOPES])
            for part, statement in _PARTS.items():
                count = size = ARTIFACTS if part == "artifacts" else BATCH
                while count == size:
                    count = await self._batch(statement, some, unused_for, size)
                    counts[part] += count
            counts["sessions"] += await self._batch("remove_scopes", some, unused_for)
        return +counts

    async def lost_chunks(self) -> int:
        """Remove some pieces of saves that were abandoned long ago; return how many."""

        async def work(connection: Connection) -> Any:
            return await (await connection.execute(_SQL["remove_lost_chunks"], {"batch": BATCH})).fetchone()

        return int((await self._database.autocommit(work))[0])

    async def _batch(self, statement: str, scopes: list[UUID], unused_for: timedelta | None, size: int = 0) -> int:
        async def work(tx: Connection) -> int:
            locked = await tx.execute(_SQL["lock_scopes"], {"ids": scopes, "keep": unused_for})
            ids = [row.id for row in await locked.fetchall()]
            found: Any = await (await tx.execute(_SQL[statement], {"ids": ids, "batch": size})).fetchone()
            return int(found[0])

        return await self._database.run(work)
