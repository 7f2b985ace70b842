"""The health checks that docs/how-to/gitops.md gives Argo CD, run over what the operator writes."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from agentjobs.contract import Verdict

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "gitops.md"
LUA = next(filter(None, map(shutil.which, ("lua5.4", "lua5.3", "lua5.1", "lua"))), None)
pytestmark = pytest.mark.skipif(LUA is None, reason="there is no Lua interpreter here; Argo CD has its own")


def checks():
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (config,) = [body for body in map(yaml.safe_load, blocks) if body["metadata"]["name"] == "argocd-cm"]
    return {key.rpartition("_")[2]: text for key, text in config["data"].items()}


def literal(value):
    """A JSON value as Lua writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"[{json.dumps(key)}] = {literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ", ".join(map(literal, value)) + "}"
    return "nil" if value is None else json.dumps(value)


def judged(obj):
    """Status and message, as Argo CD would show them."""
    check = f"local function check(obj) {checks()[obj['kind']]} end"
    show = f"local hs = check({literal(obj)}) print(hs.status) print(hs.message)"
    done = subprocess.run([LUA, "-"], input=f"{check}\n{show}", capture_output=True, text=True, check=True)
    return tuple(done.stdout.strip().split("\n"))


ENDS = {
    "Healthy": (Verdict.SUCCEED, "", 0),
    "Degraded": (Verdict.FAIL, "ConfigInvalid", 78),
}


@pytest.mark.parametrize("expected", ENDS)
async def test_an_ended_job_has_the_documented_health(world, expected):
    verdict, reason, code = ENDS[expected]
    world.apply()
    await world.act()
    running = judged(world.job())
    world.end_pod(world.pods()[0], verdict, reason=reason, code=code)
    await world.act(seconds=1)

    assert running == ("Progressing", "Running")
    assert judged(world.job())[0] == expected


async def test_a_job_that_was_edited_after_its_end_is_progressing_only_until_that_is_observed(world):
    world.apply()
    await world.act()
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)
    world.edit(priority=1)
    edited = judged(world.job())
    await world.act(seconds=1)

    assert edited[0] == "Progressing"
    assert judged(world.job())[0] == "Healthy"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"suspend": True}, "Suspended"),
        ({"cancel": True}, "Degraded"),
        ({"agent": {}}, "Degraded"),
        ({"startAfter": "1h"}, "Progressing"),
        ({"queue": "unknown"}, "Progressing"),
    ],
    ids=["suspended", "cancelled", "refused", "scheduled", "pending"],
)
async def test_a_job_that_does_not_run_has_the_documented_health(world, spec, expected):
    world.apply(**spec)
    fresh = judged(world.job())
    await world.act()

    assert fresh[0] == "Progressing"
    assert judged(world.job())[0] == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, "Healthy"),
        ({"suspend": True}, "Suspended"),
        ({"schedule": "never"}, "Degraded"),
        ({"maxRuns": 1}, "Suspended"),
    ],
    ids=["active", "suspended", "illegal", "used-up"],
)
async def test_a_schedule_has_the_documented_health(world, spec, expected):
    world.apply_schedule(**spec)
    await world.act(minutes=10)
    world.end_jobs(Verdict.SUCCEED)
    await world.act(minutes=10)

    assert judged(world.objects["AgentSchedule", "default", "brief"])[0] == expected


async def test_a_schedule_whose_last_job_failed_has_the_documented_health(world):
    world.apply_schedule()
    await world.act(minutes=10)
    world.end_jobs(Verdict.FAIL, "ConfigInvalid", 78)
    await world.act(seconds=1)

    status, message = judged(world.objects["AgentSchedule", "default", "brief"])
    assert status == "Degraded"
    assert "failed" in message
