"""The outermost middleware: it measures and logs each request, and turns unexpected errors into a plain 500.

Logs have the method, the route, the status and the time, but never headers, queries or bodies. For an unexpected error
they have its type and stack but not its text, which may quote the request.
"""

import logging
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentjobs.gateway.metrics import METHODS, GatewayMetrics
from agentjobs.gateway.problems import answer, crash

logger = logging.getLogger(__name__)

# Responses are sent in pieces, each after the client has read those before; until then the request is in progress.
PIECE_BYTES: Final = 64 * 1024
# Responses are private data, and browsers must not render them as pages.
HEADERS: Final = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]

_STREAM: Final = b"text/event-stream"


class AccessLog:
    """The application with metrics and logs.

    Args:
        metrics: counts each request.
        clock: seconds, monotonic.
    """

    def __init__(self, app: ASGIApp, *, metrics: GatewayMetrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._clock = clock
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, answered = self._clock(), 0, None

        async def noted(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status = message["status"]
                answered = self._clock() if _is_stream(message) else None
                message = {**message, "headers": [*message.get("headers", []), *HEADERS]}
            for piece in _pieces(message):
                await send(piece)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:  # the outermost line of a request: it must end with a response
            logger.error("request.crashed", extra={"error": type(error).__name__, "stack": stack_of(error)})
            if status == 0:
                await answer(crash())(scope, receive, noted)
        finally:
            # A stream lasts as long as its client reads; only the time to its first byte is meaningful.
            self._note(scope, status=status, seconds=(answered or self._clock()) - began)

    def _note(self, scope: Scope, *, status: int, seconds: float) -> None:
        # The template of the path, `/v1/…/{name}`: labels come from a fixed set, never from callers.
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._metrics.request(method, route, status, seconds)
        level = logging.WARNING if status >= 500 else logging.DEBUG
        fields = {"method": method, "route": route, "status": status, "milliseconds": round(seconds * 1000, 1)}
        logger.log(level, "request.served", extra=fields)


def _is_stream(message: Message) -> bool:
    return any(name == b"content-type" and value.startswith(_STREAM) for name, value in message.get("headers", ()))


def _pieces(message: Message) -> Iterator[Message]:
    body = message.get("body", b"")
    last = max(0, len(body) - 1) // PIECE_BYTES * PIECE_BYTES
    for begin in range(0, last, PIECE_BYTES):
        yield {**message, "body": body[begin : begin + PIECE_BYTES], "more_body": True}
    yield {**message, "body": body[last:]} if last else message


def stack_of(error: BaseException) -> list[str]:
    """Return the stack of an error without its text, which may quote the request."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
