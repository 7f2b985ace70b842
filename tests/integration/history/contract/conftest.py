"""What history promises to operator, runners and people: each test runs on PostgreSQL and on the history in memory."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.integration.history.runner_calls import Gateway, Runner

from agentjobs.history import model_protocols, overview_protocols
from agentjobs.history.actions import Actions
from agentjobs.history.artifacts import Artifacts
from agentjobs.history.changes import ChangedJobs
from agentjobs.history.database import Database
from agentjobs.history.kept_files import KeptFiles
from agentjobs.history.memory import MemoryHistory
from agentjobs.history.memory_actions import MemoryActions
from agentjobs.history.memory_changes import MemoryChanges
from agentjobs.history.memory_kept_files import MemoryKeptFiles
from agentjobs.history.memory_model_calls import MemoryModelCalls, MemoryModelReports
from agentjobs.history.memory_model_limits import MemoryModelLimits
from agentjobs.history.memory_outbox import MemoryOutbox
from agentjobs.history.memory_overview import MemoryOverview, MemoryProcesses
from agentjobs.history.memory_queue_models import MemoryQueueModels
from agentjobs.history.memory_sessions import MemorySessions
from agentjobs.history.model_calls import ModelCalls
from agentjobs.history.model_limits import ModelLimits
from agentjobs.history.model_reports import ModelReports
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.outbox import Notifications, Outbox
from agentjobs.history.overview import Overview
from agentjobs.history.overview_protocols import ActionLog, ChangeReads
from agentjobs.history.processes import Processes
from agentjobs.history.protocols import OperatorHistory
from agentjobs.history.queue_models import QueueModels
from agentjobs.history.reads import Reads
from agentjobs.history.records import Acceptance
from agentjobs.history.runner_writes import RunnerWrites
from agentjobs.history.session_reads import SessionReads
from agentjobs.history.sessions import Sessions

EARLIER = (
    "UPDATE agentjobs.starts SET claimed_at = claimed_at - %(by)s, heartbeat_at = heartbeat_at - %(by)s",
    "UPDATE agentjobs.processes SET since = since - %(by)s, seen_at = seen_at - %(by)s",
    "UPDATE agentjobs.proxies SET since = since - %(by)s, seen_at = seen_at - %(by)s",
    "UPDATE agentjobs.model_calls SET began = began - %(by)s",
    "UPDATE agentjobs.slots SET claimed_at = claimed_at - %(by)s",
    "UPDATE agentjobs.queue_starts SET at = at - %(by)s",
    "UPDATE agentjobs.actions SET time = time - %(by)s",
    "UPDATE agentjobs.notifications SET inserted_at = inserted_at - %(by)s, due_at = due_at - %(by)s",
)


@dataclass
class Backend:
    """One history by its audiences. `passes` lets time pass since everything it has heard."""

    operator: OperatorHistory
    gateway: Gateway
    sessions: Any
    files: Any
    ledger: model_protocols.ModelLedger
    limits: model_protocols.ModelLimits
    reports: model_protocols.ModelReports
    queues: model_protocols.QueueModels
    outbox: Any
    passes: Callable[[timedelta], Awaitable[None]]
    actions: ActionLog
    changes: ChangeReads
    overview: overview_protocols.OverviewHistory
    processes: overview_protocols.ProcessHistory

    async def an_hour_passes(self) -> None:
        """Let an hour pass."""
        await self.passes(timedelta(hours=1))


class InPostgres:
    """Sessions, artifacts and what people see of them, as one value."""

    kinds: tuple[Any, ...] = (Sessions, Artifacts, SessionReads)

    def __init__(self, database: Database) -> None:
        self._parts = [kind(database, cluster="c0ffee") for kind in self.kinds]

    def __getattr__(self, name: str) -> Any:
        return next(getattr(part, name) for part in self._parts if hasattr(part, name))


class OutboxInPostgres(InPostgres):
    """The outbox for notifiers and for people, as one value."""

    kinds = (Outbox, Notifications)


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

        async def passes(time: timedelta) -> None:
            for statement in EARLIER:
                await database.run(lambda tx: tx.execute(statement, {"by": time}))  # noqa: B023  awaited

        runners, people = RunnerWrites(database, cluster="c0ffee"), Reads(database, cluster="c0ffee")
        operator, sessions = OperatorWrites(database, cluster="c0ffee"), InPostgres(database)
        calls = [kind(database, cluster="c0ffee") for kind in (ModelCalls, ModelLimits, ModelReports, QueueModels)]
        outbox = OutboxInPostgres(database)
        kept, actions = KeptFiles(database), Actions(database, cluster="c0ffee")
        changes = ChangedJobs(database, cluster="c0ffee")
        numbers = changes, Overview(database, cluster="c0ffee"), Processes(database, cluster="c0ffee")
        yield Backend(operator, Gateway(runners, people), sessions, kept, *calls, outbox, passes, actions, *numbers)


def _in_memory() -> Backend:
    ahead = timedelta()

    async def passes(time: timedelta) -> None:
        nonlocal ahead
        ahead += time

    history = MemoryHistory(now=lambda: datetime.now(UTC) + ahead)
    ledger, limits = MemoryModelCalls(history), MemoryModelLimits(history.now)
    reports = MemoryModelReports(history, ledger, limits)
    calls = ledger, limits, reports, MemoryQueueModels(history), MemoryOutbox(history)
    kept = MemorySessions(history), MemoryKeptFiles(history)
    actions = MemoryActions(now=history.now)
    numbers = MemoryChanges(history), MemoryOverview(history), MemoryProcesses(history)
    return Backend(history, Gateway(history, history), *kept, *calls, passes, actions, *numbers)


@pytest.fixture
def operator(backend: Backend) -> OperatorHistory:
    return backend.operator


@pytest.fixture
def changes(backend: Backend) -> ChangeReads:
    return backend.changes


@pytest.fixture
def gateway(backend: Backend) -> Gateway:
    return backend.gateway


@pytest.fixture
def outbox(backend: Backend) -> Any:
    """What notifiers take, and people see."""
    return backend.outbox


@pytest.fixture
def ledger(backend: Backend) -> model_protocols.ModelLedger:
    return backend.ledger


@pytest.fixture
def queues(backend: Backend) -> model_protocols.QueueModels:
    return backend.queues


@pytest.fixture
def overview(backend: Backend) -> overview_protocols.OverviewHistory:
    return backend.overview


@pytest.fixture
def processes(backend: Backend) -> overview_protocols.ProcessHistory:
    return backend.processes


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
        await backend.operator.accept(Acceptance(build.job(session=said), build.start(1)))
        attempt = await backend.gateway.claim(uid, 1, f"pod-{uid}", **build.place)
        return Runner(backend.sessions, uid, f"pod-{uid}", attempt)

    return build
