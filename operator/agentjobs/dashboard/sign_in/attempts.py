"""Limits failed attempts to sign in by address."""

import math
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Final

from agentjobs.bounded import Bounded
from agentjobs.problem import busy

MOST: Final = 10
"""Failed attempts of one address within a minute. Tokens cannot be guessed: this protects the API server and the
provider, which get a request for each attempt."""
WITHIN_SECONDS: Final = 60.0
_ADDRESSES: Final = 8192


class Attempts:
    """Counts attempts. `clock` is in seconds, monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._counts: Bounded[str, tuple[float, int]] = Bounded(_ADDRESSES)

    def take(self, address: str) -> None:
        """Count an attempt. Raises Problem (429) after too many of one address."""
        since, count = self._count(address)
        if count >= MOST:
            left = max(1, math.ceil(since + WITHIN_SECONDS - self._clock()))
            raise busy(429, f"Too many attempts to sign in from this address; try again in {left} seconds.", left)
        self._counts.put(_network(address), (since, count + 1))

    def give_back(self, address: str) -> None:
        """Stop counting an attempt, because it succeeded."""
        since, count = self._count(address)
        self._counts.put(_network(address), (since, max(0, count - 1)))

    def _count(self, address: str) -> tuple[float, int]:
        now = self._clock()
        since, count = self._counts.get(_network(address)) or (now, 0)
        return (since, count) if now < since + WITHIN_SECONDS else (now, 0)


def _network(address: str) -> str:
    """Return the address, or its /64 for IPv6, which belongs to one subscriber."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(int(parsed) >> 64) if isinstance(parsed, IPv6Address) and not parsed.ipv4_mapped else str(parsed)
