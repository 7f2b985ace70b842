"""A work queue of keys: each key waits once, is processed by one worker at a time, and may be requeued.

Watches, timers and workers add to it. It contains keys rather than objects, so that a worker uses the newest state.
Thousands of idle keys, for which nothing is due, are added when the operator starts. They wait in a separate
low-priority queue with separate workers, so that neither queue delays the other. One event loop, no threads.
"""

import asyncio
import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

FIRST_RETRY_SECONDS: Final = 0.1
# Long enough not to overload a server that is down, short enough to recover soon when it is back.
LONGEST_RETRY_SECONDS: Final = 30.0


@dataclass(slots=True)
class _Wait:
    since: float
    low_priority: bool


class WorkQueue(Generic[Key]):
    """Deduplicating queue with two priorities, requeue-after and per-key exponential backoff."""

    def __init__(
        self, *, is_idle: Callable[[Key], bool] = lambda key: False, jitter: Callable[[], float] = random.random
    ) -> None:
        """
        Args:
            is_idle: whether a key belongs in the low-priority queue. Called at each `add`, so that a waiting key that
                is added again may change queues.
            jitter: returns numbers in [0, 1), which spread retries over the upper half of their backoff.
        """
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._low_priority: asyncio.Queue[Key] = asyncio.Queue()
        self._waiting: dict[Key, _Wait] = {}  # in order of time
        self._busy: set[Key] = set()
        self._is_idle = is_idle
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._jitter = jitter

    def __len__(self) -> int:
        """Number of keys that wait for a worker; timers that are not due are not counted."""
        return len(self._waiting)

    @property
    def oldest_seconds(self) -> float:
        """How long the oldest waiting key has been waiting; 0 if no key waits."""
        oldest = next(iter(self._waiting.values()), None)
        return 0.0 if oldest is None else asyncio.get_running_loop().time() - oldest.since

    @property
    def is_drained(self) -> bool:
        """Whether no key waits and none is being processed; timers do not count."""
        return not self._waiting and not self._busy

    def add(self, key: Key) -> None:
        """Add `key` for a worker. A waiting key is not added twice; a key that is being processed waits for `done`."""
        wait = self._waiting.get(key)
        if wait is None:
            wait = self._waiting[key] = _Wait(asyncio.get_running_loop().time(), self._is_idle(key))
        elif wait.low_priority is not self._is_idle(key):
            wait.low_priority = not wait.low_priority  # its entry in the other queue stays, and `get` skips it
        else:
            return
        if key not in self._busy:
            self._enqueue(key, wait)

    def _enqueue(self, key: Key, wait: _Wait) -> None:
        (self._low_priority if wait.low_priority else self._ready).put_nowait(key)

    def add_after(self, key: Key, seconds: float) -> None:
        """Add `key` after `seconds`. If it is called several times, the earliest time wins."""
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

    async def get(self, *, low_priority: bool = False) -> Key:
        """Wait for a key of one of the two queues and take it; no other worker gets it before `done`.

        Its timer is cancelled: the worker decides again when to requeue the key. Otherwise the key of a deleted object
        could stay for years.
        """
        queue = self._low_priority if low_priority else self._ready
        while True:
            key = await queue.get()
            wait = self._waiting.get(key)
            # After a key has changed queues, its entry here is stale: the key may have been taken, or wait elsewhere.
            if wait is not None and wait.low_priority is low_priority and key not in self._busy:
                break
        del self._waiting[key]
        self._busy.add(key)
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()
        return key

    def done(self, key: Key) -> None:
        """End the processing of `key`. If it was added in the meantime, it waits for a worker again."""
        self._busy.discard(key)
        wait = self._waiting.get(key)
        if wait is not None:
            self._enqueue(key, wait)

    def catch_up(self, key: Key) -> None:
        """Forget that a key was added again while it is processed: its worker reads the newest state after this."""
        if key in self._busy:
            self._waiting.pop(key, None)

    def retry(self, key: Key, *, at_least: float = 0.0) -> float:
        """Add `key` again after its backoff, doubled with every call until `forget`; returns the seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        # 2**9 x 0.1 s exceeds the limit; the bound keeps the power small for keys that fail for days.
        backoff = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(failures, 16))
        seconds = max(at_least, backoff * (0.5 + 0.5 * self._jitter()))
        self.add_after(key, seconds)
        return seconds

    def forget(self, key: Key) -> None:
        """Reset the backoff of `key` after a reconcile without an error."""
        self._failures.pop(key, None)

    def close(self) -> None:
        """Cancel all timers, so that none fires after the controller has stopped."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
