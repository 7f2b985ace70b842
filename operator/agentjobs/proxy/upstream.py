"""Sends a request to a provider and streams its answer.

One client session for all providers, with pooled connections. Nothing is buffered, decompressed or redirected. A
provider's failures are `Unreachable` before the answer, and `CutShort` during it. Independent of APIs and keys.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from types import TracebackType
from typing import Final
from urllib.request import getproxies, proxy_bypass

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from yarl import URL

CONNECT_SECONDS: Final = 10.0
# Reasoning models have been seen to take a quarter of an hour for an answer in one piece; clients' own limits are ten
# minutes.
FIRST_BYTE_SECONDS: Final = 900.0
# Between two pieces. Anthropic pings every few seconds; other models are silent for minutes while they reason.
IDLE_SECONDS: Final = 300.0
# Below the five seconds after which common servers (uvicorn, so vLLM) close an idle connection: a request that is
# sent while it closes is lost, and may or may not have been read.
KEEP_ALIVE_SECONDS: Final = 4.0
# Size of one answer. The longest texts have a few megabytes; images and batches of embeddings tens of them.
MAX_ANSWER_BYTES: Final = 128 * 1024 * 1024
# Size of one header of an answer, and of its first line.
_HEADER_BYTES: Final = 16 * 1024

# Headers of an answer that the pod gets. The others concern the account: limits of the key, organisations, cookies.
ANSWER_HEADERS: Final = frozenset(
    {
        *("content-type", "content-encoding", "content-length", "retry-after", "retry-after-ms", "x-should-retry"),
        *("request-id", "x-request-id", "x-goog-request-id", "apim-request-id", "x-ms-request-id"),
        *("openai-model", "openai-version", "openai-processing-ms", "x-vertex-ai-llm-request-type"),
    }
)


class FailureCause(StrEnum):
    """Why there is no answer, for logs and metrics."""

    REFUSED = "refused"
    """No connection: unknown host, connection refused, untrusted TLS certificate, timeout."""
    SILENT = "silent"
    """No answer began in time, or the next piece did not come."""
    BROKEN = "broken"
    """The response is invalid, or ended early."""
    TOO_LARGE = "too-large"


class Unreachable(Exception):
    """The provider sent no answer at all."""

    def __init__(self, cause: FailureCause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class CutShort(Exception):
    """The answer is incomplete."""

    def __init__(self, cause: FailureCause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class ProviderTimeouts:
    """The provider's time limits, in seconds."""

    first_byte: float = FIRST_BYTE_SECONDS
    idle: float = IDLE_SECONDS


