"""Live processes of the installation: each writes a heartbeat every 15 seconds.

Nothing depends on it: a process that cannot write its heartbeat continues to work.
"""

import asyncio
import logging
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from psycopg.rows import dict_row

from agentjobs.api.recorded_overview import Process
from agentjobs.errors import AgentJobsError
from agentjobs.history.database import Connection, Database
from agentjobs.history.overview_protocols import ProcessHistory
from agentjobs.history.pages import MAX_LIMIT
from agentjobs.history.process_records import SEEN, DatabaseFacts, Presence
from agentjobs.history.statements import load

logger = logging.getLogger(__name__)

_SQL: Final = load("processes")

EVERY_SECONDS: Final = 15.0
"""Four heartbeats in the time after which a process counts as gone."""
COUNTED: Final = 10_000
"""This many jobs are counted in a few milliseconds."""


class Processes:
    """The processes of one cluster and their database, as `overview_protocols.ProcessHistory` promises.

    Every method raises `errors.Unavailable` when the database cannot answer within five seconds.
    """

    def __init__(self, database: Database, *, cluster: str) -> None:
        self._database = database
        self._cluster = cluster

    async def lives(self, presence: Presence) -> None:
        """Record that a process is alive."""
        parameters = {name: getattr(presence, name) for name in Presence.__slots__}
        await self._database.autocommit(lambda connection: connection.execute(_SQL["lives"], self._given(parameters)))

    async def processes(self) -> list[Process]:
        """Return the operators, gateways and dashboards that were alive in the last minute, by kind and id."""
        return [Process(**row) for row in await self._rows("processes", {"seen": SEEN, "limit": MAX_LIMIT})]

    async def database(self) -> DatabaseFacts:
        """Return facts about the database."""
        [row] = await self._rows("database", {"counted": COUNTED})
        return DatabaseFacts(**row)

    async def _rows(self, statement: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        async def work(connection: Connection) -> list[dict[str, Any]]:
            cursor = connection.cursor(row_factory=dict_row)
            return await (await cursor.execute(_SQL[statement], self._given(parameters))).fetchall()

        return await self._database.autocommit(work)

    def _given(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        return {"cluster": self._cluster, **parameters}


def unique_id() -> str:
    """Return a unique name for this process: the pod's or machine's name, and a random part."""
    return f"{socket.gethostname()}-{secrets.token_hex(4)}"


def of_cluster(database: Database, cluster: Callable[[], Awaitable[str]]) -> Callable[[], Awaitable[ProcessHistory]]:
    """Return a function that returns the processes of a cluster; its uid is requested until it is known."""
    known: list[Processes] = []

    async def processes() -> ProcessHistory:
        if not known:
            known.append(Processes(database, cluster=await cluster()))
        return known[0]

    return processes


async def write_heartbeats(
    history: Callable[[], Awaitable[ProcessHistory]],
    presence: Callable[[], Presence],
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Write the heartbeat of a process every 15 seconds, forever. Failures are logged once, until it works again.

    Args:
        history: called each time, because the cluster may not be known yet.
        presence: returns the process's current state.
    """
    failed = False
    while True:
        try:
            await (await history()).lives(presence())
            failed = False
        except AgentJobsError as error:
            if not failed:
                logger.warning("presence.not_written", extra={"error": str(error)})
            failed = True
        await sleep(EVERY_SECONDS)
