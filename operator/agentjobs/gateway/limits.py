"""How much a caller may send, enforced while the bytes arrive, and how much of it at once.

A Content-Length is a promise, not a fact: it lets us refuse early, and the stream is counted all the same. Nothing
beyond the limit is ever held in memory. Five bounds keep one pod from stopping the others: on the requests of a pod,
under way and by the second, on the bodies of a job, on the bytes of all bodies under way, and on how many of them are
written at once. Claims and heartbeats need none of the last three, so they get through whatever bodies are under way.
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

# A server that closes while its client still sends resets the connection, and the client never reads the 413. So what
# follows is read and dropped for a while, as nginx does (lingering_close); both bounds keep that from being an attack.
LINGER_BYTES: Final = 64 * 1024 * 1024
LINGER_SECONDS: Final = 5.0
# A runner sends entries, steps and its result from a thread each; what it gave up waiting for may still be under way.
# Code that saves many artifacts at once is told to wait, and tries again.
REQUESTS_AT_ONCE: Final = 4
# Of a pod, in the long run and in a burst. A runner sends what has gathered while its last request was under way.
REQUESTS_A_SECOND: Final = 50.0
BURST: Final = 200.0
# A body counts as one request more for each so many bytes: 3 MiB a second in the long run.
REQUEST_BYTES: Final = 64 * 1024
# The same of requests that record steps, which wait for nothing but each other: of an agent whose models and tools take
# no time, for some seconds. Their bytes count for more, so that a pod gets as many of them.
STEPS_A_SECOND: Final = 200.0
STEPS_BURST: Final = 1000.0
STEPS_BYTES: Final = 16 * 1024
# Buckets are remembered of so many pods; the least recently used leave first.
PODS: Final = 8192
# Eight of the largest results. Each is held up to four times on its way into the database.
BODY_BYTES: Final = 32 * 1024 * 1024
# Of those, what writes of kept files take at most: four of the largest leave room and a connection to all others.
FILE_BYTES: Final = 4 * 1024 * 1024
DATABASE_CONNECTIONS: Final = 12
"""Of the database's pool. The three below are bounds on who takes them; claims and heartbeats have the rest."""
WRITES_AT_ONCE: Final = 5
READS_AT_ONCE: Final = 3
STEP_READS_AT_ONCE: Final = 2
# Requests that the API server is asked for as who calls: an action, a list of objects, a log. Each may hold some MiB.
AS_CALLERS_AT_ONCE: Final = 16
# Actions of one user that were refused and are kept, in the long run and at once: who may do nothing must not fill the
# database. The log has all.
REFUSALS_A_SECOND: Final = 1.0
REFUSALS: Final = 100.0
# A runner asks again by itself; below the 15 s after which it gives up.
PATIENCE_SECONDS: Final = 5.0
# A body has this long, and a second more for each so many bytes.
BODY_SECONDS: Final = 3.0
BODY_BYTES_A_SECOND: Final = 512 * 1024
# Who was slower than that, and held what others waited for, sends no body for so long. It may beat: it lives.
PENALTY_SECONDS: Final = 30.0
# Smaller bodies are read in less time than a thread takes to hear of them.
INLINE_BYTES: Final = 16 * 1024


