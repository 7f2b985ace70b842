"""Which ways to sign in there are, and what they need."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from fastapi import Request

from agentjobs.dashboard.identity import Way
from agentjobs.dashboard.sealing import Seal
from agentjobs.dashboard.sessions import Sessions
from agentjobs.dashboard.sign_in.attempts import Attempts
from agentjobs.dashboard.sign_in.links import Links
from agentjobs.dashboard.sign_in.proxies import Proxies

logger = logging.getLogger(__name__)

SESSION_LENGTH: Final = timedelta(hours=8)

OnAttempt = Callable[[Way, bool], None]
"""Is told of each attempt: the way, and whether it succeeded."""


def _sessions() -> Sessions:
    return Sessions(Seal(None), length=SESSION_LENGTH, secure=False)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Ways:
    """How people sign in to one dashboard."""

    sessions: Sessions = field(default_factory=_sessions)
    proxies: Proxies = field(default_factory=lambda: Proxies((), user_header=None, groups_header=None))
    token: bool = True
    """By a token of the API server."""
    links: Links | None = None
    attempts: Attempts = field(default_factory=lambda: Attempts(time.monotonic))
    now: Callable[[], datetime] = _now
    on_attempt: OnAttempt = lambda _way, _succeeded: None

    def note(self, request: Request, way: Way, name: str | None, reason: str = "") -> None:
        """Log and count an attempt.

        Args:
            name: who has signed in; None where nobody has.
            reason: why not; never what was sent.
        """
        self.on_attempt(way, name is not None)
        fields = {"way": way, "address": self.proxies.address(request)}
        if name is None:
            logger.warning("signin.refused", extra=fields | {"reason": reason})
        else:
            logger.info("signin.ok", extra=fields | {"user": name})
