"""Exchanges data about queues with the model proxies: limits of model calls, and costs of calls.

One task reads all queues together every few seconds, only while some queue has budgets or limits. While PostgreSQL is
unreachable, the last values are kept, because no job starts then anyway.
"""

import asyncio
import contextlib
import logging
from collections.abc import Collection, Mapping
from typing import Any, Final, Protocol

from agentjobs.api.queues.status import LimitLeft
from agentjobs.contract import cut
from agentjobs.core.queues.budgets import Spent
from agentjobs.core.queues.model import Queue
from agentjobs.engine.cache import Name
from agentjobs.errors import AgentJobsError
from agentjobs.history.breaker import Away
from agentjobs.history.model_protocols import QueueModels
from agentjobs.history.model_records import Limit, LimitsNow, SpendSince
from agentjobs.kube.resources import AGENTQUEUES
from agentjobs.models.queue_limits import QueueLimit, limits_of
from agentjobs.reconcile.state import State

logger = logging.getLogger(__name__)

READ_SECONDS: Final = 5.0
MAX_MODELS: Final = 1024


class LimitUsage(Protocol):
    """Usage of limits; see `history.model_reports.ModelReports`."""

    async def limits_now(self, limits: Collection[Limit]) -> LimitsNow: ...


class QueueFeed:
    """Publishes `modelLimits`, and reads what queues spent and what remains. `run` must run concurrently with the
    workers.
    """

    def __init__(self, history: QueueModels, usage: LimitUsage, state: State, namespaces: tuple[str, ...] = ()) -> None:
        """`namespaces` are those that this operator serves, empty for all."""
        self._history = history
        self._usage = usage
        self._state = state
        self._namespaces = namespaces
        # The limits in PostgreSQL; None until they are read.
        self._published: dict[Name, Any] | None = None
        self._woken = asyncio.Event()
        state.informers.subscribe(AGENTQUEUES, self._queue_changed)

    async def run(self) -> None:
        """Run until cancelled. The lists must be complete: an unknown queue counts as deleted."""
        while True:
            self._woken.clear()
            try:
                await self.publish()
                await self.read_spending()
                await self.look()
            except AgentJobsError as error:
                if not isinstance(error, Away):  # the breaker logs that, once
                    logger.warning("queues.unavailable", extra={"error": str(error)})
            with contextlib.suppress(TimeoutError):
                # Not wait_for, which creates a task: kopf waits at its end for every task created meanwhile.
                async with asyncio.timeout(READ_SECONDS):
                    await self._woken.wait()

    async def publish(self) -> None:
        """Publish changed limits of queues to the proxies."""
        if self._published is None:
            known = await self._history.model_limits()
            self._published = {name: limits for name, limits in known.items() if self._serves(name)}
        wanted = self._wanted()
        for name in sorted(wanted.keys() | self._published.keys()):
            limits = wanted.get(name)
            if limits == self._published.get(name) or self._is_unreadable(name):
                continue
            await self._history.set_model_limits(name, limits or ())
            if limits is None:
                del self._published[name]
            else:
                self._published[name] = limits

    async def read_spending(self) -> None:
        """Read what queues with budgets spent in their periods, and wake queues whose policy changes."""
        periods = [
            (name, begin) for name, begins in self._state.policies.budget_periods().items() for begin in sorted(begins)
        ]
        if not periods:
            return
        answers = await self._history.spent([SpendSince(*name, since=begin) for name, begin in periods])
        found: dict[Name, dict[Any, Spent]] = {}
        for (name, begin), spent in zip(periods, answers, strict=True):
            found.setdefault(name, {})[begin] = spent
        for name, spends in found.items():
            if self._state.policies.spent(name, spends):
                self._state.queue_changed(name)
            self._state.queue.add(AGENTQUEUES.key(name))

    async def look(self) -> None:
        """Read what remains of limits of model calls, for the status of queues."""
        limits = {name: limits_of(*name, entries) for name, entries in self._wanted().items()}
        limits_read = [
            Limit(limit.quota.bucket, limit.quota.most, limit.quota.window)
            for each in limits.values()
            for limit in each
        ]
        used = (await self._usage.limits_now(limits_read)).used if limits_read else {}
        left = {name: tuple(_left(limit, used[limit.quota.bucket]) for limit in each) for name, each in limits.items()}
        for name in self._state.policies.note_left(left):
            self._state.queue.add(AGENTQUEUES.key(name))

    def _wanted(self) -> dict[Name, list[Mapping[str, Any]]]:
        found: dict[Name, list[Mapping[str, Any]]] = {}
        for name in self._state.queues.keys():  # noqa: SIM118  a cache is not a mapping
            spec = self._state.policies.spec(name)
            if spec is not None and spec.model_limits:
                found[name] = [
                    limit.model_dump(mode="json", by_alias=True, exclude_none=True) for limit in spec.model_limits
                ]
        return found

    def _is_unreadable(self, name: Name) -> bool:
        """Whether the queue exists without a known valid spec: then its limits stay unchanged."""
        return self._state.queues.get(name) is not None and self._state.policies.spec(name) is None

    def _serves(self, name: Name) -> bool:
        return not self._namespaces or name[0] in self._namespaces

    def _queue_changed(self, _name: Name, before: Queue | None, after: Queue | None) -> None:
        if before is None or after is None or before.generation != after.generation:
            self._woken.set()


def _left(limit: QueueLimit, used: int) -> LimitLeft:
    models, most = cut(",".join(limit.models), MAX_MODELS), limit.quota.most
    return LimitLeft(models=models, limit=limit.field, max=most, left=max(0, most - used))
