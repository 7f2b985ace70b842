"""Trusted proxies: from where a request really comes, and who has signed in there, as far as they may be believed.

Headers of anybody else say nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from fastapi import Request

from agentjobs.auth import canonical

_FORWARDED: Final = "x-forwarded-for"
SYSTEM: Final = "system:"
"""How names of Kubernetes' own begin, which nobody from outside ever has."""
MAX_NAME_CHARS: Final = 1024
MAX_GROUPS: Final = 250


@dataclass(frozen=True, slots=True)
class Told:
    """Who somebody is, as somebody trusted said."""

    name: str
    groups: tuple[str, ...]


class Proxies:
    """The proxies of an installation.

    Args:
        networks: where they are.
        user_header: in which they say who calls; None believes none.
        groups_header: in which they say the groups; None for none.
    """

    def __init__(self, networks: Iterable[str], *, user_header: str | None, groups_header: str | None) -> None:
        self._networks: Sequence[IPv4Network | IPv6Network] = [ip_network(one) for one in networks]
        self.user_header = user_header
        self._groups_header = groups_header

    def address(self, request: Request) -> str:
        """Return the address of who asks: the last one on the way that is not a trusted proxy."""
        peer = _peer(request)
        way = [part.strip() for line in request.headers.getlist(_FORWARDED) for part in line.split(",")]
        while self._trusts(peer) and way:
            peer = canonical(way.pop())
        return peer

    def user(self, request: Request) -> Told | None:
        """Return who has signed in at a trusted proxy; None for nobody, or where the headers are no proxy's."""
        if self.user_header is None or not self._trusts(_peer(request)):
            return None
        names = request.headers.getlist(self.user_header)
        if len(names) != 1:  # of two, one may be the caller's own
            return None
        lines = request.headers.getlist(self._groups_header) if self._groups_header else []
        if len(lines) > 1:  # likewise
            return None
        return told(_text(names[0]), [part for line in lines for part in _text(line).split(",")])

    def _trusts(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed.version == network.version and parsed in network for network in self._networks)


def told(name: str, groups: Iterable[str]) -> Told | None:
    """Return a person with a name that the API server takes, and never one of the system's; None for any other."""
    if not _is_name(name):
        return None
    kept = {group.strip() for group in groups}
    return Told(name, tuple(sorted(group for group in kept if _is_name(group))[:MAX_GROUPS]))


def _is_name(name: str) -> bool:
    plain = 0 < len(name) <= MAX_NAME_CHARS and name.isprintable() and name == name.strip()
    return plain and not name.lower().startswith(SYSTEM)


def _peer(request: Request) -> str:
    return canonical(request.client.host) if request.client else ""


def _text(header: str) -> str:
    """Headers come as Latin-1; what is meant is UTF-8."""
    try:
        return header.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return ""
