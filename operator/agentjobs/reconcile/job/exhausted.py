"""Models at their limits: one query for all jobs that are about to start."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final

LOAD_SECONDS: Final = 2.0


class Exhausted:
    """History's list of models that cannot be called now, cached for two seconds."""

    def __init__(self, load: Callable[[], Awaitable[Mapping[str, datetime]]], monotonic: Callable[[], float]) -> None:
        self._load = load
        self._monotonic = monotonic
        self._loading = asyncio.Lock()
        self._known: tuple[float, Mapping[str, datetime]] | None = None

    async def models(self) -> Mapping[str, datetime]:
        """Return the models that cannot be called, and until when.

        Raises:
            Unavailable: history is unreachable.
        """
        async with self._loading:
            known = self.known
            if known is None:
                began, known = self._monotonic(), await self._load()
                self._known = began, known
            return known

    @property
    def known(self) -> Mapping[str, datetime] | None:
        """The last answer, None if history must be read again."""
        if self._known is None or self._monotonic() - self._known[0] >= LOAD_SECONDS:
            return None
        return self._known[1]
