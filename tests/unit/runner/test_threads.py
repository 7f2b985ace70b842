"""Blocking work of the runner: never delayed by calls of user code, and done even if nothing waits for it."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from agentjobs_runner.threads import in_thread


async def test_work_does_not_wait_for_calls_that_fill_the_loops_pool():
    hangs, loop = threading.Event(), asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    tool = asyncio.ensure_future(asyncio.to_thread(hangs.wait, 10))
    await asyncio.sleep(0)

    found = await asyncio.wait_for(in_thread(divmod, 7, 2), 5)

    assert (found, tool.done()) == ((3, 1), False)
    hangs.set()
    await tool


async def test_work_ends_even_if_its_caller_is_cancelled():
    begins, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work():
        begins.set()
        may_end.wait(5)
        ended.set()

    caller = asyncio.ensure_future(in_thread(work))
    await asyncio.to_thread(begins.wait, 5)
    caller.cancel()
    await asyncio.wait([caller])
    may_end.set()

    assert caller.cancelled()
    assert await asyncio.to_thread(ended.wait, 5)


async def test_an_error_of_the_work_is_its_callers():
    with pytest.raises(KeyError, match="no such name"):
        await in_thread({}.__getitem__, "no such name")
