"""From kill -9 of a runner to the step that its job continues with, in a development cluster, without the backoff.

What passes between the two: the node sees the end, the operator claims the next start and makes its pod, a process
starts, imports ADK, reads the recorded steps and replays them.
"""

import asyncio
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench import quiet
from tests.bench.figures import Figure
from tests.crash import effects

from agentjobs.dev.up import DevCluster, up
from devcluster.client import Resource

ROOT = Path(__file__).parents[2]
AGENTJOBS = Resource("agentjobs.dev", "v1alpha1", "agentjobs", "AgentJob")
AIM_SECONDS = 5.0
ROUNDS = 7
TIMEOUT = 60.0
STEP = '"begin", "what": "tool hold(b)"'


def _job() -> dict[str, Any]:
    retry = {"maxAttempts": 100, "backoff": {"initial": "0s", "factor": 1, "jitterPercent": 0}}
    spec = {"agent": {"module": {"ref": "tests.crash.teams:held"}}, "input": {"message": "Go."}, "retry": retry}
    meta = {"name": "killed"}
    return {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentJob", "metadata": meta, "spec": spec}


async def _until(file: Path, times: int) -> None:
    """Return when the step has begun so often."""
    async with asyncio.timeout(TIMEOUT):
        while not file.exists() or file.read_text().count(STEP) < times:
            await asyncio.sleep(0.005)


def _runners() -> list[int]:
    """The runners of our cluster, whose node is this process."""
    children = [pid for task in Path("/proc/self/task").glob("*/children") for pid in task.read_text().split()]
    return [int(pid) for pid in children if b"-m\0agentjobs_runner" in Path(f"/proc/{pid}/cmdline").read_bytes()]


async def _kill_and_wait(cluster: DevCluster, file: Path, rounds: int) -> list[float]:
    await cluster.client.create(AGENTJOBS, "default", _job())
    seconds, killed = [], 0.0
    for number in range(1, rounds + 2):
        await _until(file, number)
        if number > 1:
            seconds.append(time.monotonic() - killed)
        await asyncio.sleep(1.0)
        await asyncio.to_thread(quiet.wait)
        (runner,) = _runners()
        killed = time.monotonic()
        os.kill(runner, signal.SIGKILL)
    return seconds


async def _run(rounds: int) -> list[float]:
    with tempfile.TemporaryDirectory(prefix="agentjobs-bench-") as folder:
        file, gate = Path(folder) / "effects", Path(folder) / "never"
        given = {effects.FILE: str(file), effects.FINAL: str(Path(folder) / "final"), "HOLD": str(gate)}
        async with up(Path(folder) / "cluster", inherit_env=given, working_folder=ROOT) as cluster:
            return await _kill_and_wait(cluster, file, rounds)


def measure(runs: int) -> list[Figure]:
    """Take the figure."""
    rounds = max(runs, ROUNDS)
    seconds = asyncio.run(_run(rounds))
    name = f"pod killed to the next new step, development mode, {rounds} kills"
    return [Figure(name, "s", tuple(seconds), AIM_SECONDS)]
