"""Shares one query to history among concurrent requests, such as those of pages that many users have open.

A result is shared for seconds, among requests for the same thing in the same namespaces, after the rights of each
caller were checked. Errors are not kept.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

from agentjobs.bounded import Bounded

T = TypeVar("T")

FRESH_SECONDS: Final = 1.0
"""For lists and counts. Streams report a change once all results from before it have expired (change_feed.py)."""
_MAY_BE_OLD: Final = re.compile(r"\bmax-age=0*[1-9]")
_COSTS: Final = 100
"""For how many times its duration a result is shared: at most one query in progress for 1 % of the time."""
REMEMBERED: Final = 256
"""The number of results that are kept. The largest lists have a few hundred kilobytes, and are rare."""


def seconds_of(length: timedelta) -> float:
    """Return for how many seconds numbers over a time are shared at most: a sixth of a slice, and up to a minute."""
    return min(60.0, max(FRESH_SECONDS, length.total_seconds() / 720))


@dataclass(slots=True, eq=False)
class _Query:
    until: float
    task: asyncio.Task[Any]


class SharedReads:
    """Queries in progress and recent results. One per process; it belongs to one event loop."""

    def __init__(self, *, size: int = REMEMBERED) -> None:
        self._queries: Bounded[Hashable, _Query] = Bounded(size)

    async def once(
        self,
        kind: str,
        scope: tuple[str, ...] | None,
        *parameters: Hashable,
        read: Callable[[], Awaitable[T]],
        seconds: float = FRESH_SECONDS,
    ) -> T:
        """Return the result of an equal query that began at most `seconds` ago, or of a new query.

        An older query is not waited for, because its result may miss what has happened since. The result of a query
        that took little time is shared for less, but always for `FRESH_SECONDS`.

        Args:
            kind: the kind of query.
            scope: the namespaces of the result; None for all. Rights to them must have been checked before.
            parameters: everything else that the result depends on.
        """
        key = (kind, scope, parameters)
        now = asyncio.get_running_loop().time()
        query = self._queries.get(key)
        if query is None or now >= query.until:
            query = self._begin(key, read, seconds=seconds, now=now)
        # A client that disconnects must not cancel the query of others.
        answer: T = await asyncio.shield(query.task)
        return answer

    def for_request(self, cache_control: str) -> "SharedReads | Unshared":
        """Return this object if the request allows an older answer (`Cache-Control: max-age=…`), else `Unshared`.

        Scripts must see what they have just changed; an open page is notified a moment later.
        """
        return self if _MAY_BE_OLD.search(cache_control) else Unshared()

    def __len__(self) -> int:
        return len(self._queries)

    def _begin(self, key: Hashable, read: Callable[[], Awaitable[T]], *, seconds: float, now: float) -> _Query:
        loop = asyncio.get_running_loop()
        query = _Query(now + seconds, loop.create_task(_answer(read)))
        self._queries.put(key, query)

        def forget(_: object = None) -> None:
            if self._queries.get(key) is query:
                self._queries.drop(key)

        def done(task: asyncio.Task[Any]) -> None:
            if task.cancelled() or task.exception() is not None:
                forget()
                return
            enough = max(FRESH_SECONDS, _COSTS * (loop.time() - now))
            query.until = now + min(seconds, enough)
            # Large results must not stay in memory until others replace them.
            loop.call_at(query.until, forget)

        query.task.add_done_callback(done)
        return query


class Unshared:
    """Runs each query, and keeps no results."""

    async def once(
        self,
        kind: str,
        scope: tuple[str, ...] | None,
        *parameters: Hashable,
        read: Callable[[], Awaitable[T]],
        seconds: float = FRESH_SECONDS,
    ) -> T:
        """Return the current result; the arguments are those of `SharedReads.once`."""
        return await read()


async def _answer(read: Callable[[], Awaitable[T]]) -> T:
    return await read()
