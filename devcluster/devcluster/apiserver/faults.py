"""Faults that a test can inject into a running server, by `ApiServer.faults`.

An embedded server is more reliable than a cluster: serial, fast, never overloaded. Faults show which clients depend on
that. All are off by default.
"""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Faults:
    """The faults of a server, and how often they happen.

    Args:
        latency: seconds by which every response is delayed; of a watch, not its events.
        fail_every: every n-th write is refused with `fail_code` and not carried out; 0 is never.
        fail_code: 409, 429 (with `Retry-After: 1`), 500, 503 or 504.
        lose_every: every n-th write is carried out but answered with 504; 0 is never.
        list_latency: seconds between the reading of a list and its response, which is outdated then.
        watch_latency: seconds by which every event of a watch is delayed, as by a server that lags.
        close_watches_after: a watch ends after this many events; 0 is never.
        established_delay: seconds from the creation of a CRD until it is served.
        only: selects the writes that count, by verb (`create`, `update`, `patch`, `delete`) and resource (`pods`,
            `pods/status`, `leases.coordination.k8s.io`).
    """

    latency: float = 0.0
    fail_every: int = 0
    fail_code: int = 500
    lose_every: int = 0
    list_latency: float = 0.0
    watch_latency: float = 0.0
    close_watches_after: int = 0
    established_delay: float = 0.0
    only: Callable[[str, str], bool] = field(default=lambda _verb, _resource: True)
    _failing: int = 0
    _losing: int = 0

    def fails(self, verb: str, resource: str) -> int:
        """Count a write; return the code to refuse it with, or 0."""
        if not self.fail_every or not self.only(verb, resource):
            return 0
        self._failing += 1
        return self.fail_code if self._failing % self.fail_every == 0 else 0

    def loses(self, verb: str, resource: str) -> bool:
        """Count a write; return whether its response is lost."""
        if not self.lose_every or not self.only(verb, resource):
            return False
        self._losing += 1
        return self._losing % self.lose_every == 0
