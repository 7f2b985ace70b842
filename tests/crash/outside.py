"""The world around the agents under test: the real gateway and PostgreSQL; the real runner, killed and started again.

Only the API server is a stand-in: it says which pod a token belongs to, and does not judge anything here.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import uvicorn
from psycopg.rows import dict_row
from tests.crash import effects, tool_server
from tests.crash.topologies import Topology

from agentjobs import contract
from agentjobs.contract import TerminationMessage
from agentjobs.gateway.app import create_app
from agentjobs.gateway.hosting import history_of
from agentjobs.gateway.metrics import GatewayMetrics
from agentjobs.gateway.services import Services
from agentjobs.history.database import Database
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.records import Acceptance, JobKey, JobRecord, StartEnd, StartRecord
from devcluster.forkserver import Forked, ForkServer

ROOT = Path(__file__).parents[2]
PYTHONPATH = os.pathsep.join(map(str, (ROOT, ROOT / "operator", ROOT / "runner_image")))
CLUSTER, NAMESPACE = "cluster-uid", "default"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
RUN_SECONDS = 60.0
PRELOADED = (
    "agentjobs_runner.attempt",
    "agentjobs_runner.adk.engine",
    "google.adk.workflow",
    "google.adk.tools.agent_tool",
    "google.adk.auth.auth_handler",
    "fastapi.openapi.models",
)
"""Modules that every run needs, for the process that is forked."""


class Pods:
    """Says whose a token is: `crash/<uid>/<start>/<pod>` belongs to that pod of that start."""

    def __init__(self) -> None:
        self._uids: dict[str, str] = {}

    async def create(self, resource: Any, namespace: str | None, body: dict[str, Any]) -> dict[str, Any]:
        """Review a token."""
        _, uid, start, pod = body["spec"]["token"].split("/")
        name = f"job-{uid}-{start}"
        self._uids[name] = f"pod-{uid}-{start}{pod}"
        extra = {
            "authentication.kubernetes.io/pod-name": [name],
            "authentication.kubernetes.io/pod-uid": [self._uids[name]],
        }
        user = {"username": f"system:serviceaccount:{NAMESPACE}:default", "extra": extra}
        return body | {"status": {"authenticated": True, "audiences": [contract.TOKEN_AUDIENCE], "user": user}}

    async def get(self, resource: Any, namespace: str | None, name: str) -> dict[str, Any]:
        """Return a pod, or the namespace by which a cluster is known."""
        if resource.kind == "Namespace":
            return {"metadata": {"name": name, "uid": CLUSTER}}
        job, _, _ = name.rpartition("-")
        uid = job.removeprefix("job-")
        owner = {"apiVersion": f"{contract.GROUP}/v1alpha1", "kind": "AgentJob", "name": job, "uid": uid}
        labels = {contract.LABEL_JOB: job}
        owners = [owner | {"controller": True}]
        return {"metadata": {"name": name, "uid": self._uids[name], "labels": labels, "ownerReferences": owners}}


@dataclass(frozen=True, slots=True)
class Start:
    """What one start of a job left behind."""

    lines: list[dict[str, Any]]
    """Its effects, as noted."""
    session: dict[str, Any] | None
    """The session in the end; None when it did not come to an end."""
    message: TerminationMessage | None
    log: str


@dataclass(slots=True)
class Job:
    """A job and its starts so far."""

    topology: Topology
    uid: str
    starts: list[Start] = field(default_factory=list)
    newest: int = 1
    attempt: int = 1

    @property
    def name(self) -> str:
        return f"job-{self.uid}"

    @property
    def key(self) -> JobKey:
        return JobKey(uid=self.uid, namespace=NAMESPACE, name=self.name, created=NOON)


class Running:
    """A start that runs."""

    def __init__(self, job: Job, folder: Path, process: Forked | subprocess.Popen[bytes]) -> None:
        self._job = job
        self._folder = folder
        self._process = process
        self.code: int | None = None

    def lines(self) -> list[str]:
        """Return the effects so far: `begin tool hold(b)`."""
        return [f"{line['phase']} {line['what']}" for line in _left(self._folder).lines]

    async def until(self, line: str) -> None:
        """Return when an effect has begun, or ended."""
        async with asyncio.timeout(RUN_SECONDS):
            while line not in self.lines():
                await asyncio.sleep(0.01)

    def send(self, number: int) -> None:
        """Send a signal."""
        os.kill(self._process.pid, number)

    async def ended(self) -> Start:
        """Return what the start left behind, when its process has ended."""
        try:
            await asyncio.wait_for(_ended(self._process.pid), RUN_SECONDS)
        except TimeoutError:
            self.send(9)
            await _ended(self._process.pid)
            raise AssertionError(f"a start hangs:\n{_left(self._folder).log[-4000:]}") from None
        finally:
            self.code = await asyncio.to_thread(self._process.wait)
        start = _left(self._folder)
        self._job.starts.append(start)
        return start


class World:
    """Runs jobs as the operator would, but immediately. Made by `world`."""

    def __init__(
        self, url: str, operator: OperatorWrites, dsn: str, forks: ForkServer | None, folder: Path, tools: str
    ):
        self.url = url
        self.dsn = dsn
        self._operator = operator
        self._forks = forks
        self._folder = folder
        self._tools = tools

    async def accept(self, topology: Topology, **spec: Any) -> Job:
        """Accept a job of that shape, with its first start; what is given goes into its spec."""
        job = Job(topology, uuid.uuid4().hex[:12])
        agent = {"module": {"ref": topology.ref}, **topology.agent}
        session = {"appName": "crash", "userId": "system", "sessionId": job.uid, "mode": "New"}
        whole = {"agent": agent, "input": {"message": "Go."}, "session": session, "retry": {"maxAttempts": 3}}
        record = JobRecord(job.key, {"spec": whole | dict(topology.spec) | spec, "scripts": {}}, "hash")
        await self._operator.accept(Acceptance(record, self._start(job, 1, 1)))
        return job

    async def start(self, job: Job, *, kill_at: int = 0, **variables: str) -> Start:
        """Run the job's next start to its end, and kill it after `kill_at` lines of effects."""
        if job.starts:
            await self.next_start(job)
        running = self.launch(job, kill_at=kill_at, **variables)
        return await running.ended()

    def launch(self, job: Job, *, kill_at: int = 0, pod: str = "", **variables: str) -> "Running":
        """Run the pod of the job's newest start, or another `pod` of it."""
        folder = self._folder / f"{job.uid}-{job.newest}{pod}"
        folder.mkdir()
        (folder / "token").write_text(f"crash/{job.uid}/{job.newest}/{pod}")
        environment = self._variables(job, job.newest, folder, kill_at) | variables
        return Running(job, folder, self._process(folder, environment))

    async def next_start(self, job: Job, *, attempt: int = 1) -> None:
        """Record what the operator would: the last start was lost, another begins."""
        end = StartEnd(
            job.key, job.newest, job.attempt, f"{job.name}-{job.newest}", NOON, NOON, "Retry", "RunnerLost", False
        )
        await self._operator.write([end])
        job.newest, job.attempt = job.newest + 1, attempt
        await self._operator.write([self._start(job, job.newest, attempt)])

    def _start(self, job: Job, number: int, attempt: int) -> StartRecord:
        return StartRecord(job.key, number, attempt, f"{job.name}-{number}", NOON)

    def _variables(self, job: Job, number: int, folder: Path, kill_at: int) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": PYTHONPATH,
            contract.ENV_GATEWAY_URL: self.url,
            contract.ENV_TOKEN_FILE: str(folder / "token"),
            contract.ENV_NAMESPACE: NAMESPACE,
            contract.ENV_JOB: job.name,
            contract.ENV_START: str(number),
            contract.ENV_TERMINATION_FILE: str(folder / "termination"),
            contract.ENV_GRACE_SECONDS: "30",
            effects.FILE: str(folder / "effects"),
            effects.FINAL: str(folder / "final"),
            effects.KILL_AT: str(kill_at),
            "CRASH_MCP_URL": self._tools,
        }

    def _process(self, folder: Path, variables: Mapping[str, str]) -> Forked | subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "agentjobs_runner"]
        with (folder / "log").open("wb") as log:
            if self._forks is None:
                return subprocess.Popen(command, env=dict(variables), cwd=folder, stdout=log, stderr=log)
            return self._forks.start(command, env=variables, folder=folder, output=log)

    def behind(self, url: str) -> "World":
        """Return this world with the gateway behind another URL."""
        return World(url, self._operator, self.dsn, self._forks, self._folder, self._tools)

    def rows(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """Ask the tables."""
        with psycopg.connect(self.dsn, row_factory=dict_row) as connection:
            return connection.execute(statement, values).fetchall()


async def _ended(pid: int) -> None:
    """Return when a process has ended; it is not reaped by this."""
    descriptor, ended = os.pidfd_open(pid), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _left(folder: Path) -> Start:
    lines, final, said = folder / "effects", folder / "final", folder / "termination"
    return Start(
        lines=[json.loads(line) for line in lines.read_text().splitlines()] if lines.exists() else [],
        session=json.loads(final.read_text()) if final.exists() else None,
        message=TerminationMessage.load(said.read_text()) if said.exists() else None,
        log=(folder / "log").read_text(errors="replace"),
    )


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """Serve an ASGI application on the loopback; gives its URL."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]  # pytest has them
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        await task


@contextlib.asynccontextmanager
async def world(dsn: str, forks: ForkServer | None, folder: Path) -> AsyncIterator[World]:
    """A gateway over a migrated database, for the length of a `with` block."""
    async with Database(dsn) as database:
        services = Services(
            lambda cluster: history_of(database, cluster), Pods(), metrics=GatewayMetrics(), check_addresses=False
        )
        app = create_app(services, check_history=database.check_schema)
        async with served(app) as url, served(tool_server.app()) as tools:
            operator = OperatorWrites(database, cluster=CLUSTER)
            yield World(url, operator, dsn, forks, folder, f"{tools}/mcp")
