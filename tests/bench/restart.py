"""An operator that starts among 100,000 finished jobs: memory, and the time until it decides something.

One job is run to its end; the others are its copies, with its status, made while no operator runs. Next to it stand
starts among few jobs, in the same run.
"""

import asyncio
import os
import time
from dataclasses import dataclass

from tests.bench import quiet
from tests.bench.figures import Figure
from tests.bench.filling import fill
from tests.bench.jobs import backends, cluster
from tests.bench.load import AGENTJOBS, Spent, agent_job, memory_of

from agentjobs.dev.up import Backend, DevCluster
from devcluster.client import PODS, Client, Object, WatchEvent

KEPT = int(os.environ.get("AGENTJOBS_BENCH_KEPT", "100000"))
AIM_SECONDS = 5.0
AIM_EMPTY = 120.0
AIM_FULL = 250.0
REST_SECONDS = 5.0
TIMEOUT = 600.0


@dataclass(frozen=True, slots=True)
class Start:
    """One start of the operator, up to a job that waits for it."""

    seconds: float
    """From the process's start to the pod of the waiting job."""
    first: float
    """The operator's CPU by then, in seconds: what counts on a busy machine."""
    listed: float
    """Seconds until everything is listed and compared with history."""
    cpu: float
    memory: float
    peak: float


async def _first_job(client: Client, name: str) -> Object:
    """Run one job to its end and return it."""
    await client.create(AGENTJOBS, "default", agent_job(name))
    async with asyncio.timeout(TIMEOUT):
        while True:
            found = await client.get(AGENTJOBS, "default", name)
            if found.get("status", {}).get("usage") is not None:
                return found
            await asyncio.sleep(0.2)


async def _until_listed(running: DevCluster, began: float, before: int) -> float:
    """Return the seconds until the operator says once more that its lists are complete."""
    async with asyncio.timeout(TIMEOUT):
        while _completions(running) <= before:
            await asyncio.sleep(0.1)
    return time.monotonic() - began


def _completions(running: DevCluster) -> int:
    return (running.folder / "operator.log").read_text().count("lists.complete")


async def _start(running: DevCluster, name: str) -> Start:
    """Start the operator again; a new job waits for it."""
    part = running.parts["operator"]
    await part.end()
    await running.client.create(AGENTJOBS, "default", agent_job(name))
    completions, began = _completions(running), time.monotonic()
    part.start()
    async with asyncio.timeout(TIMEOUT):
        async for event in running.client.follow(PODS, "default"):
            items = event.items if not isinstance(event, WatchEvent) else [event.object]
            if any(item["metadata"]["name"] == f"{name}-1" for item in items):
                break
    seconds = time.monotonic() - began
    first = Spent.by_operator(running).cpu
    listed = await _until_listed(running, began, completions)
    await asyncio.sleep(REST_SECONDS)
    spent = Spent.by_operator(running)
    return Start(seconds, first, listed, spent.cpu, memory_of(running), spent.peak_rss)


async def _measure(backend: Backend, runs: int) -> list[Figure]:
    async with cluster(backend) as running:
        empty = [await _start(running, f"empty-{run}") for run in range(runs)]
        model = await _first_job(running.client, "model")
        await running.parts["operator"].end()
        await fill(running, model, KEPT)
        full = [await _start(running, f"full-{run}") for run in range(runs)]

    def figure(what: str, starts: list[Start], field: str, unit: str, aim: float | None = None) -> Figure:
        return Figure(f"{what}; {backend}", unit, tuple(getattr(start, field) for start in starts), aim)

    return [
        figure("empty: start of the process to a waiting job's pod", empty, "seconds", "s"),
        figure(f"{KEPT:,} finished jobs: the same", full, "seconds", "s", AIM_SECONDS),
        figure("empty: CPU of the operator until then", empty, "first", "s"),
        figure(f"{KEPT:,} finished jobs: the same", full, "first", "s"),
        figure("empty: CPU of the operator when all is listed", empty, "cpu", "s"),
        figure(f"{KEPT:,} finished jobs: the same", full, "cpu", "s"),
        figure("empty: until all is listed and history compared", empty, "listed", "s"),
        figure(f"{KEPT:,} finished jobs: the same", full, "listed", "s"),
        figure("empty: memory of the operator", empty, "memory", "MiB", AIM_EMPTY),
        figure(f"{KEPT:,} finished jobs: the same", full, "memory", "MiB", AIM_FULL),
        figure(f"{KEPT:,} finished jobs: its peak", full, "peak", "MiB"),
    ]


def measure(runs: int) -> list[Figure]:
    """Memory and first decision, empty and full."""
    figures: list[Figure] = []
    for backend in backends():
        with quiet.run():
            figures += asyncio.run(_measure(backend, runs))
    return figures
