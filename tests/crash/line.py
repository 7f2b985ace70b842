"""A connection to the gateway that can be cut: between what it stored and its answer, or for a while."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit


class Line:
    """Carries requests to a gateway. Made by `line`."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self.url = ""
        self.losing: dict[str, int] = {}
        """How many answers to requests that begin so are lost, `POST /v1/attempt/steps`."""
        self.lost: list[str] = []
        self.is_down = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        if self.is_down:
            writer.transport.abort()
            return
        theirs, ours = await asyncio.open_connection(self._host, self._port)
        asked: list[str] = []
        pumps = [self._requests(reader, ours, asked), self._answers(theirs, writer, asked)]
        with contextlib.suppress(ConnectionError):
            await asyncio.wait([asyncio.create_task(one) for one in pumps], return_when=asyncio.FIRST_COMPLETED)
        ours.transport.abort()
        writer.transport.abort()

    async def _requests(self, reader: asyncio.StreamReader, ours: asyncio.StreamWriter, asked: list[str]) -> None:
        while chunk := await _read(reader):
            if chunk.startswith((b"GET ", b"POST ", b"PUT ")):
                asked.append(chunk.partition(b" HTTP/")[0].decode())
            if self.is_down:
                return
            ours.write(chunk)

    async def _answers(self, theirs: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: list[str]) -> None:
        while chunk := await _read(theirs):
            for request, left in self.losing.items():
                if left and asked[-1].startswith(request):
                    self.losing[request] -= 1
                    self.lost.append(asked[-1])
                    return
            writer.write(chunk)


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(1 << 16)
    except ConnectionError:
        return b""


@contextlib.asynccontextmanager
async def line(url: str) -> AsyncIterator[Line]:
    """A line to the gateway at `url`, for the length of a `with` block."""
    target = urlsplit(url)
    carried = Line(target.hostname or "", target.port or 0)
    server = await asyncio.start_server(carried.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    carried.url = f"http://{host}:{port}"
    try:
        yield carried
    finally:
        server.close()
