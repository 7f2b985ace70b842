"""The operator's queue of writes to history: `put` never blocks, and an outage loses nothing up to the limit.

Records wait in memory until their batch is committed. During an outage of the database they are kept, up to `limit`;
then the oldest are dropped and counted. The operator writes dropped records, and those of a crashed process, again
from the status of objects (`attemptHistory`, phase, transitions): at its start, and before it deletes an object. Every
record is idempotent, so writing one again does no harm. A record that the database refuses for its content is logged,
counted and dropped individually, so that it does not block others.
"""

import asyncio
import logging
from collections.abc import Hashable, Sequence
from typing import Final, Protocol

from agentjobs import errors
from agentjobs.history.breaker import Away
from agentjobs.history.records import Deletion, JobRecord, Record, StartEnd, StartRecord, Steering, TransitionRecord

logger = logging.getLogger(__name__)

_BATCH: Final = 200
# Long enough for a burst of records to share a batch, and too short for people to notice.
_LINGER_SECONDS: Final = 0.05
_FIRST_RETRY_SECONDS: Final = 0.1
_LAST_RETRY_SECONDS: Final = 5.0
# About 1 KiB each: 100 MiB at most. 100 jobs a second with five records each fill it in three minutes of outage.
_LIMIT: Final = 100_000


class Sink(Protocol):
    """Where batches go: `OperatorWrites`."""

    async def write(self, batch: Sequence[Record]) -> None:
        """Store all of the batch or raise; storing it again changes nothing."""


class HistoryWriter:
    """Collects records and writes them in batches. `put` and `run` belong to one event loop.

    Args:
        limit: records kept in memory at most.
    """

    def __init__(
        self, sink: Sink, *, batch: int = _BATCH, linger: float = _LINGER_SECONDS, limit: int = _LIMIT
    ) -> None:
        self._sink = sink
        self._batch = batch
        self._linger = linger
        self._limit = limit
        self._pending: dict[Hashable, Record] = {}
        self._some = asyncio.Event()
        self._many = asyncio.Event()
        self._again = asyncio.Event()
        self._none = asyncio.Event()
        self._none.set()
        self.dropped = 0
        """Records given up because memory was full."""
        self.rejected = 0
        """Records the database refused for their content."""

    @property
    def backlog(self) -> int:
        """Records that are not in the database yet."""
        return len(self._pending)

    def put(self, record: Record) -> None:
        """Add a record; return immediately. Of two with the same key the first is kept, as in the tables."""
        key = _key(record)
        if key in self._pending:
            return
        if len(self._pending) >= self._limit:
            self._drop_oldest()
        self._pending[key] = record
        self._some.set()
        self._none.clear()
        if len(self._pending) >= self._batch:
            self._many.set()

    async def flush(self, timeout: float) -> bool:
        """Wait until all records are written, for `timeout` seconds at most; return whether they are. Needs `run`."""
        self._many.set()
        try:
            async with asyncio.timeout(timeout):
                await self._none.wait()
        except TimeoutError:
            return False
        return True

    def retry(self) -> None:
        """Write the waiting records immediately, because the database is back."""
        self._again.set()

    async def run(self) -> None:
        """Write until cancelled. Records that still wait are lost then: `flush` first."""
        while True:
            await self._some.wait()
            if len(self._pending) < self._batch:
                await self._wait_for_more()
            await self._write_all()
            self._some.clear()
            self._many.clear()
            self._none.set()

    async def _pause(self, seconds: float) -> None:
        """Wait before the next try; `retry` ends it."""
        self._again.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._again.wait()
        except TimeoutError:
            pass

    async def _wait_for_more(self) -> None:
        try:
            async with asyncio.timeout(self._linger):
                await self._many.wait()
        except TimeoutError:
            pass

    async def _write_all(self) -> None:
        delay = 0.0
        while self._pending:
            keys = [key for key, _ in zip(self._pending, range(self._batch), strict=False)]
            batch = [self._pending[key] for key in keys]
            try:
                await self._sink.write(batch)
            except errors.Unavailable as error:
                if not isinstance(error, Away):  # the breaker logs that once
                    logger.warning("history.unavailable", extra={"backlog": self.backlog, "error": str(error)})
                delay = min(_LAST_RETRY_SECONDS, delay * 2 or _FIRST_RETRY_SECONDS)
                await self._pause(delay)
                continue
            except Exception:  # the outermost handler of this loop: one bad record must not end the writer
                if not await self._write_singly(batch):
                    await asyncio.sleep(_FIRST_RETRY_SECONDS)
                continue
            delay = 0.0
            self._acknowledge(batch)

    async def _write_singly(self, batch: list[Record]) -> bool:
        """Find records that cannot be written and drop them; False if the database became unreachable meanwhile."""
        for record in batch:
            try:
                await self._sink.write([record])
            except errors.Unavailable:
                return False
            except Exception:
                self.rejected += 1
                logger.exception("history.rejected", extra={"record": _key(record)})
                self._pending.pop(_key(record), None)
            else:
                self._acknowledge([record])
        return True

    def _acknowledge(self, batch: list[Record]) -> None:
        for record in batch:
            self._pending.pop(_key(record), None)

    def _drop_oldest(self) -> None:
        if not self.dropped:
            logger.error("history.overflow", extra={"backlog": self.backlog})
        self.dropped += 1
        self._pending.pop(next(iter(self._pending)))


def _key(record: Record) -> Hashable:
    """Return the key of a record: two with the same key are one row, or one column of it."""
    match record:
        case JobRecord(job=job):
            return "job", job.uid
        case StartRecord(job=job, start=start):
            return "start", job.uid, start
        case StartEnd(job=job, start=start):
            return "end", job.uid, start
        case TransitionRecord(job=job, transition=transition):
            return "transition", job.uid, transition
        case Steering(job=job, generation=generation):
            return "steering", job.uid, generation
        case Deletion(job=job):
            return "deletion", job.uid
