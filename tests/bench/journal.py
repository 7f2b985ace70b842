"""What recording a step costs: `python tests/bench/journal.py [--pods N] [--seconds S] [--json FILE]`.

First without a gateway, on the embedded PostgreSQL: one append at a time next to a bare INSERT of the same row, in
turns on one connection each, and next to a step of DBOS where `AGENTJOBS_BENCH_DBOS` names a Python that has it; then
bytes on the disk for steps of three sizes. Then a real gateway process with `--pods` runners, each of which records a
step a second: how long each waited, as the runner sees it, and what the gateway holds.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import psycopg
from tests.bench.hostile import RESOLVED, token_of

from agentjobs.contract import Step, StepsBody
from agentjobs.dev.parts import Part
from agentjobs.history.database import Database
from agentjobs.history.migrate import upgrade
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.records import Acceptance, JobKey, JobRecord, StartRecord
from agentjobs.history.runner_writes import RunnerWrites
from devcluster.apiserver import ApiServer
from devcluster.client import NAMESPACES, SERVICE_ACCOUNTS, ApiError, Client
from devcluster.ports import free_port
from devcluster.postgres import EmbeddedPostgres

APPENDS = 2000
# Some 3.6 bits a letter, as much as prose packs to.
LETTERS = "etaoinshrdlu     "
SIZES = {"tool result": 300, "model answer": 2000, "page of text": 50_000}
BARE = "INSERT INTO bare (uid, n, key, body) VALUES (%s, %s, %s, %s)"


def a_text(size: int) -> str:
    return "".join(random.choices(LETTERS, k=size))


def a_step(number: int, body: Any) -> Step:
    now = datetime.now(UTC).isoformat()
    request = {"digest": f"{number:064x}", "contents": number}
    told = {"agent": "triage", "name": "gemini-2.5-flash", "request": request, "usage": {"llmCalls": 1}}
    return Step(key=f"main/triage/{number}", kind="model", began=now, ended=now, body=body, **told)  # type: ignore[typeddict-item]


def a_body(number: int, size: int = 2000) -> StepsBody:
    return StepsBody(run=1, void=[], steps=[a_step(number, {"content": a_text(size)})])


def spread(name: str, seconds: Sequence[float]) -> dict[str, float]:
    """Milliseconds in the middle and at the end."""
    cuts = statistics.quantiles(seconds, n=100)
    return {f"{name}, p50 (ms)": round(1000 * cuts[49], 2), f"{name}, p99 (ms)": round(1000 * cuts[98], 2)}


async def a_start(history: OperatorWrites, runners: RunnerWrites, name: str) -> str:
    key = JobKey(f"uid-{name}", "default", name, datetime.now(UTC))
    await history.accept(
        Acceptance(JobRecord(key, RESOLVED, "hash"), StartRecord(key, 1, 1, f"{name}-1", datetime.now(UTC)))
    )  # type: ignore[arg-type]
    await runners.claim(key.uid, 1, "pod", namespace="default", job=name)
    return key.uid


async def one_by_one(dsn: str) -> dict[str, float]:
    """Append next to insert, in turns."""
    async with Database(dsn, pool_size=1) as database, await psycopg.AsyncConnection.connect(dsn) as bare:
        history, runners = OperatorWrites(database, cluster="c"), RunnerWrites(database, cluster="c")
        uid = await a_start(history, runners, "alone")
        await bare.execute("CREATE TABLE bare (uid text, n integer, key text, body text, PRIMARY KEY (uid, n))")
        await bare.commit()
        appends, inserts = [], []
        for number in range(APPENDS):
            body = a_body(number)
            text = json.dumps(body["steps"][0]["body"])
            began = time.perf_counter()
            await runners.append_steps(uid, 1, "pod", body)
            appended = time.perf_counter()
            await bare.execute(BARE, (uid, number, body["steps"][0]["key"], text))
            await bare.commit()
            appends.append(appended - began)
            inserts.append(time.perf_counter() - appended)
    return spread("append", appends) | spread("bare INSERT and COMMIT", inserts)


async def room(dsn: str) -> dict[str, float]:
    """Bytes on the disk a step, with indexes, by its size."""
    found = {}
    async with Database(dsn) as database:
        history, runners = OperatorWrites(database, cluster="c"), RunnerWrites(database, cluster="c")
        for place, (name, size) in enumerate(SIZES.items()):
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute("TRUNCATE agentjobs.steps")
            uid = await a_start(history, runners, f"room-{place}")
            for number in range(0, 500, 10):
                steps = [a_step(number + more, {"content": a_text(size)}) for more in range(10)]
                await runners.append_steps(uid, 1, "pod", StepsBody(run=1, void=[], steps=steps))
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute("VACUUM agentjobs.steps")
                row: Any = connection.execute("SELECT pg_total_relation_size('agentjobs.steps')").fetchone()
            found[f"{name} of {size} letters (bytes on the disk)"] = row[0] / 500
    return found


async def dbos(dsn: str) -> dict[str, float]:
    """The same steps by DBOS, where `AGENTJOBS_BENCH_DBOS` names a Python that has it."""
    python = os.environ.get("AGENTJOBS_BENCH_DBOS")
    if not python:
        return {}
    command = [python, str(Path(__file__).with_name("dbos_steps.py")), dsn, str(APPENDS), "2000"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    return spread("DBOS, a step", json.loads(told.splitlines()[-1]))


class Pods:
    """Runners that each record a step a second."""

    def __init__(self, http: aiohttp.ClientSession, tokens: Sequence[str]) -> None:
        self._http = http
        self._headers = [{"Authorization": f"Bearer {token}"} for token in tokens]
        self._text = a_text(2000)
        self.waits: list[float] = []
        self.refused: list[int] = []

    async def claim(self) -> None:
        """Claim all starts; the gateway knows the tokens afterwards."""
        for headers in self._headers:
            async with self._http.get("/v1/attempt", headers=headers) as answer:
                answer.raise_for_status()

    async def one_after_another(self, count: int) -> None:
        """Let the first pod record so many steps."""
        for number in range(count):
            await self._record(self._headers[0], number)

    async def at_once(self, seconds: float) -> None:
        """Let each pod record a step a second."""
        await asyncio.gather(*(self._work(headers, seconds) for headers in self._headers))

    async def _work(self, headers: Mapping[str, str], seconds: float) -> None:
        await asyncio.sleep(random.random())
        for number in range(int(seconds)):
            began = time.perf_counter()
            await self._record(headers, 10_000 + number)
            await asyncio.sleep(max(0.0, 1 - (time.perf_counter() - began)))

    def _body(self, number: int) -> bytes:
        body = a_body(number, 0)
        body["steps"][0]["body"]["content"] = self._text
        return json.dumps(body).encode()

    async def _record(self, headers: Mapping[str, str], number: int) -> None:
        began = time.perf_counter()
        async with self._http.post("/v1/attempt/steps", data=self._body(number), headers=headers) as answer:
            await answer.read()
        self.waits.append(time.perf_counter() - began)
        if answer.status != 200:
            self.refused.append(answer.status)


async def together(folder: Path, dsn: str, count: int, seconds: float) -> dict[str, float]:
    """Many pods and one gateway process."""
    port = free_port()
    async with ApiServer(folder / "api") as server, Client(server.url, token=server.token, ca=server.ca) as client:
        async with Database(dsn) as database:
            with contextlib.suppress(ApiError):
                account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
                await client.create(SERVICE_ACCOUNTS, "default", account)
            cluster = (await client.get(NAMESPACES, None, "kube-system"))["metadata"]["uid"]
            history = OperatorWrites(database, cluster=cluster)
            tokens = [await token_of(client, history, f"pod-{number}") for number in range(count)]
        env = os.environ | {
            "AGENTJOBS_DATABASE_URL": dsn,
            "AGENTJOBS_KUBECONFIG": str(server.kubeconfig),
            "AGENTJOBS_HOST": "127.0.0.1",
            "AGENTJOBS_PORT": str(port),
            # All pods ask from this process.
            "AGENTJOBS_CHECK_ADDRESSES": "false",
        }
        command = [sys.executable, "-c", "from agentjobs.cli import main; main()", "gateway"]
        part = Part("gateway", command, env=env, folder=folder)
        part.start()
        try:
            return await against(f"http://127.0.0.1:{port}", tokens, seconds, part)
        finally:
            await part.end()


async def against(url: str, tokens: Sequence[str], seconds: float, part: Part) -> dict[str, float]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, connector=connector) as http:
        while not await is_ready(http):
            await asyncio.sleep(0.1)
        assert part.child is not None
        process = psutil.Process(part.child.pid)
        idle = process.memory_info().rss
        pods = Pods(http, tokens)
        await pods.claim()
        await pods.one_after_another(APPENDS // 2)
        alone, pods.waits, before = pods.waits, [], process.cpu_times()
        await pods.at_once(seconds)
        spent = process.cpu_times()
        cpu = (spent.user + spent.system - before.user - before.system) / len(pods.waits)
        held = process.memory_info().rss
    found = spread("one pod through the gateway", alone)
    found |= spread(f"{len(tokens)} pods, a step a second each", pods.waits)
    return found | {
        "refused": len(pods.refused),
        "gateway's CPU a step (ms)": round(1000 * cpu, 2),
        "gateway's memory, idle (MiB)": round(idle / 2**20),
        f"gateway's memory, {len(tokens)} pods (MiB)": round(held / 2**20),
    }


async def is_ready(http: aiohttp.ClientSession) -> bool:
    with contextlib.suppress(aiohttp.ClientError):
        async with http.get("/readyz") as answer:
            return answer.status == 200
    return False


async def measure(folder: Path, pods: int, seconds: float) -> dict[str, float]:
    async with EmbeddedPostgres(folder / "pg", ephemeral=True) as postgres:
        await asyncio.to_thread(upgrade, postgres.dsn)
        found = await one_by_one(postgres.dsn) | await dbos(postgres.dsn) | await room(postgres.dsn)
        return found | await together(folder, postgres.dsn, pods, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=200, help="runners that record at once (200)")
    parser.add_argument("--seconds", type=float, default=20, help="for how long (20)")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="agentjobs-bench-") as folder:
        found = asyncio.run(measure(Path(folder), chosen.pods, chosen.seconds))
    text = json.dumps(found, indent=1)
    print(text)
    if chosen.json:
        chosen.json.write_text(text)


if __name__ == "__main__":
    main()
