"""What history promises to operator, runners and people: each test runs on PostgreSQL and on the history in memory."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from tests.integration.history.runner_calls import Gateway

from agentjobs.history.database import Database
from agentjobs.history.memory import MemoryHistory
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.protocols import OperatorHistory
from agentjobs.history.reads import Reads
from agentjobs.history.runner_writes import RunnerWrites

AN_HOUR_AGO = """
    UPDATE agentjobs.starts
    SET claimed_at = claimed_at - interval '1 hour', heartbeat_at = heartbeat_at - interval '1 hour'
"""


@dataclass
class Backend:
    """One history by its audiences. `an_hour_passes` since everything it has heard."""

    operator: OperatorHistory
    gateway: Gateway
    an_hour_passes: Callable[[], Awaitable[None]]


@pytest.fixture(params=["postgres", "memory"])
def dsn(request: pytest.FixtureRequest) -> str | None:
    """Where PostgreSQL is; None for the history in memory."""
    return request.getfixturevalue("database") if request.param == "postgres" else None


@pytest.fixture
async def backend(dsn: str | None) -> AsyncIterator[Backend]:
    if dsn is None:
        yield _in_memory()
        return
    async with Database(dsn) as database:

        async def an_hour_passes() -> None:
            await database.run(lambda tx: tx.execute(AN_HOUR_AGO))

        runners, people = RunnerWrites(database, cluster="c0ffee"), Reads(database, cluster="c0ffee")
        yield Backend(OperatorWrites(database, cluster="c0ffee"), Gateway(runners, people), an_hour_passes)


def _in_memory() -> Backend:
    ahead = timedelta()

    async def an_hour_passes() -> None:
        nonlocal ahead
        ahead += timedelta(hours=1)

    history = MemoryHistory(now=lambda: datetime.now(UTC) + ahead)
    return Backend(history, Gateway(history, history), an_hour_passes)


@pytest.fixture
def operator(backend: Backend) -> OperatorHistory:
    return backend.operator


@pytest.fixture
def gateway(backend: Backend) -> Gateway:
    return backend.gateway
