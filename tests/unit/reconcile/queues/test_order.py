"""The limits of a queue in the reconciler: the order of starts, and counts that only PostgreSQL has."""

from datetime import UTC, datetime, timedelta

import pytest

from agentjobs.api.conditions import Phase
from agentjobs.contract import Verdict
from agentjobs.history.memory_slots import MemorySlot
from agentjobs.history.records import JobKey
from agentjobs.reconcile.state import QUEUE

ANOTHER = JobKey("another", "default", "another", datetime(2026, 1, 1, tzinfo=UTC))


def running(world):
    return sorted(name for name in world.jobs() if world.status(name).phase is Phase.RUNNING)


def reason(world, name):
    return world.status(name).reason


async def look(world, **passed):
    """Time passes, and the queue is looked at as it asked to be."""
    queue = world.reconciler.state.queue
    queue.add((QUEUE, "default", "fast"))
    await world.act(**passed)
    queue.add((QUEUE, "default", "fast"))
    await world.act()


async def apply_jobs(world, names, **spec):
    for name in names:
        world.apply(name, queue="fast", **spec)
    await world.act()


async def end(world, name):
    world.end_pod(world.pods(name)[0], Verdict.SUCCEED)
    await look(world, seconds=1)


def hold_elsewhere(world, partition=""):
    """A slot that PostgreSQL counts and this operator does not see."""
    world.history.slots.held["another"] = MemorySlot(ANOTHER, 1, "fast", partition, world.now)


def writes(world):
    return world.writes.count(("status", "AgentJob"))


async def test_a_job_for_which_postgresql_has_no_slot_waits_and_starts_when_it_has(world):
    world.apply_queue(concurrency={"max": 1})
    hold_elsewhere(world)
    await apply_jobs(world, ["one"])
    waits = world.status("one")
    world.history.slots.release_all("another")
    await look(world, seconds=2)

    assert (waits.phase, waits.reason) == (Phase.QUEUED, "WaitingForSlot")
    assert running(world) == ["one"]


async def test_a_repeatedly_refused_job_is_written_once(world):
    world.apply_queue(concurrency={"max": 1})
    hold_elsewhere(world)
    await apply_jobs(world, ["one"])
    before = writes(world)
    for _ in range(10):
        await look(world, seconds=1)

    assert reason(world, "one") == "WaitingForSlot"
    assert writes(world) == before


async def test_a_partition_that_is_full_in_postgresql_does_not_delay_others(world):
    world.apply_queue(concurrency={"max": 5, "perPartition": 1})
    hold_elsewhere(world, "red")
    world.apply("red", queue="fast", partitionKey="red")
    world.apply("blue", queue="fast", partitionKey="blue")
    await world.act()

    assert running(world) == ["blue"]
    assert reason(world, "red") == "WaitingForSlot"


async def test_a_job_waits_for_a_start_that_only_postgresql_counts_as_long_as_it_says(world):
    world.apply_queue(rateLimit={"starts": 1, "period": "1m"})
    await apply_jobs(world, ["one"])
    await end(world, "one")
    world.restart()  # the new operator's memory knows nothing of the start
    await apply_jobs(world, ["two"])
    waits = reason(world, "two")
    await look(world, seconds=50)
    early = running(world)
    await look(world, seconds=10)

    assert (waits, early) == ("WaitingForRate", [])
    assert running(world) == ["two"]


async def test_the_queue_is_reconciled_when_its_rate_has_capacity(world):
    world.apply_queue(rateLimit={"starts": 1, "period": "1m"})
    await apply_jobs(world, ["one", "two"])

    assert running(world) == ["one"]
    assert world.reconciler.state.admit(("default", "fast")).again == world.now + timedelta(minutes=1)


async def test_tenants_share_a_queue_regardless_of_arrival(world):
    world.apply_queue(concurrency={"max": 2}, strategy="Fair")
    await apply_jobs(world, ["red-1", "red-2", "red-3"], partitionKey="red")
    await apply_jobs(world, ["blue-1"], partitionKey="blue")
    await end(world, "red-1")

    assert running(world) == ["blue-1", "red-2"]


@pytest.mark.parametrize(("strategy", "next_one"), [("Fair", "blue-1"), ("Priority", "red-3")])
async def test_the_strategy_can_change_while_jobs_wait(world, strategy, next_one):
    world.apply_queue(concurrency={"max": 2}, strategy="Priority" if strategy == "Fair" else "Fair")
    await apply_jobs(world, ["red-1", "red-2", "red-3"], partitionKey="red")
    world.now += timedelta(seconds=1)
    await apply_jobs(world, ["blue-1"], partitionKey="blue")
    world.edit("fast", kind="AgentQueue", strategy=strategy)
    await end(world, "red-1")

    assert set(running(world)) == {"red-2", next_one}


async def test_placeholders_in_a_partition_key_are_substituted_before_acceptance(world):
    world.apply_queue(concurrency={"max": 5, "perPartition": 1})
    await apply_jobs(world, ["one", "two"], partitionKey="$(job.name)")

    assert running(world) == ["one", "two"]


async def test_aging_of_a_waiting_job_continues_across_a_restart(world):
    world.apply_queue(concurrency={"max": 1}, priorityAging="10s")
    await apply_jobs(world, ["runs"])
    await apply_jobs(world, ["old"], priority=5)
    await look(world, seconds=31)
    world.restart()
    await apply_jobs(world, ["new"], priority=2)
    await end(world, "runs")

    assert running(world) == ["old"]


async def test_a_full_backlog_ends_new_jobs_and_no_accepted_one(world):
    world.apply_queue(concurrency={"max": 1}, backlog={"max": 1, "onFull": "Reject"})
    await apply_jobs(world, ["runs"])
    await apply_jobs(world, ["waits"])
    await apply_jobs(world, ["late"])
    world.restart()
    await look(world, seconds=1)

    assert (world.status("late").phase, reason(world, "late")) == (Phase.FAILED, "QueueFull")
    assert world.status("waits").phase is Phase.QUEUED
    assert world.pods("late") == []


@pytest.mark.parametrize("most", [0, 1, 3])
async def test_a_limit_that_changes_while_jobs_run_is_respected(world, most):
    world.apply_queue(concurrency={"max": 2})
    await apply_jobs(world, [f"job-{number}" for number in range(6)])
    world.edit("fast", kind="AgentQueue", concurrency={"max": most})
    for name in running(world):
        await end(world, name)

    assert len(running(world)) == most
