"""Combines concurrent questions into one query.

Under load, most of a query's cost is the round trip, the transaction and the driver, not the row. No question waits for
others: it is sent immediately if a query may be sent, otherwise together with all questions that arrived meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from agentjobs.errors import AgentJobsError, Unavailable

Q = TypeVar("Q")
A = TypeVar("A")

# The usual number of concurrent questions of workers; a batch of specs (at most 96 KiB each) has some megabytes.
LIMIT: Final = 64
# A query that waits for a lock must not block all others.
QUERIES: Final = 2


class Batcher(Generic[Q, A]):
    """`await batcher(question)` answers one question; `query` answers many, in order."""

    def __init__(
        self,
        query: Callable[[Sequence[Q]], Awaitable[Sequence[A]]],
        *,
        limit: int = LIMIT,
        queries: int = QUERIES,
    ) -> None:
        """
        Args:
            query: idempotent; fails as a whole.
            limit: questions in one query.
            queries: maximum concurrent queries.
        """
        self._query = query
        self._limit = limit
        self._queries = queries
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._running: set[asyncio.Task[None]] = set()

    async def __call__(self, question: Q) -> A:
        """Return the answer. Raises what `query` raises for this question."""
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        self._send()
        return await future

    def _send(self) -> None:
        if self._waiting and len(self._running) < self._queries:
            # It takes all questions of this iteration of the loop, because it runs afterwards.
            task = asyncio.create_task(self._answer_some())
            self._running.add(task)
            task.add_done_callback(self._sent)

    def _sent(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._send()

    async def _answer_some(self) -> None:
        batch, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
        batch = [question for question in batch if not question[1].done()]  # a cancelled question needs no answer
        try:
            await self._answer(batch)
        finally:
            for _, future in batch:
                future.cancel()  # only where we were cancelled ourselves; done ones stay as they are

    async def _answer(self, batch: list[tuple[Q, "asyncio.Future[A]"]]) -> None:
        if not batch:
            return
        try:
            answers = await self._query([question for question, _ in batch])
        except Unavailable as error:
            # The questions that came meanwhile wait for the same database. Failing them now keeps their deadlines.
            waiting, self._waiting = self._waiting, []
            _fail([*batch, *waiting], error)
        except Exception as error:
            if len(batch) == 1 or not isinstance(error, AgentJobsError):
                _fail(batch, error)
                return
            for question in batch:  # one question is refused: find out which
                await self._answer([question])
        else:
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)


def _fail(batch: "list[tuple[Q, asyncio.Future[A]]]", error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
