"""Every key is queued once, reconciled by one worker at a time, and returns when it is due."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.engine.queueing import LONGEST_RETRY_SECONDS, WorkQueue

pytestmark = [pytest.mark.looptime]


@pytest.fixture
def queue() -> WorkQueue[str]:
    return WorkQueue(jitter=lambda: 1.0)  # the whole backoff


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_key_added_twice_is_returned_once(queue):
    queue.add("a")
    queue.add("a")

    assert len(queue) == 1
    assert await queue.get() == "a"
    assert len(queue) == 0


async def test_keys_are_returned_in_the_order_they_were_added(queue):
    for key in "cab":
        queue.add(key)

    assert [await queue.get() for _ in range(3)] == ["c", "a", "b"]


async def test_a_busy_key_is_not_returned_before_it_is_done(queue):
    queue.add("a")
    await queue.get()
    queue.add("a")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 5)

    queue.done("a")

    assert await queue.get() == "a"


async def test_done_without_another_add_queues_nothing(queue):
    queue.add("a")
    queue.done(await queue.get())

    assert queue.is_drained


async def test_a_delayed_key_is_returned_after_its_delay(queue):
    begin = now()
    queue.add_after("a", 5)

    assert await queue.get() == "a"

    assert now() - begin == pytest.approx(5)


@pytest.mark.parametrize("delays", [(5, 60), (60, 5)], ids=["earlier first", "later first"])
async def test_the_earlier_of_two_delays_applies(queue, delays):
    begin = now()
    for delay in delays:
        queue.add_after("a", delay)

    await queue.get()

    assert now() - begin == pytest.approx(5)
    assert not queue._timers


async def test_a_delay_does_not_keep_a_key_from_being_added_now(queue):
    queue.add_after("a", 60)
    queue.add("a")

    assert await asyncio.wait_for(queue.get(), 1) == "a"


async def test_returning_a_key_clears_its_older_delay(queue):
    queue.add_after("a", 60)
    queue.add("a")
    queue.done(await queue.get())
    queue.add("b")
    queue.add_after(await queue.get(), 60)
    queue.done("b")
    await asyncio.sleep(120)

    assert (len(queue), await queue.get()) == (1, "b")


async def test_a_delay_in_the_past_is_no_delay(queue):
    queue.add_after("a", -3)

    assert await asyncio.wait_for(queue.get(), 1) == "a"


async def test_backoff_doubles_up_to_its_limit_and_restarts_after_forget(queue):
    waits = [queue.retry("a") for _ in range(12)]
    queue.forget("a")

    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert waits[-1] == LONGEST_RETRY_SECONDS
    assert queue.retry("a") == 0.1


async def test_backoff_is_spread_over_its_upper_half():
    assert WorkQueue[str](jitter=lambda: 0.0).retry("a") == 0.05


async def test_a_server_can_request_a_longer_delay(queue):
    assert queue.retry("a", at_least=7) == 7


async def test_the_oldest_wait_is_that_of_the_first_key(queue):
    queue.add("a")
    await asyncio.sleep(3)
    queue.add("b")
    await asyncio.sleep(4)
    assert queue.oldest_seconds == pytest.approx(7)

    await queue.get()

    assert queue.oldest_seconds == pytest.approx(4)


async def test_an_empty_queue_has_no_oldest_wait(queue):
    assert queue.oldest_seconds == 0.0


async def test_a_cancelled_get_loses_no_key(queue):
    getting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    getting.cancel()
    await asyncio.gather(getting, return_exceptions=True)

    assert await asyncio.wait_for(queue.get(), 1) == "a"


async def test_no_timer_fires_after_close(queue):
    queue.add_after("a", 1)
    queue.close()
    await asyncio.sleep(2)

    assert len(queue) == 0


@pytest.fixture
def still() -> set[str]:
    """The idle keys."""
    return {"still", "idle"}


@pytest.fixture
def lines(still) -> WorkQueue[str]:
    return WorkQueue(is_idle=still.__contains__)


async def test_idle_keys_wait_in_a_separate_queue(lines):
    for key in ("still", "a", "idle", "b"):
        lines.add(key)

    assert [await lines.get() for _ in range(2)] == ["a", "b"]
    assert [await lines.get(low_priority=True) for _ in range(2)] == ["still", "idle"]


async def test_a_key_that_is_no_longer_idle_changes_its_queue(lines, still):
    lines.add("still")
    lines.add("idle")
    still.remove("still")
    lines.add("still")

    assert len(lines) == 2
    assert await lines.get() == "still"
    assert await lines.get(low_priority=True) == "idle"


async def test_a_stale_entry_is_skipped(lines, still):
    lines.add("still")
    still.remove("still")
    lines.add("still")
    lines.done(await lines.get())

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(lines.get(low_priority=True), 5)


async def test_a_key_that_becomes_idle_waits_behind_others(lines, still):
    lines.add("a")
    lines.add("b")
    still.add("a")
    lines.add("a")

    assert await lines.get() == "b"
    assert await lines.get(low_priority=True) == "a"


async def test_a_busy_key_that_is_added_again_can_change_its_queue(lines, still):
    lines.add("still")
    await lines.get(low_priority=True)
    lines.add("still")
    still.remove("still")
    lines.add("still")
    lines.done("still")

    assert await lines.get() == "still"


STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "idle", "wake", "take", "take idle", "done"]), st.sampled_from("abc"))
)


@given(steps=STEPS)
def test_any_changes_of_queues_return_every_added_key_and_none_concurrently(steps):
    asyncio.run(_check_lines(steps))


async def _check_lines(steps) -> None:
    still: set[str] = set("ab")
    queue: WorkQueue[str] = WorkQueue(is_idle=still.__contains__)
    wanted: set[str] = set()
    busy: set[str] = set()

    async def take(*, low_priority: bool) -> bool:
        getting = asyncio.ensure_future(queue.get(low_priority=low_priority))
        await asyncio.sleep(0)
        if not getting.done():
            getting.cancel()
            await asyncio.gather(getting, return_exceptions=True)
            return False
        key = await getting
        assert key in wanted
        assert key not in busy
        wanted.remove(key)
        busy.add(key)
        return True

    for step, key in steps:
        if step == "add":
            queue.add(key)
            wanted.add(key)
        elif step == "idle":
            still.add(key)
        elif step == "wake":
            still.discard(key)
        elif step == "done":
            queue.done(key)
            busy.discard(key)
        else:
            await take(low_priority=step != "take")
    for key in set(busy):
        queue.done(key)
        busy.remove(key)
    while await take(low_priority=False) or await take(low_priority=True):
        pass

    assert not wanted
    assert len(queue) == 0


async def test_adds_before_catch_up_do_not_queue_the_key_again(queue):
    queue.add("a")
    key = await queue.get()
    queue.add("a")

    queue.catch_up("a")
    queue.done(key)

    assert queue.is_drained


async def test_adds_after_catch_up_queue_the_key_again(queue):
    queue.add("a")
    key = await queue.get()
    queue.catch_up("a")
    queue.add("a")

    queue.done(key)

    assert await queue.get() == "a"


async def test_catch_up_has_an_effect_only_on_a_busy_key(queue):
    queue.add("a")

    queue.catch_up("a")

    assert await queue.get() == "a"
