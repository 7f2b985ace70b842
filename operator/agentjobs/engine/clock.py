"""Detects jumps of the wall clock relative to the monotonic clock: it was set, or the machine slept.

Timers count monotonic seconds, but times in objects refer to the wall clock. After a jump all timers must be reset.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.5
# Slewing (at most 0.05 %) stays far below this; users notice a second.
APART_SECONDS: Final = 0.25


async def watch_clock(on_moved: Callable[[], None], *, wall: Callable[[], float] = time.time) -> None:
    """Call `on_moved` after each jump of the wall clock, within half a second. Runs until cancelled."""
    loop = asyncio.get_running_loop()
    apart = wall() - loop.time()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        before, apart = apart, wall() - loop.time()
        if abs(apart - before) > APART_SECONDS:
            logger.warning("clock.moved", extra={"seconds": round(apart - before, 3)})
            on_moved()
