"""How much a caller may send, enforced while the bytes arrive, and how much of it at once.

A Content-Length is a promise, not a fact: it lets us refuse early, and the stream is counted all the same. Nothing
beyond the limit is ever held in memory.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

from starlette.requests import ClientDisconnect, Request

from agentjobs.gateway.problems import Problem

# A server that closes while its client still sends resets the connection, and the client never reads the 413. So what
# follows is read and dropped for a while, as nginx does (lingering_close); both bounds keep that from being an attack.
LINGER_BYTES: Final = 64 * 1024 * 1024
LINGER_SECONDS: Final = 5.0
# A runner sends from two threads, one request each; what it gave up waiting for may still be under way.
REQUESTS_AT_ONCE: Final = 4


class Turns:
    """How many requests of one caller are under way, so that none takes all memory and connections of the database."""

    def __init__(self, limit: int = REQUESTS_AT_ONCE) -> None:
        self._limit = limit
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, caller: str) -> Iterator[None]:
        """Take a turn for the length of a `with` block.

        Raises:
            Problem: 429 when the caller has as many as there are.
        """
        if self._taken[caller] >= self._limit:
            message = f"{self._limit} requests of this runner are under way; wait for their answers."
            raise Problem(429, "TooManyRequests", message, headers={"Retry-After": "1"})
        self._taken[caller] += 1
        try:
            yield
        finally:
            self._taken[caller] -= 1
            if not self._taken[caller]:
                del self._taken[caller]


async def read_body(request: Request, limit: int) -> bytes:
    """Return the whole body, at most `limit` bytes of it.

    Raises:
        Problem: 413 with the limit in its message when there is more; 400 when the caller hung up half way.
    """
    body = bytearray()
    stream = request.stream()
    try:
        refused = _announced(request) > limit
        while not refused and (chunk := await anext(stream, None)) is not None:
            refused = len(body) + len(chunk) > limit
            if not refused:
                body += chunk
        if refused:
            await _drop_rest(stream)
            raise Problem(413, "BodyTooLarge", f"The body is larger than {limit} bytes, the limit here; send less.")
    except ClientDisconnect:
        raise Problem(400, "BodyIncomplete", "The connection closed before the whole body arrived.") from None
    return bytes(body)


def _announced(request: Request) -> int:
    length = request.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() and len(length) < 19 else 0


async def _drop_rest(stream: AsyncIterator[bytes]) -> None:
    dropped = 0
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            async for chunk in stream:
                dropped += len(chunk)
                if dropped > LINGER_BYTES:
                    return
    except TimeoutError:
        return
