"""One run of 100,000 events through the real runner and gateway: what it takes, and whether its history stays readable.

    python tests/bench/long_run.py [EVENTS]

Prints seconds and the peak memory of runner and gateway next to those of a run of one event, then how long the verbs
take that read it. Not in the suite, where 3,000 events do: it takes a minute or more.
"""

import asyncio
import contextlib
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from agentjobs.dev.up import DevCluster, up
from devcluster.client import Resource

ROOT = Path(__file__).parents[2]
AGENTJOBS = Resource("agentjobs.dev", "v1alpha1", "agentjobs", "AgentJob")
EVENTS = 100_000
LIMIT = "60m"
VERBS = "from agentjobs.cli import main; main()"


def a_job(name: str, events: int, size: int) -> dict[str, object]:
    """A job whose agent says so many texts of `size` characters."""
    args = {"events": events, "size": size}
    return {
        "apiVersion": "agentjobs.dev/v1alpha1",
        "kind": "AgentJob",
        "metadata": {"name": name},
        "spec": {
            "agent": {"module": {"ref": "tests.system.hostile:many", "args": args}},
            "input": {"message": "Go."},
            "retry": {"maxAttempts": 1},
            "timeouts": {"attempt": LIMIT},
        },
    }


def memory(pid: int, which: str) -> float:
    """MiB of a process: VmRSS is now, VmHWM the most ever."""
    found = re.search(rf"{which}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def runner_of(job: str) -> int | None:
    """The runner's process."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"AGENTJOBS_JOB={job}".encode() in (process / "environ").read_bytes().split(b"\0"):
                return int(process.name)
    return None


async def run(cluster: DevCluster, name: str, events: int, size: int) -> dict[str, object]:
    """Run one job to its end and say what it took."""
    gateway = cluster.parts["gateway"].child
    assert gateway is not None
    began, peak, gateways = time.monotonic(), 0.0, 0.0
    await cluster.client.create(AGENTJOBS, "default", a_job(name, events, size))
    runner = None
    while True:
        await asyncio.sleep(0.25)
        runner = runner or runner_of(name)
        gateways = max(gateways, memory(gateway.pid, "VmRSS"))
        with contextlib.suppress(OSError):
            peak = max(peak, memory(runner, "VmHWM")) if runner else peak
        status = (await cluster.client.get(AGENTJOBS, "default", name)).get("status") or {}
        if status.get("phase") in ("Succeeded", "Failed"):
            break
    count = "SELECT count(*) FROM agentjobs.events JOIN agentjobs.jobs USING (uid) WHERE name = %s"
    async with await psycopg.AsyncConnection.connect(cluster.dsn) as connection:
        (stored,) = await (await connection.execute(count, [name])).fetchone() or (0,)
    return {
        "job": name,
        "phase": status["phase"],
        "seconds": round(time.monotonic() - began, 1),
        "stored": stored,
        "runner MiB": round(peak),
        "gateway MiB": round(gateways),
    }


async def read(cluster: DevCluster, *command: str) -> dict[str, object]:
    """Run a verb and say how long it took and how much it printed."""
    environ = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    began = time.monotonic()
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", VERBS, *command, stdout=asyncio.subprocess.PIPE, env=environ
    )
    out, _ = await child.communicate()
    took = round(time.monotonic() - began, 1)
    return {"verb": " ".join(command), "exit": child.returncode, "seconds": took, "lines": out.count(b"\n")}


async def main() -> None:
    """Run, read, print."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
    with tempfile.TemporaryDirectory() as folder:
        async with up(Path(folder), working_folder=ROOT) as cluster:
            for name, count, size in (("one", 1, 1), ("many", events, 1), ("wide", events // 10, 16_000)):
                print(json.dumps(await run(cluster, name, count, size)), flush=True)
            for command in (("show", "many"), ("history", "many"), ("logs", "many"), ("result", "many")):
                print(json.dumps(await read(cluster, *command)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
