"""Objects that become due at a time of the wall clock, in one heap with one timer.

For tens of thousands of waiting objects: one timer per object in the work queue would need several times the memory,
and would not follow a wall clock that is set.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from heapq import heappop, heappush
from typing import Final

from agentjobs.engine.cache import Name

TICK_SECONDS: Final = 1.0
# Few enough that they do not delay other work noticeably.
BATCH: Final = 500


class Deadlines:
    """Deadlines cannot be removed: an object that becomes due is reconciled, which may do nothing."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, Name]] = []
        self._latest_taken = float("-inf")

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, when: datetime, name: Name) -> None:
        """Add the time when an object becomes due."""
        heappush(self._heap, (when.timestamp(), name))

    def renew(self, when: datetime, name: Name) -> None:
        """Add a deadline again if it may have been removed, because the wall clock was set back since."""
        if when.timestamp() <= self._latest_taken:
            self.add(when, name)

    def due(self, now: datetime, *, most: int = BATCH) -> list[Name]:
        """Remove and return the names of objects that are due, the earliest first."""
        found: list[Name] = []
        while self._heap and len(found) < most and self._heap[0][0] <= now.timestamp():
            when, name = heappop(self._heap)
            self._latest_taken = max(self._latest_taken, when)
            found.append(name)
        return found

    async def run(self, wake: Callable[[Name], None], *, now: Callable[[], datetime]) -> None:
        """Call `wake` with each name that becomes due, within a second."""
        while True:
            for name in self.due(now()):
                wake(name)
            await asyncio.sleep(TICK_SECONDS)
