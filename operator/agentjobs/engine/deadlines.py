"""Objects that become due at a time of the wall clock, in one heap with one timer.

For what waits by the ten thousand: a timer each in the work queue takes several times the memory, and does not notice
a wall clock that is set.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from heapq import heappop, heappush
from typing import Final

from agentjobs.engine.cache import Name

TICK_SECONDS: Final = 1.0
# So many that nothing else waits for them noticeably.
AT_ONCE: Final = 500


class Deadlines:
    """A deadline is not taken back: what is due is looked at, and then need not do anything."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, Name]] = []
        self._latest_taken = float("-inf")

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, when: datetime, name: Name) -> None:
        """Let the object of that name become due."""
        heappush(self._heap, (when.timestamp(), name))

    def renew(self, when: datetime, name: Name) -> None:
        """Add a deadline again if it may have been taken out: the wall clock was set back since."""
        if when.timestamp() <= self._latest_taken:
            self.add(when, name)

    def due(self, now: datetime, *, most: int = AT_ONCE) -> list[Name]:
        """Take out the names of objects that are due, the earliest first."""
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
