"""Model calls by queue in memory, for tests, for the jobs of a `MemoryHistory`."""

from collections.abc import Mapping, Sequence
from typing import Any

from agentjobs import errors
from agentjobs.history.memory import MemoryHistory
from agentjobs.history.model_records import SPEND_SLICE_SECONDS, SpendSince
from agentjobs.models.budget import Spend


class MemoryQueueModels:
    """What `model_protocols.QueueModels` promises."""

    def __init__(self, history: MemoryHistory) -> None:
        self._history = history
        self._limits: dict[tuple[str, str], Any] = {}

    async def model_limits(self) -> dict[tuple[str, str], Any]:
        """Return `modelLimits` of the queues that have some."""
        self._check_available()
        return dict(self._limits)

    async def set_model_limits(self, queue: tuple[str, str], limits: Sequence[Mapping[str, Any]]) -> None:
        """Set a queue's `spec.modelLimits`; an empty list removes them."""
        self._check_available()
        if limits:
            self._limits[queue] = [dict(limit) for limit in limits]
        else:
            self._limits.pop(queue, None)

    async def spent(self, since: Sequence[SpendSince]) -> list[dict[str, Spend]]:
        """Return usage of each queue's calls since then, by partition."""
        self._check_available()
        return [self._spent(each) for each in since]

    def _spent(self, since: SpendSince) -> dict[str, Spend]:
        found: dict[str, Spend] = {}
        for job in self._history.jobs_by_uid.values():
            spec = job.resolved["spec"] if job.resolved else {}
            partition = spec.get("partitionKey") or ""
            for call in job.calls.values():
                end = call.booked
                if end is None or call.ended is None or job.key.namespace != since.namespace:
                    continue
                is_late = call.ended.timestamp() // SPEND_SLICE_SECONDS >= since.slice
                if is_late and since.queue == (end.queue or spec.get("queue", "")):
                    found[partition] = found.get(partition, Spend()) + Spend(end.cost, end.tokens.total)
        return found

    def _check_available(self) -> None:
        if self._history.away:
            raise errors.Unavailable("history is unreachable")
