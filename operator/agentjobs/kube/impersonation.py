"""Who a caller asks to act as: reads the headers `Impersonate-*`, and writes those that the API server gets. Pure.

They mean what they mean to the API server, and less: only a user and groups can be named, and none of the system's.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from agentjobs.problem import Problem, forbidden

USER: Final = "Impersonate-User"
GROUP: Final = "Impersonate-Group"
EVERYBODY: Final = "system:authenticated"
"""The group that the API server adds to whoever is impersonated."""
MAX_NAME_CHARS: Final = 1024
"""Of a user or a group; names of OpenID Connect have a prefix, an issuer and a subject of 255 characters."""
MAX_GROUPS: Final = 250
"""More than directories put into a token."""
_PREFIX: Final = b"impersonate-"
_SYSTEM: Final = "system:"


@dataclass(frozen=True, slots=True)
class Impersonation:
    """A user that somebody else acts as."""

    user: str
    groups: tuple[str, ...] = ()
    """In the order of their names, without those that the API server adds."""

    def headers(self) -> list[tuple[str, str]]:
        """Return the headers that say so to the API server, for a client that writes them as UTF-8."""
        return [(USER, self.user), *((GROUP, group) for group in self.groups)]


def impersonation_of(headers: Iterable[tuple[bytes, bytes]]) -> Impersonation | None:
    """Return whom a request wants to act as; None for the caller themselves.

    Args:
        headers: of the request as they came, in any case.

    Raises:
        Problem: 400 for headers that the API server would refuse, or that could be meant in two ways; 403 for a user
            or a group of the system.
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
        raise _bad(f"Of the headers Impersonate-* only {USER} and {GROUP} count here; leave the others out.")
    if len(users) != 1:
        raise _bad(f"Send {USER} once, and {GROUP} only beside it.")
    if len(groups) > MAX_GROUPS:
        raise _bad(f"At most {MAX_GROUPS} headers {GROUP} count.")
    return Impersonation(_not_systems(users[0]), tuple(sorted({_not_systems(one) for one in _without_added(groups)})))


def _without_added(groups: Sequence[str]) -> list[str]:
    return [group for group in groups if group != EVERYBODY]


def _not_systems(name: str) -> str:
    # Service accounts are of the system, too: who may act as those has their tokens for it.
    if name.lower().startswith(_SYSTEM):
        raise forbidden(f"Nobody acts as {name!r} here: users and groups of the system are not impersonated.")
    return name


def _name(value: bytes) -> str:
    try:
        name = value.decode("utf-8")
    except UnicodeDecodeError:
        raise _bad("The headers Impersonate-* are read as UTF-8.") from None
    if not name or len(name) > MAX_NAME_CHARS or name != name.strip():
        raise _bad(
            f"Names in the headers Impersonate-* have 1 to {MAX_NAME_CHARS} characters, none of them outer space."
        )
    if any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in name):
        raise _bad("Names in the headers Impersonate-* have no control characters.")
    return name


def _bad(message: str) -> Problem:
    return Problem(400, "BadRequest", message)
