"""Before a job is accepted its pod is created on the API server as a dry run."""

import pytest

from agentjobs.api.conditions import ConditionType, Phase, find_condition
from agentjobs.errors import Denied, Invalid, TooManyRequests, Unavailable

AFFINITY = {"affinity": {"nodeAffinty": {}}}
TYPO = (
    'POST pods default: HTTP 400: Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field '
)


def accepted(world):
    return find_condition(world.status().conditions, ConditionType.ACCEPTED)


async def test_a_pod_that_the_server_refuses_ends_the_job_before_it_starts(world):
    world.refuse["dry-run", "Pod"] = Invalid(TYPO + '"spec.affinity.nodeAffinty"')
    world.apply(runtime=AFFINITY)
    await world.act()
    said = accepted(world)

    assert (world.status().phase, world.status().starts, world.pods()) == (Phase.FAILED, 0, [])
    assert (said.status, said.reason) == ("False", "InvalidSpec")
    assert said.message.startswith("spec.runtime.affinity.nodeAffinty: ")


async def test_an_accepted_pod_is_not_tried_again(world):
    for name in ("one", "two"):
        world.apply(name, runtime={"env": [{"name": "WHO", "value": name}]})
    await world.act()
    world.apply("other", runtime={"labels": {"team": "x"}})
    await world.act()

    assert [key[2] for key, strict in world.tried if strict] == ["one-1", "other-1"]


async def test_a_job_without_pod_settings_causes_no_dry_run(world):
    world.apply(runtime={"image": "mine:1"})
    await world.act()

    assert (world.tried, len(world.pods())) == ([], 1)


@pytest.mark.parametrize(
    "refusal",
    [
        Denied("exceeded quota"),
        Denied("no PriorityClass with name batch was found"),
        Unavailable("failed calling webhook"),
        TooManyRequests("slow down", 1.0),
        Denied('POST pods default: HTTP 400: admission webhook "x" does not support dry run'),
    ],
    ids=str,
)
async def test_a_temporary_refusal_does_not_end_the_job(world, refusal):
    world.refuse["dry-run", "Pod"] = refusal
    world.apply(runtime=AFFINITY)
    await world.act()

    assert (accepted(world).status, len(world.pods())) == ("True", 1)


async def test_a_networkpolicy_that_the_server_refuses_ends_the_job_too(world):
    world.refuse["dry-run", "NetworkPolicy"] = Invalid("POST networkpolicies default: HTTP 422: bad peer")
    world.apply(isolation={"egress": {"mode": "Restricted"}})
    await world.act()

    assert accepted(world).message.startswith("spec.isolation.egress: ")


async def test_accepted_work_is_not_tried_again(world):
    world.apply(runtime=AFFINITY)
    await world.act()
    world.refuse["dry-run", "Pod"] = Invalid("later servers know better")
    world.restart()
    await world.act(seconds=1)

    assert (len(world.tried), world.status().phase) == (1, Phase.RUNNING)


def scheduled(world, runtime):
    """Make or edit the schedule so that its jobs have such a runtime."""
    if ("AgentSchedule", "default", "brief") not in world.objects:
        world.apply_schedule()
    job = world.objects["AgentSchedule", "default", "brief"]["spec"]["jobTemplate"]["spec"]
    world.edit("brief", kind="AgentSchedule", jobTemplate={"spec": {**job, "runtime": runtime}})


def active(world):
    (said,) = [one for one in world.schedule()["conditions"] if one["type"] == "Active"]
    return said


async def test_a_schedule_reports_a_refused_pod_before_its_first_start(world):
    world.refuse["dry-run", "Pod"] = Invalid(TYPO + '"spec.affinity.nodeAffinty"')
    scheduled(world, AFFINITY)
    await world.act()
    said = active(world)
    await world.act(minutes=10)

    assert (said["status"], said["reason"], world.jobs()) == ("False", "InvalidSpec", [])
    assert said["message"].startswith("spec.jobTemplate.spec.runtime.affinity.nodeAffinty: ")


async def test_a_schedules_pod_is_tried_once_per_edit(world):
    world.refuse["dry-run", "Pod"] = Invalid(TYPO + '"spec.affinity.nodeAffinty"')
    scheduled(world, AFFINITY)
    for _ in range(3):
        await world.act(minutes=1)
    tried = len(world.tried)
    scheduled(world, {"image": "mine:1"})
    await world.act()

    assert (tried, active(world)["status"]) == (1, "True")


async def test_a_temporary_refusal_does_not_invalidate_a_schedule(world):
    world.refuse["dry-run", "Pod"] = Denied("exceeded quota")
    scheduled(world, AFFINITY)
    await world.act()
    await world.act(minutes=10)

    assert (active(world)["status"], len(world.jobs())) == ("True", 1)
