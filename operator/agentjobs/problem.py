"""A refusal of one of our servers, as an exception: HTTP status, a stable reason, a sentence with the cure."""

import math
from collections.abc import Mapping
from typing import Final

# Long enough that a fleet of runners does not hammer a database that is coming up, short beside their two minutes of
# patience.
RETRY_AFTER_SECONDS: Final = 2


class Problem(Exception):
    """A refusal with its HTTP status; raised anywhere below a route, answered at one place."""

    def __init__(self, status: int, reason: str, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.headers = dict(headers or {})


def unauthorized(message: str) -> Problem:
    """We do not know who asks (401)."""
    return Problem(401, "Unauthorized", message, headers={"WWW-Authenticate": "Bearer"})


def forbidden(message: str) -> Problem:
    """We know who asks, and they may not (403)."""
    return Problem(403, "Forbidden", message)


def unavailable(message: str, *, retry_after: float = RETRY_AFTER_SECONDS) -> Problem:
    """Ask again later (503)."""
    return Problem(503, "Unavailable", message, headers={"Retry-After": str(max(1, math.ceil(retry_after)))})


def busy(status: int, message: str, retry_after: float) -> Problem:
    """The caller (429), or all callers together (503), have as much under way as they may."""
    headers = {"Retry-After": str(max(1, math.ceil(retry_after)))}
    return Problem(status, "TooManyRequests" if status == 429 else "Busy", message, headers=headers)
