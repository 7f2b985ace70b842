"""Jobs of Claude Code whose pods are killed, suspended and cancelled: each answer is requested, used and paid once."""

import asyncio
import os
import random
import signal
from collections import Counter
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("coding-agents")]

MODEL = "claude-sonnet-5-5"
LONG = 120.0
KILLS = 10
ACTS = 12


def bash(command, **more):
    return {"tools": [{"name": "Bash", "input": {"command": command, "description": "a test"}}], **more}


@pytest.fixture
def claude_job():
    def build(name, **spec):
        agent = {"model": MODEL, "claudeCode": {"permissionMode": "BypassPermissions"}}
        more = {"input": {"message": "Go."}, "isolation": {"profile": "Restricted"}, **spec}
        head = {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentJob", "metadata": {"name": name}}
        return {**head, "spec": {"agent": agent, **more}}

    return build


@pytest.fixture
def running(coding):
    """`await running(name, start)`: the number of the runner's process; None where the job has ended before."""

    async def of(name, start):
        async def seen(_):
            pod = await coding.pod(f"{name}-{start}")
            states = ((pod or {}).get("status") or {}).get("containerStatuses") or [{}]
            number = states[0].get("containerID", "").removeprefix("process://")
            ended = (await coding.status(name)).get("phase") in ("Succeeded", "Failed")
            return (int(number) if number else None, ended)

        number, ended = await coding.until(name, any, LONG, status_of=seen)
        return None if ended else number

    return of


def commands():
    """The command lines of this machine."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):  # it ended meanwhile
                line = Path(entry.path, "cmdline").read_bytes()
                found.append(line.replace(b"\0", b" ").decode(errors="replace"))
    return found


async def test_a_job_killed_ten_times_answers_and_its_cost_includes_every_call(coding, claude_job, running, tmp_path):
    effects, seed = tmp_path / "effects", random.randrange(2**32)
    chance = random.Random(seed)
    coding.api.play(*(bash(f"echo {n} >> {effects}; sleep 0.1", delay=0.1) for n in range(ACTS)), {"text": "All done."})
    retry = {"maxAttempts": KILLS + 2, "backoff": {"initial": "1s", "max": "1s"}}
    await coding.apply(claude_job("storm", retry=retry))
    for start in range(1, KILLS + 1):
        number = await running("storm", start)
        if number is None:
            break
        await asyncio.sleep(chance.uniform(0.3, 2.0))
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            break

    status = await coding.finished("storm", LONG)

    assert (status["phase"], status["result"]["summary"]) == ("Succeeded", "All done."), f"seed {seed}: {status}"
    done = Counter(effects.read_text().split())
    assert set(done.values()) == {1}, f"seed {seed}: {done}"
    calls, used = len(coding.api.requests), status["usage"]
    # A kill may come when a call is booked and its request is not sent. A call that was cut off has its estimate, which
    # is rather too much.
    assert calls <= used["llmCalls"] <= calls + status["starts"] - 1
    assert Decimal(used["costUSD"]) >= calls * await cost_of_one(coding, claude_job)


async def cost_of_one(coding, claude_job):
    coding.api.play({"text": "Done."})
    await coding.apply(claude_job("one-call"))
    return Decimal((await coding.finished("one-call", LONG))["usage"]["costUSD"])


async def test_a_job_suspended_in_a_tool_continues_with_its_result(coding, claude_job, running):
    coding.api.play(bash(f"sleep 6.{os.getpid()}; echo finished-in-time"), {"text": "Went on."})
    await coding.apply(claude_job("paused"))
    await running("paused", 1)
    await in_tool(coding, f"sleep 6.{os.getpid()}")
    await coding.edit("paused", suspend=True)
    await coding.phase("paused", "Suspended", LONG)
    await coding.edit("paused", suspend=False)

    status = await coding.finished("paused", LONG)

    assert (status["phase"], status["result"]["summary"], status["starts"]) == ("Succeeded", "Went on.", 2)
    assert "finished-in-time" in coding.api.requests[-1].said.replace("echo finished-in-time", "")


async def test_a_job_cancelled_in_a_tool_leaves_no_process(coding, claude_job, running):
    mark = f"sleep {5_000_000 + os.getpid()}"
    coding.api.play(bash(f"nohup {mark} & {mark}"), {"text": "too late"})
    await coding.apply(claude_job("stopped"))
    await running("stopped", 1)
    await in_tool(coding, mark)

    await coding.edit("stopped", cancel=True)
    status = await coding.finished("stopped", LONG)

    async def left(_):
        return [line for line in commands() if line.startswith(mark)]

    assert status["phase"] == "Cancelled"
    await coding.until("the processes", lambda lines: lines == [], LONG, status_of=left)
    assert len(coding.api.requests) == 1


async def in_tool(coding, command):
    """Until a tool runs that command."""

    async def running(_):
        return any(line.startswith(command) for line in commands())

    await coding.until("the tool", bool, LONG, status_of=running)
