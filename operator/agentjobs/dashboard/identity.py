"""Who is signed in, and the headers by which REST and the API server know them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import httpx
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
    """What each request to REST carries: a token of theirs, or one of ours with `Impersonate-*`. A name may be there
    more than once, as `httpx.Headers` has it."""
    csrf: str = field(default="", repr=False)
    """What their forms must carry; another text each time, for the same session."""


class SignInNeeded(Exception):
    """Nobody is signed in, or no longer; the answer is the page of signing in."""


STATE: Final = "identity"


def identity_of(request: Request) -> Identity:
    """Return who is signed in. Raises SignInNeeded."""
    found = known(request)
    if found is None:
        raise SignInNeeded
    return found


def known(request: Request) -> Identity | None:
    """Return who is signed in, None for nobody."""
    found = getattr(request.state, STATE, None)
    return found if isinstance(found, Identity) else None


def with_token(token: str) -> Mapping[str, str]:
    """Return the headers of a person who has a token of their own."""
    return httpx.Headers({"Authorization": f"Bearer {token}"})


def impersonating(token: str, name: str, groups: Iterable[str]) -> Mapping[str, str]:
    """Return the headers of a person for whom we ask with a token of ours."""
    told = [("Impersonate-Group", group) for group in groups]
    return httpx.Headers([("Authorization", f"Bearer {token}"), ("Impersonate-User", name), *told], encoding="utf-8")
