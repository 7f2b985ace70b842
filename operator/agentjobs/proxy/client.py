"""The client of one request: what it sends, within bounds, and where its answer goes."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from agentjobs.capacity import Capacity
from agentjobs.problem import Problem

# Of all bodies that wait to be sent, in one process. A large prompt is some megabytes.
BODY_BYTES: Final = 256 * 1024 * 1024
# Until so many bytes are free.
CAPACITY_SECONDS: Final = 10.0
# A body has this long, and a second more for each so many bytes.
BODY_SECONDS: Final = 10.0
BODY_BYTES_A_SECOND: Final = 256 * 1024
# One piece of an answer must have left for its reader in this time.
WRITE_SECONDS: Final = 60.0


class Client:
    """Who sent a request, and waits for its answer.

    Args:
        request: as aiohttp has it.
        bodies: bounds the bytes of all bodies that are held.
    """

    def __init__(self, request: web.BaseRequest, *, bodies: Capacity) -> None:
        self._request = request
        self._bodies = bodies
        self._answer: web.StreamResponse | None = None
        self.method = request.method
        self.path, _, self.query = request.raw_path.partition("?")
        """As they were sent."""
        self.headers: Mapping[str, str] = request.headers
        self.parameters: Mapping[str, str] = request.query
        """The query, decoded."""
        self.address: str | None = request.remote

    @property
    def answer(self) -> web.StreamResponse | None:
        """What was answered, None while nothing was: then anything still can be."""
        return self._answer

    @asynccontextmanager
    async def body(self, most: int) -> AsyncIterator[bytes]:
        """Give the whole body, and hold its share of this process's memory for the length of a `with` block.

        Args:
            most: bytes it may have.

        Raises:
            Problem: 413 when it is larger, 408 when it did not come in time, 503 when there is no room for it.
        """
        announced = self._request.content_length
        if announced is not None and announced > most:
            raise _too_large(most)
        async with self._bodies.taken(min(most if announced is None else announced, BODY_BYTES)):
            yield await self._received(most)

    async def _received(self, most: int) -> bytes:
        body = bytearray()
        seconds = BODY_SECONDS + most / BODY_BYTES_A_SECOND
        try:
            async with asyncio.timeout(seconds):
                async for piece in self._request.content.iter_any():
                    body += piece
                    if len(body) > most:
                        raise _too_large(most)
        except TimeoutError:
            raise Problem(408, "BodyTooSlow", f"The body did not come within {seconds:g} s.") from None
        except web.RequestPayloadError:
            raise Problem(400, "BadRequest", "The body is not framed as its headers say.") from None
        return bytes(body)

    async def begin(self, status: int, headers: Mapping[str, str], *, streamed: bool = False) -> None:
        """Begin an answer. Its head leaves with the first piece of the body, that of a stream at once."""
        kind = web.StreamResponse if streamed else _InOnePiece
        answer = kind(status=status, headers={**headers, "Server": "agentjobs"})
        if not self._request.content.is_eof():
            answer.force_close()
        self._answer = answer
        await answer.prepare(self._request)

    async def write(self, piece: bytes) -> None:
        """Send a piece of the body; waits while the client does not read.

        Raises:
            TimeoutError: it has not read for a while.
        """
        assert self._answer is not None
        if piece:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._answer.write(piece)

    async def end(self) -> None:
        """End the answer: it is whole. Raises as `write`."""
        assert self._answer is not None
        async with asyncio.timeout(WRITE_SECONDS):
            await self._answer.write_eof()

    def cut(self) -> None:
        """End the connection, so that nobody takes what came for a whole answer."""
        if self._request.transport is not None:
            self._request.transport.abort()


class _InOnePiece(web.StreamResponse):
    """As aiohttp does it for answers that it has in one piece: one packet, for which a client wakes up once."""

    _send_headers_immediately = False


def _too_large(most: int) -> Problem:
    return Problem(413, "BodyTooLarge", f"The body is larger than {most} bytes, the limit here; send less.")
