"""The starts in a sliding window that this process has granted. Only for planning; PostgreSQL's count decides."""

from collections import deque
from dataclasses import dataclass
from datetime import datetime

from agentjobs.core.queues.policy import Rate


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """A start that counts against a rate from that time on."""

    time: datetime


class Starts:
    """Granted starts, oldest first."""

    __slots__ = ("_starts",)

    def __init__(self) -> None:
        self._starts: deque[Start] = deque()

    def __bool__(self) -> bool:
        return bool(self._starts)

    def add(self, start: Start) -> None:
        """Count a start."""
        self._starts.append(start)

    def take_back(self, start: Start) -> None:
        """Remove a granted start that did not happen, usually one of the last."""
        after = []
        while self._starts and (last := self._starts.pop()) is not start:
            after.append(last)
        self._starts.extend(reversed(after))

    def room_at(self, rate: Rate, now: datetime) -> datetime | None:
        """Return when the next start is possible; None for now."""
        while self._starts and self._starts[-1].time > now:
            self._starts.pop()  # the clock was set back; PostgreSQL has its own
        while self._starts and self._starts[0].time + rate.period <= now:
            self._starts.popleft()
        over = len(self._starts) - rate.starts
        return None if over < 0 else self._starts[over].time + rate.period

    def clear(self) -> None:
        """Forget all."""
        self._starts.clear()
