"""Faults of users, nodes and databases at the worst time, and the results that must still follow."""

import copy
from datetime import timedelta

import pytest

from agentjobs.api.conditions import Phase
from agentjobs.contract import LABEL_JOB, Verdict
from agentjobs.errors import Invalid

SUSPENDS = {"rules": [{"name": "look", "onErrors": ["ConfigInvalid", "ToolError"], "action": "Suspend"}]}


def edit_pod(world, **metadata):
    key = ("Pod", "default", "hello-1")
    pod = copy.deepcopy(world.objects[key])
    pod["metadata"] |= metadata
    world._put(key, "MODIFIED", pod)


@pytest.mark.parametrize("labels", [{}, {LABEL_JOB: "other"}], ids=["removed", "changed"])
async def test_a_pod_whose_label_was_edited_still_ends_its_job(world, labels):
    world.apply()
    await world.act()
    world.run_pod(world.pods()[0])
    await world.act(seconds=1)
    edit_pod(world, labels=labels)
    await world.act(seconds=1)
    await world.act(seconds=1)
    world.end_pod(world.objects["Pod", "default", "hello-1"], Verdict.SUCCEED)
    await world.act(seconds=1)

    assert (world.status().phase, world.status().starts) == (Phase.SUCCEEDED, 1)


async def test_a_start_creates_its_pod_regardless_of_the_previous_one(world):
    world.apply(resultPolicy=SUSPENDS)
    world.refuse["create", "Pod"] = Invalid("the pod is refused")
    await world.act()
    suspended = world.status().phase
    world.refuse.clear()
    world.edit(annotations={"agentjobs.dev/resume": "1"})
    await world.act(seconds=5)

    assert suspended is Phase.SUSPENDED
    assert [pod["metadata"]["name"] for pod in world.pods()] == ["hello-2"]


async def test_the_finalizer_of_an_orphaned_pod_is_removed_when_it_is_deleted(world):
    world.apply()
    await world.act()
    edit_pod(world, ownerReferences=[])
    await world.act(seconds=1)
    world._delete(("Pod", "default", "hello-1"))
    await world.act(seconds=1)
    await world.act(seconds=1)

    assert [pod["metadata"]["ownerReferences"][0]["name"] for pod in world.pods()] == ["hello"]


async def test_an_edit_of_a_job_whose_schema_is_in_a_config_map_is_reported(world):
    data = {"metadata": {"namespace": "default", "name": "shapes"}, "data": {"answer": '{"type": "object"}'}}
    world._put(("ConfigMap", "default", "shapes"), "ADDED", data)
    world.apply(output={"schemaFrom": {"configMapKeyRef": {"name": "shapes", "key": "answer"}}})
    await world.act()
    world.edit(runtime={"image": "second"})
    await world.act(seconds=1)

    assert "spec.runtime.image" in dict(world.events)["SpecChanged"]


async def test_a_job_suspended_by_its_rule_remains_suspended_without_the_database(world):
    world.apply(resultPolicy=SUSPENDS)
    await world.act()
    world.end_pod(world.pods()[0], Verdict.RETRY, reason="ToolError", code=70)
    await world.act(seconds=1)
    world.edit(priority=1)
    world.restart()
    world.history_away = True
    await world.act(seconds=1)
    await world.act(seconds=1)
    world.history_away = False
    await world.act(minutes=10)

    assert (world.status().phase, world.status().starts) == (Phase.SUSPENDED, 1)


async def test_a_waiting_job_whose_spec_becomes_invalid_without_the_database_continues_as_accepted(world):
    world.apply(suspend=True)
    await world.act()
    world.edit(suspend=False, timeouts={"attempt": "soon"})
    world.restart()
    world.history_away = True
    await world.act(seconds=1)
    world.history_away = False
    await world.act(seconds=5)

    assert world.status().phase is Phase.RUNNING


async def test_a_job_accepted_by_an_older_version_runs_even_if_this_one_would_refuse_it(world):
    world.apply(suspend=True)
    await world.act()
    job = world.objects["AgentJob", "default", "hello"]
    job["spec"] = {**job["spec"], "timeouts": {"attempt": "0s"}, "suspend": False}
    world._put(("AgentJob", "default", "hello"), "MODIFIED", job)
    world.restart()
    await world.act(seconds=5)

    assert world.status().phase is Phase.RUNNING


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(hours=-1)], ids=["ahead", "behind"])
async def test_a_runner_with_heartbeats_is_alive_regardless_of_the_operators_clock(world, ahead):
    uid = world.apply()["metadata"]["uid"]
    await world.act()
    world.run_pod(world.pods()[0])
    for minute in range(30):
        world.beat(uid, 1)
        world.wall_ahead = ahead if minute > 20 else timedelta(0)
        await world.act(minutes=1)

    assert "Silent" not in dict(world.events)
    assert not world.pods()[0]["metadata"].get("deletionTimestamp")


async def test_a_runner_without_heartbeats_is_stopped_regardless_of_the_operators_clock(world):
    uid = world.apply()["metadata"]["uid"]
    await world.act()
    world.run_pod(world.pods()[0])
    world.beat(uid, 1)
    await world.act(minutes=20)
    world.wall_ahead = timedelta(hours=-1)
    await world.act(minutes=1)

    assert world.pods()[0]["metadata"].get("deletionTimestamp")


async def test_jobs_do_not_query_an_unavailable_database_and_are_woken_when_it_recovers(world):
    for number in range(3):
        world.apply(f"job-{number}")
    world.history_away = True
    await world.act()
    assert world.refused == 0
    assert world.status("job-0").conditions[0].reason == "HistoryUnavailable"

    world.history_away = False
    world.reconciler.history_is_back()
    await world.settle()

    assert [str(world.status(f"job-{number}").phase) for number in range(3)] == ["Running"] * 3