class Rates:
    """How often each caller may ask: a bucket of requests that fills again by the second.

    Args:
        clock: in seconds; must never go back.
        a_second: requests, in the long run.
        burst: requests at once, of a caller that was quiet before.
        size: a body counts as one request more for each so many bytes.
        who: may ask so often, for the refusal.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        a_second: float = REQUESTS_A_SECOND,
        burst: float = BURST,
        size: int = REQUEST_BYTES,
        who: str = "A pod",
    ) -> None:
        self._clock = clock
        self._who = who
        self._a_second = a_second
        self._burst = burst
        self._size = size
        self._buckets: Bounded[str, tuple[float, float]] = Bounded(PODS)

    def count(self, caller: str) -> None:
        """Count one request that is still to be served.

        Raises:
            Problem: 429 when the caller's bucket is empty; `Retry-After` says when it is not any more.
        """
        self._keep(caller, self.check(caller) - 1)

    def check(self, caller: str) -> float:
        """Return how many requests the caller has left. Raises as `count`."""
        left = self._left(caller)
        if left < 1:
            said = f"{self._who} may send {self._a_second:.0f} such requests a second."
            raise busy(429, said, (1 - left) / self._a_second)
        return left

    def charge(self, caller: str, size: int) -> None:
        """Count the bytes of a body that came; those that come later pay for it."""
        self._keep(caller, self._left(caller) - size / self._size)

    def punish(self, caller: str) -> None:
        """Refuse what the caller sends for `PENALTY_SECONDS`."""
        self._keep(caller, -PENALTY_SECONDS * self._a_second)

    def _left(self, caller: str) -> float:
        left, then = self._buckets.get(caller) or (self._burst, 0.0)
        return min(self._burst, left + (self._clock() - then) * self._a_second)

    def _keep(self, caller: str, left: float) -> None:
        self._buckets.put(caller, (left, self._clock()))


class Intake:
    """Takes in what runners send: reads bodies within the bounds and parses them off the loop. One per process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, patience: float = PATIENCE_SECONDS) -> None:
        self.per_pod = PerCaller(REQUESTS_AT_ONCE)
        self.rates = Rates(clock)
        self.bodies = Rates(clock)
        self.artifacts = Rates(clock)
        self.files = Rates(clock)
        self.steps = Rates(clock, a_second=STEPS_A_SECOND, burst=STEPS_BURST, size=STEPS_BYTES)
        self._patience = patience
        self._bytes = Capacity(BODY_BYTES, patience=patience)
        self._file_bytes = Capacity(FILE_BYTES, patience=patience)
        self._writes = Capacity(WRITES_AT_ONCE, patience=patience)
        self._lines: dict[str, Capacity] = {}
        # One: two would take turns at the interpreter all the same, and hold twice as much.
        self._parser = ThreadPoolExecutor(max_workers=1, thread_name_prefix="parse")

    @asynccontextmanager
    async def body(
        self, request: Request, model: type[Model], limit: int, *, job: str, pod: str, rates: Rates | None = None
    ) -> AsyncIterator[Model]:
        """Give a request's body as `model`, and hold what it takes until it is stored.

        A job has one body under way; its others wait unread.

        Args:
            rates: how often a pod may send such a body; `bodies` unless it is given.

        Raises:
            Problem: as `read_body` and `parse`; 429 for a pod that sent too much or too slowly, 503 when this process
            has no room for it in time.
        """
        async with self._taken(request, limit, job, pod, rates or self.bodies) as raw:
            parsed = await self._parsed(model, raw)
            del raw
            async with self._writes.taken():
                yield parsed

    @asynccontextmanager
    async def file(self, request: Request, limit: int, *, job: str, pod: str) -> AsyncIterator[bytes]:
        """Give a request's body as it is, and hold what it takes until it is stored.

        A job has one under way, beside a `body`: no step waits for it. All of them together have `FILE_BYTES`.

        Raises:
            Problem: as `body`.
        """
        asked = self._taken(request, limit, f"{job}/files", pod, self.files, self._file_bytes)
        async with asked as raw, self._writes.taken():
            yield raw

    @asynccontextmanager
    async def _taken(
        self, request: Request, limit: int, line: str, pod: str, rates: Rates, room: Capacity | None = None
    ) -> AsyncIterator[bytes]:
        """Receive a body in its line, and hold its bytes, also of `room`."""
        rates.count(pod)
        size = min(announced(request) or limit, limit)
        try:
            async with self._line(line), room.taken(size) if room else nullcontext(), self._bytes.taken(size):
                received = [await _received(request, limit)]
                rates.charge(pod, len(received[0]))
                yield received.pop()  # who takes it lets it go as soon as it can
        except SlowBody:
            rates.punish(pod)
            raise
        except LargeBody:
            rates.charge(pod, limit)
            await _drop_rest(request)  # holding nothing that others wait for
            raise

    @asynccontextmanager
    async def pieces(
        self, request: Request, limit: int, size: int, *, job: str, pod: str
    ) -> AsyncIterator[AsyncIterator[Piece]]:
        """Give a request's body in pieces of `size` bytes, and hold one of them at a time.

        Its user stores a piece before it asks for the next one. A job has one under way, beside a `body`: no step waits
        for it.

        Raises:
            Problem: as `body`, also while the pieces are taken.
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
            self.artifacts.punish(pod)
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
        line = self._lines.setdefault(job, Capacity(1, patience=self._patience))
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
    """A body that came too slowly (408)."""


class LargeBody(Problem):
    """A body that is larger than it may be (413)."""


async def read_body(request: Request, limit: int) -> bytes:
    """Return the whole body, at most `limit` bytes of it.

    Raises:
        LargeBody: there is more; the message has the limit.
        SlowBody: it took too long.
        Problem: 400 when the caller hung up half way.
    """
    try:
        return await _received(request, limit)
    except LargeBody:
        await _drop_rest(request)
        raise


async def _received(request: Request, limit: int) -> bytes:
    body = bytearray()
    stream = request.stream()
    seconds = BODY_SECONDS + limit / BODY_BYTES_A_SECOND
    try:
        async with asyncio.timeout(seconds):
            refused = announced(request) > limit
            while not refused and (chunk := await anext(stream, None)) is not None:
                refused = len(body) + len(chunk) > limit
                if not refused:
                    body += chunk
    except TimeoutError:
        raise SlowBody(408, "BodyTooSlow", f"The body did not come within {seconds:g} s.") from None
    except ClientDisconnect:
        raise Problem(400, "BodyIncomplete", "The connection closed before the whole body arrived.") from None
    if refused:
        raise _too_large(limit)
    return bytes(body)


async def _chunks(request: Request, limit: int) -> AsyncIterator[bytes]:
    """Read the body as it comes. The time that its user takes for a chunk is not the sender's."""
    if announced(request) > limit:
        raise _too_large(limit)
    stream, left = request.stream(), BODY_SECONDS + limit / BODY_BYTES_A_SECOND
    while True:
        began = time.monotonic()
        try:
            async with asyncio.timeout(left):
                chunk = await anext(stream, None)
        except TimeoutError:
            raise SlowBody(408, "BodyTooSlow", "The body came too slowly.") from None
        except ClientDisconnect:
            raise Problem(400, "BodyIncomplete", "The connection closed before the whole body arrived.") from None
        if chunk is None:
            return
        left -= time.monotonic() - began
        yield chunk


def _too_large(limit: int) -> LargeBody:
    return LargeBody(413, "BodyTooLarge", f"The body is larger than {limit} bytes, the limit here; send less.")


def announced(request: Request) -> int:
    """Return how many bytes a request says that its body has, 0 when it does not say."""
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
