"""A job's network policy: before its pod, its own, and as the job says."""

import pytest

from agentjobs.api.conditions import Phase
from agentjobs.contract import Verdict

RESTRICTED = {"egress": {"mode": "Restricted", "allow": [{"ports": [{"port": 443}]}]}}
POLICY = ("NetworkPolicy", "default", "hello-egress")


def foreign(world):
    body = {"metadata": {"namespace": "default", "name": "hello-egress"}, "spec": {}}
    world._put(POLICY, "ADDED", body)


async def test_the_policy_is_there_before_the_pod_and_goes_with_the_job(world):
    job = world.apply(isolation=RESTRICTED)
    await world.act()
    made = [kind for verb, kind in world.writes if verb == "create"]
    policy = world.objects[POLICY]
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)

    assert made == ["NetworkPolicy", "Pod"]
    assert policy["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    assert [rule["ports"][0]["port"] for rule in policy["spec"]["egress"]] == [8443, 443]
    assert world.status().phase is Phase.SUCCEEDED


async def test_a_job_with_an_open_network_costs_no_write_more(world):
    world.apply(isolation={"egress": {"mode": "Open"}})
    await world.act()

    assert [kind for verb, kind in world.writes if verb == "create"] == ["Pod"]


async def test_a_policy_that_somebody_widened_is_put_right_before_the_next_start(world):
    world.apply(isolation=RESTRICTED)
    await world.act()
    made = world.objects[POLICY]["spec"]
    world._put(POLICY, "MODIFIED", {**world.objects[POLICY], "spec": {"egress": [{}]}})
    world.end_pod(world.pods()[0], Verdict.RETRY, reason="ToolError", code=70)
    await world.act(seconds=1)
    await world.act(seconds=60)

    assert world.status().starts == 2
    assert world.objects[POLICY]["spec"] == made


async def test_no_pod_is_made_behind_a_policy_that_is_not_ours(world):
    foreign(world)
    world.apply(isolation=RESTRICTED)
    await world.act()
    await world.act(seconds=15)
    said = world.status().conditions
    world.objects.pop(POLICY)
    waited = world.pods()
    await world.act(seconds=5)

    assert waited == []
    assert [one.message for one in said if one.reason == "NetworkPolicyNameTaken"] == [
        "a NetworkPolicy hello-egress exists that is not this job's; delete it and the job goes on"
    ]
    assert len(world.pods()) == 1


async def test_no_pod_is_made_while_nobody_says_where_the_gateway_is(world):
    world.gateway_egress = ()
    world.restart()
    world.apply(isolation=RESTRICTED)
    await world.act()
    await world.act(seconds=15)

    assert world.pods() == []
    assert any("set AGENTJOBS_GATEWAY_EGRESS" in one.message for one in world.status().conditions)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, 6))
async def test_wherever_the_operator_dies_there_is_one_policy_and_one_pod(world, died, at, after):
    world.apply(isolation=RESTRICTED)
    world.die_at, world.die_after = at, after
    for _ in range(2):
        try:
            await world.act(seconds=1)
            if world.pods():
                world.end_pod(world.pods()[0], Verdict.SUCCEED)
            await world.act(seconds=1)
        except died:
            world.restart()
    await world.act(seconds=1)
    if world.status().phase is Phase.RUNNING:
        world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)

    assert world.status().phase is Phase.SUCCEEDED
    assert (world.status().starts, len(world.pods())) == (1, 1)
    assert POLICY in world.objects
