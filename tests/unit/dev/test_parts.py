"""Parts of a development cluster that end by themselves, as real processes."""

import asyncio
import contextlib
import os
import sys

import pytest

from agentjobs.dev.parts import Part, PartEnded

# Ends immediately the first time, with the status it is told; stays the second time.
PROGRAM = """
import pathlib, sys, time
before = pathlib.Path(sys.argv[1])
if before.exists():
    print("again", flush=True)
    time.sleep(60)
before.touch()
sys.exit(int(sys.argv[2]))
"""


def part(folder, status):
    command = [sys.executable, "-c", PROGRAM, str(folder / "before"), str(status)]
    return Part("operator", command, env=dict(os.environ), folder=folder, restarts=True)


async def test_a_process_that_requests_a_restart_is_restarted(tmp_path):
    asking = part(tmp_path, 0)
    asking.start()
    watch = asyncio.create_task(asking.watch())

    async with asyncio.timeout(30):
        while "again" not in asking.log.read_text():
            await asyncio.sleep(0.01)

    assert not watch.done()
    watch.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watch
    await asking.end()


async def test_a_process_that_fails_is_not_restarted(tmp_path):
    failing = part(tmp_path, 3)
    failing.start()

    with pytest.raises(PartEnded, match=r"^operator .*3"):
        await failing.watch()
