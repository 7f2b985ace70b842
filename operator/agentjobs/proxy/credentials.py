"""Access tokens for Vertex AI, from a credentials file or the machine's own credentials, renewed before they expire.

Google's library supports the kinds of credentials (service account keys, federated identities, the metadata server). It
blocks, so it runs in a thread. A call waits for a token only if none is valid. This is the only module of the control
side that imports `google.auth`, and only if a provider needs it.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import google.auth
import httpx
from google.auth import exceptions, transport
from google.auth.credentials import Credentials

from agentjobs.errors import Misconfigured, Unavailable

logger = logging.getLogger(__name__)

SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)
# Tokens are valid for an hour; those of the metadata server are renewed five minutes before they expire.
AHEAD: Final = timedelta(minutes=4)
# A token with less time left is not sent: requests take time, and clocks differ.
SPARE: Final = timedelta(seconds=20)
# Pause after a rejection.
PAUSE: Final = timedelta(seconds=5)
REQUEST_SECONDS: Final = 10.0
MAX_FILE_BYTES: Final = 256 * 1024
_MACHINE: Final = "the credentials of the machine"

_NEVER: Final = datetime.min.replace(tzinfo=UTC)

_Stamp = tuple[int, int] | None


@dataclass
class _Held:
    """The state of one source of credentials."""

    stamp: _Stamp = None
    credentials: Credentials | None = field(default=None, repr=False)
    token: str = field(default="", repr=False)
    expires: datetime = _NEVER
    problem: Misconfigured | Unavailable | None = None
    tried: datetime = _NEVER
    renewal: asyncio.Task[None] | None = None


class AccessTokens:
    """Gets and caches access tokens.

    Args:
        now: returns the time, in UTC.
    """

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._held: dict[Path | None, _Held] = {}

    async def token(self, file: Path | None = None) -> str:
        """Return a valid token.

        Args:
            file: credentials in Google's format, read again when they change. None uses the machine's own:
                GOOGLE_APPLICATION_CREDENTIALS, a login, or the metadata server.

        Raises:
            errors.Misconfigured: credentials are missing or rejected; the message never contains them.
            errors.Unavailable: the token server cannot be reached.
        """
        held = self._held.setdefault(file, _Held())
        stamp = _stamp(file)
        if stamp != held.stamp:
            held.credentials, held.stamp, held.tried = None, stamp, _NEVER
        now = self._now()
        fresh = held.token and held.credentials is not None and now < held.expires - SPARE
        if (not fresh or now >= held.expires - AHEAD) and now >= held.tried + PAUSE and held.renewal is None:
            held.renewal = asyncio.create_task(self._renew(held, file))
        if fresh:
            return held.token
        if held.renewal is not None:
            # Other callers wait for the same task, so cancelling one must not cancel it.
            await asyncio.shield(held.renewal)
        if held.problem is not None:
            # A new exception: one that is raised twice accumulates the tracebacks of both.
            raise type(held.problem)(str(held.problem))
        return held.token

    async def close(self) -> None:
        """Cancel running requests."""
        tasks = [held.renewal for held in self._held.values() if held.renewal is not None]
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _renew(self, held: _Held, file: Path | None) -> None:
        place = _MACHINE if file is None else str(file)
        held.tried, stamp = self._now(), held.stamp
        try:
            credentials = await asyncio.to_thread(_refreshed, held.credentials, file)
        except exceptions.GoogleAuthError as error:
            held.problem = _problem(error, place)
        except Misconfigured as error:
            held.problem = error
        else:
            held.token, held.expires, held.problem = str(credentials.token), _expiry(credentials, held.tried), None
            # If the file has changed meanwhile, the next call reads it.
            held.credentials = credentials if held.stamp == stamp else None
        finally:
            held.renewal = None
        if held.problem is not None:
            extra = {"place": place, "error": type(held.problem).__name__}
            logger.warning("credentials.refused", extra=extra)


def _problem(error: exceptions.GoogleAuthError, place: str) -> Misconfigured | Unavailable:
    """Describe a failure without Google's text, which may contain parts of a secret."""
    if isinstance(error, exceptions.TransportError) or error.retryable:
        return Unavailable(f"{place}: no access token, because the token server cannot be reached")
    if isinstance(error, exceptions.DefaultCredentialsError):
        return Misconfigured(f"{place}: no credentials for Vertex AI found")
    return Misconfigured(f"{place}: the credentials were rejected; renew them")


def _refreshed(credentials: Credentials | None, file: Path | None) -> Credentials:
    with httpx.Client(timeout=REQUEST_SECONDS) as client:
        request = _Request(client)
        if credentials is None:
            credentials = _loaded(file, request)
        credentials.refresh(request)  # type: ignore[no-untyped-call]  # untyped in Google's library
    return credentials


def _loaded(file: Path | None, request: "_Request") -> Credentials:
    if file is None:
        found: Credentials = google.auth.default(scopes=SCOPES, request=request)[0]
        return found
    try:
        with file.open("rb") as opened:
            info = json.loads(opened.read(MAX_FILE_BYTES))
    except OSError as error:
        raise Misconfigured(f"{file}: cannot read the credentials: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise Misconfigured(f"{file}: has no credentials: it is not JSON") from None
    # Deprecated for untrusted files; this one is the installation's, and may be of any kind.
    load: Callable[..., tuple[Credentials, str | None]] = google.auth.load_credentials_from_dict
    try:
        return load(info, scopes=SCOPES, request=request)[0]
    except (ValueError, TypeError, KeyError) as error:
        raise Misconfigured(f"{file}: has no credentials that Google's library supports") from error


def _expiry(credentials: Credentials, now: datetime) -> datetime:
    # Google's library has naive times in UTC, and no expiry for tokens without one.
    expiry: datetime | None = credentials.expiry
    return now + timedelta(minutes=5) if expiry is None else expiry.replace(tzinfo=UTC)


def _stamp(file: Path | None) -> _Stamp:
    if file is None:
        return None
    try:
        state = file.stat()
    except OSError:
        return (-1, -1)
    return state.st_mtime_ns, state.st_ino


@dataclass(frozen=True, slots=True)
class _Response:
    """A response in the format of Google's library."""

    status: int
    headers: Mapping[str, str]
    data: bytes = field(repr=False)


class _Request(transport.Request):
    """Sends requests for Google's library."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> _Response:
        try:
            answer = self._client.request(
                method, url, content=body, headers=headers, timeout=min(timeout or REQUEST_SECONDS, REQUEST_SECONDS)
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            kind: Callable[[str], Exception] = exceptions.TransportError
            raise kind(type(error).__name__) from error
        return _Response(answer.status_code, answer.headers, answer.content)
