"""Trusted proxies: the client's address, and the person who signed in at the proxy.

Headers from other addresses are ignored.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from fastapi import Request

from agentjobs.auth import canonical

_FORWARDED: Final = "x-forwarded-for"
SYSTEM: Final = "system:"
"""Prefix of Kubernetes' own names, which are never impersonated."""
MAX_NAME_CHARS: Final = 1024
MAX_GROUPS: Final = 250


@dataclass(frozen=True, slots=True)
class Person:
    """A person, named by a trusted proxy or provider."""

    name: str
    groups: tuple[str, ...]


class Proxies:
    """The proxies of an installation.

    Args:
        networks: their addresses.
        user_header: has the name of the person; None accepts none.
        groups_header: has the groups; None for none.
    """

    def __init__(self, networks: Iterable[str], *, user_header: str | None, groups_header: str | None) -> None:
        self._networks: Sequence[IPv4Network | IPv6Network] = [ip_network(network) for network in networks]
        self.user_header = user_header
        self._groups_header = groups_header

    def address(self, request: Request) -> str:
        """Return the address of the client: the last one on the path that is not a trusted proxy."""
        peer = _peer(request)
        way = [part.strip() for line in request.headers.getlist(_FORWARDED) for part in line.split(",")]
        while self._trusts(peer) and way:
            peer = canonical(way.pop())
        return peer

    def user(self, request: Request) -> Person | None:
        """Return the person who signed in at a trusted proxy; None where the headers are missing or not trusted."""
        if self.user_header is None or not self._trusts(_peer(request)):
            return None
        names = request.headers.getlist(self.user_header)
        if len(names) != 1:  # one of two may be the caller's own
            return None
        lines = request.headers.getlist(self._groups_header) if self._groups_header else []
        if len(lines) > 1:  # likewise
            return None
        return person_of(_text(names[0]), [part for line in lines for part in _text(line).split(",")])

    def _trusts(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed.version == network.version and parsed in network for network in self._networks)


def person_of(name: str, groups: Iterable[str]) -> Person | None:
    """Return a person with a valid name that does not begin with `system:`; None for other names."""
    if not _is_name(name):
        return None
    kept = {group.strip() for group in groups}
    return Person(name, tuple(sorted(group for group in kept if _is_name(group))[:MAX_GROUPS]))


def _is_name(name: str) -> bool:
    plain = 0 < len(name) <= MAX_NAME_CHARS and name.isprintable() and name == name.strip()
    return plain and not name.lower().startswith(SYSTEM)


def _peer(request: Request) -> str:
    return canonical(request.client.host) if request.client else ""


def _text(header: str) -> str:
    """Return a header, which is decoded as Latin-1, as UTF-8."""
    try:
        return header.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return ""
