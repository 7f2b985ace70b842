"""What a start has used: calls of models and tools, tokens, as the steps that it recorded say. The journal counts.

Tokens are what models say they counted. Standard library only.
"""

import threading
from collections.abc import Mapping

from agentjobs.contract import USAGE


class UsageCounter:
    """Adds up what a start uses, for its own result. What history says of it is the sum of the recorded steps."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total = dict.fromkeys(USAGE, 0)

    @property
    def total(self) -> dict[str, int]:
        """All that was counted, by the names of `contract.USAGE`."""
        with self._lock:
            return dict(self._total)

    def count(self, used: Mapping[str, int]) -> None:
        """Add to the counts; a model that counts backwards is not believed."""
        with self._lock:
            for name, amount in used.items():
                self._total[name] += max(0, amount)
