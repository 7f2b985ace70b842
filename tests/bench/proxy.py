"""What the model proxy costs and holds: `python tests/bench/proxy.py [NAME …] [--fsync] [--json FILE]`.

`latency`: calls one after another, in turns, straight to a fake provider, through a proxy, and through LiteLLM's where
`AGENTJOBS_BENCH_LITELLM` names a Python that has `litellm[proxy]`. `streams`: 200 streams at the same time through one
proxy. `budget`: 20 callers of one job at the same time until its budget is used up. `limit`: 50 pods, two proxies, 60
requests a minute, for two minutes, as the provider saw it. Provider, proxies and PostgreSQL are processes of their own
on this machine.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import psycopg
from tests.bench.hostile import token_of

from agentjobs import contract
from agentjobs.dev.parts import Part
from agentjobs.history.database import Database
from agentjobs.history.migrate import upgrade
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.runner_writes import RunnerWrites
from devcluster.apiserver import ApiServer
from devcluster.client import NAMESPACES, PODS, SERVICE_ACCOUNTS, ApiError, Client
from devcluster.ports import free_port
from devcluster.postgres import EmbeddedPostgres

MODEL = "openai/gpt-bench"
CALLS = 600
STREAMS, PIECES, PACE = 200, 100, 0.05
CALLERS = 20
LITELLM_KEY = "sk-1234567890abcdef-bench-only-1234567890"
PODS_AT_ONCE, PER_MINUTE, MINUTES = 50, 60, 2
_SPENT = "SELECT sum(cost), max(cost), count(*) FROM agentjobs.model_calls WHERE uid = 'uid-budget-0' AND cost > 0"


class Bench:
    """An API server, PostgreSQL, and what is started next to them."""

    def __init__(self, folder: Path, server: ApiServer, client: Client, dsn: str) -> None:
        self.folder = folder
        self._server = server
        self._client = client
        self.dsn = dsn
        self._parts: list[Part] = []

    async def pods(self, count: int, name: str, budget: dict[str, Any] | None = None) -> list[str]:
        """Make jobs with a claimed start each; return the tokens of their pods."""
        with contextlib.suppress(ApiError):
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
            await self._client.create(SERVICE_ACCOUNTS, "default", account)
        cluster = (await self._client.get(NAMESPACES, None, "kube-system"))["metadata"]["uid"]
        noted = {contract.ANNOTATION_BUDGET: json.dumps(budget or {})}
        tokens = []
        async with Database(self.dsn) as database:
            history, runners = OperatorWrites(database, cluster=cluster), RunnerWrites(database, cluster=cluster)
            for number in range(count):
                job = f"{name}-{number}"
                tokens.append(await token_of(self._client, history, job, noted))
                pod = await self._client.get(PODS, "default", f"{job}-1")
                await runners.claim(f"uid-{job}", 1, pod["metadata"]["uid"], namespace="default", job=job)
        return tokens

    async def provider(self, *options: str) -> str:
        """Start a fake provider; return its origin."""
        port = free_port()
        command = [sys.executable, "-m", "tests.modelproviders", "--port", str(port), *options]
        self._start("provider", command, os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])})
        return await self._ready(f"http://127.0.0.1:{port}", "/counts")

    async def proxy(self, origin: str, limits: str = "[]", name: str = "proxy") -> tuple[str, psutil.Process]:
        """Start a proxy before a fake provider."""
        port, models, key = free_port(), self.folder / f"{name}.yaml", self.folder / "key"
        key.write_text("bench-key")
        models.write_text(f"""
providers:
  - {{name: fake, kind: OpenAI, baseUrl: "{origin}/openai/v1", keys: [{{name: main, file: {key}}}], limits: {limits}}}
prices:
  - {{models: ["{MODEL}"], input: "1", output: "4", maxOutput: 8000}}
