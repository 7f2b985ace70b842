"""A start, its slot in history and its claim in the status, with a crash between any two of them."""

from contextlib import suppress

import pytest

from agentjobs.api.conditions import Phase
from agentjobs.contract import Verdict
from agentjobs.errors import Unavailable
from agentjobs.reconcile.state import QUEUE


async def look(world, number=0, **passed):
    """As `act`; the timers of the queues fire, too."""
    await world.act(number, **passed)
    for queue in ("agents", "fast"):
        world.operators[number].reconciler.state.queue.add((QUEUE, "default", queue))
    await world.settle(number)
    world.tell(number)
    await world.settle(number)


@pytest.fixture
async def world(worlds):
    world = worlds(slots=1)
    world.apply_queue("fast", concurrency={"max": 1})
    await look(world)
    return world


async def dies(world, died, *, after):
    """The operator dies at its next status write, before or after it; a new one comes."""
    world.die_at, world.die_after = len(world.writes) + 1, after
    with suppress(died):
        await look(world)
    world.die_at = None
    world.restart()


def slots(world):
    """Who holds slots in history: names, with the queue and the start."""
    held = world.history.slots.held.values()
    return {one.job.name: (one.queue, one.start) for one in held}


def phases(world, *names):
    return [world.status(name).phase for name in names]


@pytest.mark.parametrize("after", [False, True], ids=["before-the-claim", "before-the-pod"])
async def test_a_start_interrupted_by_a_crash_continues_with_its_slot(world, died, after):
    world.apply("a")
    await dies(world, died, after=after)
    left = slots(world)
    await look(world, seconds=1)

    assert left == slots(world) == {"a": ("agents", 1)}
    assert len(world.pods("a")) == world.status("a").starts == 1


async def test_a_slot_that_a_crash_left_to_a_moved_job_is_freed_after_a_minute(world, died):
    world.apply("a")
    await dies(world, died, after=False)
    world.edit("a", queue="fast")
    world.apply("b")
    await look(world, seconds=30)
    early = phases(world, "a", "b")
    await look(world, seconds=31)
    await look(world, seconds=2)

    assert early == [Phase.QUEUED, Phase.QUEUED]
    assert phases(world, "a", "b") == [Phase.RUNNING, Phase.RUNNING]
    assert slots(world) == {"a": ("fast", 1), "b": ("agents", 1)}
    assert world.counted("agentjobs_slots_given_back_total") == 1
    assert world.counted("agentjobs_claims_refused_total", reason="Slot") >= 1


async def test_a_slot_that_a_crash_left_to_a_held_job_is_given_to_the_next(world, died):
    world.apply("a")
    await dies(world, died, after=False)
    world.edit("a", suspend=True)
    world.apply("b")
    await look(world, seconds=30)
    await look(world, seconds=31)
    await look(world, seconds=2)

    assert phases(world, "a", "b") == [Phase.SUSPENDED, Phase.RUNNING]


async def test_a_slot_in_use_is_not_released_at_any_age(world):
    world.apply("a")
    await look(world)
    world.join(1)
    world.apply("b")
    # This one has not heard of the claim; it knows of the job from its list alone.
    for _ in range(3):
        world.operators[1].reconciler.state.slots._queues.clear()
        await look(world, 1, minutes=2)

    assert slots(world) == {"a": ("agents", 1)}
    assert phases(world, "a", "b") == [Phase.RUNNING, Phase.QUEUED]


async def test_a_job_without_a_slot_in_history_waits_and_starts_when_there_is_one(world):
    world.join(1)
    world.apply("a")
    world.apply("b")
    await look(world, 0)
    world.operators[1].news.clear()
    world.operators[1].news.append(("AgentJob", "ADDED", world.job("b")))
    await look(world, 1)
    refused = world.status("b")
    world.end_pod(world.pods("a")[0], Verdict.SUCCEED)
    await look(world, 0, seconds=1)
    await look(world, 0, seconds=1)

    assert (refused.phase, refused.reason, refused.starts) == (Phase.QUEUED, "WaitingForSlot", 0)
    assert phases(world, "a", "b") == [Phase.SUCCEEDED, Phase.RUNNING]


async def test_a_rate_is_shared_by_two_operators(world):
    world.apply_queue("slow", concurrency={"max": 9}, rateLimit={"starts": 1, "period": "1m"})
    world.join(1)
    for name in "ab":
        world.apply(name, queue="slow")
    for number in (0, 1):
        await look(world, number)
    waits = sorted((world.status(name).phase, world.status(name).reason or "") for name in "ab")

    assert [phase for phase, _ in waits] == [Phase.QUEUED, Phase.RUNNING]
    assert waits[0][1] == "WaitingForRate"


async def test_starts_from_before_an_upgrade_count(worlds):
    world = worlds(slots=2)
    for name in "abc":
        world.apply(name)
    await look(world)
    world.history.slots.held.clear()
    world.restart()
    world.join(1)
    world.end_pod(world.pods("a")[0], Verdict.SUCCEED)
    for number in (0, 1, 0):
        await look(world, number, seconds=1)

    assert slots(world) == {"b": ("agents", 1), "c": ("agents", 1)}


async def test_a_slot_is_freed_before_the_end_of_its_start_is_stored(world):
    world.apply("a")
    world.apply("b")
    await look(world)
    world.put = lambda record: None  # a writer that is slow
    world.end_pod(world.pods("a")[0], Verdict.SUCCEED)
    await look(world, seconds=1)

    assert phases(world, "a", "b") == [Phase.SUCCEEDED, Phase.RUNNING]
    assert slots(world) == {"b": ("agents", 1)}


async def test_a_retry_needs_a_slot_like_any_start(world):
    world.apply("a")
    await look(world)
    world.apply("b", priority=0)
    (pod,) = world.living_pods()
    world.run_pod(pod)
    world.end_pod(pod, Verdict.RETRY, reason="ToolError", code=70)
    await look(world, seconds=1)
    await look(world, seconds=40)
    between = slots(world), world.status("a").reason
    world.end_pod(world.pods("b")[0], Verdict.SUCCEED)
    await look(world, seconds=1)

    assert between == ({"b": ("agents", 1)}, "WaitingForSlot")
    assert slots(world) == {"a": ("agents", 2)}


@pytest.mark.parametrize("edit", [{"suspend": True}, {"queue": "fast"}], ids=["held", "moved"])
async def test_a_claim_that_the_api_server_did_not_accept_releases_its_slot(world, edit):
    world.refuse["status", "AgentJob"] = Unavailable("no answer")
    world.apply("a")
    await look(world)
    claimed = slots(world)
    world.refuse.clear()
    world.edit("a", **edit)
    world.apply("b")
    await look(world, seconds=1)
    await look(world, seconds=1)

    assert claimed == {"a": ("agents", 1)}
    assert slots(world)["b"] == ("agents", 1)


async def test_an_outage_of_history_at_the_end_of_a_start_loses_no_slot(world):
    world.apply("a")
    world.apply("b")
    await look(world)
    world.history_away = True
    world.end_pod(world.pods("a")[0], Verdict.SUCCEED)
    await look(world, seconds=1)
    away = phases(world, "a", "b")
    world.history_away = False
    await look(world, seconds=2)

    assert away == [Phase.SUCCEEDED, Phase.QUEUED]
    assert phases(world, "b") == [Phase.RUNNING]
