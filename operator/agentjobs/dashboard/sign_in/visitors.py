"""Who asks: by what a trusted proxy says, else by the session in their cookies."""

from collections.abc import Callable
from datetime import datetime
from hashlib import sha256

from fastapi import Request

from agentjobs.dashboard import csrf
from agentjobs.dashboard.identity import Identity, impersonating, with_token
from agentjobs.dashboard.sessions import Session, Sessions
from agentjobs.dashboard.sign_in.account import Account
from agentjobs.dashboard.sign_in.proxies import Proxies


class Visitors:
    """Recognises people.

    Args:
        account: the token with which people are impersonated; None where nobody is.
        now: the time, with its zone.
    """

    def __init__(
        self, sessions: Sessions, proxies: Proxies, *, account: Account | None, now: Callable[[], datetime]
    ) -> None:
        self._sessions = sessions
        self._proxies = proxies
        self._account = account
        self._now = now

    def of(self, request: Request) -> Identity | None:
        """Return who asks, None for nobody that we know."""
        if self._account is not None and (user := self._proxies.user(request)) is not None:
            headers = impersonating(self._account.token(), user.name, user.groups)
            return Identity(user.name, "headers", headers, csrf.masked(self._sessions.seal.digest("csrf", user.name)))
        session = self._sessions.of(request, self._now())
        return None if session is None else self._signed_in(session)

    def _signed_in(self, session: Session) -> Identity | None:
        token = csrf.masked(sha256(f"csrf {session.secret}".encode()).digest()[:16])
        if session.token is not None:
            return Identity(session.name, session.way, with_token(session.token), token)
        if self._account is None:  # the way of this session has been switched off
            return None
        headers = impersonating(self._account.token(), session.name, session.groups)
        return Identity(session.name, session.way, headers, token)
