"""Lines of a stream, of any length, because a watched object may exceed aiohttp's limit for a line."""

from collections.abc import AsyncIterator

import aiohttp


async def whole_lines(content: aiohttp.StreamReader) -> AsyncIterator[list[bytes]]:
    """Yield lists of the complete lines received so far, without line ends and empty lines."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        if found := [line for line in lines if line.strip()]:
            yield found
