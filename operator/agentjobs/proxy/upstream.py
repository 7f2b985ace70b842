"""How a request reaches a provider and its answer comes back, piece by piece.

One client session for all providers, with pooled connections. Nothing is held back, decompressed or followed. What a
provider does wrong has two ends: `Unreached` before there is an answer, `CutShort` while it comes. Knows no API and no
key: what to send is the caller's.
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
# A model that thinks before it answers in one piece has been seen to take a quarter of an hour; the clients' own
# limits are ten minutes.
FIRST_BYTE_SECONDS: Final = 900.0
# Between two pieces. Anthropic pings every few seconds; models of others think in silence, for minutes.
IDLE_SECONDS: Final = 300.0
# Below the five seconds after which common servers (uvicorn, hence vLLM) close a connection that is idle: a request on
# a connection that is closed at that moment is lost, and nobody knows whether it was read.
KEEP_ALIVE_SECONDS: Final = 4.0
# Of one answer. The longest texts are some megabytes; images and embeddings of a batch some tens.
MAX_ANSWER_BYTES: Final = 128 * 1024 * 1024
# Of one header of a provider's answer, and of its first line.
_HEADER_BYTES: Final = 16 * 1024

# What of an answer's head reaches the pod. All else is the provider's business with the account: limits of the key,
# organisations, cookies.
ANSWER_HEADERS: Final = frozenset(
    {
        *("content-type", "content-encoding", "content-length", "retry-after", "retry-after-ms", "x-should-retry"),
        *("request-id", "x-request-id", "x-goog-request-id", "apim-request-id", "x-ms-request-id"),
        *("openai-model", "openai-version", "openai-processing-ms", "x-vertex-ai-llm-request-type"),
    }
)


class Why(StrEnum):
    """Why there is no answer, in a word for logs and metrics."""

    REFUSED = "refused"
    """No connection: no such host, nobody listens, no TLS that can be trusted, no connection in time."""
    SILENT = "silent"
    """No answer began in time, or a further piece did not come."""
    BROKEN = "broken"
    """What came is no answer, or ended early."""
    TOO_LARGE = "too-large"


class Unreached(Exception):
    """The provider gave no answer. Nothing of one has been seen."""

    def __init__(self, why: Why, message: str) -> None:
        super().__init__(message)
        self.why = why


class CutShort(Exception):
    """The answer did not come whole."""

    def __init__(self, why: Why, message: str) -> None:
        super().__init__(message)
        self.why = why


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a provider may take, in seconds."""

    first_byte: float = FIRST_BYTE_SECONDS
    idle: float = IDLE_SECONDS


class Answer:
    """A provider's answer that has begun."""

    def __init__(self, response: ClientResponse, *, idle: float, most: int) -> None:
        self._response = response
        self._idle = idle
        self._most = most
        self.status = response.status
        self.headers: Mapping[str, str] = {
            name: value for name, value in response.headers.items() if name.lower() in ANSWER_HEADERS
        }
        """Those that a pod may see."""
        self.retry_after: str = retry_after(response.headers)
        """In seconds, empty where nothing is told."""
        self.media_type: str = response.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Give the body as it comes.

        Raises:
            CutShort: it ended before it was whole, paused too long, or is larger than it may be.
        """
        content, size = self._response.content, 0
        while True:
            try:
                async with asyncio.timeout(self._idle):
                    piece = await content.readany()
            except TimeoutError:
                raise CutShort(Why.SILENT, f"nothing came for {self._idle:g} s") from None
            except (ClientError, OSError) as error:
                raise CutShort(Why.BROKEN, type(error).__name__) from error
            if not piece:
                if content.at_eof():
                    return
                continue
            size += len(piece)
            if size > self._most:
                raise CutShort(Why.TOO_LARGE, f"the answer is larger than {self._most} bytes")
            yield piece

    async def start(self, most: int) -> bytes:
        """Return the body of an answer that is not passed on, or its first `most` bytes. Never raises for it."""
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
    """Connections to providers, pooled; use it by `async with`.

    Args:
        trust: what certificates of providers are checked against; the system's authorities by default.
    """

    def __init__(
        self, *, patience: Patience | None = None, most: int = MAX_ANSWER_BYTES, trust: ssl.SSLContext | None = None
    ) -> None:
        self._patience = patience or Patience()
        self._most = most
        self._trust = trust
        self._session: ClientSession | None = None
        self._proxies: dict[URL, str | None] = {}

    async def __aenter__(self) -> "Upstream":
        connector = TCPConnector(
            ssl=self._trust or ssl.create_default_context(),
            # How many calls there may be is for the limits of keys and of pods to say.
            limit=0,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
        )
        self._session = ClientSession(
            connector=connector,
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            # The variables for proxies are read below. aiohttp would read .netrc as well, and send what it says.
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
    async def ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> AsyncIterator[Answer]:
        """Send a request and give the answer as soon as its head is there; leaving the block ends the exchange.

        An answer that was read to its end leaves its connection to the next request; any other is closed.

        Args:
            url: complete and encoded as it shall be sent.

        Raises:
            Unreached: there is no answer.
        """
        response = await self._head(method, URL(url, encoded=True), headers, body)
        del body
        try:
            yield Answer(response, idle=self._patience.idle, most=self._most)
        finally:
            # Gives the connection back when all was read, closes it otherwise.
            response.release() if response.content.at_eof() else response.close()

    async def _head(self, method: str, url: URL, headers: Mapping[str, str], body: bytes) -> ClientResponse:
        assert self._session is not None
        try:
            async with asyncio.timeout(self._patience.first_byte):
                return await self._session.request(
                    method,
                    url,
                    data=body or None,
                    # Usage is read from what passes by.
                    headers={**headers, "Accept-Encoding": "identity"},
                    allow_redirects=False,
                    proxy=self._proxy_of(url.origin()),
                )
        except TimeoutError as error:
            # aiohttp's own for a connection is a ClientError as well.
            why = Why.REFUSED if isinstance(error, ClientError) else Why.SILENT
            raise Unreached(why, "no connection in time" if why is Why.REFUSED else "no answer in time") from error
        except (ClientError, OSError, ValueError) as error:
            raise Unreached(_why(error), _said(error)) from error

    def _proxy_of(self, origin: URL) -> str | None:
        """Return the proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY say for a provider; there are a few of those."""
        if origin not in self._proxies:
            bypassed = proxy_bypass(f"{origin.host}:{origin.port}")
            self._proxies[origin] = None if bypassed else getproxies().get(origin.scheme)
        return self._proxies[origin]


def retry_after(headers: Mapping[str, str]) -> str:
    """Return what Retry-After says, a date as the seconds since the answer's own: clocks differ."""
    told = headers.get("retry-after", "")
    if not told or told[0].isdigit():
        return told
    try:
        until, now = parsedate_to_datetime(told), parsedate_to_datetime(headers.get("date", ""))
        return f"{max(0.0, (until - now).total_seconds()):g}"
    except (ValueError, TypeError):  # one of them is none, or has no zone
        return ""


def _why(error: Exception) -> Why:
    # An error of a connection that was made has no host in it.
    return Why.REFUSED if hasattr(error, "host") or isinstance(error, ValueError) else Why.BROKEN


def _said(error: Exception) -> str:
    """What happened, in words that hold nothing of the answer: a header of it may be anything."""
    return str(error) if hasattr(error, "host") else type(error).__name__
