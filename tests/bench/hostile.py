"""One hostile runner against a real gateway process: what it holds, and how long others wait.

`python tests/bench/hostile.py [--rounds N] [--json FILE]`. A pod sends four results of 4 MiB at the same time, round by
round: nested lists that take the most room as objects, and other JSON that is dear to read; at the end all pods at the
same time. Meanwhile another runner beats, and anybody asks for /healthz. Told are the process's resident memory and the
longest waits.
"""

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil

from agentjobs.dev.parts import Part
from agentjobs.history.database import Database
from agentjobs.history.migrate import upgrade
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.records import Acceptance, JobKey, JobRecord, StartRecord
from devcluster.apiserver import ApiServer
from devcluster.client import NAMESPACES, PODS, SERVICE_ACCOUNTS, ApiError, Client
from devcluster.ports import free_port
from devcluster.postgres import EmbeddedPostgres

SIZE = 4 * 1024 * 1024 - 300
DOCUMENT = (
    b'{"verdict":"Succeed","reason":"Done","message":"","delaySeconds":null,'
    b'"result":{"text":"x","usage":{},"structured":{"a":%b}}}'
)
RESOLVED = {"spec": {"retry": {"maxAttempts": 3}, "input": {"message": "hi"}}, "scripts": {}}


def many(unit: bytes) -> bytes:
    return b"[" + b",".join([unit] * (SIZE // (len(unit) + 1))) + b"]"


SHAPES = {
    "nested lists": many(b"[]"),
    "objects": many(b"{}"),
    "deep lists": many(b"[" * 190 + b"]" * 190),
    "many keys": b"{" + b",".join(b'"%07d":0' % number for number in range(SIZE // 12)) + b"}",
    "numbers": many(b"1"),
    "escapes": b'"' + rb"\n" * (SIZE // 2) + b'"',
    "emoji": b'"' + rb"\ud83d\ude42" * (SIZE // 12) + b'"',
}


class Watch:
    """What was seen while a block ran."""

    def __init__(self, process: psutil.Process, asks: dict[str, httpx.Request], http: httpx.AsyncClient) -> None:
        self.peak = 0
        self.waits = dict.fromkeys(asks, 0.0)
        self._process = process
        self._asks = asks
        self._http = http

    async def __aenter__(self) -> "Watch":
        self._tasks = [asyncio.create_task(self._sample())]
        self._tasks += [asyncio.create_task(self._ask(name, request)) for name, request in self._asks.items()]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _sample(self) -> None:
        while True:
            self.peak = max(self.peak, self._process.memory_info().rss)
            await asyncio.sleep(0.01)

    async def _ask(self, name: str, request: httpx.Request) -> None:
        while True:
            began = time.monotonic()
            (await self._http.send(request)).raise_for_status()
            self.waits[name] = max(self.waits[name], time.monotonic() - began)
            await asyncio.sleep(0.05)


async def token_of(
    client: Client, history: OperatorWrites, name: str, annotations: dict[str, str] | None = None
) -> str:
    """Record a job with a start, make its pod and return the pod's token."""
    key = JobKey(f"uid-{name}", "default", name, datetime.now(UTC))
    start = StartRecord(key, 1, 1, f"{name}-1", datetime.now(UTC))
    await history.accept(Acceptance(JobRecord(key, RESOLVED, "hash"), start))  # type: ignore[arg-type]
    owner = {
        "apiVersion": "agentjobs.dev/v1alpha1",
        "kind": "AgentJob",
        "name": name,
        "uid": key.uid,
        "controller": True,
    }
    meta = {"name": f"{name}-1", "labels": {"agentjobs.dev/job": name}, "ownerReferences": [owner]}
    meta |= {"annotations": annotations or {}}
    pod = await client.create(
        PODS, "default", {"metadata": meta, "spec": {"containers": [{"name": "runner", "image": "x"}]}}
    )
    bound = {"apiVersion": "v1", "kind": "Pod", "name": f"{name}-1", "uid": pod["metadata"]["uid"]}
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": ["agentjobs-gateway"], "boundObjectRef": bound},
    }
    path = SERVICE_ACCOUNTS.path("default", "default") + "/token"
    return str((await client.request("POST", path, body=body))["status"]["token"])


async def attack(http: httpx.AsyncClient, headers: dict[str, str], body: bytes, rounds: int) -> Counter[int]:
    async def send() -> int:
        try:
            answer = await http.put("/v1/attempt/result", content=body, headers=headers)
        except httpx.HTTPError:
            return 0
        return answer.status_code

    told: Counter[int] = Counter()
    for _ in range(rounds):
        told += Counter(await asyncio.gather(*(send() for _ in range(4))))
    return told


async def measure(folder: Path, rounds: int) -> dict[str, object]:
    port = free_port()
    async with ApiServer(folder / "api") as server, EmbeddedPostgres(folder / "pg", ephemeral=True) as postgres:
        await asyncio.to_thread(upgrade, postgres.dsn)
        env = os.environ | {
            "AGENTJOBS_DATABASE_URL": postgres.dsn,
            "AGENTJOBS_KUBECONFIG": str(server.kubeconfig),
            "AGENTJOBS_HOST": "127.0.0.1",
            "AGENTJOBS_PORT": str(port),
        }
        command = [sys.executable, "-c", "from agentjobs.cli import main; main()", "gateway"]
        part = Part("gateway", command, env=env, folder=folder)
        part.start()
        try:
            async with (
                Client(server.url, token=server.token, ca=server.ca) as client,
                Database(postgres.dsn) as database,
                httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as http,
            ):
                return await against(client, database, http, part, rounds)
        finally:
            await part.end()


async def against(
    client: Client, database: Database, http: httpx.AsyncClient, part: Part, rounds: int
) -> dict[str, object]:
    cluster = (await client.get(NAMESPACES, None, "kube-system"))["metadata"]["uid"]
    with contextlib.suppress(ApiError):
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        await client.create(SERVICE_ACCOUNTS, "default", account)
    history = OperatorWrites(database, cluster=cluster)
    names = ("honest", *(f"hostile-{number}" for number in range(2 * len(SHAPES))))
    tokens = {name: await token_of(client, history, name) for name in names}
    headers = {name: {"Authorization": f"Bearer {token}"} for name, token in tokens.items()}
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if (await http.get("/readyz")).status_code == 200:
                break
        await asyncio.sleep(0.1)
    for each in headers.values():
        (await http.get("/v1/attempt", headers=each)).raise_for_status()
    assert part.child is not None
    process = psutil.Process(part.child.pid)
    asks = {
        "healthz": http.build_request("GET", "/healthz"),
        "heartbeat": http.build_request("POST", "/v1/attempt/heartbeat", headers=headers["honest"]),
    }
    found: dict[str, object] = {"idle_mib": round(process.memory_info().rss / 2**20)}
    async with Watch(process, asks, http) as quiet:
        await asyncio.sleep(2)
    found["quiet"] = {name: round(seconds * 1000) for name, seconds in quiet.waits.items()}
    pods = [each for name, each in headers.items() if name != "honest"]
    attacks = {name: [(pods.pop(), DOCUMENT % value)] for name, value in SHAPES.items()}
    attacks["all at once"] = [(pods.pop(), DOCUMENT % value) for value in SHAPES.values()]
    for name, senders in attacks.items():
        began = time.monotonic()
        async with Watch(process, asks, http) as seen:
            told = sum(await asyncio.gather(*(attack(http, *sender, rounds) for sender in senders)), Counter[int]())
        found[name] = {
            "peak_mib": round(seen.peak / 2**20),
            "worst_ms": {ask: round(seconds * 1000) for ask, seconds in seen.waits.items()},
            "answers": dict(told),
            "seconds": round(time.monotonic() - began, 1),
        }
        print(name, json.dumps(found[name]), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each pod sends four results at once")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="agentjobs-bench-") as folder:
        found = asyncio.run(measure(Path(folder), chosen.rounds))
    text = json.dumps(found, indent=1)
    print(text)
    if chosen.json:
        chosen.json.write_text(text)


if __name__ == "__main__":
    main()
