"""The workers of one work queue: they take keys, reconcile them, and requeue them on request or after an error.

The leader runs one controller. It does not interpret keys; every error of a reconcile is handled here.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from agentjobs.engine.queueing import WorkQueue
from agentjobs.errors import AgentJobsError, Conflict, TooManyRequests, Unavailable

Key = TypeVar("Key", bound=Hashable)
logger = logging.getLogger(__name__)

# At 20 ms of API latency 32 workers were as fast as 128 and 2.9 times as fast as 8.
WORKERS: Final = 32
# A quarter of the workers: enough to keep up with deletions of old jobs, and few enough that reconciling thousands of
# idle schedules leaves capacity for other work.
LOW_PRIORITY_SHARE: Final = 4
# A write in flight ends well within this; a pod's default grace period (30 s) leaves room for the rest.
STOP_SECONDS: Final = 10.0


class Controller(Generic[Key]):
    """A pool of workers for one queue. `reconcile(key)` returns the seconds after which to requeue, or None."""

    def __init__(
        self,
        queue: WorkQueue[Key],
        reconcile: Callable[[Key], Awaitable[float | None]],
        *,
        workers: int = WORKERS,
        on_reconciled: Callable[[float, BaseException | None], None] | None = None,
    ) -> None:
        """
        Args:
            workers: number of workers for keys that are not idle; idle keys have a quarter as many.
            on_reconciled: called with the duration in seconds of each reconcile and its error, for metrics.
        """
        self._queue = queue
        self._reconcile = reconcile
        self._workers = workers
        self._on_reconciled = on_reconciled
        self._tasks: list[asyncio.Task[None]] = []
        self._at_work: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def run(self) -> None:
        """Work until `stop` is called or this task is cancelled."""
        low = max(1, self._workers // LOW_PRIORITY_SHARE)
        priorities = [False] * self._workers + [True] * low
        self._tasks = [
            asyncio.create_task(self._work(low_priority=low), name=f"worker-{number}")
            for number, low in enumerate(priorities)
        ]
        try:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in self._tasks:
                task.cancel()
            results = await asyncio.gather(*self._tasks, return_exceptions=True)
        for result in results:
            # A worker survives every Exception, so this is a defect: exit instead of continuing with fewer workers.
            if isinstance(result, Exception):
                raise result

    async def stop(self, *, seconds: float = STOP_SECONDS) -> None:
        """Take no more keys, wait at most `seconds` for running reconciles, then end `run`."""
        self._stopping = True
        self._queue.close()
        for task in self._tasks:
            if task not in self._at_work:
                task.cancel()
        if self._at_work:
            await asyncio.wait(self._at_work.copy(), timeout=seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self, *, low_priority: bool) -> None:
        task = asyncio.current_task()
        assert task is not None
        while not self._stopping:
            key = await self._queue.get(low_priority=low_priority)
            self._at_work.add(task)
            try:
                await self._reconcile_once(key)
            finally:
                self._at_work.discard(task)
                self._queue.done(key)
            # Neither a full queue nor most reconciles yield to the event loop: without this, a thousand keys in a row
            # would delay every response, watch and renewal of the Lease.
            await asyncio.sleep(0)

    async def _reconcile_once(self, key: Key) -> None:
        begin = time.monotonic()
        failure: BaseException | None = None
        try:
            again = await self._reconcile(key)
        except Exception as error:  # the outermost line of a loop: the error of one key must not stop the others
            failure = error
            self._failed(key, error)
        else:
            self._queue.forget(key)
            if again is not None:
                self._queue.add_after(key, again)
        if self._on_reconciled is not None:
            self._on_reconciled(time.monotonic() - begin, failure)

    def _failed(self, key: Key, error: Exception) -> None:
        wait = error.retry_after if isinstance(error, TooManyRequests) else 0.0
        seconds = self._queue.retry(key, at_least=wait)
        extra = {"key": key, "retry_seconds": round(seconds, 3), "error": str(error)}
        if isinstance(error, Conflict):
            # Another client wrote first; the retry reads what it wrote.
            logger.debug("reconcile.conflict", extra=extra)
        elif isinstance(error, Unavailable):
            logger.warning("reconcile.unavailable", extra=extra)
        elif isinstance(error, AgentJobsError):
            logger.error("reconcile.refused", extra=extra)
        else:
            logger.error("reconcile.failed", exc_info=error, extra=extra)
