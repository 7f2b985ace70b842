"""Sessions, stored in sealed cookies of the browser and nowhere else.

A long token takes several cookies. Cookies that are invalid, incomplete or expired mean that no one is signed in: the
answer is the sign-in page, never an error.
"""

import base64
import binascii
import secrets
from datetime import datetime, timedelta
from typing import Final

import msgspec
from fastapi import Request, Response

from agentjobs.dashboard.identity import Way
from agentjobs.dashboard.sealing import Seal
from agentjobs.problem import Problem

MAX_COOKIE_BYTES: Final = 12 * 1024
"""Size of all cookies of a session. Browsers send them with each request, and servers limit its headers."""
# Browsers allow 4096 bytes for name, value and attributes.
_PART_BYTES: Final = 3500
_PARTS: Final = -(-MAX_COOKIE_BYTES // _PART_BYTES)
_PURPOSE: Final = "session"


class BrowserSession(msgspec.Struct, frozen=True):
    """The content of the cookies."""

    name: str
    way: Way
    until: datetime
    token: str | None = None
    """The token for REST; None where the person is impersonated."""
    groups: tuple[str, ...] = ()
    """Groups of an impersonated person."""
    secret: str = msgspec.field(default_factory=lambda: secrets.token_hex(16))
    """The CSRF token is derived from it."""
    hint: str | None = None
    """The ID token, for the provider's sign-out; None if the API server accepts it, or if it is too long."""

    def __repr__(self) -> str:
        return f"BrowserSession(name={self.name!r}, way={self.way!r}, until={self.until!r})"


class Sessions:
    """Writes sessions to cookies, and reads them.

    Args:
        length: lifetime of a session.
        secure: whether browsers use TLS.
    """

    def __init__(self, seal: Seal, *, length: timedelta, secure: bool) -> None:
        self.seal = seal
        self.length = length
        self.secure = secure

    def of(self, request: Request, now: datetime) -> BrowserSession | None:
        """Return the session of a request; None without one, or after its end."""
        opened = self.seal.open(_PURPOSE, _joined(request, self.cookie_name(request)))
        if opened is None:
            return None
        try:
            session = msgspec.json.decode(opened, type=BrowserSession)
        except msgspec.DecodeError:  # of another version
            return None
        return session if session.until > now else None

    def begin(self, request: Request, response: Response, session: BrowserSession, *, now: datetime) -> None:
        """Set the cookies of a session, instead of any previous one; without its hint if that does not fit.

        Raises:
            Problem: 413, the session is too large for cookies.
        """
        value = self._sealed(session)
        if len(value) > MAX_COOKIE_BYTES and session.hint is not None:
            value = self._sealed(msgspec.structs.replace(session, hint=None))
        if len(value) > MAX_COOKIE_BYTES:
            why = f"takes {len(value)} bytes, and cookies have room for {MAX_COOKIE_BYTES}"
            raise Problem(
                413, "SessionTooLarge", f"This session {why}: sign in with a shorter token, or one with fewer groups."
            )
        parts = [value[begin : begin + _PART_BYTES] for begin in range(0, len(value), _PART_BYTES)]
        name = self.cookie_name(request)
        for number, part in enumerate(parts):
            self.set_cookie(response, f"{name}-{number}", part, lasting=session.until - now)
        self._forget(request, response, range(len(parts), _PARTS))

    def end(self, request: Request, response: Response) -> None:
        """Delete the cookies of the session."""
        self._forget(request, response, range(_PARTS))

    def set_cookie(
        self, response: Response, name: str, value: str, *, lasting: timedelta, same_site: str = "strict"
    ) -> None:
        """Set a cookie that scripts cannot read and other hosts do not get."""
        response.set_cookie(
            name,
            value,
            max_age=max(0, int(lasting.total_seconds())),
            path="/",
            secure=self.secure,
            httponly=True,
            samesite="lax" if same_site == "lax" else "strict",
        )

    def cookie_name(self, request: Request, what: str = "session") -> str:
        """Return the name of cookies without the number. Cookies do not depend on ports, so it has the port."""
        if self.secure:
            return f"__Host-agentjobs-{what}"
        port = request.headers.get("host", "").rpartition(":")[2]
        return f"agentjobs-{port if port.isdecimal() and port.isascii() else 80}-{what}"

    def _sealed(self, session: BrowserSession) -> str:
        return base64.urlsafe_b64encode(self.seal.seal(_PURPOSE, msgspec.json.encode(session))).decode()

    def _forget(self, request: Request, response: Response, numbers: range) -> None:
        name = self.cookie_name(request)
        for number in numbers:
            if f"{name}-{number}" in request.cookies:
                self.set_cookie(response, f"{name}-{number}", "", lasting=timedelta(0))


def _joined(request: Request, name: str) -> bytes:
    parts = []
    for number in range(_PARTS):
        part = request.cookies.get(f"{name}-{number}")
        if part is None:
            break
        parts.append(part)
    try:
        return base64.b64decode("".join(parts).encode(), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
