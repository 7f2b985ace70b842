"""How long a refusal may be the server's own beginning: an API server that has just started denies everybody
everything until it has read its roles, for a second or several.

Used by whoever waits for an API server at the start of a process. Does no I/O and never waits itself.
"""

from collections.abc import Callable
from typing import Final

from agentjobs.errors import AgentJobsError, Denied

# A kube-apiserver on a busy machine took eight; a role that is missing is told after a minute.
DENIED_SECONDS: Final = 60.0


class Patience:
    """Bears errors that may pass; `clock` gives seconds and never goes back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._denied_since: float | None = None

    def bear(self, error: AgentJobsError | TimeoutError) -> None:
        """Return if asking again may help; raise `error` when nothing but denials came for a minute."""
        if not isinstance(error, Denied):
            self._denied_since = None
            return
        now = self._clock()
        if self._denied_since is None:
            self._denied_since = now
        if now - self._denied_since >= DENIED_SECONDS:
            raise error
