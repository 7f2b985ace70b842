"""Usage of calls on its way to PostgreSQL: in batches, once each, kept while the database is unavailable.

An ended call waits here briefly; only calls of the same job that need its reservation wait for it.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol
from uuid import UUID

from agentjobs import errors
from agentjobs.history.model_calls import BATCH
from agentjobs.history.model_records import EndedCall

logger = logging.getLogger(__name__)

# Interval of batches while no call waits for a reservation: a statement for ten ends costs no more than for one.
BETWEEN_SECONDS: Final = 0.02
# Pauses while the database is unavailable: from the first to the longest.
PAUSES: Final = (0.1, 5.0)
# About 100 MB, after a day without a database; what is dropped stays reserved until its proxy is considered lost.
MOST: Final = 200_000
# A reservation whose answer was lost may be stored for this long: its statements have deadlines of 4 s each.
UNSURE_SECONDS: Final = 15.0
# Beyond this number, requests and answers are dropped.
MOST_CONTENTS: Final = 500


class Ledger(Protocol):
    """The part of `ModelLedger` that ends calls."""

    async def settle(self, ends: Sequence[EndedCall]) -> None:
        """Record usage and cost of calls, once each."""
        ...


class Settlements:
    """Ended calls to be written. `run` must be running."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: OrderedDict[UUID, tuple[str, EndedCall]] = OrderedDict()
        self._unsure: dict[UUID, tuple[asyncio.TimerHandle, str, EndedCall]] = {}
        self._wake = asyncio.Event()
        self._watchers: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)
        self._watched = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, job: str, end: EndedCall) -> None:
        """Add the end of a call of the job with this uid."""
        if len(self._waiting) >= MOST:
            _, (_, lost) = self._waiting.popitem(last=False)
            logger.error("settlement.dropped", extra={"call": str(lost.id)})
        self._waiting[end.id] = job, replace(end, content=None) if len(self) >= MOST_CONTENTS else end
        self._wake.set()

    def add_unsure(self, job: str, end: EndedCall) -> None:
        """Add the end of a call that may be recorded later: write it now, and again when the record must exist."""
        self.add(job, end)
        timer = asyncio.get_running_loop().call_later(UNSURE_SECONDS, self._add_again, end.id)
        self._unsure[end.id] = timer, job, end

    async def change(self, job: str, seconds: float) -> None:
        """Return when a call of this job was settled by this process, or after `seconds`."""
        watcher = asyncio.get_running_loop().create_future()
        self._watchers[job].add(watcher)
        self._watched.set()
        try:
            await asyncio.wait((watcher,), timeout=seconds)
        finally:
            self._watchers[job].discard(watcher)
            if not self._watchers[job]:
                del self._watchers[job]
            if not self._watchers:
                self._watched.clear()

    async def run(self) -> None:
        """Write ended calls; never returns."""
        pause = PAUSES[0]
        while True:
            await self._wake.wait()
            again = asyncio.get_running_loop().time() + BETWEEN_SECONDS
            try:
                await self._write()
                pause = PAUSES[0]
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(again):
                        await self._watched.wait()
            except errors.Unavailable as error:
                logger.warning("settlement.delayed", extra={"calls": len(self), "error": str(error)})
                await asyncio.sleep(pause)
                pause = min(PAUSES[1], pause * 2)

    async def drain(self, seconds: float) -> None:
        """Write everything at the end of the process; the rest, after `seconds`, is booked as lost by other proxies."""
        for call in [*self._unsure]:
            self._add_again(call)
        try:
            async with asyncio.timeout(seconds):
                while self._waiting:
                    try:
                        await self._write()
                    except errors.Unavailable:
                        await asyncio.sleep(PAUSES[0])
        except TimeoutError:
            logger.error("settlement.unfinished", extra={"calls": len(self)})

    def _add_again(self, call: UUID) -> None:
        timer, job, end = self._unsure.pop(call)
        timer.cancel()
        self.add(job, end)

    async def _write(self) -> None:
        # One statement; calls that end meanwhile are in the next one.
        batch = [self._waiting[key] for key, _ in zip(self._waiting, range(BATCH), strict=False)]
        try:
            await self._ledger.settle([end for _, end in batch])
        except errors.Invalid:
            if len(batch) > 1:
                await self._write_singly(batch)
                return
            logger.error("settlement.refused", extra={"call": str(batch[0][1].id)})
        self._written(batch)

    async def _write_singly(self, batch: list[tuple[str, EndedCall]]) -> None:
        for item in batch:
            try:
                await self._ledger.settle([item[1]])
            except errors.Invalid:
                logger.error("settlement.refused", extra={"call": str(item[1].id)})
            self._written([item])

    def _written(self, batch: list[tuple[str, EndedCall]]) -> None:
        for job, end in batch:
            if self._waiting.get(end.id, (job, None))[1] is end:
                del self._waiting[end.id]
            for watcher in self._watchers.get(job, ()):
                if not watcher.done():
                    watcher.set_result(None)
        if not self._waiting:
            self._wake.clear()