""")
        env = os.environ | {
            "AGENTJOBS_DATABASE_URL": self.dsn,
            "AGENTJOBS_KUBECONFIG": str(self._server.kubeconfig),
            "AGENTJOBS_HOST": "127.0.0.1",
            "AGENTJOBS_PORT": str(port),
            "AGENTJOBS_MODELS_FILE": str(models),
            # All pods ask from this process.
            "AGENTJOBS_CHECK_ADDRESSES": "false",
        }
        part = self._start(name, [sys.executable, "-c", "from agentjobs.cli import main; main()", "proxy"], env)
        url = await self._ready(f"http://127.0.0.1:{port}", "/readyz")
        assert part.child is not None
        return url, psutil.Process(part.child.pid)

    async def litellm(self, origin: str) -> str | None:
        """Start LiteLLM's proxy before a fake provider; None where there is none."""
        python = os.environ.get("AGENTJOBS_BENCH_LITELLM")
        if not python:
            return None
        port, config = free_port(), self.folder / "litellm.yaml"
        params = {"model": "openai/gpt-bench", "api_base": f"{origin}/openai/v1", "api_key": "bench-key"}
        given = {"model_list": [{"model_name": "gpt-bench", "litellm_params": params}]}
        config.write_text(json.dumps(given))
        command = [str(Path(python).with_name("litellm")), "--config", str(config), "--port", str(port)]
        env = os.environ | {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_TELEMETRY": "False",
            "LITELLM_LOG": "ERROR",
            "LITELLM_MASTER_KEY": LITELLM_KEY,
            "PYTHONPATH": "",
        }
        self._start("litellm", [*command, "--host", "127.0.0.1"], env)
        return await self._ready(f"http://127.0.0.1:{port}", "/health/liveliness", seconds=90)

    async def end(self) -> None:
        """End what was started, the last first."""
        while self._parts:
            await self._parts.pop().end()

    def _start(self, name: str, command: Sequence[str], env: Any) -> Part:
        part = Part(name, command, env=env, folder=self.folder)
        part.start()
        self._parts.append(part)
        return part

    async def _ready(self, url: str, path: str, seconds: float = 30) -> str:
        until = time.monotonic() + seconds
        async with aiohttp.ClientSession() as http:
            while time.monotonic() < until:
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(url + path) as answer:
                        if answer.status == 200:
                            return url
                await asyncio.sleep(0.1)
        logs = "\n".join(part.log.read_text("utf-8", "replace")[-2000:] for part in self._parts[-1:])
        raise TimeoutError(f"{url}{path} is not ready: {logs}")


class Caller:
    """Asks a model of one address, as one pod."""

    def __init__(self, http: aiohttp.ClientSession, base: str, token: str) -> None:
        self._http = http
        self._url = f"{base}/chat/completions"
        self._headers = {"Authorization": f"Bearer {token}"}

    async def ask(self, *, streamed: bool) -> tuple[float, int]:
        """Return the seconds until the answer, or the first byte of a stream, and the status."""
        body = {
            "model": "gpt-bench",
            "messages": [{"role": "user", "content": "x" * 2000}],
            "max_tokens": 500,
            "stream": streamed,
            "stream_options": {"include_usage": True},
        }
        began = time.perf_counter()
        async with self._http.post(self._url, json=body, headers=self._headers) as answer:
            await answer.content.readany()
            first = time.perf_counter()
            await answer.read()
        return (first if streamed else time.perf_counter()) - began, answer.status

    async def hello(self) -> None:
        """Ask for what costs the provider no time."""
        async with self._http.post(
            self._url.replace("chat/completions", "embeddings"), headers=self._headers
        ) as answer:
            await answer.read()


def spread(name: str, seconds: Sequence[float]) -> dict[str, float]:
    """Milliseconds in the middle and at the end."""
    cuts = statistics.quantiles(seconds, n=100)
    return {f"{name}, p50 (ms)": round(1000 * cuts[49], 2), f"{name}, p99 (ms)": round(1000 * cuts[98], 2)}


async def latency(bench: Bench) -> dict[str, float]:
    """Calls in turns, straight and through each proxy."""
    origin = await bench.provider()
    url, _ = await bench.proxy(origin, "[{requestsPerMinute: 1000000}]")
    (token,) = await bench.pods(1, "latency")
    other = await bench.litellm(origin)
    found: dict[str, float] = {}
    async with aiohttp.ClientSession() as http:
        ways = {"direct": Caller(http, f"{origin}/openai/v1", "x"), "proxy": Caller(http, f"{url}/openai/v1", token)}
        if other:
            ways["LiteLLM's proxy"] = Caller(http, f"{other}/v1", LITELLM_KEY)
        for streamed in (False, True):
            waits: dict[str, list[float]] = {name: [] for name in ways}
            for number in range(CALLS + 20):
                for name, caller in ways.items():
                    seconds, status = await caller.ask(streamed=streamed)
                    assert status == 200, (name, status)
                    if number >= 20:
                        waits[name].append(seconds)
            what = "to the first byte" if streamed else "plain"
            for name, each in waits.items():
                found |= spread(f"{name}, {what}", each)
                if name != "direct":
                    added = [ours - bare for ours, bare in zip(each, waits["direct"], strict=True)]
                    found |= spread(f"{name}, added {what}", added)
    return found


