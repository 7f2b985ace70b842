"""Faults a test can switch on in a running server.

An embedded server is kinder than a cluster: serial, fast, never overloaded. What works here only would fail there.
`ApiServer.faults` holds one; `server` and `streams` ask it. All off by default.
"""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Faults:
    """What goes wrong, and how often.

    Args:
        latency: seconds every answer is held back; a watch's first answer too, its events not.
        fail_every: every n-th write is refused with `fail_code` and not carried out; 0 is never.
        fail_code: 409, 429 (with `Retry-After: 1`), 500, 503 or 504.
        lose_every: every n-th write is carried out but answered with 504: the client cannot know; 0 is never.
        list_latency: seconds between the moment a list is read and its answer: it tells of the past when it comes.
        watch_latency: seconds every event of a watch is held back, as by a server that has fallen behind.
        close_watches_after: a watch ends after it has sent this many events; 0 is never.
        established_delay: seconds from a CRD's creation until it is served.
        only: which writes count, by verb (`create`, `update`, `patch`, `delete`) and resource (`pods`, `pods/status`,
            `leases.coordination.k8s.io`).
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
        """Count a write; return whether its answer gets lost."""
        if not self.lose_every or not self.only(verb, resource):
            return False
        self._losing += 1
        return self._losing % self.lose_every == 0
