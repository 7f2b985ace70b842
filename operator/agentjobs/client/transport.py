"""Runs operations: with blocking sockets (`Blocking`) or in an event loop (`Nonblocking`).

Everything without I/O is in connection.py; here is the I/O, once for each driver, and the loop that sends results back
into an operation.
"""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import AsyncExitStack, ExitStack, aclosing, closing
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpx

from agentjobs.client.connection import Endpoint
from agentjobs.client.effects import Emit, Listen, NextLine, Now, Operation, Send, Server, Sleep, Stream
from agentjobs.errors import AgentJobsError

T = TypeVar("T")

Endpoints = Callable[[Server], Endpoint]
"""Returns the server; called at the first request to it."""

# The same as for a normal response; reading has the caller's own limit.
_LISTEN_SECONDS: Final = 30.0


class Blocking:
    """Runs operations in the calling thread."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._stack = ExitStack()
        self._open: dict[Server, tuple[Endpoint, httpx.Client]] = {}

    def close(self) -> None:
        """Close all connections; the next operation opens new ones."""
        self._open.clear()
        self._stack.close()

    def run(self, operation: Operation[T]) -> T:
        """Run an operation to its end and return its value."""
        driving: Generator[Any, None, T] = self._drive(operation)
        while True:
            try:
                next(driving)
            except StopIteration as end:
                value: T = end.value
                return value

    def iterate(self, stream: Stream[T]) -> Iterator[T]:
        """Run a stream and yield what it emits; closing the iterator closes its connection."""
        yield from self._drive(stream)

    def _drive(self, operation: Generator[Any, Any, T]) -> Generator[Any, None, T]:
        outcome: Any = None
        error: AgentJobsError | None = None
        with closing(operation), ExitStack() as listening:
            lines: Iterator[str] = iter(())
            server = Server.CLUSTER
            while True:
                try:
                    effect = operation.throw(error) if error else operation.send(outcome)
                except StopIteration as end:
                    value: T = end.value
                    return value
                outcome = error = None
                try:
                    match effect:
                        case Emit(value=emitted):
                            yield emitted
                        case Listen():
                            listening.close()
                            server = effect.server
                            lines = self._listen(effect, listening)
                        case NextLine():
                            outcome = self._next(lines, server)
                        case _:
                            outcome = self.perform(effect)
                except AgentJobsError as raised:
                    error = raised

    def perform(self, effect: Send | Sleep | Now) -> Any:
        """Carry out an effect that needs no open stream, and return its result."""
        match effect:
            case Send():
                endpoint, http = self._connection(effect.server)
                with endpoint.explained():
                    response = http.send(http.build_request(**_request(effect), extensions=endpoint.extensions))
                return endpoint.bytes_of(response) if effect.raw else endpoint.answered(response)
            case Sleep(seconds):
                return time.sleep(seconds)
            case Now():
                return time.monotonic()

    def _listen(self, effect: Listen, stack: ExitStack) -> Iterator[str]:
        endpoint, http = self._connection(effect.server)
        with endpoint.explained(quiet=True):
            response = stack.enter_context(http.stream("GET", **_stream(effect), extensions=endpoint.extensions))
            if not response.is_success:
                response.read()
                endpoint.answered(response)
            return _lines(response)
        return iter(())

    def _next(self, lines: Iterator[str], server: Server) -> str | None:
        endpoint, _ = self._connection(server)
        with endpoint.explained(quiet=True):
            return next(lines, None)
        return None

    def _connection(self, server: Server) -> tuple[Endpoint, httpx.Client]:
        if server not in self._open:
            endpoint = self._endpoints(server)
            self._open[server] = endpoint, self._stack.enter_context(httpx.Client(**endpoint.options()))
        return self._open[server]


@dataclass(frozen=True, slots=True)
class _Ended:
    value: Any


class Nonblocking:
    """Runs operations in the current event loop; blocking calls (exec plugins) run in a thread."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._stack = AsyncExitStack()
        self._open: dict[Server, tuple[Endpoint, httpx.AsyncClient]] = {}

    async def close(self) -> None:
        """Close all connections; the next operation opens new ones."""
        self._open.clear()
        await self._stack.aclose()

    async def run(self, operation: Operation[T]) -> T:
        """Run an operation to its end and return its value."""
        async with aclosing(self._drive(operation)) as driving:
            async for item in driving:
                if isinstance(item, _Ended):
                    value: T = item.value
                    return value
        raise AssertionError("an operation must return a value")

    async def iterate(self, stream: Stream[T]) -> AsyncGenerator[T]:
        """Run a stream and yield what it emits; closing the iterator closes its connection."""
        async with aclosing(self._drive(stream)) as driving:
            async for item in driving:
                if not isinstance(item, _Ended):
                    yield item

    async def _drive(self, operation: Generator[Any, Any, Any]) -> AsyncGenerator[Any]:
        outcome: Any = None
        error: AgentJobsError | None = None
        with closing(operation):
            async with AsyncExitStack() as listening:
                lines: AsyncIterator[str] = _nothing()
                server = Server.CLUSTER
                while True:
                    try:
                        effect = operation.throw(error) if error else operation.send(outcome)
                    except StopIteration as end:
                        yield _Ended(end.value)
                        return
                    outcome = error = None
                    try:
                        match effect:
                            case Emit(value=emitted):
                                yield emitted
                            case Listen():
                                await listening.aclose()
                                server = effect.server
                                lines = await self._listen(effect, listening)
                            case NextLine():
                                outcome = await self._next(lines, server)
                            case _:
                                outcome = await self.perform(effect)
                    except AgentJobsError as raised:
                        error = raised

    async def perform(self, effect: Send | Sleep | Now) -> Any:
        """Carry out an effect that needs no open stream, and return its result."""
        import asyncio  # not needed by the command line, which must start quickly

        match effect:
            case Send():
                endpoint, http = await self._connection(effect.server)
                with endpoint.explained():
                    response = await http.send(http.build_request(**_request(effect), extensions=endpoint.extensions))
                return endpoint.bytes_of(response) if effect.raw else endpoint.answered(response)
            case Sleep(seconds):
                return await asyncio.sleep(seconds)
            case Now():
                return asyncio.get_running_loop().time()

    async def _listen(self, effect: Listen, stack: AsyncExitStack) -> AsyncIterator[str]:
        endpoint, http = await self._connection(effect.server)
        with endpoint.explained(quiet=True):
            response = await stack.enter_async_context(
                http.stream("GET", **_stream(effect), extensions=endpoint.extensions)
            )
            if not response.is_success:
                await response.aread()
                endpoint.answered(response)
            return _async_lines(response)
        return _nothing()

    async def _next(self, lines: AsyncIterator[str], server: Server) -> str | None:
        endpoint, _ = await self._connection(server)
        with endpoint.explained(quiet=True):
            return await anext(lines, None)
        return None

    async def _connection(self, server: Server) -> tuple[Endpoint, httpx.AsyncClient]:
        import asyncio

        if server not in self._open:
            endpoint = await asyncio.to_thread(self._endpoints, server)
            if server not in self._open:  # another task may have opened it meanwhile
                http = await self._stack.enter_async_context(httpx.AsyncClient(**endpoint.options()))
                self._open[server] = endpoint, http
        return self._open[server]


def _request(effect: Send) -> dict[str, Any]:
    headers = {"Accept": effect.accept} | ({} if effect.body is None else {"Content-Type": effect.content_type})
    content = None if effect.body is None else json.dumps(effect.body).encode()
    return {
        "method": effect.method,
        "url": effect.path,
        "content": content,
        "params": dict(effect.params),
        "headers": headers,
    }


def _stream(effect: Listen) -> dict[str, Any]:
    return {
        "url": effect.path,
        "params": dict(effect.params),
        "headers": {"Accept": effect.accept, **effect.headers},
        "timeout": httpx.Timeout(_LISTEN_SECONDS, connect=10.0, read=effect.seconds),
    }


# Not httpx's own: it also splits at characters such as U+0085, which JSON allows in strings.
def _lines(response: httpx.Response) -> Iterator[str]:
    rest = b""
    for chunk in response.iter_bytes():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace")
    if rest:
        yield rest.decode("utf-8", "replace")


async def _async_lines(response: httpx.Response) -> AsyncIterator[str]:
    rest = b""
    async for chunk in response.aiter_bytes():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace")
    if rest:
        yield rest.decode("utf-8", "replace")


async def _nothing() -> AsyncIterator[str]:
    return
    yield ""
