"""Schedules: how late 500 that fire in one minute start, what an idle one costs, how long 10,000 hold up a restart.

Lag is the wall clock's time from the instant a schedule names until the watch that everybody uses shows its job. Where
KUBEBUILDER_ASSETS holds kube-controller-manager, as many CronJobs fire in a minute of their own, in the same cluster,
right after ours: with its rate limit and its workers raised, or 500 would wait for a minute.
"""

import asyncio
import contextlib
import gc
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.bench import quiet
from tests.bench.figures import Figure
from tests.bench.jobs import backends, controller_manager, has_job_controller, percentile
from tests.bench.load import AGENTJOBS, BATCH_JOBS, Spent, agent_job, batch_job, each, memory_of, succeed

from agentjobs.dev.up import Backend, DevCluster, up
from devcluster.client import Client, Listing, Object, Resource, WatchEvent

AGENTSCHEDULES = Resource("agentjobs.dev", "v1alpha1", "agentschedules", "AgentSchedule")
CRONJOBS = Resource("batch", "v1", "cronjobs", "CronJob")
AIM_P50 = 1.4
AIM_P99 = 3.8
AIM_RESTART = 5.0
AIM_MEMORY = 250.0
FIRING = 500
IDLE_SECONDS = 30.0
KEPT = 10_000
# Making 500 takes some seconds on a busy machine, and what that stirs up has to settle before they fire.
SETTLE = timedelta(seconds=10)
TIMEOUT = 600.0
CRON_FLAGS = (
    "--controllers=cronjob-controller,job-controller",
    "--kube-api-qps=500",
    "--kube-api-burst=1000",
    "--concurrent-cron-job-syncs=50",
    "--concurrent-job-syncs=50",
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A schedule, and what it makes."""

    resource: Resource
    child: Resource
    make: Callable[[str, str], Object]


def agent_schedule(name: str, cron: str) -> Object:
    """An AgentSchedule whose jobs are as large as the other benchmarks'."""
    spec = {"schedule": cron, "jobTemplate": {"spec": agent_job(name)["spec"]}}
    return {
        "apiVersion": "agentjobs.dev/v1alpha1",
        "kind": "AgentSchedule",
        "metadata": {"name": name},
        "spec": spec,
    }


def cron_job(name: str, cron: str) -> Object:
    """The same of Kubernetes itself."""
    spec = {"schedule": cron, "concurrencyPolicy": "Forbid", "jobTemplate": {"spec": batch_job(name)["spec"]}}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": spec}


OURS = Kind(AGENTSCHEDULES, AGENTJOBS, agent_schedule)
CRON = Kind(CRONJOBS, BATCH_JOBS, cron_job)


@contextlib.asynccontextmanager
async def cluster(backend: Backend) -> AsyncIterator[DevCluster]:
    """A cluster whose pods end immediately and whose queue holds nothing up."""
    gc.collect()
    settings = {"AGENTJOBS_QUEUES": f'{{"scheduled": {2 * FIRING}}}'}
    with tempfile.TemporaryDirectory(prefix="agentjobs-bench-") as folder:
        async with up(Path(folder), apiserver=backend, settings=settings, instant=succeed) as running:
            yield running


async def make_all(client: Client, kind: Kind, names: list[str], cron: str) -> None:
    """Create schedules as fast as the server takes them."""
    await each(names, lambda name: client.create(kind.resource, "default", kind.make(name, cron)))


async def fire(client: Client, kind: Kind, label: str, count: int) -> list[float]:
    """Let `count` schedules fire in one minute; return by how many seconds each job came late."""
    names = [f"{label}-{number}" for number in range(count)]
    due = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    seen: dict[str, float] = {}
    began = time.time()
    await make_all(client, kind, names, "0 0 1 1 *")
    took = timedelta(seconds=time.time() - began)
    while due < datetime.now(UTC) + SETTLE + took:
        due += timedelta(minutes=1)
    cron = f"{due.minute} {due.hour} * * *"
    await each(names, lambda name: client.patch(kind.resource, "default", name, {"spec": {"schedule": cron}}))
    await _until_made(client, kind, label, seen, count, due)
    lags = sorted(moment - due.timestamp() for moment in seen.values())
    for name in names:
        await client.patch(kind.resource, "default", name, {"spec": {"suspend": True}})
    return lags


async def _until_made(
    client: Client, kind: Kind, label: str, seen: dict[str, float], count: int, due: datetime
) -> None:
    async with asyncio.timeout(TIMEOUT + max(0.0, due.timestamp() - time.time())):
        async for event in client.follow(kind.child, "default"):
            found = event.items if isinstance(event, Listing) else [event.object] if event.type == "ADDED" else []
            for job in found:
                owner = next(iter(job["metadata"].get("ownerReferences") or ()), {}).get("name", "")
                if owner.startswith(f"{label}-"):
                    seen.setdefault(owner, time.time())
            if len(seen) >= count:
                return


async def _firing_runs(backend: Backend, runs: int) -> list[Figure]:
    ours: list[list[float]] = []
    peers: list[list[float]] = []
    cpu, writes = [], []
    async with cluster(backend) as running:
        for run in range(runs):
            await asyncio.to_thread(quiet.wait)
            before = Spent.by_operator(running)
            ours.append(await fire(running.client, OURS, f"ours-{run}", FIRING))
            after = Spent.by_operator(running)
            cpu.append(1000 * (after.cpu - before.cpu) / FIRING)
            writes.append((after.schedule_writes - before.schedule_writes) / FIRING)
            if backend == "envtest" and has_job_controller():
                async with controller_manager(running, *CRON_FLAGS):
                    peers.append(await fire(running.client, CRON, f"cron-{run}", FIRING))
    said = f"{backend}, {FIRING} in one minute"
    named = "CronJob controller, tuned" if peers else ""
    p50s, p99s = ([[_share(lags, share) for lags in both] for both in (ours, peers)] for share in (0.5, 0.99))
    return [
        Figure(f"instant to job, p50; {said}", "s", tuple(p50s[0]), AIM_P50, False, tuple(p50s[1]), named),
        Figure(f"instant to job, p99; {said}", "s", tuple(p99s[0]), AIM_P99, False, tuple(p99s[1]), named),
        Figure(f"status writes of a schedule made, edited, fired once and suspended; {said}", "", tuple(writes)),
        Figure(f"operator CPU for that and its job; {said}", "ms", tuple(cpu)),
    ]


def _share(lags: list[float], share: float) -> float:
    return statistics.median(lags) if share == 0.5 else percentile(lags, share)


async def _idle_and_restart(backend: Backend) -> list[Figure]:
    """What 10,000 schedules cost while nothing is due, and how long they hold up an operator's start."""
    async with cluster(backend) as running:
        await make_all(running.client, OURS, [f"idle-{number}" for number in range(KEPT)], "0 0 1 1 *")
        await _calm(running)
        before = Spent.by_operator(running)
        await asyncio.sleep(IDLE_SECONDS)
        after = Spent.by_operator(running)
        hour = 3600 / IDLE_SECONDS
        part = running.parts["operator"]
        await part.end()  # it gives its Lease back: waiting for that of a killed one would be most of the figure
        late = {"metadata": {"annotations": {"agentjobs.dev/trigger": "now"}}}
        await running.client.patch(AGENTSCHEDULES, "default", f"idle-{KEPT - 1}", late)
        began = time.monotonic()
        part.start()
        await _first_job(running.client)
        seconds = time.monotonic() - began
        first = Spent.by_operator(running).cpu
        # By then every schedule has been looked at, and listed again.
        await asyncio.sleep(IDLE_SECONDS)
        spent, memory = Spent.by_operator(running), memory_of(running)
    said = f"{backend}, {KEPT:,} schedules"
    return [
        Figure(f"writes of all idle schedules an hour; {said}", "", (hour * (after.writes - before.writes),), 0.0),
        Figure(f"operator CPU while all idle; {said}", "s/h", (hour * (after.cpu - before.cpu),)),
        Figure(f"operator started again, to the job of a trigger; {said}", "s", (seconds,), AIM_RESTART),
        Figure(f"its CPU until then; {said}", "s", (first,)),
        Figure(f"its CPU until {IDLE_SECONDS:.0f} s later; {said}", "s", (spent.cpu,)),
        Figure(f"its memory then; {said}", "MiB", (memory,), AIM_MEMORY),
        Figure(f"its peak memory; {said}", "MiB", (spent.peak_rss,)),
    ]


async def _first_job(client: Client) -> None:
    async with asyncio.timeout(TIMEOUT):
        async for event in client.follow(AGENTJOBS, "default"):
            if isinstance(event, WatchEvent) or event.items:
                return


async def _calm(running: DevCluster) -> None:
    """Until the operator has written nothing for three seconds."""
    async with asyncio.timeout(TIMEOUT):
        before = -1.0
        while (now := Spent.by_operator(running).writes) != before:
            before = now
            await asyncio.sleep(3.0)


def measure(runs: int) -> list[Figure]:
    """Lag of a crowd, cost of the idle, restart."""
    figures: list[Figure] = []
    for backend in backends():
        with quiet.run():
            figures += asyncio.run(_firing_runs(backend, runs))
            figures += asyncio.run(_idle_and_restart(backend))
    return figures
