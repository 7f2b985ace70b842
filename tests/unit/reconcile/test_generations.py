"""Whatever is edited when, status and conditions speak of the object as it is: `kubectl wait` and kstatus go by it."""

import pytest

from agentjobs.contract import Verdict


def generations(obj):
    status = obj["status"]
    return {status["observedGeneration"], *(one["observedGeneration"] for one in status["conditions"])}


def times(obj):
    return {one["type"]: one["lastTransitionTime"] for one in obj["status"]["conditions"]}


async def succeeded(world):
    world.apply()
    await world.act()
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)


async def test_an_edit_of_a_finished_job_is_observed_in_one_write(world):
    await succeeded(world)
    before, writes = times(world.job()), len(world.writes)

    world.edit(priority=3)
    await world.act(seconds=5)
    await world.act(seconds=5)

    assert generations(world.job()) == {2}
    assert world.writes[writes:] == [("status", "AgentJob")]
    assert times(world.job()) == before


async def test_an_edit_of_a_refused_job_is_observed(world):
    world.apply(agent={})
    await world.act()
    world.edit(ttlSecondsAfterFinished=3600)
    await world.act(seconds=5)

    assert world.status().reason == "InvalidSpec"
    assert generations(world.job()) == {2}


@pytest.mark.parametrize("spec", [{}, {"startAfter": "1h"}, {"suspend": True}])
async def test_an_edit_of_a_running_or_waiting_job_is_observed(world, spec):
    world.apply(**spec)
    await world.act()
    world.edit(priority=3)
    await world.act(seconds=5)

    assert generations(world.job()) == {2}


async def test_a_write_has_one_generation_in_all_conditions(world):
    world.apply()
    await world.act()
    world.edit(cancel=True)
    await world.act(seconds=1)
    world.end_jobs(Verdict.CANCEL, "Cancelled", 77)
    await world.act(seconds=1)

    assert world.status().phase == "Cancelled"
    assert generations(world.job()) == {2}


async def test_edits_that_an_older_operator_did_not_observe_are_observed_by_the_next(world):
    await succeeded(world)
    world.edit(priority=3)
    world.restart()
    await world.settle()

    assert generations(world.job()) == {2}


async def test_an_edit_of_a_schedule_is_observed_in_all_its_conditions(world):
    world.apply_schedule()
    await world.act(minutes=10)
    await world.act(minutes=12)
    before = times(world.objects["AgentSchedule", "default", "brief"])
    assert len(before) > 1, "it should have more to say than Active"

    world.edit("brief", kind="AgentSchedule", successfulJobsHistoryLimit=2)
    await world.act(seconds=1)

    edited = world.objects["AgentSchedule", "default", "brief"]
    assert generations(edited) == {2}
    assert {kind: times(edited)[kind] for kind in before} == before
