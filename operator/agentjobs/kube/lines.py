"""Lines of a stream, of any length: a watched object may be larger than aiohttp's limit for a line."""

from collections.abc import AsyncIterator

import aiohttp


async def whole_lines(content: aiohttp.StreamReader) -> AsyncIterator[list[bytes]]:
    """Yield the lines that are there, as many as have come, without their ends. Empty lines are left out."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        if found := [line for line in lines if line.strip()]:
            yield found
