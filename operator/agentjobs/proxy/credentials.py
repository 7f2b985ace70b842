"""Access tokens for Vertex AI, from a file of credentials or from the machine's own, made anew before they end.

Google's library knows the kinds of credentials (keys of service accounts, federated identities, the metadata server);
it blocks, so it is asked in a thread. A call waits for a token only when there is none that holds. This is the only
module of the control side that imports `google.auth`; it is imported where a provider needs it.
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
# Tokens hold an hour, those of the metadata server are renewed five minutes before their end.
AHEAD: Final = timedelta(minutes=4)
# A token that holds shorter than this is not sent any more: a request is on its way for a moment, and clocks differ.
SPARE: Final = timedelta(seconds=20)
# After a refusal, until it is tried again.
PAUSE: Final = timedelta(seconds=5)
REQUEST_SECONDS: Final = 10.0
MAX_FILE_BYTES: Final = 256 * 1024
_MACHINE: Final = "the credentials of the machine"

_NEVER: Final = datetime.min.replace(tzinfo=UTC)

_Stamp = tuple[int, int] | None


@dataclass
class _Held:
    """What is known of one place of credentials."""

    stamp: _Stamp = None
    credentials: Credentials | None = field(default=None, repr=False)
    token: str = field(default="", repr=False)
    expires: datetime = _NEVER
    problem: Misconfigured | Unavailable | None = None
    tried: datetime = _NEVER
    renewal: asyncio.Task[None] | None = None


class AccessTokens:
    """Makes and remembers access tokens.

    Args:
        now: the time, in UTC.
    """

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._held: dict[Path | None, _Held] = {}

    async def token(self, file: Path | None = None) -> str:
        """Return a token that holds for now.

        Args:
            file: credentials as Google's tools write them, read again when it changes. None takes the machine's own:
                GOOGLE_APPLICATION_CREDENTIALS, a login, or the metadata server.

        Raises:
            errors.Misconfigured: there are no credentials, or they are refused; says which, never what is in them.
            errors.Unavailable: nobody who makes tokens can be reached.
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
            # Others wait for the same; that one of them leaves must not end it.
            await asyncio.shield(held.renewal)
        if held.problem is not None:
            # A fresh one: an exception object that is raised twice gathers the stacks of both.
            raise type(held.problem)(str(held.problem))
        return held.token

    async def close(self) -> None:
        """End what is under way."""
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
            # Where the file has changed meanwhile, it is read with the next call.
            held.credentials = credentials if held.stamp == stamp else None
        finally:
            held.renewal = None
        if held.problem is not None:
            extra = {"place": place, "error": type(held.problem).__name__}
            logger.warning("credentials.refused", extra=extra)


def _problem(error: exceptions.GoogleAuthError, place: str) -> Misconfigured | Unavailable:
    """Say what is wrong without Google's words: they may hold an answer, and it parts of a secret."""
    if isinstance(error, exceptions.TransportError) or error.retryable:
        return Unavailable(f"{place}: no access token, because the server that makes them cannot be reached")
    if isinstance(error, exceptions.DefaultCredentialsError):
        return Misconfigured(f"{place}: there are none that can be used for Vertex AI")
    return Misconfigured(f"{place}: no access token, because they are refused; renew them")


def _refreshed(credentials: Credentials | None, file: Path | None) -> Credentials:
    with httpx.Client(timeout=REQUEST_SECONDS) as client:
        request = _Request(client)
        if credentials is None:
            credentials = _loaded(file, request)
        credentials.refresh(request)  # type: ignore[no-untyped-call]  # Google's library has no types here
    return credentials


def _loaded(file: Path | None, request: "_Request") -> Credentials:
    if file is None:
        found: Credentials = google.auth.default(scopes=SCOPES, request=request)[0]
        return found
    try:
        with file.open("rb") as opened:
            info = json.loads(opened.read(MAX_FILE_BYTES))
    except OSError as error:
        raise Misconfigured(f"{file}: the credentials cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise Misconfigured(f"{file}: holds no credentials, it is not JSON") from None
    # Deprecated for files of strangers; this one is the installation's own, and of any kind.
    load: Callable[..., tuple[Credentials, str | None]] = google.auth.load_credentials_from_dict
    try:
        return load(info, scopes=SCOPES, request=request)[0]
    except (ValueError, TypeError, KeyError) as error:
        raise Misconfigured(f"{file}: holds no credentials that Google's library takes") from error


def _expiry(credentials: Credentials, now: datetime) -> datetime:
    # Google's library has it in UTC without saying so, and no expiry for tokens that do not tell theirs.
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
    """An answer as Google's library wants it."""

    status: int
    headers: Mapping[str, str]
    data: bytes = field(repr=False)


class _Request(transport.Request):
    """Asks for Google's library."""

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
