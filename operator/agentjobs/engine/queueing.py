"""A work queue of keys: each waits once, is worked on by one worker at a time, and may come back later.

Owned by the controller; watches, timers and workers add to it. It holds no objects, only keys, so that whoever takes a
key decides on the newest state. Keys at rest (thousands after a start, and nothing is due for them) wait in a line of
their own, so that they hold up nobody and nobody holds them up. One loop, no threads.
"""

import asyncio
import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

FIRST_RETRY_SECONDS: Final = 0.1
# Long enough not to hammer a server that is down, short enough that people do not wait for us when it is back.
LONGEST_RETRY_SECONDS: Final = 30.0


@dataclass(slots=True)
class _Wait:
    since: float
    resting: bool


class WorkQueue(Generic[Key]):
    """Deduplicating queue with two lines, requeue-after and per-key exponential backoff."""

    def __init__(
        self, *, rests: Callable[[Key], bool] = lambda key: False, jitter: Callable[[], float] = random.random
    ) -> None:
        """
        Args:
            rests: tells of a key that is added whether it can wait behind all that do not rest. Asked again when a
                waiting key is added again, which may so change its line.
            jitter: returns numbers in [0, 1): it spreads retries over the upper half of their backoff.
        """
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._resting: asyncio.Queue[Key] = asyncio.Queue()
        self._waiting: dict[Key, _Wait] = {}  # in order of time
        self._busy: set[Key] = set()
        self._rests = rests
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._jitter = jitter

    def __len__(self) -> int:
        """Keys that wait for a worker; timers not yet due are not counted."""
        return len(self._waiting)

    @property
    def oldest_seconds(self) -> float:
        """How long the oldest waiting key has been waiting; 0 when none does."""
        oldest = next(iter(self._waiting.values()), None)
        return 0.0 if oldest is None else asyncio.get_running_loop().time() - oldest.since

    @property
    def idle(self) -> bool:
        """True when no key waits and none is worked on; timers do not count."""
        return not self._waiting and not self._busy

    def add(self, key: Key) -> None:
        """Let a worker look at `key`. A key that waits already is not added twice; a busy one waits for its `done`."""
        wait = self._waiting.get(key)
        if wait is None:
            wait = self._waiting[key] = _Wait(asyncio.get_running_loop().time(), self._rests(key))
        elif wait.resting is not self._rests(key):
            wait.resting = not wait.resting  # its place in the other line stays, and is passed over
        else:
            return
        if key not in self._busy:
            self._line_up(key, wait)

    def _line_up(self, key: Key, wait: _Wait) -> None:
        (self._resting if wait.resting else self._ready).put_nowait(key)

    def add_after(self, key: Key, seconds: float) -> None:
        """Add `key` in `seconds` from now. Of several calls the earliest moment wins."""
        loop = asyncio.get_running_loop()
        when = loop.time() + max(0.0, seconds)
        pending = self._timers.get(key)
        if pending is not None:
            if pending.when() <= when:
                return
            pending.cancel()
        self._timers[key] = loop.call_at(when, self._fire, key)

    def _fire(self, key: Key) -> None:
        del self._timers[key]
        self.add(key)

    async def get(self, *, resting: bool = False) -> Key:
        """Wait for a key of one line and take it; nobody else gets it before `done`.

        Its timer goes: whoever looks now says anew when to look again. Else keys that are gone would be kept for years.
        """
        line = self._resting if resting else self._ready
        while True:
            key = await line.get()
            wait = self._waiting.get(key)
            # Who changed lines has left a place behind: the key may be taken by now, or wait for another turn.
            if wait is not None and wait.resting is resting and key not in self._busy:
                break
        del self._waiting[key]
        self._busy.add(key)
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()
        return key

    def done(self, key: Key) -> None:
        """Give `key` back. If it was added in the meantime, it is ready again."""
        self._busy.discard(key)
        wait = self._waiting.get(key)
        if wait is not None:
            self._line_up(key, wait)

    def retry(self, key: Key, *, at_least: float = 0.0) -> float:
        """Add `key` again after its backoff, doubled with every call until `forget`; returns the seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        # 2**9 x 0.1 s passes the limit; the bound keeps the power small for keys that fail for days.
        backoff = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(failures, 16))
        seconds = max(at_least, backoff * (0.5 + 0.5 * self._jitter()))
        self.add_after(key, seconds)
        return seconds

    def forget(self, key: Key) -> None:
        """Start `key`'s backoff anew: it has been worked on without an error."""
        self._failures.pop(key, None)

    def close(self) -> None:
        """Cancel all timers, so that nothing fires into a stopped controller."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
