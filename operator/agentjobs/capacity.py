"""Limits on work in progress, per process and per caller. Free of domain terms; used by our servers."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from agentjobs.problem import busy


class PerCaller:
    """Limits the concurrent requests of one caller, so that none takes all memory and database connections."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, caller: str) -> Iterator[None]:
        """Count one request during a `with` block.

        Raises:
            Problem: 429 if the caller is at its limit.
        """
        if self._taken[caller] >= self._limit:
            raise busy(429, f"This caller has {self._limit} requests in progress; wait for their responses.", 1.0)
        self._taken[caller] += 1
        try:
            yield
        finally:
            self._taken[caller] -= 1
            if not self._taken[caller]:
                del self._taken[caller]


class Capacity:
    """Limits an amount in use in this process; callers wait in order until there is enough."""

    def __init__(self, amount: int, *, timeout: float) -> None:
        self._all = self._left = amount
        self._timeout = timeout
        self._waiting: OrderedDict[asyncio.Future[None], int] = OrderedDict()

    @property
    def idle(self) -> bool:
        """Whether nothing is taken and no caller waits."""
        return self._left == self._all and not self._waiting

    @asynccontextmanager
    async def taken(self, amount: int = 1) -> AsyncIterator[None]:
        """Take `amount`, at most the whole, during a `with` block.

        Raises:
            Problem: 503 if it does not become free in time.
        """
        await self._take(amount)
        try:
            yield
        finally:
            self._give_back(amount)

    async def _take(self, amount: int) -> None:
        if not self._waiting and amount <= self._left:
            self._left -= amount
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting[turn] = amount
        try:
            async with asyncio.timeout(self._timeout):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # granted and cancelled in the same iteration of the loop
                self._give_back(amount)
            self._waiting.pop(turn, None)
            self._grant()
            if isinstance(error, TimeoutError):
                raise busy(503, "This server is at its limit of requests in progress; try again.", 2.0) from None
            raise

    def _give_back(self, amount: int) -> None:
        self._left += amount
        self._grant()

    def _grant(self) -> None:
        while self._waiting:
            turn, amount = next(iter(self._waiting.items()))
            if amount > self._left:
                return
            del self._waiting[turn]
            if not turn.done():
                self._left -= amount
                turn.set_result(None)
