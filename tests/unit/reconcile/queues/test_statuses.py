"""A queue's status follows its jobs, for a handful of writes."""

import pytest

from agentjobs.api.queues.status import AgentQueueStatus
from agentjobs.contract import Verdict


def status(world, name="fast"):
    return AgentQueueStatus.parse(world.objects["AgentQueue", "default", name].get("status"))


def reason(world, kind="Open", name="fast"):
    return next(one.reason for one in status(world, name).conditions if one.type == kind)


def writes(world):
    return world.writes.count(("status", "AgentQueue"))


async def test_a_new_queue_has_the_condition_of_an_open_queue(world):
    world.apply_queue()
    await world.act()

    assert (reason(world), status(world).observed_generation) == ("Open", 1)


async def test_the_status_counts_jobs_by_phase(world):
    world.apply_queue(concurrency={"max": 1})
    world.apply("runs", queue="fast")
    world.apply("waits", queue="fast")
    world.apply("later", queue="fast", startAfter="1h")
    world.apply("rests", queue="fast", suspend=True)
    await world.act()
    await world.act(seconds=6)

    told = status(world)
    assert (told.running, told.waiting, told.scheduled, told.suspended) == (1, 1, 1, 1)
    assert told.oldest_waiting_time == world.status("waits").queue.since


async def test_changes_of_jobs_cause_a_write_of_the_queue_every_five_seconds(world):
    world.apply_queue(concurrency={"max": 100})
    await world.act()
    for number in range(30):
        world.apply(f"job-{number}", queue="fast")
        world.tell()
        await world.settle()
    assert writes(world) == 1

    await world.act(seconds=6)
    assert (writes(world), status(world).running) == (2, 30)

    world.end_jobs(Verdict.SUCCEED)
    for _ in range(4):
        await world.act(seconds=1)
    assert writes(world) == 2

    await world.act(seconds=2)
    assert (writes(world), status(world).running) == (3, 0)


async def test_an_edit_is_observed_immediately(world):
    world.apply_queue()
    await world.act()
    world.edit("fast", kind="AgentQueue", stopPolicy="Hold")
    world.tell()
    await world.settle()

    assert (reason(world), status(world).observed_generation) == ("Held", 2)


async def test_an_unchanged_status_is_not_written_again(world):
    world.apply_queue()
    await world.act()
    before = writes(world)
    for _ in range(5):
        await world.act(seconds=10)

    assert writes(world) == before


async def test_a_queue_reports_that_its_rate_is_reached(world):
    world.apply_queue(rateLimit={"starts": 1, "period": "1h"})
    for name in ("first", "second"):
        world.apply(name, queue="fast")
    await world.act()
    await world.act(seconds=6)
    assert reason(world, "Limited") == "RateLimit"

    await world.act(hours=1)
    await world.act(seconds=6)
    assert reason(world, "Limited") == "NotLimited"


async def test_an_invalid_spec_is_reported(world):
    world.apply_queue(rateLimit={"starts": 0, "period": "1m"})
    await world.act()
    (told,) = [one for one in status(world).conditions if one.type == "Open"]

    assert (told.status, told.reason) == ("False", "InvalidSpec")
    assert "spec.rateLimit.starts" in told.message


@pytest.mark.parametrize("policy", ["Hold", "HoldAndDrain"])
async def test_an_event_reports_that_a_queue_was_closed_or_opened(world, policy):
    world.apply_queue()
    await world.act()
    for stop in (policy, "None"):
        world.edit("fast", kind="AgentQueue", stopPolicy=stop)
        await world.act(seconds=1)

    told = [one for one, _ in world.events]
    assert told == ["Held" if policy == "Hold" else "Drained", "Open"]
