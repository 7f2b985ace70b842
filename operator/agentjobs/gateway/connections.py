"""A connection whose client must get on with it: uvicorn's, which by itself waits for ever.

Any client that reaches the gateway's port may open connections before it says who it is. So each has a time for a
request's head and one for the whole exchange, the reading of the answer included; then it is cut. And an address has
only so many of them. Made by uvicorn, one a connection; what a body may hold is limits.py's.
"""

import asyncio
from collections import Counter
from typing import ClassVar, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

# From the connection, or from the first byte of a further request, to the end of its head.
HEAD_SECONDS: Final = 10.0
# From there to the last byte of the answer. A runner gives up after 15 s; 4 MiB by a slow line take longer.
EXCHANGE_SECONDS: Final = 120.0
# Of one address. Each may hold 64 KiB that nobody has read yet, and what TLS needs. A runner has two.
CONNECTIONS: Final = 256


class Connection(H11Protocol):
    """One client's connection."""

    open: ClassVar[Counter[str]]
    """How many connections each address has."""
    per_address: ClassVar[int | None] = None
    """How many it may have; None for any number."""
    _limit: asyncio.TimerHandle | None = None
    _address: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._within(HEAD_SECONDS)
        self._count(str((transport.get_extra_info("peername") or [""])[0]))

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
        if self._address is not None:
            self.open[self._address] -= 1
            if not self.open[self._address]:
                del self.open[self._address]
        super().connection_lost(exc)

    @property
    def _idle(self) -> bool:
        """Between two requests; uvicorn's own clock counts then."""
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
        # An answer counts as given when it is handed to the socket's buffer, which its reader may never empty.
        if not self._idle or self.transport.get_write_buffer_size():
            self.transport.abort()


def connections(*, per_address: int | None) -> type[Connection]:
    """Return the connections of one server.

    Args:
        per_address: how many an address may have; None where something on the way replaces addresses.
    """
    return type("Connection", (Connection,), {"open": Counter(), "per_address": per_address})
