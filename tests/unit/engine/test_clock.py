"""A clock change wakes keys that wait for a time."""

import asyncio
import contextlib

import pytest

from agentjobs.engine.clock import watch_clock

pytestmark = pytest.mark.looptime


@pytest.mark.parametrize(
    ("jump", "told"),
    [
        pytest.param(0.0, 0, id="nothing"),
        pytest.param(0.1, 0, id="slewed"),
        pytest.param(3600.0, 1, id="forward"),
        pytest.param(-5.0, 1, id="back"),
    ],
)
async def test_a_jump_of_the_clock_is_reported_once(jump, told):
    loop, moved, offset = asyncio.get_running_loop(), [], [0.0]
    watching = asyncio.create_task(watch_clock(lambda: moved.append(loop.time()), wall=lambda: loop.time() + offset[0]))

    await asyncio.sleep(5)
    offset[0] = jump
    await asyncio.sleep(5)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching

    assert len(moved) == told
