"""A sink on this machine that answers as a test wants, and checks signatures by itself."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def status(code: int, *headers: str) -> bytes:
    """An empty answer."""
    lines = [f"HTTP/1.1 {code} Because", "Content-Length: 0", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


@dataclass
class Request:
    """What a sink was sent."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> Any:
        return json.loads(self.body)

    @property
    def is_signed(self) -> bool:
        """Whether it has the signature of Standard Webhooks, made here from its specification."""
        signed = b".".join([self.headers["webhook-id"].encode(), self.headers["webhook-timestamp"].encode(), self.body])
        secret = base64.b64decode(KEY.removeprefix("whsec_"))
        wanted = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
        given = [one.split(",", 1) for one in self.headers["webhook-signature"].split(" ")]
        return ["v1", wanted] in given


@dataclass
class Sink:
    """A sink. `answers` are what the next requests get, then `OK`; a number of seconds before it is a pause."""

    url: str = ""
    answers: list[Any] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    always: Any = OK

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                self.requests.append(await _read(reader))
                answer = self.answers.pop(0) if self.answers else self.always
                if not await _write(writer, answer):
                    break
        writer.close()

    @property
    def told(self) -> list[str]:
        """The events, in the order in which they came."""
        return [request.event["type"].rpartition(".")[2] for request in self.requests]


async def _read(reader: asyncio.StreamReader) -> Request:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(first.split(" ")[1], headers, body)


async def _write(writer: asyncio.StreamWriter, answer: Any) -> bool:
    """Answer; False to close the connection."""
    match answer:
        case bytes():
            writer.write(answer)
            await writer.drain()
            return True
        case "cut":
            return False
        case "hang":
            await asyncio.sleep(3600)
        case "half":
            writer.write(b"HTTP/1.1 200 OK\r\nConte")
            await writer.drain()
            return False
        case "slow":
            for piece in (b"HTTP/1.1 ", b"200 OK\r\n", b"Content-Length: 2\r\n", b"\r\n", b"ok"):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.05)
            return True
        case "endless":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n")
            for _ in range(160):
                writer.write(b"x" * 65536)
                await writer.drain()
            return True
    return False


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    """A sink that listens."""
    found = Sink()
    connected: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connected.add(task)
        try:
            await found.serve(reader, writer)
        except asyncio.CancelledError:
            writer.close()
        finally:
            connected.discard(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    yield found
    server.close()
    for task in list(connected):
        task.cancel()
    await asyncio.gather(*connected, return_exceptions=True)


@pytest.fixture
def sinks_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a sinks file: `sinks_file(chat={"url": …})`; each is signed with `KEY` unless it says otherwise."""
    (tmp_path / "key").write_text(KEY)

    def write(**sinks: dict[str, Any]) -> Path:
        entries = [{"name": name, "signingKeyFile": str(tmp_path / "key"), **more} for name, more in sinks.items()]
        (tmp_path / "sinks.yaml").write_text(json.dumps({"sinks": entries}))
        return tmp_path / "sinks.yaml"

    return write
