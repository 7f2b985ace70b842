"""How much may be under way in a process, and of it how much for one caller. No domain words; used by our servers."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from agentjobs.problem import busy


class PerCaller:
    """How many requests of one caller are under way, so that none takes all memory and connections of the database."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, caller: str) -> Iterator[None]:
        """Count one for the length of a `with` block.

        Raises:
            Problem: 429 when the caller has as many as there are.
        """
        if self._taken[caller] >= self._limit:
            raise busy(429, f"{self._limit} requests of this caller are under way; wait for their answers.", 1.0)
        self._taken[caller] += 1
        try:
            yield
        finally:
            self._taken[caller] -= 1
            if not self._taken[caller]:
                del self._taken[caller]


class Capacity:
    """How much of something may be under way in this process; callers wait, in order, for more than is left."""

    def __init__(self, amount: int, *, patience: float) -> None:
        self._all = self._left = amount
        self._patience = patience
        self._waiting: OrderedDict[asyncio.Future[None], int] = OrderedDict()

    @property
    def idle(self) -> bool:
        """Nothing is taken and no one waits."""
        return self._left == self._all and not self._waiting

    @asynccontextmanager
    async def taken(self, amount: int = 1) -> AsyncIterator[None]:
        """Take `amount`, at most the whole, for the length of a `with` block.

        Raises:
            Problem: 503 when it is not free in time.
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
            async with asyncio.timeout(self._patience):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # granted and given up in one turn of the loop
                self._give_back(amount)
            self._waiting.pop(turn, None)
            self._grant()
            if isinstance(error, TimeoutError):
                raise busy(503, "This server has as much under way as it may hold.", 2.0) from None
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