class ProviderResponse:
    """A provider's answer that has begun."""

    def __init__(self, response: ClientResponse, *, idle: float, most: int) -> None:
        self._response = response
        self._idle = idle
        self._most = most
        self.status = response.status
        self.headers: Mapping[str, str] = {
            name: value for name, value in response.headers.items() if name.lower() in ANSWER_HEADERS
        }
        """The headers that a pod may see."""
        self.retry_after: str = retry_after(response.headers)
        """In seconds, empty without a value."""
        self.media_type: str = response.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives.

        Raises:
            CutShort: it is incomplete, paused too long, or exceeds the size limit.
        """
        content, size = self._response.content, 0
        while True:
            try:
                async with asyncio.timeout(self._idle):
                    piece = await content.readany()
            except TimeoutError:
                raise CutShort(FailureCause.SILENT, f"nothing came for {self._idle:g} s") from None
            except (ClientError, OSError) as error:
                raise CutShort(FailureCause.BROKEN, type(error).__name__) from error
            if not piece:
                if content.at_eof():
                    return
                continue
            size += len(piece)
            if size > self._most:
                raise CutShort(FailureCause.TOO_LARGE, f"the answer is larger than {self._most} bytes")
            yield piece

    async def start(self, most: int) -> bytes:
        """Return the body of an answer that is not passed on, at most `most` bytes. Never raises for it."""
        found = bytearray()
        try:
            async for piece in self.pieces():
                found += piece
                if len(found) >= most:
                    break
        except CutShort:
            pass
        return bytes(found[:most])


class Upstream:
    """Pooled connections to providers; use it with `async with`.

    Args:
        trust: the CAs for providers' certificates; by default the system's.
    """

    def __init__(
        self,
        *,
        timeouts: ProviderTimeouts | None = None,
        most: int = MAX_ANSWER_BYTES,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._timeouts = timeouts or ProviderTimeouts()
        self._most = most
        self._trust = trust
        self._session: ClientSession | None = None
        self._proxies: dict[URL, str | None] = {}

    async def __aenter__(self) -> "Upstream":
        connector = TCPConnector(
            ssl=self._trust or ssl.create_default_context(),
            # The number of calls is limited by the limits of keys and pods.
            limit=0,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
        )
        self._session = ClientSession(
            connector=connector,
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            # Proxy variables are read below. aiohttp would also read .netrc, and send its credentials.
            trust_env=False,
            skip_auto_headers=("User-Agent", "Accept", "Content-Type"),
            timeout=ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            max_line_size=_HEADER_BYTES,
            max_field_size=_HEADER_BYTES,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> AsyncIterator[ProviderResponse]:
        """Send a request and yield the answer as soon as its head has arrived; leaving the block ends the exchange.

        After a complete answer the connection is reused; otherwise it is closed.

        Args:
            url: complete and encoded.

        Raises:
            Unreachable: there is no answer.
        """
        response = await self._head(method, URL(url, encoded=True), headers, body)
        del body
        try:
            yield ProviderResponse(response, idle=self._timeouts.idle, most=self._most)
        finally:
            # Releases the connection after a complete answer, closes it otherwise.
            response.release() if response.content.at_eof() else response.close()

    async def _head(self, method: str, url: URL, headers: Mapping[str, str], body: bytes) -> ClientResponse:
        assert self._session is not None
        try:
            async with asyncio.timeout(self._timeouts.first_byte):
                return await self._session.request(
                    method,
                    url,
                    data=body or None,
                    # Usage is read from the passing body.
                    headers={**headers, "Accept-Encoding": "identity"},
                    allow_redirects=False,
                    proxy=self._proxy_of(url.origin()),
                )
        except TimeoutError as error:
            # aiohttp's connection errors are ClientErrors, too.
            cause = FailureCause.REFUSED if isinstance(error, ClientError) else FailureCause.SILENT
            message = "no connection in time" if cause is FailureCause.REFUSED else "no answer in time"
            raise Unreachable(cause, message) from error
        except (ClientError, OSError, ValueError) as error:
            raise Unreachable(_cause(error), _description(error)) from error

    def _proxy_of(self, origin: URL) -> str | None:
        """Return the proxy of HTTP_PROXY, HTTPS_PROXY and NO_PROXY for a provider; cached."""
        if origin not in self._proxies:
            bypassed = proxy_bypass(f"{origin.host}:{origin.port}")
            self._proxies[origin] = None if bypassed else getproxies().get(origin.scheme)
        return self._proxies[origin]


def retry_after(headers: Mapping[str, str]) -> str:
    """Return the value of Retry-After; a date relative to the answer's own, because clocks differ."""
    value = headers.get("retry-after", "")
    if not value or value[0].isdigit():
        return value
    try:
        until, now = parsedate_to_datetime(value), parsedate_to_datetime(headers.get("date", ""))
        return f"{max(0.0, (until - now).total_seconds()):g}"
    except (ValueError, TypeError):  # one of them is missing or has no zone
        return ""


def _cause(error: Exception) -> FailureCause:
    # An error of an established connection has no host.
    return FailureCause.REFUSED if hasattr(error, "host") or isinstance(error, ValueError) else FailureCause.BROKEN


def _description(error: Exception) -> str:
    """Return a description without any part of the answer, whose headers may contain anything."""
    return str(error) if hasattr(error, "host") else type(error).__name__
