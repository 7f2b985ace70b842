"""Connections with time limits; uvicorn's own connections wait forever.

Any client that reaches the port may open connections before it authenticates. So each connection has a time limit for
the head of a request and one for the whole exchange, and each address has a limit on its connections. limits.py limits
bodies.
"""

import asyncio
from collections import Counter
from typing import ClassVar, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

# From the connection, or the first byte of a later request, to the end of the head.
HEAD_SECONDS: Final = 10.0
# From there to the last byte of the response. A runner gives up after 15 s, but 4 MiB over a slow line take longer.
EXCHANGE_SECONDS: Final = 120.0
# The limit of one address. Each connection may hold 64 KiB of unread data and the buffers of TLS. A runner has two.
CONNECTIONS: Final = 256


class TimeoutProtocol(H11Protocol):
    """One client's connection."""

    open: ClassVar[Counter[str]]
    """The number of connections of each address."""
    per_address: ClassVar[int | None] = None
    """The limit of each address; None for no limit."""
    _limit: asyncio.TimerHandle | None = None
    _address: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Start the clock for the first request."""
        super().connection_made(transport)
        self._within(HEAD_SECONDS)
        self._count(str((transport.get_extra_info("peername") or [""])[0]))

    def data_received(self, data: bytes) -> None:
        """Receive bytes of a request."""
        exchange = self.cycle
        if self._idle:
            self._within(HEAD_SECONDS)
        super().data_received(data)
        if self.cycle is not exchange:
            self._within(EXCHANGE_SECONDS)

    def on_response_complete(self) -> None:
        """Continue with the next request, if it has already arrived."""
        exchange = self.cycle
        super().on_response_complete()
        if self.cycle is not exchange:
            self._within(EXCHANGE_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        if self._limit is not None:
            self._limit.cancel()
        if self._address is not None:
            self.open[self._address] -= 1
            if not self.open[self._address]:
                del self.open[self._address]
        super().connection_lost(exc)

    @property
    def _idle(self) -> bool:
        """Whether the connection is between two requests; then uvicorn's own time limit applies."""
        return self.timeout_keep_alive_task is not None

    def _count(self, address: str) -> None:
        if self.per_address is None:
            return
        self._address = address
        self.open[address] += 1
        if self.open[address] > self.per_address:
            self.transport.abort()

    def _within(self, seconds: float) -> None:
        if self._limit is not None:
            self._limit.cancel()
        self._limit = self.loop.call_later(seconds, self._cut)

    def _cut(self) -> None:
        # A response counts as sent once it is in the socket's buffer, which the client may never read.
        if not self._idle or self.transport.get_write_buffer_size():
            self.transport.abort()


def connections(*, per_address: int | None) -> type[TimeoutProtocol]:
    """Return the connection class of one server.

    Args:
        per_address: the limit of each address; None if a proxy in between replaces addresses.
    """
    return type("TimeoutProtocol", (TimeoutProtocol,), {"open": Counter(), "per_address": per_address})
