"""A connection whose client must get on with it: uvicorn's, which by itself waits for ever.

Whoever reaches the gateway's port may open connections, before anybody asks who it is. So each has a time for a
request's head and one for the whole exchange, the reading of the answer included; then it is cut. Made by uvicorn, one
a connection; what a body may hold is limits.py's.
"""

import asyncio
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol

# From the connection, or from the first byte of a further request, to the end of its head.
HEAD_SECONDS: Final = 10.0
# From there to the last byte of the answer. A runner gives up after 15 s; 4 MiB by a slow line take longer.
EXCHANGE_SECONDS: Final = 120.0


class Connection(H11Protocol):
    """One client's connection."""

    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._within(HEAD_SECONDS)

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request."""
        exchange = self.cycle
        if self._idle:
            self._within(HEAD_SECONDS)
        super().data_received(data)
        if self.cycle is not exchange:
            self._within(EXCHANGE_SECONDS)

    def on_response_complete(self) -> None:
        """Go on to the next request, if it came already."""
        exchange = self.cycle
        super().on_response_complete()
        if self.cycle is not exchange:
            self._within(EXCHANGE_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the clock."""
        if self._limit is not None:
            self._limit.cancel()
        super().connection_lost(exc)

    @property
    def _idle(self) -> bool:
        """Between two requests; uvicorn's own clock counts then."""
        return self.timeout_keep_alive_task is not None

    def _within(self, seconds: float) -> None:
        if self._limit is not None:
            self._limit.cancel()
        self._limit = self.loop.call_later(seconds, self._cut)

    def _cut(self) -> None:
        # An answer counts as given when it is handed to the socket's buffer, which its reader may never empty.
        if not self._idle or self.transport.get_write_buffer_size():
            self.transport.abort()
