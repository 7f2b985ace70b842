"""Builders for history: a test spells only what it is about."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.integration.history.runner_calls import Gateway

from agentjobs import errors
from agentjobs.contract import Resolved
from agentjobs.history.database import Database
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.reads import Reads
from agentjobs.history.records import (
    Acceptance,
    Deletion,
    EventDetails,
    JobKey,
    JobRecord,
    StartEnd,
    StartRecord,
    TransitionRecord,
)
from agentjobs.history.runner_writes import RunnerWrites

CLUSTER = "c0ffee"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Builder:
    """Records of one job, `build.start(2)`."""

    def __init__(
        self,
        uid: str = "uid-1",
        *,
        name: str = "hello",
        namespace: str = "default",
        minute: int = 0,
        schedule: str = "",
        parent: str = "",
    ) -> None:
        self.uid = uid
        self.key = JobKey(uid, namespace, name, NOON + timedelta(minutes=minute), schedule, parent)

    @property
    def place(self) -> dict[str, str]:
        """Where its pods are, and what they call their job."""
        return {"namespace": self.key.namespace, "job": self.key.name}

    def job(self, message: str = "Say hello.", **more: Any) -> JobRecord:
        spec: dict[str, Any] = {"input": {"message": message}, "retry": {"maxAttempts": 3}, **more}
        return JobRecord(self.key, Resolved(spec=spec, scripts={}), "0badcafe")

    def start(self, number: int = 1, *, attempt: int = 1) -> StartRecord:
        time = NOON + timedelta(minutes=number)
        return StartRecord(self.key, number, attempt, f"{self.key.name}-{number}", time)

    def end(self, number: int = 1, *, attempt: int = 1, message: str = "") -> StartEnd:
        begun = NOON + timedelta(minutes=number)
        ended = begun + timedelta(seconds=30)
        pod = f"{self.key.name}-{number}"
        return StartEnd(self.key, number, attempt, pod, begun, ended, "Retry", "ToolError", True, message)

    def transition(
        self, number: int, phase: str, *, finished: bool = False, message: str = "", details: EventDetails | None = None
    ) -> TransitionRecord:
        time = NOON + timedelta(minutes=number)
        return TransitionRecord(self.key, number, time, phase, f"{phase}Reason", message, finished, details)

    def deletion(self, minute: int = 30) -> Deletion:
        return Deletion(self.key, NOON + timedelta(minutes=minute))


@pytest.fixture
def a_job() -> Callable[..., Builder]:
    return Builder


@pytest.fixture
async def connected(database: str) -> AsyncIterator[Database]:
    async with Database(database) as open_database:
        yield open_database


@pytest.fixture
def operator(connected: Database) -> OperatorWrites:
    return OperatorWrites(connected, cluster=CLUSTER)


@pytest.fixture
def gateway(connected: Database) -> Gateway:
    return Gateway(RunnerWrites(connected, cluster=CLUSTER), Reads(connected, cluster=CLUSTER))


@pytest.fixture
async def build(operator, a_job):
    """A job whose first start is recorded and not claimed."""
    build = a_job()
    await operator.accept(Acceptance(build.job(), build.start(1)))
    return build


@pytest.fixture(scope="module")
def server_folder() -> Iterator[Path]:
    """A folder for PostgreSQL that a module's tests share, because initdb takes longer than they do."""
    path = Path(tempfile.mkdtemp(prefix="agentjobs-test-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def again():
    """Sends until nothing else of the start is being stored, as a runner does."""

    async def send_again(send):
        while True:
            try:
                return await send()
            except errors.Busy:
                await asyncio.sleep(0.01)

    return send_again
