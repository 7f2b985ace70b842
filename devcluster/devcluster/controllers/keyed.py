"""A work queue of keys for controllers: a key is handled by one worker at a time, and failures are retried."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from devcluster.client import ApiError

logger = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)

_RETRY_SECONDS = 0.1
_RETRY_MAX_SECONDS = 5.0


class KeyedQueue(Generic[Key]):
    """Calls `handle` with every key that is added; a key that is added while it is handled is handled again.

    `handle` returns None, or the seconds until the key is handled again. `ApiError` is retried with backoff.
    """

    def __init__(self, handle: Callable[[Key], Awaitable[float | None]], *, workers: int = 8) -> None:
        self._handle = handle
        self._workers = workers
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._waiting: set[Key] = set()
        self._active: set[Key] = set()
        self._again: set[Key] = set()
        self._failures: dict[Key, int] = {}

    def add(self, key: Key) -> None:
        if key in self._active:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def add_after(self, key: Key, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self.add, key)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key = await self._ready.get()
            self._waiting.discard(key)
            self._active.add(key)
            try:
                again = await self._handle(key)
                self._failures.pop(key, None)
            except ApiError as error:
                failures = self._failures[key] = self._failures.get(key, 0) + 1
                again = min(_RETRY_SECONDS * 2**failures, _RETRY_MAX_SECONDS)
                logger.debug("key.retried", extra={"key": str(key), "error": str(error)})
            finally:
                self._active.discard(key)
            if key in self._again:
                self._again.discard(key)
                self.add(key)
            elif again is not None:
                self.add_after(key, again)
