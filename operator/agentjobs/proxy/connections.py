"""A connection with time limits; aiohttp's own would wait an hour.

Any client that reaches the proxy's port can open connections before authentication. So a request's head has a time
limit, and an address has a limited number of connections. Reading bodies and writing answers is limited where they are
read and written (client.py); unacknowledged data by a socket option.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

# From the connection, or from the first byte of the next request, to the end of its head.
HEAD_SECONDS: Final = 10.0
# Longer than the idle limit of clients' pools (httpx: 5 s), so that a client never reuses a closed connection.
KEEP_ALIVE_SECONDS: Final = 75.0
# Per address. A connection holds up to 64 KiB of unread data, plus TLS. Parallel calls of an agent need one each.
CONNECTIONS: Final = 256
# How long sent bytes may be unacknowledged before the kernel closes the connection.
UNREAD_SECONDS: Final = 60
# Size of the request line and of one header: a token has 2 KB, Anthropic's list of betas a few hundred bytes.
_LINE_BYTES: Final = 16 * 1024
_HEADERS: Final = 64

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class TimeoutHandler(web.RequestHandler):
    """One client's connection."""

    __slots__ = ("_address", "_head", "_server", "_serving")

    def __init__(self, server: "Server", **given: Any) -> None:
        super().__init__(server, **given)
        self._server = server
        self._serving = False
        self._head: asyncio.TimerHandle | None = None
        self._address: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait_for_head()
        _bound_unread(transport.get_extra_info("socket"))
        self._count(str((transport.get_extra_info("peername") or [""])[0]))

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request."""
        if not self._serving and self._head is None and data:
            self._wait_for_head()
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop the timer."""
        self._stop_waiting()
        if self._address is not None:
            self._server.left(self._address)
            self._address = None
        super().connection_lost(exc)

    def began(self) -> None:
        """Record that a request's head is complete."""
        self._serving = True
        self._stop_waiting()

    def ended(self) -> None:
        """Record that its answer was written."""
        self._serving = False

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Reject invalid HTTP with our own message: aiohttp's quotes the request, and is logged with it."""
        answer = web.json_response({"error": {"message": HTTPStatus(status).phrase, "code": status}}, status=status)
        answer.force_close()
        return answer

    def _count(self, address: str) -> None:
        if self._server.per_address is None:
            return
        self._address = address
        if not self._server.entered(address) and isinstance(self.transport, asyncio.Transport):
            self.transport.abort()

    def _wait_for_head(self) -> None:
        self._head = asyncio.get_running_loop().call_later(HEAD_SECONDS, self._cut)

    def _stop_waiting(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _cut(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class Server(web.Server):
    """Creates connections, and counts them per address.

    Args:
        handler: answers one request. It is cancelled when its client disconnects, and must not raise.
        per_address: maximum connections per address; None if a proxy in front replaces addresses.
    """

    def __init__(self, handler: Handler, *, per_address: int | None) -> None:
        super().__init__(self._serve, handler_cancellation=True)
        self._handler = handler
        self.per_address = per_address
        self._open: Counter[str] = Counter()

    def __call__(self) -> web.RequestHandler:
        """Make a connection."""
        return TimeoutHandler(
            self,
            loop=asyncio.get_running_loop(),
            access_log=None,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            # Further data after a rejection is read and discarded, so that the client reads the response.
            lingering_time=5.0,
            max_line_size=_LINE_BYTES,
            max_field_size=_LINE_BYTES,
            max_headers=_HEADERS,
            # A small body could decompress to a large one.
            auto_decompress=False,
        )

    def entered(self, address: str) -> bool:
        """Count a connection; return whether it is within the limit."""
        self._open[address] += 1
        return self.per_address is None or self._open[address] <= self.per_address

    def left(self, address: str) -> None:
        """Remove a connection from the count."""
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, TimeoutHandler)
        connection.began()
        try:
            return await self._handler(request)
        finally:
            connection.ended()


def _bound_unread(connected: socket.socket | None) -> None:
    option = getattr(socket, "TCP_USER_TIMEOUT", None)  # only on Linux
    if connected is not None and option is not None and connected.family in (socket.AF_INET, socket.AF_INET6):
        connected.setsockopt(socket.IPPROTO_TCP, option, UNREAD_SECONDS * 1000)
