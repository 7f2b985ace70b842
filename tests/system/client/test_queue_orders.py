"""The example of a queue that people steer, through the whole system, by the commands that it names."""

import asyncio
from pathlib import Path

import pytest

from agentjobs.cli.app import run

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("shared-cluster")]

EXAMPLE = Path(__file__).parents[3] / "examples" / "queues" / "pause.yaml"


@pytest.fixture
def cli(cluster, monkeypatch):
    """Run a command line in a thread and return its exit code."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))

    def left(arguments):
        try:
            run(arguments)
        except SystemExit as ended:
            return ended.code or 0

    async def build(*arguments):
        return await asyncio.to_thread(left, list(arguments))

    return build


@pytest.fixture
def reached(jobs):
    """Wait until a job has a phase and a reason."""

    async def until(name, *wanted):
        async with asyncio.timeout(110):
            while (seen := (await jobs.get(name)).status) is None or (seen.phase, seen.reason or "") != wanted:
                await asyncio.sleep(0.05)

    return until


@pytest.mark.parametrize("jobs", ["AsyncClient"], indirect=True)
async def test_a_queue_is_paused_drained_and_opened_by_the_commands_of_the_example(jobs, cli, reached):
    codes = [await cli("apply", "-f", str(EXAMPLE))]
    await reached("steered-1", "Running", "")
    codes.append(await cli("queue", "pause", "steered"))
    await reached("steered-2", "Queued", "QueueHeld")
    paused = await jobs.get("steered-1")
    codes.append(await cli("queue", "drain", "steered"))
    await reached("steered-1", "Suspended", "QueueDrained")
    codes.append(await cli("queue", "resume", "steered"))
    first, second = [await jobs.wait(name, timeout=110) for name in ("steered-1", "steered-2")]

    assert codes == [0, 0, 0, 0]
    assert paused.status.phase == "Running"
    assert (first.succeeded, first.status.attempts, first.status.starts) == (True, 1, 2)
    assert (second.succeeded, second.status.starts) == (True, 1)
