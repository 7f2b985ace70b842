"""Live pages: streams of server-sent events that report that something changed, without the new content.

The client then requests the content again with its own rights. The stream checks rights when it opens and while it is
open. It ends before the connection would be closed; the browser connects again with the id of the last event.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from agentjobs import errors
from agentjobs.auth import User
from agentjobs.gateway.changes import Interest, Listener
from agentjobs.gateway.rights import MAX_NAMESPACES, authenticate, authorize, scope_of
from agentjobs.gateway.services import Services, services_of
from agentjobs.problem import Problem

SEND_SECONDS: Final = 10.0
"""A client that does not take an event in this time is disconnected."""
_ENCODER: Final = msgspec.json.Encoder()
_RETRY: Final = b"retry: 1000\n"
_JOB: Final = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"
_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "Events `change` and `away`.", "content": {"text/event-stream": {}}}
}

router = APIRouter(tags=["changes"])


class EventStream(Response):
    """A response that continues until its events end, or its client disconnects or stops reading."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes, None], status_code: int = 200) -> None:
        super().__init__(status_code=status_code, headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        sending = asyncio.ensure_future(self._send_events(send))
        disconnected = asyncio.ensure_future(_until_disconnected(receive))
        try:
            await asyncio.wait({sending, disconnected}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in (sending, disconnected):
                each.cancel()
            await asyncio.gather(sending, disconnected, return_exceptions=True)
        if not sending.cancelled() and (error := sending.exception()):
            raise error

    async def _send_events(self, send: Send) -> None:
        async with aclosing(self._events) as events:
            begun = False
            async for event in events:
                if not begun:  # a refusal comes instead of the first event
                    begun = True
                    start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
                    await send(start)
                if not await _is_taken(send, event):
                    return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@router.get("/v1/changes", response_class=EventStream, responses=_RESPONSES)
async def watch_changes(
    request: Request,
    namespace: Annotated[
        list[str] | None,
        Query(max_length=MAX_NAMESPACES, description="Only these namespaces; by default all that the caller may read."),
    ] = None,
    job: Annotated[
        str | None,
        Query(max_length=317, pattern=_JOB, description="Only of this job, `namespace/name` or `namespace/uid`."),
    ] = None,
    every: Annotated[
        float, Query(ge=1, le=60, allow_inf_nan=False, description="The shortest time between two events, in seconds.")
    ] = 2,
    last_event_id: Annotated[
        str | None, Header(max_length=100, description="The id of the last event of the previous stream.")
    ] = None,
) -> EventStream:
    """Stream changes of jobs as server-sent events `change` and `away`, for a minute or two."""
    services, user = services_of(request), await authenticate(request)

    async def interest() -> Interest:
        return await _interest(request, namespace, job)

    about = await interest()
    if job:
        about = await _found(services, about)
    stream = Stream(services, user, about, interest, every=every, last=last_event_id)
    return EventStream(stream.events())


async def _interest(request: Request, namespace: list[str] | None, job: str | None) -> Interest:
    if not job:
        return Interest(await scope_of(request, namespace))
    if namespace:
        raise Problem(400, "BadRequest", "Use either `namespace` or `job`, not both.")
    where, _, name = job.partition("/")
    await authorize(request, "get", namespace=where, name=name)
    return Interest((where,), name)


async def _found(services: Services, about: Interest) -> Interest:
    assert about.namespaces is not None
    try:
        async with services.reads.taken():
            found = await (await services.history()).people.job(about.namespaces[0], about.job)
    except errors.NotFound:
        return about  # its first change has the uid
    except errors.Unavailable:
        return about  # the stream reports that history is unavailable
    return replace(about, uid=found.uid, name=found.name)


class Stream:
    """One stream.

    Args:
        check: checks the rights of the user again; raises Problem if there are none left.
        last: the id of the last event of the previous stream.
    """

    def __init__(
        self,
        services: Services,
        user: User,
        about: Interest,
        check: Callable[[], Awaitable[Interest]],
        *,
        every: float,
        last: str | None,
    ) -> None:
        self._feed = services.changes
        self._limits = services.streams
        self._history = services.change_reads
        self._user = user
        self._check = check
        self._last = last
        self._wake = asyncio.Event()
        self._listener = Listener(about, every=every, wake=self._wake.set)

    async def events(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of the stream."""
        listening = self._feed.listening(self._listener, last=self._last, history=self._history)
        with self._limits.taken(self._user.name), listening:
            async with aclosing(self._until_over()) as events:
                async for event in events:
                    yield event

    async def _until_over(self) -> AsyncGenerator[bytes, None]:
        now = _now()
        ends = now + self._limits.seconds(random.random())  # noqa: S311  so that not all clients connect again at the same time
        quiet_at = now + self._limits.quiet
        yield _RETRY + self._id()
        while (now := _now()) < ends and not self._feed.closed:
            if self._listener.due_in(now) == 0:
                # No change is reported later than the remembered answer about rights is valid.
                if not self._listener.away_is_due and not await self._is_allowed():
                    return
                # The API server may have taken a while, and the event may be about a lost namespace.
                if self._listener.due_in(now := _now()) == 0:
                    yield self._event(now)
            elif now >= quiet_at:
                quiet_at = now + self._limits.quiet
                if not await self._is_allowed():
                    return
                # A comment and an id; browsers do not take them for events.
                yield b": still here\n" + self._id()
            else:
                await self._wait(min(ends, quiet_at) - now)

    async def _wait(self, seconds: float) -> None:
        due = self._listener.due_in(_now())
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds if due is None else min(seconds, due)):
                await self._wake.wait()

    def _event(self, now: float) -> bytes:
        event = self._listener.take(now)
        if event is None:
            return b"event: away\ndata: {}\n\n"
        return b"event: change\ndata: " + _ENCODER.encode(event) + b"\n" + self._id()

    def _id(self) -> bytes:
        if self._listener.due_in(_now()) is not None:
            return b"\n"  # a client that disconnects now has not received the pending event
        return f"id: {self._feed.board.id_of(self._listener)}\n\n".encode()

    async def _is_allowed(self) -> bool:
        """Check the rights again and update the interest; False without rights, and if they cannot be checked."""
        try:
            about = await self._check()
        except (Problem, errors.AgentJobsError):
            return False
        if about.job:
            return True
        before = self._listener.interest
        self._listener.narrow(about)
        return about.namespaces != () or before.namespaces == ()


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _is_taken(send: Send, event: bytes) -> bool:
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await send({"type": "http.response.body", "body": event, "more_body": True})
    except TimeoutError:
        return False
    return True


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
