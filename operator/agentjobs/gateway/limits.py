"""How much a caller may send, enforced while the bytes arrive.

A Content-Length is a promise, not a fact: it lets us refuse early, and the stream is counted all the same. Nothing
beyond the limit is ever held in memory.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import ClientDisconnect, Request

from agentjobs.gateway.problems import Problem

# A server that closes while its client still sends resets the connection, and the client never reads the 413. So what
# follows is read and dropped for a while, as nginx does (lingering_close); both bounds keep that from being an attack.
LINGER_BYTES: Final = 64 * 1024 * 1024
LINGER_SECONDS: Final = 5.0


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
