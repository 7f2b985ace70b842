"""The operator under jobs: API writes and CPU a job, latency to the pod, jobs a second, memory.

The whole system runs: operator, gateway, PostgreSQL, API server, node; only agents do not, their pods end immediately.
The embedded API server, the node and the load itself share this process and its one core, so `jobs a second` is a
figure of the whole machine. Where KUBEBUILDER_ASSETS has a real API server the same is taken on it, and next to the
AgentJobs the same number of Kubernetes' own Jobs run through its own controller.
"""

import asyncio
import contextlib
import gc
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

from tests.bench import quiet
from tests.bench.figures import Figure
from tests.bench.load import BATCH, OURS, Kind, Seen, Spent, at_once, cpu_of, paced, succeed

from agentjobs.dev.up import Backend, DevCluster, up
from devcluster.envtest import ASSETS
from devcluster.process import spawn

AIM_WRITES = 4.0
AIM_P50_MS = 10.0
AIM_P99_MS = 40.0
AIM_CPU_MS = 5.5
AIM_CPU_PACED_MS = 12.0
AIM_BESIDE_MS = 100.0
AIM_JOBS_PER_SECOND = 100.0
PACED_JOBS = 200
PACED_SECONDS = 0.1
CROWDS = (500, 2000)
WARM_UP = 30


def backends() -> list[Backend]:
    """The embedded API server, and the real one where its binaries are."""
    return ["embedded", "envtest"] if os.environ.get(ASSETS) else ["embedded"]


@contextlib.asynccontextmanager
async def cluster(backend: Backend, *, slots: int = 500) -> AsyncIterator[DevCluster]:
    """A warm cluster whose pods end immediately."""
    gc.collect()
    with tempfile.TemporaryDirectory(prefix="agentjobs-bench-") as folder:
        async with up(
            Path(folder), apiserver=backend, settings={"AGENTJOBS_QUEUES": f'{{"agents": {slots}}}'}, instant=succeed
        ) as running:
            await at_once(running.client, OURS, [f"warm-{number}" for number in range(WARM_UP)])
            yield running


@contextlib.asynccontextmanager
async def controller_manager(running: DevCluster, *flags: str) -> AsyncIterator[None]:
    """Kubernetes' own controllers, as the flags choose them, warm."""
    program = Path(os.environ[ASSETS]) / "kube-controller-manager"
    common = [f"--kubeconfig={running.kubeconfig}", "--leader-elect=false", "--secure-port=0"]
    with (running.folder / "kube-controller-manager.log").open("ab") as log:
        child = spawn([str(program), *common, *flags], env={"PATH": os.environ["PATH"]}, output=log)
        try:
            names = [f"warm-batch-{time.monotonic_ns()}-{number}" for number in range(WARM_UP)]
            await at_once(running.client, BATCH, names)
            yield
        finally:
            await child.stop(5)


def job_controller(running: DevCluster) -> contextlib.AbstractAsyncContextManager[None]:
    """Kubernetes' Job controller, alone, with its client's rate limit out of the way; the rest as it comes."""
    return controller_manager(running, "--controllers=job-controller", "--kube-api-qps=2000", "--kube-api-burst=2000")


def has_job_controller() -> bool:
    """Whether the assets hold more than what tests of operators usually need."""
    return (Path(os.environ.get(ASSETS, "")) / "kube-controller-manager").is_file()


def percentile(values: list[float], share: float) -> float:
    """The smallest value that `share` of all values do not exceed."""
    return sorted(values)[max(0, round(share * len(values) + 0.5) - 1)]


def delays(seen: Seen) -> list[float]:
    """Milliseconds from the answer to a job's POST until the watch shows its pod."""
    return [1000 * max(0.0, seen.pod[name] - created) for name, created in seen.created.items()]


def beyond_the_pod(seen: Seen) -> list[float]:
    """Milliseconds from the answer to a job's POST until the watch shows its success, without its pod's own life."""
    own = {name: ended - seen.pod[name] for name, ended in seen.ended.items()}
    return [1000 * max(0.0, done - seen.created[name] - own.get(name, 0.0)) for name, done in seen.done.items()]


async def _latency(running: DevCluster, kind: Kind, run: int) -> tuple[float, float, float]:
    """Take one run: p50 and p99 to the pod, and p50 of what the whole job took in addition to its pod."""
    names = [f"paced-{run}-{number}" for number in range(PACED_JOBS)]
    seen = await paced(running.client, kind, names, every=PACED_SECONDS)
    found = delays(seen)
    return statistics.median(found), percentile(found, 0.99), statistics.median(beyond_the_pod(seen))


