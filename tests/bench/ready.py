"""`agentjobs dev` to ready: from the start of the process to the line that says so, and the steps in between.

A first start makes its database; a second one in the same folder finds it. Bytecode is written and the page cache is
warm before the first counted run: what is measured is a developer's start, not an installation's first.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import quiet
from tests.bench.figures import Figure

AIM_SECONDS = 3.0
# In the order in which they end; each is told as seconds since `up` began.
STEPS = ("apiserver", "crds", "postgres", "migrated", "gateway", "operator", "ready")

_PHASES = """
import asyncio, json, pathlib, sys
from agentjobs.dev.up import up
async def main():
    async with up(pathlib.Path(sys.argv[1])) as cluster:
        print(json.dumps(cluster.phases), flush=True)
asyncio.run(main())
"""


def start(folder: Path) -> float:
    """Start `agentjobs dev` in `folder`, return the seconds to its greeting, and end it."""
    env = os.environ | {"AGENTJOBS_DEV_FOLDER": str(folder), "AGENTJOBS_DEV_APISERVER": "embedded"}
    command = [str(Path(sys.executable).with_name("agentjobs")), "dev"]
    began = time.monotonic()
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
        assert child.stdout is not None
        try:
            said = child.stdout.readline()
            seconds = time.monotonic() - began
            if "ready in" not in said:
                raise SystemExit(f"agentjobs dev did not start: {said}{child.stdout.read()}")
        finally:
            child.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.communicate(timeout=20)
            child.kill()
    return seconds


def steps(folder: Path) -> dict[str, float]:
    """Start a cluster in a fresh process and return when each step of it ended."""
    done = subprocess.run(
        [sys.executable, "-c", _PHASES, str(folder)], capture_output=True, text=True, timeout=120, check=True
    )
    return dict(json.loads(done.stdout))


def measure(runs: int) -> list[Figure]:
    """Seconds to ready, in fresh folders and in used ones, and step by step."""
    first, second, phases = [], [], []
    for run in range(runs + 1):
        with tempfile.TemporaryDirectory(prefix="agentjobs-bench-") as name, quiet.run():
            fresh, again = start(Path(name) / "dev"), start(Path(name) / "dev")
            found = steps(Path(name) / "steps")
        if run:  # the first writes bytecode
            first.append(fresh)
            second.append(again)
            phases.append(found)
    return [
        Figure("agentjobs dev to ready, first start in a folder", "s", tuple(first), AIM_SECONDS),
        Figure("agentjobs dev to ready, later start", "s", tuple(second), AIM_SECONDS),
        *(Figure(f"  step ended: {step}", "s", tuple(found[step] for found in phases)) for step in STEPS),
    ]