async def streams(bench: Bench) -> dict[str, float]:
    """Many streams at the same time through one proxy."""
    origin = await bench.provider("--text-bytes", str(PIECES * 20), "--pieces", str(PIECES), "--pace", str(PACE))
    url, process = await bench.proxy(origin)
    tokens = await bench.pods(STREAMS, "streams")
    idle = process.memory_info().rss
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        callers = [Caller(http, f"{url}/openai/v1", token) for token in tokens]
        # Whose tokens they are is known then, as of every pod after its first call.
        for caller in callers:
            await caller.hello()
        before, began = process.cpu_times(), time.perf_counter()
        answers = await asyncio.gather(*(caller.ask(streamed=True) for caller in callers))
        took, after, held = time.perf_counter() - began, process.cpu_times(), process.memory_info().rss
    cpu = after.user + after.system - before.user - before.system
    assert all(status == 200 for _, status in answers)
    return spread(f"{STREAMS} streams at once, first byte", [first for first, _ in answers]) | {
        "all streams (s)": round(took, 2),
        "a stream by itself (s)": round(PIECES * PACE, 2),
        "pieces a second": round(STREAMS * PIECES / took),
        "proxy's CPU (share of a core)": round(cpu / took, 2),
        "proxy's CPU a piece (µs)": round(1e6 * cpu / STREAMS / PIECES),
        "proxy's memory, idle (MiB)": round(idle / 2**20),
        f"proxy's memory, {STREAMS} streams (MiB)": round(held / 2**20),
    }


async def budget(bench: Bench) -> dict[str, float]:
    """Callers of one job at the same time until its budget is used up."""
    origin = await bench.provider("--delay", "0.05")
    url, _ = await bench.proxy(origin)
    most = Decimal("0.005")
    (token,) = await bench.pods(1, "budget", {"maxCostUSD": str(most)})
    statuses: list[int] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        caller = Caller(http, f"{url}/openai/v1", token)

        async def until_refused() -> None:
            while not statuses or statuses[-1] != 402:
                statuses.append((await caller.ask(streamed=False))[1])

        async with asyncio.timeout(120):
            await asyncio.gather(*(until_refused() for _ in range(CALLERS)))
    await asyncio.sleep(1)
    with psycopg.connect(bench.dsn) as connection:
        query = (
            "SELECT sum(cost), max(cost), count(*) FROM agentjobs.model_calls WHERE uid = 'uid-budget-0' AND cost > 0"
        )
        row: Any = connection.execute(query).fetchone()
    return {
        "budget (USD)": float(most),
        "spent (USD)": float(row[0]),
        "a call (USD)": float(row[1]),
        "overshoot (calls)": round(float((row[0] - most) / row[1]), 2),
        "calls that were answered": row[2],
        "statuses other than 200 and 402": sum(1 for status in statuses if status not in (200, 402)),
    }


async def limit(bench: Bench) -> dict[str, float]:
    """Many pods and two proxies at one limit."""
    origin = await bench.provider()
    limits = f"[{{requestsPerMinute: {PER_MINUTE}}}]"
    urls = [(await bench.proxy(origin, limits, f"proxy-{number}"))[0] for number in range(2)]
    tokens = await bench.pods(PODS_AT_ONCE, "limit")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        callers = [Caller(http, f"{urls[n % 2]}/openai/v1", token) for n, token in enumerate(tokens)]

        async def keep_asking(caller: Caller) -> None:
            while True:
                await caller.ask(streamed=False)

        working = [asyncio.create_task(keep_asking(caller)) for caller in callers]
        counts = []
        for _ in range(MINUTES):
            async with http.get(f"{origin}/counts") as answer:
                before = (await answer.json())["requests"]
            await asyncio.sleep(60)
            async with http.get(f"{origin}/counts") as answer:
                now = await answer.json()
            counts.append(now["requests"] - before)
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
    return {f"requests in minute {n}": count for n, count in enumerate(counts, 1)} | {
        "most in any 60 s, as the provider saw it": now["perMinute"],
    }


MEASURES = {"latency": latency, "streams": streams, "budget": budget, "limit": limit}


@contextlib.asynccontextmanager
async def ground(folder: Path, *, fsync: bool = False) -> AsyncIterator[Bench]:
    async with (
        EmbeddedPostgres(folder / "pg", fsync=fsync, ephemeral=True) as postgres,
        ApiServer(folder / "api") as server,
        Client(server.url, token=server.token, ca=server.ca) as client,
    ):
        await asyncio.to_thread(upgrade, postgres.dsn)
        bench = Bench(folder, server, client, postgres.dsn)
        try:
            yield bench
        finally:
            await bench.end()


async def measure(name: str, *, fsync: bool = False) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="agentjobs-bench-") as folder:
        async with ground(Path(folder), fsync=fsync) as bench:
            return await MEASURES[name](bench)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASURES)}; all by default")
    parser.add_argument("--fsync", action="store_true", help="PostgreSQL waits for this machine's disk at each commit")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    chosen = parser.parse_args()
    found = {name: asyncio.run(measure(name, fsync=chosen.fsync)) for name in chosen.names or MEASURES}
    text = json.dumps(found, indent=1)
    print(text)
    if chosen.json:
        chosen.json.write_text(text)


if __name__ == "__main__":
    main()
