"""Who is signed in, and the headers by which REST and the API server know them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from fastapi import Request

Way = Literal["token", "oidc", "headers", "link"]


@dataclass(frozen=True, slots=True)
class Identity:
    """A person who is signed in."""

    name: str
    """As the API server, or the identity provider, calls them."""
    way: Way
    """How they signed in."""
    headers: Mapping[str, str] = field(repr=False)
    """What each request to REST carries: a token of theirs, or one of ours with `Impersonate-*`."""
    csrf: str = field(default="", repr=False)
    """What their forms must carry."""


class SignInNeeded(Exception):
    """Nobody is signed in, or no longer; the answer is the page of signing in."""


STATE: Final = "identity"


def identity_of(request: Request) -> Identity:
    """Return who is signed in. Raises SignInNeeded."""
    found = getattr(request.state, STATE, None)
    if not isinstance(found, Identity):
        raise SignInNeeded
    return found
