"""What history promises to operator, runners and people: each test runs on PostgreSQL and on the history in memory."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.integration.history.runner_calls import Gateway, Runner

from agentjobs.history.artifacts import Artifacts
from agentjobs.history.database import Database
from agentjobs.history.memory import MemoryHistory
from agentjobs.history.memory_sessions import MemorySessions
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.protocols import OperatorHistory
from agentjobs.history.reads import Reads
from agentjobs.history.runner_writes import RunnerWrites
from agentjobs.history.session_reads import SessionReads
from agentjobs.history.sessions import Sessions

AN_HOUR_AGO = """
    UPDATE agentjobs.starts
    SET claimed_at = claimed_at - interval '1 hour', heartbeat_at = heartbeat_at - interval '1 hour'
"""


@dataclass
class Backend:
    """One history by its audiences. `an_hour_passes` since everything it has heard."""

    operator: OperatorHistory
    gateway: Gateway
    sessions: Any
    an_hour_passes: Callable[[], Awaitable[None]]


class InPostgres:
    """Sessions, artifacts and what people see of them, as one value."""

    def __init__(self, database: Database) -> None:
        self._parts = [kind(database, cluster="c0ffee") for kind in (Sessions, Artifacts, SessionReads)]

    def __getattr__(self, name: str) -> Any:
        return next(getattr(part, name) for part in self._parts if hasattr(part, name))


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
        operator, sessions = OperatorWrites(database, cluster="c0ffee"), InPostgres(database)
        yield Backend(operator, Gateway(runners, people), sessions, an_hour_passes)


def _in_memory() -> Backend:
    ahead = timedelta()

    async def an_hour_passes() -> None:
        nonlocal ahead
        ahead += timedelta(hours=1)

    history = MemoryHistory(now=lambda: datetime.now(UTC) + ahead)
    return Backend(history, Gateway(history, history), MemorySessions(history), an_hour_passes)


@pytest.fixture
def operator(backend: Backend) -> OperatorHistory:
    return backend.operator


@pytest.fixture
def gateway(backend: Backend) -> Gateway:
    return backend.gateway


@pytest.fixture
def kept(backend: Backend) -> Any:
    """What people see and delete of sessions."""
    return backend.sessions


@pytest.fixture
def a_runner(backend, a_job):
    """Makes the runner of a new job that holds its first start."""

    async def build(uid="uid-1", *, namespace="default", app="shop", user="ann", session="s1", mode="Continue"):
        build = a_job(uid, name=f"job-{uid}", namespace=namespace)
        said = {"appName": app, "userId": user, "sessionId": session, "mode": mode}
        await backend.operator.accept(build.job(session=said), build.start(1))
        attempt = await backend.gateway.claim(uid, 1, f"pod-{uid}", **build.place)
        return Runner(backend.sessions, uid, f"pod-{uid}", attempt)

    return build
