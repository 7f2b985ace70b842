"""What many ask at once is one question to history: of pages that everybody has open, and asks for again on a change.

An answer is shared among those who may read the same namespaces and ask the same, after their rights were checked, and
for seconds only. Errors are told to who waits for them, and forgotten.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

from agentjobs.bounded import Bounded

Answer = TypeVar("Answer")

FRESH_SECONDS: Final = 1.0
"""Of lists and counts. Streams tell of a change when all answers from before it are older (change_feed.py)."""
_MAY_BE_OLD: Final = re.compile(r"\bmax-age=0*[1-9]")
REMEMBERED: Final = 256
"""Answers; of lists the largest have a few hundred kilobytes, and few are of these."""


def seconds_of(length: timedelta) -> float:
    """Return for how long numbers over so much time are shared: a sixth of a slice of a chart, at most a minute."""
    return min(60.0, max(FRESH_SECONDS, length.total_seconds() / 720))


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    begun: float
    task: asyncio.Task[Any]


class SharedReads:
    """Questions under way, and answers of seconds ago. One a process; it belongs to one event loop."""

    def __init__(self, *, size: int = REMEMBERED) -> None:
        self._asked: Bounded[Hashable, _Asked] = Bounded(size)

    async def once(
        self,
        question: str,
        scope: tuple[str, ...] | None,
        *asked: Hashable,
        ask: Callable[[], Awaitable[Answer]],
        seconds: float = FRESH_SECONDS,
    ) -> Answer:
        """Return the answer to a question, which began to be asked at most `seconds` ago, or ask.

        What was asked longer ago is not waited for either: it does not know what has happened since.

        Args:
            question: its kind.
            scope: the namespaces whose data the answer has; None for all. The caller has checked that they may.
            asked: everything else that the answer depends on.
        """
        key = (question, scope, asked)
        now = asyncio.get_running_loop().time()
        known = self._asked.get(key)
        if known is None or now - known.begun >= seconds:
            known = self._begin(key, ask, seconds=seconds, now=now)
        # Whoever hangs up takes the answer from nobody else.
        answer: Answer = await asyncio.shield(known.task)
        return answer

    def for_request(self, cache_control: str) -> "SharedReads | Unshared":
        """Return these for who says that an answer may be old (`Cache-Control: max-age=…`), else none.

        Scripts read what they have just caused; a page that is open hears of it a moment later.
        """
        return self if _MAY_BE_OLD.search(cache_control) else Unshared()

    def __len__(self) -> int:
        return len(self._asked)

    def _begin(self, key: Hashable, ask: Callable[[], Awaitable[Answer]], *, seconds: float, now: float) -> _Asked:
        loop = asyncio.get_running_loop()
        known = _Asked(now, loop.create_task(_answer(ask)))
        self._asked.put(key, known)

        def forget(_: object = None) -> None:
            if self._asked.get(key) is known:
                self._asked.drop(key)

        def done(task: asyncio.Task[Any]) -> None:
            if task.cancelled() or task.exception() is not None:
                forget()

        known.task.add_done_callback(done)
        # So that large answers do not lie there until others take their place.
        loop.call_at(now + seconds, forget)
        return known


class Unshared:
    """Asks each question anew, and holds no answer."""

    async def once(
        self,
        question: str,
        scope: tuple[str, ...] | None,
        *asked: Hashable,
        ask: Callable[[], Awaitable[Answer]],
        seconds: float = FRESH_SECONDS,
    ) -> Answer:
        """Return the answer as of now; the arguments are those of `SharedReads.once`."""
        return await ask()


async def _answer(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    return await ask()
