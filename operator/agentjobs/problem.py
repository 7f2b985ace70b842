"""A refusal by one of our servers, as an exception: HTTP status, a stable reason, a sentence with the cure."""

import math
from collections.abc import Mapping
from typing import Final

# Long enough to spare a starting database, short compared with the runners' limit of two minutes.
RETRY_AFTER_SECONDS: Final = 2


class Problem(Exception):
    """A refusal with its HTTP status; raised anywhere below a route, turned into a response at one place."""

    def __init__(self, status: int, reason: str, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.headers = dict(headers or {})


def unauthorized(message: str) -> Problem:
    """The caller is not authenticated (401)."""
    return Problem(401, "Unauthorized", message, headers={"WWW-Authenticate": "Bearer"})


def forbidden(message: str) -> Problem:
    """The caller is not allowed to (403)."""
    return Problem(403, "Forbidden", message)


def unavailable(message: str, *, retry_after: float = RETRY_AFTER_SECONDS) -> Problem:
    """Retry later (503)."""
    return Problem(503, "Unavailable", message, headers={"Retry-After": str(max(1, math.ceil(retry_after)))})


def busy(status: int, message: str, retry_after: float) -> Problem:
    """The caller (429), or all callers together (503), reached the limit of requests in progress."""
    headers = {"Retry-After": str(max(1, math.ceil(retry_after)))}
    return Problem(status, "TooManyRequests" if status == 429 else "Busy", message, headers=headers)
