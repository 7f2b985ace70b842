"""Claims due notifications from the outbox, sends them, and records the results.

Several notifiers may run at the same time. If one dies, its claimed notifications are sent by another after the lease
ends, with the same id. While PostgreSQL is unavailable nothing is sent and nothing is lost.
"""

import asyncio
import functools
import logging
import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from agentjobs.errors import AgentJobsError
from agentjobs.history.outbox_records import Due, Outcome, Tried
from agentjobs.history.protocols import Outbox
from agentjobs.metrics import OTHER
from agentjobs.notifier.backoff import Backoff, Breaker
from agentjobs.notifier.metrics import NotifierMetrics
from agentjobs.notifier.sending import Sender, SendResult
from agentjobs.notifier.sinks import Sinks
from agentjobs.notifier.sinks_file import MAX_TIMEOUT, SinkEntry

logger = logging.getLogger(__name__)

# Longer than any request plus the recording of its result, which is retried.
LEASE: Final = MAX_TIMEOUT + timedelta(seconds=60)
MARK_SECONDS: Final = 45.0
# Polling interval while nothing happens.
IDLE_SECONDS: Final = 1.0
# Polling interval while requests are running: several that end together are handled together.
BUSY_SECONDS: Final = 0.02
OUTAGE_PAUSE_SECONDS: Final = 1.0
GIVE_UP_INTERVAL_SECONDS: Final = 15.0


class Notifier:
    """One notifier.

    Args:
        clock: in seconds, monotonic.
        chance: returns random numbers from 0 to 1.
    """

    def __init__(
        self,
        outbox: Outbox,
        sinks: Sinks,
        sender: Sender,
        *,
        backoff: Backoff,
        metrics: NotifierMetrics,
        now: Callable[[], datetime],
        clock: Callable[[], float],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._outbox = outbox
        self._sinks = sinks
        self._sender = sender
        self._backoff = backoff
        self._metrics = metrics
        self._now = now
        self._clock = clock
        self._chance = chance
        self._breakers: dict[str, Breaker] = {}
        self._in_progress: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Run until cancelled; then call `drain`."""
        while True:
            self._ended.clear()
            try:
                more = await self.take()
            except AgentJobsError as error:
                logger.warning("outbox.unavailable", extra={"error": str(error)})
                await asyncio.sleep(OUTAGE_PAUSE_SECONDS)
                continue
            if more:
                await asyncio.sleep(BUSY_SECONDS)
            else:
                await self._pause()

    async def take(self) -> bool:
        """Claim due notifications and start to send them; return whether there were any."""
        taken = await self._outbox.take(self._room(), lease=LEASE)
        for due in taken:
            self._in_progress[due.sink] += 1
            task = asyncio.create_task(self._handle(due), name=f"notification {due.uid}")
            self._tasks.add(task)
            task.add_done_callback(functools.partial(self._done, due.sink))
        return bool(taken)

    async def drain(self, seconds: float) -> None:
        """Wait for running requests, and cancel slow ones: they are sent again after their lease ends."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def give_up_old(self) -> None:
        """Periodically measure the backlog, and give up old notifications for removed sinks and those that are down.

        A sink that is down is sent one message at a time, so most others would become old without a try of their own.
        Never returns.
        """
        while True:
            try:
                known = set(self._sinks.by_name)
                down = {name for name in known if self._breaker(name).is_open}
                given_up = await self._outbox.give_up(known, down=down, after=self._backoff.give_up_after)
                for sink, count in given_up.items():
                    logger.warning("notifications.given_up", extra={"sink": sink, "count": count})
                    self._metrics.given_up(sink if sink in known else OTHER, count)
                self._metrics.waiting(await self._outbox.backlog())
            except AgentJobsError as error:
                logger.warning("outbox.unavailable", extra={"error": str(error)})
            await asyncio.sleep(GIVE_UP_INTERVAL_SECONDS)

    def _room(self) -> dict[str, int]:
        now = self._clock()
        return {
            name: self._breaker(name).room(now, concurrency=sink.concurrency, under_way=self._in_progress[name])
            for name, sink in self._sinks.by_name.items()
        }

    def _breaker(self, sink: str) -> Breaker:
        return self._breakers.setdefault(sink, Breaker())

    async def _handle(self, due: Due) -> None:
        sink, began = self._sinks.by_name.get(due.sink), self._clock()
        if sink is None:  # the file has just changed
            answer = SendResult("the sink was removed")
        else:
            answer = await self._answer(due, sink)
        tried = self._judged(due, answer)
        self._metrics.tried(due.sink, tried.outcome, self._clock() - began)
        _log(tried)
        await self._mark(tried)

    async def _answer(self, due: Due, sink: SinkEntry) -> SendResult:
        try:
            answer = await self._sender.send(due, sink, self._now())
        except Exception as error:  # one failing request must not affect the others
            logger.exception("notification.defect", extra={"sink": due.sink, "uid": due.uid})
            return SendResult(f"defect: {type(error).__name__}")
        breaker = self._breaker(due.sink)
        if answer.is_down:
            breaker.failed(self._clock(), retry_after=answer.retry_after)
        else:
            breaker.answered()
        return answer

    def _judged(self, due: Due, answer: SendResult) -> Tried:
        if not answer.error:
            return Tried(due, Outcome.SENT)
        wait = self._backoff.wait(due.waited, retry_after=answer.retry_after, chance=self._chance())
        if answer.final or wait is None:
            return Tried(due, Outcome.GIVEN_UP, answer.error)
        return Tried(due, Outcome.FAILED, answer.error, wait)

    async def _mark(self, tried: Tried) -> None:
        """Record the result of an attempt, with retries while PostgreSQL is unavailable: else it is sent again."""
        until = self._clock() + MARK_SECONDS
        while True:
            try:
                await self._outbox.mark(tried)
                return
            except AgentJobsError as error:
                if self._clock() >= until:
                    logger.error("notification.not_recorded", extra=_fields(tried) | {"error": str(error)})
                    return
            await asyncio.sleep(OUTAGE_PAUSE_SECONDS)

    def _done(self, sink: str, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._in_progress[sink] -= 1
        self._ended.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("notification.defect", extra={"sink": sink}, exc_info=error)

    async def _pause(self) -> None:
        """Wait for a request to end, after which another may be due, or for a second."""
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                await self._ended.wait()
            await asyncio.sleep(BUSY_SECONDS)
        except TimeoutError:
            pass


def _fields(tried: Tried) -> dict[str, object]:
    due = tried.due
    return {"sink": due.sink, "uid": due.uid, "notification": due.event, "tries": due.tries}


def _log(tried: Tried) -> None:
    match tried.outcome:
        case Outcome.SENT:
            logger.info("notification.sent", extra=_fields(tried))
        case Outcome.FAILED:
            logger.warning("notification.failed", extra=_fields(tried) | {"error": tried.error})
        case Outcome.GIVEN_UP:
            logger.error("notification.given_up", extra=_fields(tried) | {"error": tried.error})
