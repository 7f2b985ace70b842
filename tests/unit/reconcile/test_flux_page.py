"""The health checks that docs/how-to/gitops.md gives Flux, run over what the operator writes."""

import re
from pathlib import Path

import pytest
import yaml
from cel_expr_python import cel

from agentjobs.contract import Verdict

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "gitops.md"
CEL = cel.NewEnv(variables=dict.fromkeys(("metadata", "spec", "status"), cel.Type.DYN))


def checks(kind):
    blocks = map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL))
    (flux,) = [body for body in blocks if body["kind"] == "Kustomization"]
    (found,) = [one for one in flux["spec"]["healthCheckExprs"] if one["kind"] == kind]
    return found


def judged(obj):
    """What Flux makes of an object: by generation first, then `inProgress`, `failed` and `current` in this order."""
    if obj["status"].get("observedGeneration", obj["metadata"]["generation"]) != obj["metadata"]["generation"]:
        return "InProgress"
    said = checks(obj["kind"])
    data = {name: obj[name] for name in ("metadata", "spec", "status")}
    for word in ("inProgress", "failed", "current"):
        if word not in said:
            continue
        answer = CEL.compile(said[word]).eval(data=data).value()
        assert isinstance(answer, bool), answer
        if answer:
            return word[0].upper() + word[1:]
    return "InProgress"


def schedule(world):
    return world.objects["AgentSchedule", "default", "brief"]


@pytest.mark.parametrize(
    ("end", "expected"),
    [((Verdict.SUCCEED, "", 0), "Current"), ((Verdict.FAIL, "ConfigInvalid", 78), "Failed")],
    ids=["succeeded", "failed"],
)
async def test_the_documented_expressions_wait_for_a_job_and_evaluate_its_end(world, end, expected):
    verdict, reason, code = end
    world.apply()
    await world.act()
    running = judged(world.job())
    world.end_pod(world.pods()[0], verdict, reason=reason, code=code)
    await world.act(seconds=1)

    assert (running, judged(world.job())) == ("InProgress", expected)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"suspend": True}, "InProgress"),
        ({"cancel": True}, "Failed"),
        ({"agent": {}}, "Failed"),
        ({"startAfter": "1h"}, "InProgress"),
        ({"queue": "unknown"}, "InProgress"),
    ],
    ids=["suspended", "cancelled", "refused", "scheduled", "pending"],
)
async def test_a_job_that_does_not_run_has_failed_or_is_in_progress(world, spec, expected):
    world.apply(**spec)
    await world.act()

    assert judged(world.job()) == expected


async def test_a_job_that_was_edited_after_its_end_is_in_progress_until_that_is_observed(world):
    world.apply()
    await world.act()
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)
    world.edit(priority=1)
    edited = judged(world.job())
    await world.act(seconds=1)

    assert (edited, judged(world.job())) == ("InProgress", "Current")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, "Current"),
        ({"suspend": True}, "Current"),
        ({"maxRuns": 1}, "Current"),
        ({"schedule": "never"}, "Failed"),
    ],
    ids=["active", "suspended", "used-up", "illegal"],
)
async def test_an_intentionally_inactive_schedule_does_not_block_a_kustomization(world, spec, expected):
    world.apply_schedule(**spec)
    await world.act(minutes=10)
    world.end_jobs(Verdict.SUCCEED)
    await world.act(minutes=10)

    assert judged(schedule(world)) == expected


async def test_a_schedule_halted_by_failures_has_failed(world):
    world.apply_schedule(maxConsecutiveFailures=1)
    await world.act(minutes=10)
    world.end_jobs(Verdict.FAIL, "ConfigInvalid", 78)
    await world.act(seconds=1)

    assert judged(schedule(world)) == "Failed"
