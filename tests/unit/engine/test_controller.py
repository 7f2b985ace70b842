"""Workers reconcile what is queued, one at a time a key, and survive what goes wrong."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from agentjobs.engine.controller import Controller
from agentjobs.engine.queueing import WorkQueue
from agentjobs.errors import Conflict, Invalid, TooManyRequests, Unavailable

pytestmark = [pytest.mark.looptime]


@asynccontextmanager
async def running(
    reconcile: Callable[[str], Awaitable[float | None]],
    *,
    workers: int = 4,
    is_idle: Callable[[str], bool] = lambda key: False,
) -> AsyncIterator[tuple[WorkQueue[str], Controller[str]]]:
    queue: WorkQueue[str] = WorkQueue(is_idle=is_idle, jitter=lambda: 1.0)
    controller = Controller(queue, reconcile, workers=workers)
    task = asyncio.create_task(controller.run())
    await asyncio.sleep(0)
    yield queue, controller
    await controller.stop()
    await task


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_key_is_never_reconciled_concurrently():
    at_work, most = 0, 0

    async def reconcile(_key: str) -> None:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(1)
        at_work -= 1

    async with running(reconcile) as (queue, _):
        for _ in range(5):
            queue.add("a")
            await asyncio.sleep(0.5)
        await asyncio.sleep(5)

    assert most == 1


async def test_different_keys_are_reconciled_concurrently():
    async def reconcile(_key: str) -> None:
        await asyncio.sleep(1)

    async with running(reconcile) as (queue, _):
        for key in "abcd":
            queue.add(key)
        await asyncio.sleep(1.1)
        assert queue.is_drained


async def test_thousands_of_idle_keys_do_not_delay_other_keys():
    times: dict[str, float] = {}

    async def reconcile(key: str) -> None:
        await asyncio.sleep(1)
        times[key] = now()

    async with running(reconcile, is_idle=str.isdigit) as (queue, _):
        begin = now()
        for number in range(3000):
            queue.add(str(number))
        queue.add("a")
        await asyncio.sleep(4000)

    assert times["a"] - begin == pytest.approx(1)
    assert len(times) == 3001


async def test_idle_keys_are_reconciled_even_under_constant_load():
    done: list[str] = []

    async def reconcile(key: str) -> float | None:
        await asyncio.sleep(1)
        done.append(key)
        return None if key.isdigit() else 0.0

    async with running(reconcile, workers=2, is_idle=str.isdigit) as (queue, _):
        for key in ("a", "b", "c", "d", "1", "2", "3"):
            queue.add(key)
        await asyncio.sleep(10)

    assert {"1", "2", "3"} < set(done)


@pytest.mark.parametrize("idle", [True, False], ids=["idle", "others"])
async def test_a_thousand_keys_that_never_wait_do_not_block_the_event_loop(idle):
    looked, turns = 0, 0

    async def reconcile(_key: str) -> None:
        nonlocal looked
        looked += 1

    async with running(reconcile, is_idle=lambda _: idle) as (queue, _):
        for number in range(1000):
            queue.add(str(number))
        while looked < 1000:
            await asyncio.sleep(0)
            turns += 1

    assert turns > 200


async def test_a_key_is_reconciled_again_at_the_returned_time():
    times: list[float] = []

    async def reconcile(_key: str) -> float | None:
        times.append(now())
        return 10.0 if len(times) == 1 else None

    async with running(reconcile) as (queue, _):
        queue.add("a")
        await asyncio.sleep(100)

    assert [round(t - times[0]) for t in times] == [0, 10]


@pytest.mark.parametrize("error", [Conflict("x"), Unavailable("x"), Invalid("x"), RuntimeError("x")], ids=repr)
async def test_a_key_is_retried_with_backoff_after_any_error(error):
    times: list[float] = []

    async def reconcile(_key: str) -> None:
        times.append(now())
        if len(times) < 4:
            raise error

    async with running(reconcile) as (queue, _):
        queue.add("a")
        await asyncio.sleep(60)

    assert [round(b - a, 3) for a, b in itertools.pairwise(times)] == [0.1, 0.2, 0.4]


async def test_an_error_of_one_key_does_not_delay_others():
    seen: list[str] = []

    async def reconcile(key: str) -> None:
        if key == "bad":
            raise RuntimeError(key)
        seen.append(key)

    async with running(reconcile, workers=1) as (queue, _):
        for key in ("bad", "a", "b"):
            queue.add(key)
        await asyncio.sleep(0.01)

        assert seen == ["a", "b"]


async def test_a_success_resets_the_backoff():
    outcomes = [Unavailable("1"), Unavailable("2"), None, Unavailable("3")]
    times: list[float] = []

    async def reconcile(_key: str) -> float | None:
        times.append(now())
        outcome = outcomes.pop(0) if outcomes else None
        if outcome is not None:
            raise outcome
        return 5.0 if outcomes else None

    async with running(reconcile) as (queue, _):
        queue.add("a")
        await asyncio.sleep(60)

    assert [round(b - a, 3) for a, b in itertools.pairwise(times)] == [0.1, 0.2, 5.0, 0.1]


async def test_too_many_requests_waits_as_long_as_the_server_says():
    times: list[float] = []

    async def reconcile(_key: str) -> None:
        times.append(now())
        if len(times) == 1:
            raise TooManyRequests("slow", 7.0)

    async with running(reconcile) as (queue, _):
        queue.add("a")
        await asyncio.sleep(60)

    assert times[1] - times[0] == pytest.approx(7.0)


async def test_stop_lets_running_reconciles_finish_and_begins_no_others():
    finished: list[str] = []

    async def reconcile(key: str) -> None:
        await asyncio.sleep(3)
        finished.append(key)

    async with running(reconcile, workers=1) as (queue, controller):
        queue.add("a")
        queue.add("b")
        await asyncio.sleep(1)
        await controller.stop()

    assert finished == ["a"]


async def test_stop_has_a_time_limit():
    async def reconcile(_key: str) -> None:
        await asyncio.sleep(3600)

    async with running(reconcile) as (queue, controller):
        queue.add("a")
        await asyncio.sleep(1)
        begin = now()
        await controller.stop(seconds=5)

    assert now() - begin == pytest.approx(5)


async def test_cancelling_run_ends_the_workers():
    async def reconcile(_key: str) -> None:
        await asyncio.sleep(3600)

    queue: WorkQueue[str] = WorkQueue()
    task = asyncio.create_task(Controller(queue, reconcile).run())
    queue.add("a")
    await asyncio.sleep(1)
    task.cancel()

    await asyncio.gather(task, return_exceptions=True)

    assert len(asyncio.all_tasks()) == 1


async def test_each_reconcile_is_reported_with_its_error():
    told: list[type[BaseException] | None] = []

    async def reconcile(key: str) -> None:
        if key == "bad":
            raise Conflict(key)

    queue: WorkQueue[str] = WorkQueue()
    controller = Controller(queue, reconcile, on_reconciled=lambda _, e: told.append(type(e) if e else None))
    task = asyncio.create_task(controller.run())
    queue.add("good")
    queue.add("bad")
    await asyncio.sleep(0.01)
    await controller.stop()
    await task

    assert told == [None, Conflict]
