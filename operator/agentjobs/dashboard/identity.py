"""The person who is signed in, and the headers that identify them to REST and the API server."""

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
    """Their name at the API server or the identity provider."""
    way: Way
    """How they signed in."""
    headers: Mapping[str, str] = field(repr=False)
    """Headers of each request to REST: their token, or ours with `Impersonate-*`. A name may occur several times."""
    csrf: str = field(default="", repr=False)
    """The CSRF token of their forms, with a new mask on each page."""


class SignInNeeded(Exception):
    """No one is signed in. The answer is the sign-in page."""


STATE: Final = "identity"


def identity_of(request: Request) -> Identity:
    """Return the person who is signed in. Raises SignInNeeded."""
    found = known(request)
    if found is None:
        raise SignInNeeded
    return found


def known(request: Request) -> Identity | None:
    """Return the person who is signed in, or None."""
    found = getattr(request.state, STATE, None)
    return found if isinstance(found, Identity) else None


def with_token(token: str) -> Mapping[str, str]:
    """Return the headers of a person with their own token."""
    return httpx.Headers({"Authorization": f"Bearer {token}"})


def impersonating(token: str, name: str, groups: Iterable[str]) -> Mapping[str, str]:
    """Return the headers of a person who is impersonated with the token of this process."""
    group_headers = [("Impersonate-Group", group) for group in groups]
    return httpx.Headers(
        [("Authorization", f"Bearer {token}"), ("Impersonate-User", name), *group_headers], encoding="utf-8"
    )
