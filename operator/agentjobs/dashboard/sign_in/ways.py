"""The ways to sign in, and the person of a request: named by a trusted proxy, else by the session in cookies."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

from fastapi import Request

from agentjobs.dashboard import csrf
from agentjobs.dashboard.identity import Identity, Way, impersonating, with_token
from agentjobs.dashboard.sealing import Seal
from agentjobs.dashboard.sessions import BrowserSession, Sessions
from agentjobs.dashboard.sign_in.account import Account
from agentjobs.dashboard.sign_in.attempts import Attempts
from agentjobs.dashboard.sign_in.links import Links
from agentjobs.dashboard.sign_in.oidc import Provider
from agentjobs.dashboard.sign_in.proxies import Proxies

logger = logging.getLogger(__name__)

SESSION_LENGTH: Final = timedelta(hours=8)

OnAttempt = Callable[[Way, bool], None]
"""Called with each attempt: the way, and whether it succeeded."""


def _sessions() -> Sessions:
    return Sessions(Seal(None), length=SESSION_LENGTH, secure=False)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Ways:
    """The enabled ways to sign in."""

    sessions: Sessions = field(default_factory=_sessions)
    proxies: Proxies = field(default_factory=lambda: Proxies((), user_header=None, groups_header=None))
    token: bool = True
    """With a token of the API server."""
    links: Links | None = None
    oidc: Provider | None = None
    account: Account | None = None
    """The token for impersonation; None where it is not used."""
    attempts: Attempts = field(default_factory=lambda: Attempts(time.monotonic))
    now: Callable[[], datetime] = _now
    on_attempt: OnAttempt = lambda _way, _succeeded: None

    def identity_of(self, request: Request) -> Identity | None:
        """Return the person of a request, or None."""
        if self.account is not None and (user := self.proxies.user(request)) is not None:
            headers = impersonating(self.account.token(), user.name, user.groups)
            return Identity(user.name, "headers", headers, csrf.masked(self.sessions.seal.digest("csrf", user.name)))
        session = self.sessions.of(request, self.now())
        return None if session is None else self.identity(session)

    def identity(self, session: BrowserSession) -> Identity | None:
        """Return the person of a session; None where its way was disabled."""
        form = csrf.masked(sha256(f"csrf {session.secret}".encode()).digest()[:16])
        if session.token is not None:
            return Identity(session.name, session.way, with_token(session.token), form)
        if self.account is None or self.oidc is None or self.oidc.client.keeps_token:
            return None
        return Identity(
            session.name, session.way, impersonating(self.account.token(), session.name, session.groups), form
        )

    def note(self, request: Request, way: Way, name: str | None, reason: str = "") -> None:
        """Log and count an attempt.

        Args:
            name: the person who signed in; None for a refused attempt.
            reason: of a refusal; never the data that was sent.
        """
        self.on_attempt(way, name is not None)
        fields = {"way": way, "address": self.proxies.address(request)}
        if name is None:
            logger.warning("signin.refused", extra=fields | {"reason": reason})
        else:
            logger.info("signin.succeeded", extra=fields | {"user": name})
