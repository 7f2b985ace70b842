"""Limits on the requests of each user, so that the tabs or scripts of one user do not delay others or runners.

The numbers suit a user with twenty open tabs whose pages send five requests at every change.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from agentjobs.capacity import PerCaller
from agentjobs.gateway.limits import Rates
from agentjobs.problem import busy

# The rate of a user in the long run and in a burst. Twenty pages with five requests every two seconds are half of it.
READS_PER_SECOND: Final = 100.0
READS_BURST: Final = 1000.0
# A user who cancels a page of jobs sends one request for each.
ACTIONS_PER_SECOND: Final = 10.0
ACTIONS_BURST: Final = 500.0
# The rate of an address: requests with an unknown token, or with an impersonation that is not allowed.
REFUSALS_PER_SECOND: Final = 5.0
REFUSALS_BURST: Final = 100.0
# Open streams of changes: each tab of a browser has one. Each takes a few kilobytes and a connection.
STREAMS_PER_USER: Final = 50
STREAMS: Final = 1000


class UserLimits:
    """The rates of users, and of refusals of addresses.

    Args:
        clock: in seconds; must never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._reads = Rates(clock, per_second=READS_PER_SECOND, burst=READS_BURST, who="A user")
        self._actions = Rates(clock, per_second=ACTIONS_PER_SECOND, burst=ACTIONS_BURST, who="A user")
        self._refusals = Rates(
            clock, per_second=REFUSALS_PER_SECOND, burst=REFUSALS_BURST, who="An address without a known token"
        )

    def count(self, user: str, *, acts: bool) -> None:
        """Count a request that reads or acts. Raises Problem (429) with `Retry-After` after too many."""
        (self._actions if acts else self._reads).count(user)

    def count_refusal(self, address: str) -> None:
        """Count a request of an unknown user. Raises as `count`."""
        self._refusals.count(address)

    def check_unauthenticated(self, address: str) -> None:
        """Return if an address may send an unknown token. Raises as `count`."""
        self._refusals.check(address)


class Streams:
    """Limits on the number and the duration of streams of changes.

    Args:
        shortest, longest: the duration of a stream in seconds, drawn between the two.
        quiet: seconds without an event after which a stream sends a comment and checks its user's rights.
    """

    def __init__(
        self,
        *,
        per_user: int = STREAMS_PER_USER,
        together: int = STREAMS,
        shortest: float = 90.0,
        longest: float = 110.0,
        quiet: float = 15.0,
    ) -> None:
        self.quiet = quiet
        self._span = shortest, longest
        self._left = together
        self._per_user = PerCaller(per_user)

    def seconds(self, part: float) -> float:
        """Return the duration of a stream in seconds; `part` is from 0 to 1."""
        return self._span[0] + part * (self._span[1] - self._span[0])

    @contextmanager
    def taken(self, user: str) -> Iterator[None]:
        """Count a stream for the length of a `with` block.

        Raises:
            Problem: 429 if the user has too many streams, 503 if there are too many in total.
        """
        if not self._left:
            raise busy(503, "Too many streams of changes are open.", 5.0)
        with self._per_user.taken(user):
            self._left -= 1
            try:
                yield
            finally:
                self._left += 1
