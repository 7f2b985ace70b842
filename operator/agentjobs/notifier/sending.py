"""One request to a sink, and the meaning of its response.

A sink may hang, redirect, cut the connection, or send without end: only the status of the response matters. Redirects
are not followed, because a sink could redirect a signed message to any address.
"""

import asyncio
import contextlib
import email.utils
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import httpx

from agentjobs import __version__, errors
from agentjobs.history.outbox_records import Due
from agentjobs.notifier import messages
from agentjobs.notifier.sinks import Sinks
from agentjobs.notifier.sinks_file import SinkEntry

# These loggers would log addresses, which may be secret.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)

# Responses are short and are read, to reuse the connection; after a longer one the connection is closed.
_READ_BYTES: Final = 16 * 1024
_READ_SECONDS: Final = 1.0
_GONE: Final = 410
_TOO_MANY: Final = 429
_MAX_RETRY_AFTER: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class SendResult:
    """The result of a request."""

    error: str = ""
    """Why the sink did not accept it, empty on success. Without address, headers and response body."""
    final: bool = False
    """Whether the sink rejected the notification for good."""
    is_down: bool = False
    """Whether other notifications would fail, too: the sink is unavailable or overloaded."""
    retry_after: timedelta | None = None


class Sender:
    """Sends notifications. One per process: connections are shared."""

    def __init__(self, sinks: Sinks, *, cluster: str) -> None:
        self._sinks = sinks
        self._source = f"/agentjobs/clusters/{cluster}"
        self._client = httpx.AsyncClient(
            follow_redirects=False,
            timeout=None,  # noqa: S113  the whole request has a timeout, see `send`
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=30.0),
            headers={"User-Agent": f"agentjobs/{__version__}"},
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def send(self, due: Due, sink: SinkEntry, now: datetime) -> SendResult:
        """Send one notification and return the result; a sink cannot cause an exception."""
        try:
            url, headers, body = self._request(due, sink, now)
        except errors.Misconfigured as error:
            return SendResult(str(error))
        try:
            request = self._client.build_request("POST", url, headers=headers, content=body)
            async with asyncio.timeout(sink.timeout.total_seconds()):
                response = await self._client.send(request, stream=True)
        except (TimeoutError, httpx.TimeoutException):
            return SendResult(f"no answer within {sink.timeout.total_seconds():g} s", is_down=True)
        except httpx.ConnectError:
            return SendResult("cannot be reached", is_down=True)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            # Only the exception's name: its message may contain the address.
            return SendResult(f"the request failed ({type(error).__name__})", is_down=True)
        await _drain(response)
        return _result(response, now)

    def _request(self, due: Due, sink: SinkEntry, now: datetime) -> tuple[str, dict[str, str], bytes]:
        name, keys = messages.message_id(due), self._sinks.keys(sink)
        body = messages.body(due, sink.format, source=sink.source or self._source)
        headers = self._sinks.headers(sink) | {
            "content-type": messages.content_type(sink.format),
            "webhook-id": name,
            "webhook-timestamp": messages.timestamp(now),
        }
        if keys:
            headers["webhook-signature"] = messages.signature(keys, of=name, at=now, body=body)
        return self._sinks.url(sink), headers, body


def _result(response: httpx.Response, now: datetime) -> SendResult:
    status = response.status_code
    if 200 <= status < 300:
        return SendResult()
    if status == _GONE:
        return SendResult("answered 410 Gone", final=True)
    if 300 <= status < 400:
        return SendResult(f"answered {status}: redirects are not followed")
    message = f"answered {status}"
    if status == _TOO_MANY or status >= 500:
        return SendResult(message, is_down=True, retry_after=retry_after(response.headers.get("retry-after", ""), now))
    return SendResult(message)


def retry_after(value: str, now: datetime) -> timedelta | None:
    """Return the sink's Retry-After, from seconds or a date, at most a day; None without one."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(timedelta(seconds=int(value[:9])), _MAX_RETRY_AFTER)
    try:
        moment = email.utils.parsedate_to_datetime(value)
        return min(max(moment - now, timedelta(0)), _MAX_RETRY_AFTER)
    except (ValueError, TypeError, OverflowError):
        return None


async def _drain(response: httpx.Response) -> None:
    """Read a short response, so that its connection can be reused; errors are ignored."""
    size = 0
    with contextlib.suppress(TimeoutError, httpx.HTTPError, OSError):
        async with asyncio.timeout(_READ_SECONDS):
            async for piece in response.aiter_raw():
                size += len(piece)
                if size > _READ_BYTES:
                    break
    with contextlib.suppress(httpx.HTTPError, OSError):
        await response.aclose()
