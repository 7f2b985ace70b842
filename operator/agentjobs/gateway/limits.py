"""Limits on request bodies and on requests in progress.

A Content-Length allows an early refusal, but the bytes are counted in any case, and never held beyond the limit. Five
limits keep one pod from blocking others: on its requests in progress and per second, on the bodies of one job, on the
bytes of all bodies in progress, and on concurrent writes. Claims and heartbeats are not subject to the last three.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, nullcontext
from typing import Final, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from agentjobs.bounded import Bounded
from agentjobs.capacity import Capacity, PerCaller
from agentjobs.errors import AgentJobsError
from agentjobs.gateway.bodies import parse
from agentjobs.history.versions import Piece
from agentjobs.problem import Problem, busy

Model = TypeVar("Model", bound=msgspec.Struct)

# If a server closes a connection while its client still sends, the connection is reset and the client never reads the
# 413. So the rest is read and dropped, within these limits, as nginx does (lingering_close).
LINGER_BYTES: Final = 64 * 1024 * 1024
LINGER_SECONDS: Final = 5.0
# A runner sends entries, steps and its result from separate threads, and requests that timed out may still run. Code
# that saves many artifacts at the same time gets 429 and tries again.
CONCURRENT_REQUESTS: Final = 4
# The rate of a pod in the long run and in a burst. A runner gathers entries while its last request is in progress.
REQUESTS_PER_SECOND: Final = 50.0
BURST: Final = 200.0
# A body counts as one more request for each of these bytes: 3 MiB a second in the long run.
REQUEST_BYTES: Final = 64 * 1024
# The same for requests that record steps. The burst lets an agent whose models and tools take no time run for seconds.
# Their bytes count more, so that a pod may send as many bytes in total.
STEPS_PER_SECOND: Final = 200.0
STEPS_BURST: Final = 1000.0
STEPS_BYTES: Final = 16 * 1024
# The number of pods whose buckets are kept; the least recently used are dropped first.
PODS: Final = 8192
# Eight of the largest results. Each is copied up to four times on its way into the database.
BODY_BYTES: Final = 32 * 1024 * 1024
# The part of it for kept files: four of the largest writes leave room and a connection for everything else.
FILE_BYTES: Final = 4 * 1024 * 1024
DATABASE_CONNECTIONS: Final = 12
"""The size of the connection pool. The three limits below share it; claims and heartbeats have the rest."""
CONCURRENT_WRITES: Final = 5
CONCURRENT_READS: Final = 3
CONCURRENT_STEP_READS: Final = 2
# Concurrent requests to the API server as callers: an action, a list of objects, a log. Each may hold some MiB.
CONCURRENT_CALLER_REQUESTS: Final = 16
# The rate at which refused actions of one user are recorded, in the long run and in a burst, so that a user without
# rights cannot fill the database. The log has all of them.
REFUSALS_PER_SECOND: Final = 1.0
REFUSALS: Final = 100.0
# How long a request waits for capacity. Runners give up after 15 s and try again.
WAIT_SECONDS: Final = 5.0
# The time limit of a body, and one more second for each of these bytes.
BODY_SECONDS: Final = 3.0
BODY_BYTES_PER_SECOND: Final = 512 * 1024
# How long a pod that was slower may send no body. Heartbeats are still accepted.
PENALTY_SECONDS: Final = 30.0
# Smaller bodies are parsed faster than a thread can take them.
INLINE_BYTES: Final = 16 * 1024


class Rates:
    """A token bucket for each caller.

    Args:
        clock: in seconds; must never go back.
        per_second: requests a second in the long run.
        burst: the size of the bucket.
        size: a body counts as one more request for each of these bytes.
        who: the kind of caller, for the message of the refusal.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        per_second: float = REQUESTS_PER_SECOND,
        burst: float = BURST,
        size: int = REQUEST_BYTES,
        who: str = "A pod",
    ) -> None:
        self._clock = clock
        self._who = who
        self._per_second = per_second
        self._burst = burst
        self._size = size
        self._buckets: Bounded[str, tuple[float, float]] = Bounded(PODS)

    def count(self, caller: str) -> None:
        """Count one request before it is served.

        Raises:
            Problem: 429 with `Retry-After` if the caller's bucket is empty.
        """
        self._keep(caller, self.check(caller) - 1)

    def check(self, caller: str) -> float:
        """Return how many requests the caller has left. Raises as `count`."""
        left = self._left(caller)
        if left < 1:
            message = f"{self._who} may send {self._per_second:.0f} such requests a second."
            raise busy(429, message, (1 - left) / self._per_second)
        return left

    def charge(self, caller: str, size: int) -> None:
        """Count the bytes of a body that has arrived, at the cost of later requests."""
        self._keep(caller, self._left(caller) - size / self._size)

    def penalize(self, caller: str) -> None:
        """Refuse what the caller sends for `PENALTY_SECONDS`."""
        self._keep(caller, -PENALTY_SECONDS * self._per_second)

    def _left(self, caller: str) -> float:
        left, then = self._buckets.get(caller) or (self._burst, 0.0)
        return min(self._burst, left + (self._clock() - then) * self._per_second)

    def _keep(self, caller: str, left: float) -> None:
        self._buckets.put(caller, (left, self._clock()))


