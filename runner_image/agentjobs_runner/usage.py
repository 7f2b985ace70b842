"""What a start has used: calls of models and tools, tokens. Engines count, `timeline` sends the counts with entries.

Tokens are what models say they counted. Standard library only.
"""

import threading
from collections.abc import Mapping

from agentjobs.contract import USAGE


class UsageCounter:
    """Counts what a start uses. The agent's thread adds; the recorder takes when it adds an entry."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total = dict.fromkeys(USAGE, 0)
        self._untold = dict.fromkeys(USAGE, 0)

    @property
    def total(self) -> dict[str, int]:
        """All that was counted, by the names of `contract.USAGE`."""
        with self._lock:
            return dict(self._total)

    def count(self, used: Mapping[str, int], *, told: bool = False) -> None:
        """Add to the counts; a model that counts backwards is not believed. `told` is what a recorded step tells."""
        with self._lock:
            for name, amount in used.items():
                self._total[name] += max(0, amount)
                self._untold[name] += 0 if told else max(0, amount)

    def take(self) -> dict[str, int]:
        """Return what was counted since the last call, without zeros; it is then told and counts no second time."""
        with self._lock:
            taken = {name: amount for name, amount in self._untold.items() if amount}
            self._untold = dict.fromkeys(USAGE, 0)
            return taken