async def _paced_runs(backend: Backend, runs: int) -> list[Figure]:
    ours: list[tuple[float, float, float]] = []
    peers: list[tuple[float, float, float]] = []
    writes, events, cpu = [], [], []
    peer = backend == "envtest" and has_job_controller()
    async with cluster(backend) as running, contextlib.AsyncExitStack() as stack:
        if peer:
            await stack.enter_async_context(job_controller(running))
        await asyncio.sleep(1.0)
        for run in range(runs):
            await asyncio.to_thread(quiet.wait)
            before = Spent.by_operator(running)
            ours.append(await _latency(running, OURS, run))
            await asyncio.sleep(1.0)
            after = Spent.by_operator(running)
            writes.append((after.writes - before.writes) / PACED_JOBS)
            events.append((after.events - before.events) / PACED_JOBS)
            cpu.append(1000 * (after.cpu - before.cpu) / PACED_JOBS)
            if peer:
                peers.append(await _latency(running, BATCH, run))
    said = f"{backend}, a job every {1000 * PACED_SECONDS:.0f} ms"
    named = "Job controller" if peers else ""
    return [
        Figure(
            f"created to pod created, p50; {said}",
            "ms",
            tuple(run[0] for run in ours),
            AIM_P50_MS,
            peer=tuple(run[0] for run in peers),
            peer_name=named,
        ),
        Figure(
            f"created to pod created, p99; {said}",
            "ms",
            tuple(run[1] for run in ours),
            AIM_P99_MS,
            peer=tuple(run[1] for run in peers),
            peer_name=named,
        ),
        Figure(
            f"created to Succeeded beside the pod's own time, p50; {said}",
            "ms",
            tuple(run[2] for run in ours),
            AIM_BESIDE_MS,
            peer=tuple(run[2] for run in peers),
            peer_name=named,
        ),
        Figure(f"API writes a job; {said}", "", tuple(writes), AIM_WRITES),
        Figure(f"Events written a job; {said}", "", tuple(events)),
        Figure(f"operator CPU a job; {said}", "ms", tuple(cpu), AIM_CPU_PACED_MS),
    ]


async def _crowd_runs(backend: Backend, jobs: int, runs: int) -> list[Figure]:
    rates, peers, pods, writes, cpu, here, memory = [], [], [], [], [], [], []
    controller: list[float] = []
    served: list[float] = []
    served_peers: list[float] = []
    for run in range(runs):
        # A cluster for each run: what earlier jobs left would be part of the figure.
        async with cluster(backend) as running:
            await asyncio.to_thread(quiet.wait)
            before, busy, server = Spent.by_operator(running), time.process_time(), cpu_of("kube-apiserver")
            seconds, seen = await at_once(running.client, OURS, [f"job-{run}-{number}" for number in range(jobs)])
            rates.append(jobs / seconds)
            here.append(1000 * (time.process_time() - busy) / jobs)
            pods.append(jobs / (max(seen.pod.values()) - min(seen.created.values())))
            await asyncio.sleep(1.0)
            after = Spent.by_operator(running)
            served.append(1000 * (cpu_of("kube-apiserver") - server) / jobs)
            writes.append((after.writes - before.writes) / jobs)
            cpu.append(1000 * (after.cpu - before.cpu) / jobs)
            memory.append(after.peak_rss)
            if backend == "envtest" and has_job_controller():
                async with job_controller(running):
                    server, manager = cpu_of("kube-apiserver"), cpu_of("kube-controller-manager")
                    took, _ = await at_once(running.client, BATCH, [f"batch-{run}-{number}" for number in range(jobs)])
                    await asyncio.sleep(1.0)
                    peers.append(jobs / took)
                    served_peers.append(1000 * (cpu_of("kube-apiserver") - server) / jobs)
                    controller.append(1000 * (cpu_of("kube-controller-manager") - manager) / jobs)
    said = f"{backend}, {jobs} at once"
    aim = AIM_JOBS_PER_SECOND
    named = "Job controller" if peers else ""
    return [
        Figure(f"jobs to Succeeded; {said}", "/s", tuple(rates), aim, True, tuple(peers), named),
        Figure(f"pods made; {said}", "/s", tuple(pods), higher=True),
        Figure(f"API writes a job; {said}", "", tuple(writes)),
        Figure(f"operator CPU a job; {said}", "ms", tuple(cpu), AIM_CPU_MS, False, tuple(controller), named),
        *(
            [
                Figure(
                    f"kube-apiserver's CPU a job; {said}", "ms", tuple(served), None, False, tuple(served_peers), named
                )
            ]
            if backend == "envtest"
            else []
        ),
        Figure(f"CPU of node, load and embedded API server a job; {said}", "ms", tuple(here)),
        Figure(f"operator's peak memory; {said}", "MiB", tuple(memory)),
    ]


def _on_all(work: list[Coroutine[Any, Any, list[Figure]]]) -> list[Figure]:
    figures: list[Figure] = []
    for one in work:
        with quiet.run():
            figures += asyncio.run(one)
    return figures


def measure_latency(runs: int) -> list[Figure]:
    """Writes, latency and CPU of jobs that come one by one."""
    return _on_all([_paced_runs(backend, runs) for backend in backends()])


def measure_throughput(runs: int) -> list[Figure]:
    """Jobs a second, CPU and memory of jobs that come all at the same time."""
    return _on_all([_crowd_runs(backend, jobs, runs) for backend in backends() for jobs in CROWDS])
