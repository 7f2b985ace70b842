"""The client of one request: reads its body, within limits, and sends its answer."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from agentjobs.capacity import Capacity
from agentjobs.problem import Problem

# Total size of all bodies held by one process. A large prompt has a few megabytes.
BODY_BYTES: Final = 256 * 1024 * 1024
# How long to wait for free memory.
CAPACITY_SECONDS: Final = 10.0
# Time limit for a body, plus a second per this number of bytes.
BODY_SECONDS: Final = 10.0
BODY_BYTES_PER_SECOND: Final = 256 * 1024
# Time limit for sending one piece of an answer.
WRITE_SECONDS: Final = 60.0


class Client:
    """The sender of a request, who waits for its answer.

    Args:
        request: aiohttp's.
        bodies: limits the total size of all bodies held.
    """

    def __init__(self, request: web.BaseRequest, *, bodies: Capacity) -> None:
        self._request = request
        self._bodies = bodies
        self._answer: web.StreamResponse | None = None
        self.method = request.method
        self.path, _, self.query = request.raw_path.partition("?")
        """The headers as sent."""
        self.headers: Mapping[str, str] = request.headers
        self.parameters: Mapping[str, str] = request.query
        """The query, decoded."""
        self.address: str | None = request.remote

    @property
    def answer(self) -> web.StreamResponse | None:
        """The response, None before one was sent: then any response is still possible."""
        return self._answer

    @asynccontextmanager
    async def body(self, most: int) -> AsyncIterator[bytes]:
        """Read the whole body, and hold its share of the memory limit for the length of a `with` block.

        Args:
            most: maximum size in bytes.

        Raises:
            Problem: 413 if it is too large, 408 if it is too slow, 503 if there is no memory for it.
        """
        announced = self._request.content_length
        if announced is not None and announced > most:
            raise _too_large(most)
        async with self._bodies.taken(min(most if announced is None else announced, BODY_BYTES)):
            yield await self._received(most)

    async def _received(self, most: int) -> bytes:
        body = bytearray()
        seconds = BODY_SECONDS + most / BODY_BYTES_PER_SECOND
        try:
            async with asyncio.timeout(seconds):
                async for piece in self._request.content.iter_any():
                    body += piece
                    if len(body) > most:
                        raise _too_large(most)
        except TimeoutError:
            raise Problem(408, "BodyTooSlow", f"The body did not come within {seconds:g} s.") from None
        except web.RequestPayloadError:
            raise Problem(400, "BadRequest", "The body does not match its headers.") from None
        return bytes(body)

    async def begin(self, status: int, headers: Mapping[str, str], *, streamed: bool = False) -> None:
        """Begin a response. Its head is sent with the first piece of the body, for a stream immediately."""
        kind = web.StreamResponse if streamed else _InOnePiece
        answer = kind(status=status, headers={**headers, "Server": "agentjobs"})
        if not self._request.content.is_eof():
            answer.force_close()
        self._answer = answer
        await answer.prepare(self._request)

    async def write(self, piece: bytes) -> None:
        """Send a piece of the body; waits while the client does not read.

        Raises:
            TimeoutError: the client has not read for too long.
        """
        assert self._answer is not None
        if piece:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._answer.write(piece)

    async def end(self) -> None:
        """End a complete response. Raises as `write`."""
        assert self._answer is not None
        async with asyncio.timeout(WRITE_SECONDS):
            await self._answer.write_eof()

    def cut(self) -> None:
        """Cut the connection, so that the client does not consider the response complete."""
        if self._request.transport is not None:
            self._request.transport.abort()


class _InOnePiece(web.StreamResponse):
    """Send a complete response as one packet, as aiohttp does, so that the client wakes up once."""

    _send_headers_immediately = False


def _too_large(most: int) -> Problem:
    return Problem(413, "BodyTooLarge", f"The body is larger than {most} bytes, the limit; send less.")
