"""A start's usage: model calls, tool calls and tokens of its recorded steps. The journal counts.

Token counts are the models' own. Standard library only.
"""

import threading
from collections.abc import Mapping

from agentjobs.contract import USAGE


class UsageCounter:
    """Adds up a start's usage, for its own result. History adds up the recorded steps."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total = dict.fromkeys(USAGE, 0)

    @property
    def total(self) -> dict[str, int]:
        """All counts, by `contract.USAGE`."""
        with self._lock:
            return dict(self._total)

    def count(self, used: Mapping[str, int]) -> None:
        """Add to the counts; negative numbers are ignored."""
        with self._lock:
            for name, amount in used.items():
                self._total[name] += max(0, amount)
