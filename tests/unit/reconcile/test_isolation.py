"""A job's NetworkPolicy: created before its pod, owned by it, and as the job specifies."""

import pytest

from agentjobs.api.conditions import Phase
from agentjobs.contract import Verdict
from agentjobs.errors import Denied

RESTRICTED = {"egress": {"mode": "Restricted", "allow": [{"ports": [{"port": 443}]}]}}
POLICY = ("NetworkPolicy", "default", "hello-egress")


def foreign(world):
    body = {"metadata": {"namespace": "default", "name": "hello-egress"}, "spec": {}}
    world._put(POLICY, "ADDED", body)


async def test_the_networkpolicy_is_created_before_the_pod_and_deleted_with_the_job(world):
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


async def test_a_job_with_an_open_network_takes_no_additional_write(world):
    world.apply(isolation={"egress": {"mode": "Open"}})
    await world.act()

    assert [kind for verb, kind in world.writes if verb == "create"] == ["Pod"]


async def test_a_changed_networkpolicy_is_restored_before_the_next_start(world):
    world.apply(isolation=RESTRICTED)
    await world.act()
    made = world.objects[POLICY]["spec"]
    world._put(POLICY, "MODIFIED", {**world.objects[POLICY], "spec": {"egress": [{}]}})
    world.end_pod(world.pods()[0], Verdict.RETRY, reason="ToolError", code=70)
    await world.act(seconds=1)
    await world.act(seconds=60)

    assert world.status().starts == 2
    assert world.objects[POLICY]["spec"] == made


async def test_no_pod_is_created_if_the_networkpolicy_is_not_ours(world):
    foreign(world)
    world.apply(isolation=RESTRICTED)
    await world.act()
    await world.act(seconds=15)
    said = world.status().conditions
    world.objects.pop(POLICY)
    waited = world.pods()
    await world.act(seconds=5)

    assert waited == []
    (taken,) = [one.message for one in said if one.reason == "NetworkPolicyNameTaken"]
    assert taken.startswith("a NetworkPolicy hello-egress ")
    assert len(world.pods()) == 1


async def test_no_pod_is_created_while_the_address_of_the_gateway_is_unknown(world):
    world.gateway_egress = ()
    world.restart()
    world.apply(isolation=RESTRICTED)
    await world.act()
    await world.act(seconds=15)

    assert world.pods() == []
    assert any("set AGENTJOBS_GATEWAY_EGRESS" in one.message for one in world.status().conditions)


def owners(world):
    return [ref["kind"] for ref in world.objects[POLICY]["metadata"]["ownerReferences"]]


async def test_a_networkpolicy_exists_as_long_as_its_pod(world):
    world.apply(isolation=RESTRICTED)
    await world.act()
    pod = world.pods()[0]
    world.run_pod(pod)
    world.remove("hello")
    await world.act(seconds=1)
    in_grace = (len(world.pods()), owners(world))
    world.end_pod(pod, Verdict.SUCCEED)
    await world.act(seconds=1)

    assert in_grace == (1, ["Pod"])
    assert (world.pods(), POLICY in world.objects) == ([], False)


async def test_a_networkpolicy_without_a_pod_is_deleted_with_its_job(world):
    world.refuse["create", "Pod"] = Denied("exceeded quota")
    world.apply(isolation=RESTRICTED)
    await world.act()
    there = owners(world)
    world.remove("hello")

    assert (there, POLICY in world.objects) == (["AgentJob"], False)


async def test_the_next_start_keeps_the_networkpolicy_of_a_stopping_pod(world):
    world.apply(isolation=RESTRICTED)
    await world.act()
    world.end_pod(world.pods()[0], Verdict.RETRY, reason="ToolError", code=70)
    await world.act(seconds=1)
    await world.act(seconds=60)

    assert owners(world) == ["AgentJob", "Pod", "Pod"]


async def test_a_networkpolicy_deleted_before_its_pod_owned_it_is_created_again(world):
    world.apply(isolation=RESTRICTED)
    await world.act()
    del world.objects[POLICY]
    world.restart()
    await world.act()

    assert owners(world) == ["AgentJob", "Pod"]


async def test_a_networkpolicy_removed_by_foreground_deletion_is_created_again(world):
    world.apply(isolation=RESTRICTED)
    await world.act()
    pod = world.pods()[0]
    world.run_pod(pod)
    job = world.job()
    job["metadata"] |= {"finalizers": ["foregroundDeletion"]}
    world.remove("hello")
    await world.act()
    del world.objects[POLICY]
    await world.act(seconds=1)

    assert owners(world) == ["Pod"]


async def test_a_server_that_refuses_a_second_owner_does_not_delay_the_job(world):
    world.refuse["replace", "NetworkPolicy"] = Denied("cannot set an ownerRef")
    world.apply(isolation=RESTRICTED)
    await world.act()
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)

    assert world.status().phase is Phase.SUCCEEDED


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, 6))
async def test_a_crash_at_any_write_leaves_one_networkpolicy_and_one_pod(world, died, at, after):
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