class Intake:
    """Reads the bodies of runners within the limits and parses them in a thread. One per process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, timeout: float = WAIT_SECONDS) -> None:
        self.per_pod = PerCaller(CONCURRENT_REQUESTS)
        self.rates = Rates(clock)
        self.bodies = Rates(clock)
        self.artifacts = Rates(clock)
        self.files = Rates(clock)
        self.steps = Rates(clock, per_second=STEPS_PER_SECOND, burst=STEPS_BURST, size=STEPS_BYTES)
        self._timeout = timeout
        self._bytes = Capacity(BODY_BYTES, timeout=timeout)
        self._file_bytes = Capacity(FILE_BYTES, timeout=timeout)
        self._writes = Capacity(CONCURRENT_WRITES, timeout=timeout)
        self._lines: dict[str, Capacity] = {}
        # One thread: two would share the interpreter and hold twice as much memory.
        self._parser = ThreadPoolExecutor(max_workers=1, thread_name_prefix="parse")

    @asynccontextmanager
    async def body(
        self, request: Request, model: type[Model], limit: int, *, job: str, pod: str, rates: Rates | None = None
    ) -> AsyncIterator[Model]:
        """Yield a request's body as `model`, and hold its share of the limits until it is stored.

        A job has one body in progress; others wait unread.

        Args:
            rates: the rate at which a pod may send such bodies; `bodies` by default.

        Raises:
            Problem: as `read_body` and `parse`; 429 if the pod sent too much or too slowly, 503 if this process has no
            room for it in time.
        """
        async with self._taken(request, limit, job, pod, rates or self.bodies) as raw:
            parsed = await self._parsed(model, raw)
            del raw
            async with self._writes.taken():
                yield parsed

    @asynccontextmanager
    async def file(self, request: Request, limit: int, *, job: str, pod: str) -> AsyncIterator[bytes]:
        """Yield a request's body as bytes, and hold its share of the limits until it is stored.

        A job has one of them in progress, in addition to a `body`, so that steps do not wait for it. All together have
        `FILE_BYTES`.

        Raises:
            Problem: as `body`.
        """
        taken = self._taken(request, limit, f"{job}/files", pod, self.files, self._file_bytes)
        async with taken as raw, self._writes.taken():
            yield raw

    @asynccontextmanager
    async def _taken(
        self, request: Request, limit: int, line: str, pod: str, rates: Rates, room: Capacity | None = None
    ) -> AsyncIterator[bytes]:
        """Receive a body in its turn, and hold its bytes, also those of `room`."""
        rates.count(pod)
        size = min(announced(request) or limit, limit)
        try:
            async with self._line(line), room.taken(size) if room else nullcontext(), self._bytes.taken(size):
                received = [await _received(request, limit)]
                rates.charge(pod, len(received[0]))
                yield received.pop()  # the caller drops it as soon as possible
        except SlowBody:
            rates.penalize(pod)
            raise
        except LargeBody:
            rates.charge(pod, limit)
            await _drop_rest(request)  # without holding a share of the limits
            raise

    @asynccontextmanager
    async def pieces(
        self, request: Request, limit: int, size: int, *, job: str, pod: str
    ) -> AsyncIterator[AsyncIterator[Piece]]:
        """Yield a request's body in pieces of `size` bytes, and hold one of them at a time.

        The caller stores a piece before it takes the next one. A job has one such body in progress, in addition to a
        `body`, so that steps do not wait for it.

        Raises:
            Problem: as `body`, also while pieces are read.
        """
        self.artifacts.count(pod)
        try:
            async with (
                self._line(f"{job}/artifacts"),
                self._bytes.taken(2 * size),
                aclosing(self._pieces(request, limit, size, pod)) as pieces,
            ):
                yield pieces
        except SlowBody:
            self.artifacts.penalize(pod)
            raise
        except (LargeBody, AgentJobsError):
            await _drop_rest(request)
            raise

    async def _pieces(self, request: Request, limit: int, size: int, pod: str) -> AsyncGenerator[Piece, None]:
        piece, total = bytearray(), 0
        async for chunk in _chunks(request, limit):
            total += len(chunk)
            self.artifacts.charge(pod, len(chunk))
            if total > limit:
                raise _too_large(limit)
            piece += chunk
            while len(piece) > size:
                async with self._writes.taken():
                    yield Piece(bytes(piece[:size]), is_last=False)
                del piece[:size]
        async with self._writes.taken():
            yield Piece(bytes(piece), is_last=True)

    @asynccontextmanager
    async def _line(self, job: str) -> AsyncIterator[None]:
        line = self._lines.setdefault(job, Capacity(1, timeout=self._timeout))
        try:
            async with line.taken():
                yield
        finally:
            if line.idle and self._lines.get(job) is line:
                del self._lines[job]

    async def _parsed(self, model: type[Model], raw: bytes) -> Model:
        if len(raw) <= INLINE_BYTES:
            return parse(model, raw)
        return await asyncio.get_running_loop().run_in_executor(self._parser, parse, model, raw)


class SlowBody(Problem):
    """A body that arrived too slowly (408)."""


class LargeBody(Problem):
    """A body that is too large (413)."""


async def read_body(request: Request, limit: int) -> bytes:
    """Return the whole body, at most `limit` bytes of it.

    Raises:
        LargeBody: the body is larger; the message has the limit.
        SlowBody: the body took too long.
        Problem: 400 if the client disconnected.
    """
    try:
        return await _received(request, limit)
    except LargeBody:
        await _drop_rest(request)
        raise


async def _received(request: Request, limit: int) -> bytes:
    body = bytearray()
    stream = request.stream()
    seconds = BODY_SECONDS + limit / BODY_BYTES_PER_SECOND
    try:
        async with asyncio.timeout(seconds):
            refused = announced(request) > limit
            while not refused and (chunk := await anext(stream, None)) is not None:
                refused = len(body) + len(chunk) > limit
                if not refused:
                    body += chunk
    except TimeoutError:
        raise SlowBody(408, "BodyTooSlow", f"The body did not arrive within {seconds:g} s.") from None
    except ClientDisconnect:
        raise Problem(400, "BodyIncomplete", "The connection closed before the whole body arrived.") from None
    if refused:
        raise _too_large(limit)
    return bytes(body)


async def _chunks(request: Request, limit: int) -> AsyncIterator[bytes]:
    """Read the body as it arrives. The time that the caller takes for a chunk does not count."""
    if announced(request) > limit:
        raise _too_large(limit)
    stream, left = request.stream(), BODY_SECONDS + limit / BODY_BYTES_PER_SECOND
    while True:
        began = time.monotonic()
        try:
            async with asyncio.timeout(left):
                chunk = await anext(stream, None)
        except TimeoutError:
            raise SlowBody(408, "BodyTooSlow", "The body arrived too slowly.") from None
        except ClientDisconnect:
            raise Problem(400, "BodyIncomplete", "The connection closed before the whole body arrived.") from None
        if chunk is None:
            return
        left -= time.monotonic() - began
        yield chunk


def _too_large(limit: int) -> LargeBody:
    return LargeBody(413, "BodyTooLarge", f"The body is larger than the limit of {limit} bytes; send less.")


def announced(request: Request) -> int:
    """Return the Content-Length of a request, 0 without one."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() and len(length) < 19 else 0


async def _drop_rest(request: Request) -> None:
    dropped = 0
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            async for chunk in request.stream():
                dropped += len(chunk)
                if dropped > LINGER_BYTES:
                    return
    except (TimeoutError, ClientDisconnect):
        return
