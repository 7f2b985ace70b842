"""How much users ask: each for themselves, so that nobody's tabs or scripts keep others waiting, or runners.

The numbers are for a person with twenty open tabs, whose pages ask five things each at every change.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from agentjobs.capacity import PerCaller
from agentjobs.gateway.limits import Rates
from agentjobs.problem import busy

# Of a user, in the long run and in a burst. Twenty pages that ask five things every two seconds are half of it.
READS_A_SECOND: Final = 100.0
READS_BURST: Final = 1000.0
# A person who cancels a page of jobs sends one for each.
ACTIONS_A_SECOND: Final = 10.0
ACTIONS_BURST: Final = 500.0
# Of an address: requests whose token nobody knows, or whose user may not act as whom they name.
REFUSALS_A_SECOND: Final = 5.0
REFUSALS_BURST: Final = 100.0
# Of changes, open at once: each tab of a browser has one. Each holds some kilobytes, and a connection.
STREAMS_PER_USER: Final = 50
STREAMS: Final = 1000


class UserLimits:
    """How often each user may ask, and each address be refused.

    Args:
        clock: in seconds; must never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._reads = Rates(clock, a_second=READS_A_SECOND, burst=READS_BURST, who="A user")
        self._actions = Rates(clock, a_second=ACTIONS_A_SECOND, burst=ACTIONS_BURST, who="A user")
        self._refusals = Rates(
            clock, a_second=REFUSALS_A_SECOND, burst=REFUSALS_BURST, who="An address without a token that we know"
        )

    def count(self, user: str, *, acts: bool) -> None:
        """Count a request that reads, or one that acts. Raises Problem (429) with `Retry-After` when there were too
        many."""
        (self._actions if acts else self._reads).count(user)

    def count_refusal(self, address: str) -> None:
        """Count a request whose user is not known. Raises as `count`."""
        self._refusals.count(address)

    def check_stranger(self, address: str) -> None:
        """Return if an address may show a token that nobody has seen. Raises as `count`."""
        self._refusals.check(address)


class Streams:
    """How many streams of changes are open, of a user and in all, and for how long each is.

    Args:
        shortest, longest: seconds; each stream ends somewhere between.
        quiet: seconds after which a stream says that it still is there, and its user's rights are asked again.
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
        """Return how long a stream is open; `part` is from 0 to 1."""
        return self._span[0] + part * (self._span[1] - self._span[0])

    @contextmanager
    def taken(self, user: str) -> Iterator[None]:
        """Count a stream for the length of a `with` block.

        Raises:
            Problem: 429 when the user has as many as there are, 503 when all together have.
        """
        if not self._left:
            raise busy(503, "As many streams of changes are open as there may be.", 5.0)
        with self._per_user.taken(user):
            self._left -= 1
            try:
                yield
            finally:
                self._left += 1
