"""Removes sessions, artifacts and states that have not been used for long. Run by the leading operator in the
background.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from agentjobs.history.database import Connection, Database
from agentjobs.history.retention import PAUSE_SECONDS, every_hour
from agentjobs.history.session_removal import Removal
from agentjobs.history.statements import load

logger = logging.getLogger(__name__)

PAGE: Final = 200

_SQL: Final = load("session_reads")
_FIRST: Final = UUID(int=0)


class SessionRetention:
    """Sweeps one cluster's sessions.

    Args:
        namespaces: those the operator serves; empty for all. Others are not touched.
        keep: how long a session, a user's data and an app's state are kept after their last use; None: forever.
        on_pruned: called with the table, or `sessions`, and the number of deleted rows.
    """

    def __init__(
        self,
        database: Database,
        *,
        cluster: str,
        namespaces: Collection[str],
        keep: timedelta | None,
        on_pruned: Callable[[str, int], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._cluster = cluster
        self._namespaces = sorted(namespaces)
        self._keep = keep
        self._on_pruned = on_pruned
        self._sleep = sleep
        self._removal = Removal(database)

    async def run(self) -> None:
        """Sweep forever."""
        await every_hour(self.sweep, sleep=self._sleep)

    async def sweep(self) -> dict[str, int]:
        """Sweep once; return the numbers of deleted rows.

        Raises:
            errors.AgentJobsError: the database is unreachable; deletions so far are kept.
        """
        counts: Counter[str] = Counter()
        while count := await self._removal.lost_chunks():
            counts["artifact_chunks"] += count
            await self._sleep(PAUSE_SECONDS)
        after = _FIRST
        while self._keep is not None and (page := await self._unused(after)):
            counts += await self._removal.remove(page, unused_for=self._keep)
            after = page[-1]
            await self._sleep(PAUSE_SECONDS)
        for what, count in counts.items():
            self._on_pruned(what, count)
        if counts:
            logger.info("sessions.pruned", extra=dict(counts))
        return dict(counts)

    async def _unused(self, after: UUID) -> list[UUID]:
        parameters = {
            "cluster": self._cluster,
            "namespaces": self._namespaces or None,
            "keep": self._keep,
            "after": after,
            "limit": PAGE,
        }

        async def work(connection: Connection) -> list[Any]:
            return await (await connection.execute(_SQL["unused_scopes"], parameters)).fetchall()

        return [row.id for row in await self._database.autocommit(work)]
