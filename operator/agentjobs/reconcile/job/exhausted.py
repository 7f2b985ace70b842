"""Models at their limits: one query for all jobs that are about to start."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final

ASK_SECONDS: Final = 2.0


class Exhausted:
    """History's list of models that cannot be called now, cached for two seconds."""

    def __init__(self, ask: Callable[[], Awaitable[Mapping[str, datetime]]], monotonic: Callable[[], float]) -> None:
        self._ask = ask
        self._monotonic = monotonic
        self._asking = asyncio.Lock()
        self._known: tuple[float, Mapping[str, datetime]] | None = None

    async def models(self) -> Mapping[str, datetime]:
        """Return the models that cannot be called, and until when.

        Raises:
            Unavailable: history is unreachable.
        """
        async with self._asking:
            known = self.known
            if known is None:
                began, known = self._monotonic(), await self._ask()
                self._known = began, known
            return known

    @property
    def known(self) -> Mapping[str, datetime] | None:
        """The last answer, None when history must be asked again."""
        if self._known is None or self._monotonic() - self._known[0] >= ASK_SECONDS:
            return None
        return self._known[1]
