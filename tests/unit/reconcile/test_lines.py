"""What waits behind all others: finished jobs and idle schedules, of which a cluster holds thousands."""

from datetime import timedelta

import pytest

from agentjobs.contract import Verdict
from agentjobs.core.job.ended import EndedJob

JOB, SCHEDULE = ("AgentJob", "default", "hello"), ("AgentSchedule", "default", "brief")


def is_idle(world, key):
    """Whether a new operator would look at a key behind all others."""
    world.restart()
    return world.reconciler.state.queue._waiting[key].low_priority


async def ended(world, verdict=Verdict.SUCCEED, **spec):
    world.apply(**spec)
    await world.act()
    world.end_pod(world.pods()[0], verdict)
    await world.act(seconds=1)


async def idle(world, **spec):
    world.apply_schedule(**spec)
    await world.act()


async def test_a_waiting_job_is_reconciled_before_finished_ones(world):
    await ended(world)
    world.apply("next")
    world.restart()
    queue = world.reconciler.state.queue

    assert await queue.get() == ("AgentJob", "default", "next")


@pytest.mark.parametrize("spec", [{}, {"ttlSecondsAfterFinished": 60}], ids=["to stay", "to be deleted later"])
async def test_a_new_operator_does_not_reconcile_a_finished_job(world, spec):
    await ended(world, **spec)
    world.restart()

    assert JOB not in world.reconciler.state.queue._waiting
    assert isinstance(world.reconciler.state.jobs.get(("default", "hello")), EndedJob)


async def test_an_expired_job_is_deleted_even_if_it_was_idle_when_the_operator_started(world):
    await ended(world, ttlSecondsAfterFinished=60)
    world.now += timedelta(minutes=2)
    world.restart()
    await world.settle()

    assert ("AgentJob", "default", "hello") not in world.objects


async def test_a_running_job_is_not_idle(world):
    world.apply()
    await world.act()

    assert not is_idle(world, JOB)


async def test_a_finished_job_is_not_idle_before_its_pods_finalizer_is_removed(world):
    world.apply()
    await world.act()
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    world.refuse["patch", "Pod"] = ConnectionError("refused")
    with pytest.raises(ConnectionError):
        await world.act(seconds=1)

    assert not is_idle(world, JOB)


async def test_a_finished_job_is_not_idle_without_its_answer(world):
    world.apply()
    await world.act()
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    world.history_away = True
    await world.act(seconds=1)

    assert not is_idle(world, JOB)


async def test_an_idle_schedule_is_idle_until_its_next_time(world):
    await idle(world)
    before = is_idle(world, SCHEDULE)
    world.now += timedelta(minutes=10)

    assert before
    assert not is_idle(world, SCHEDULE)


@pytest.mark.parametrize(
    "edit",
    [
        {"annotations": {"agentjobs.dev/trigger": "now"}},
        {"annotations": {"agentjobs.dev/resume": "now"}},
        {"schedule": "0 * * * *"},
        {"suspend": True},
    ],
    ids=["triggered", "resumed", "another time", "suspended"],
)
async def test_a_schedule_with_something_to_do_is_not_idle(world, edit):
    await idle(world)
    world.edit("brief", kind="AgentSchedule", **edit)
    wanted = is_idle(world, SCHEDULE)
    await world.act()

    assert not wanted
    assert is_idle(world, SCHEDULE) is (edit != {"annotations": {"agentjobs.dev/trigger": "now"}})


async def test_a_schedule_is_not_idle_while_its_job_runs(world):
    await idle(world)
    await world.act(minutes=10)

    assert not is_idle(world, SCHEDULE)


async def test_a_trigger_moves_an_idle_schedule_ahead_of_other_idle_objects(world):
    await idle(world)
    world.restart()
    world.edit("brief", kind="AgentSchedule", annotations={"agentjobs.dev/trigger": "now"})
    world.tell()

    assert await world.reconciler.state.queue.get() == SCHEDULE
