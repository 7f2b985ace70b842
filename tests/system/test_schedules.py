"""Schedules through the whole system: the examples by trigger, and invalid ones, which are refused or reported."""

from pathlib import Path

import pytest
import yaml

from devcluster.client import ApiError

EXAMPLES = Path(__file__).parents[2] / "examples" / "schedules"
WORK = {"agent": {"model": "gemini-x", "inline": {"instruction": "x"}}, "input": {"message": "x"}}

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("shared-cluster")]


def a_schedule(name, **spec):
    return {
        "apiVersion": "agentjobs.dev/v1alpha1",
        "kind": "AgentSchedule",
        "metadata": {"name": name},
        "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": WORK}} | spec,
    }


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
async def test_an_example_runs_when_it_is_triggered(system, path):
    suspended = [
        body | {"spec": body["spec"] | {"suspend": True}} if body["kind"] == "AgentSchedule" else body
        for body in yaml.safe_load_all(path.read_text())
    ]
    await system.apply(*suspended)
    await system.edit_schedule(path.stem, metadata={"annotations": {"agentjobs.dev/trigger": "1"}})
    status = await until(system, path.stem, lambda status: status.get("lastSuccessfulTime"))

    assert status["runs"] == 0
    assert await system.told(lambda row: row["schedule"] == path.stem) == ["Succeeded"]


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        pytest.param({"schedule": "0 0 30 2 *"}, "NeverFires", "never matches", id="never"),
        pytest.param({"timeZone": "Europe/Berln"}, "InvalidSchedule", "timeZone", id="unknown-zone"),
        pytest.param({"jobTemplate": {"spec": {"agent": WORK["agent"]}}}, "InvalidSpec", "input", id="no-input"),
        pytest.param(
            {"jobTemplate": {"spec": WORK | {"startAt": "2027-01-01T00:00:00Z"}}},
            "InvalidSpec",
            "startAt",
            id="start-at",
        ),
        pytest.param(
            {"jobTemplate": {"spec": WORK | {"runtime": {"affinity": {"nodeAffinty": {}}}}}},
            "InvalidSpec",
            "spec.jobTemplate.spec.runtime.affinity.nodeAffinty",
            id="pod-field",
        ),
    ],
)
async def test_a_schedule_that_cannot_run_has_the_reason_in_its_status(system, said, request, spec, reason, words):
    name = f"bad-{request.node.callspec.id}"
    if refused := await system.refusal(a_schedule(name, **spec)):
        # What a rule of the schema can say the API server says, in the same words.
        assert refused.code == 422
        assert words in refused.message
        return

    status = await until(system, name, lambda status: said(status, "Active"))

    assert (said(status, "Active"), said(status, "Active", "reason")) == ("False", reason)
    assert words in said(status, "Active", "message")


async def test_a_limit_below_the_number_of_runs_is_reported_and_a_higher_one_continues(system, said):
    await system.apply(a_schedule("limited", maxRuns=2))
    await until(system, "limited", lambda status: status.get("nextScheduleTime"))
    await system.edit_schedule("limited", status={"runs": 2})

    status = await until(system, "limited", lambda status: said(status, "Active", "reason") == "MaxRunsReached")
    await system.edit_schedule("limited", spec={"maxRuns": 3})
    again = await until(system, "limited", lambda status: said(status, "Active") == "True")

    assert "nextScheduleTime" not in status
    assert "nextScheduleTime" in again


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param({"startingDeadlineSeconds": 1}, "startingDeadlineSeconds", id="deadline-below-our-own-period"),
        pytest.param({"schedule": "0 0 * * * *"}, "spec.schedule", id="six-fields"),
        pytest.param({"maxRuns": 0}, "maxRuns", id="no-runs"),
        pytest.param({"concurrencyPolicy": "Queue"}, "concurrencyPolicy", id="unknown-policy"),
    ],
)
async def test_a_schedule_that_breaks_rules_is_refused_at_apply(system, spec, words):
    with pytest.raises(ApiError, match=words):
        await system.apply(a_schedule("refused", **spec))


async def until(system, name, check):
    """Poll a schedule's status until `check` holds."""
    return await system.until(name, check, status_of=system.schedule)
