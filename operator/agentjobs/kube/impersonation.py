"""Impersonation: reads the headers `Impersonate-*` of a request, and writes those for the API server. Pure.

A subset of the API server's: only a user and groups can be impersonated, and none of the system's.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from agentjobs.problem import Problem, forbidden

USER: Final = "Impersonate-User"
GROUP: Final = "Impersonate-Group"
EVERYBODY: Final = "system:authenticated"
"""The group that the API server adds to every impersonated user."""
MAX_NAME_CHARS: Final = 1024
"""For a user or a group; names from OpenID Connect have a prefix, an issuer and a subject of 255 characters."""
MAX_GROUPS: Final = 250
"""More than a directory puts into a token."""
_PREFIX: Final = b"impersonate-"
_SYSTEM: Final = "system:"


@dataclass(frozen=True, slots=True)
class Impersonation:
    """An impersonated user."""

    user: str
    groups: tuple[str, ...] = ()
    """Sorted by name, without those that the API server adds."""

    def headers(self) -> list[tuple[str, str]]:
        """Return the headers for the API server, for a client that encodes them as UTF-8."""
        return [(USER, self.user), *((GROUP, group) for group in self.groups)]


def impersonation_of(headers: Iterable[tuple[bytes, bytes]]) -> Impersonation | None:
    """Return the user whom a request impersonates, or None.

    Args:
        headers: of the request, in any case.

    Raises:
        Problem: 400 for headers that the API server would refuse, or that are ambiguous; 403 for a user or a group of
    the system.
    """
    found: dict[str, list[str]] = {}
    for name, value in headers:
        if name.lower().startswith(_PREFIX):
            found.setdefault(name.lower().decode("latin-1"), []).append(_name(value))
    if not found:
        return None
    users = found.pop(USER.lower(), [])
    groups = found.pop(GROUP.lower(), [])
    if found:
        raise _bad(f"Only the headers {USER} and {GROUP} are supported; remove other Impersonate-* headers.")
    if len(users) != 1:
        raise _bad(f"Send {USER} once, and {GROUP} only together with it.")
    if len(groups) > MAX_GROUPS:
        raise _bad(f"Send at most {MAX_GROUPS} headers {GROUP}.")
    return Impersonation(
        _not_systems(users[0]), tuple(sorted({_not_systems(group) for group in _without_added(groups)}))
    )


def _without_added(groups: Sequence[str]) -> list[str]:
    return [group for group in groups if group != EVERYBODY]


def _not_systems(name: str) -> str:
    # Service accounts belong to the system too; use their tokens instead.
    if name.lower().startswith(_SYSTEM):
        raise forbidden(f"Users and groups of the system cannot be impersonated: {name!r}.")
    return name


def _name(value: bytes) -> str:
    try:
        name = value.decode("utf-8")
    except UnicodeDecodeError:
        raise _bad("Encode the headers Impersonate-* as UTF-8.") from None
    if not name or len(name) > MAX_NAME_CHARS or name != name.strip():
        raise _bad(
            f"Names in the headers Impersonate-* must have 1 to {MAX_NAME_CHARS} characters, without surrounding "
            "spaces."
        )
    if any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in name):
        raise _bad("Names in the headers Impersonate-* must not contain control characters.")
    return name


def _bad(message: str) -> Problem:
    return Problem(400, "BadRequest", message)
