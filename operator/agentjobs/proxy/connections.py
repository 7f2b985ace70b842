"""A connection whose client must get on with it: aiohttp's, which by itself waits an hour.

Any client that reaches the proxy's port may open connections before it says who it is. So each has a time for a
request's head, and an address has only so many of them. What a body and the reading of an answer may take is bounded
where they are read and written (server.py); what the kernel holds for a reader that is gone, by the socket itself.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

# From the connection, or from the first byte of a further request, to the end of its head.
HEAD_SECONDS: Final = 10.0
# Longer than the pools of the providers' clients keep a connection, 5 s of httpx: a client reuses one that is open.
KEEP_ALIVE_SECONDS: Final = 75.0
# Of one address. Each may hold 64 KiB that nobody has read yet, and what TLS needs. An agent's parallel calls have one
# each.
CONNECTIONS: Final = 256
# For how long bytes may stand unacknowledged before the kernel gives a client up.
UNREAD_SECONDS: Final = 60
# Of the request's line and of one header: a token is some 2 KB, Anthropic's list of betas some hundred bytes.
_LINE_BYTES: Final = 16 * 1024
_HEADERS: Final = 64

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Connection(web.RequestHandler):
    """One client's connection."""

    __slots__ = ("_address", "_head", "_server", "_serving")

    def __init__(self, server: "Server", **given: Any) -> None:
        super().__init__(server, **given)
        self._server = server
        self._serving = False
        self._head: asyncio.TimerHandle | None = None
        self._address: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
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
        """Forget the clock."""
        self._stop_waiting()
        if self._address is not None:
            self._server.left(self._address)
            self._address = None
        super().connection_lost(exc)

    def began(self) -> None:
        """Note that a request's head is there."""
        self._serving = True
        self._stop_waiting()

    def ended(self) -> None:
        """Note that its answer is written."""
        self._serving = False

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP, in words of ours: aiohttp's quote the request, and are logged with it."""
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
    """Makes connections, and knows how many each address has.

    Args:
        handler: answers one request. It is cancelled when its client hangs up, and must not raise.
        per_address: how many connections an address may have; None where something on the way replaces addresses.
    """

    def __init__(self, handler: Handler, *, per_address: int | None) -> None:
        super().__init__(self._serve, handler_cancellation=True)
        self._handler = handler
        self.per_address = per_address
        self._open: Counter[str] = Counter()

    def __call__(self) -> web.RequestHandler:
        """Make a connection."""
        return Connection(
            self,
            loop=asyncio.get_running_loop(),
            access_log=None,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            # What follows a refusal is read and dropped, so that the client reads it.
            lingering_time=5.0,
            max_line_size=_LINE_BYTES,
            max_field_size=_LINE_BYTES,
            max_headers=_HEADERS,
            # A small body could become a large one.
            auto_decompress=False,
        )

    def entered(self, address: str) -> bool:
        """Count a connection; tell whether there may be so many."""
        self._open[address] += 1
        return self.per_address is None or self._open[address] <= self.per_address

    def left(self, address: str) -> None:
        """Count one less."""
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.began()
        try:
            return await self._handler(request)
        finally:
            connection.ended()


def _bound_unread(connected: socket.socket | None) -> None:
    option = getattr(socket, "TCP_USER_TIMEOUT", None)  # Linux has it
    if connected is not None and option is not None and connected.family in (socket.AF_INET, socket.AF_INET6):
        connected.setsockopt(socket.IPPROTO_TCP, option, UNREAD_SECONDS * 1000)
