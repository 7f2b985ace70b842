"""The limits that queues set for calls, as the operator last stored them in history; read every few seconds."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from agentjobs.errors import AgentJobsError, Unavailable
from agentjobs.history.model_protocols import QueueModels
from agentjobs.models.config import Key
from agentjobs.models.queue_limits import QueueLimit, limits_of
from agentjobs.proxy.turns import Wanted

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 5.0

_Queue = tuple[str, str]


class QueueLimits:
    """Limits of the cluster's queues. `watch` must be running.

    Args:
        on_change: called when some have changed.
    """

    def __init__(self, queues: QueueModels, *, on_change: Callable[[], None]) -> None:
        self._queues = queues
        self._on_change = on_change
        self._first = asyncio.Lock()
        self._known: dict[_Queue, tuple[QueueLimit, ...]] | None = None

    def keys_of(self, call: Wanted) -> tuple[Key, ...]:
        """Return the keys of a call, each with the limits of its queue added to its own. Call `ready` first."""
        known = self._known or {}
        limits = known.get(call.queue, ()) if call.queue is not None and call.model else ()
        quotas = tuple(limit.quota for limit in limits if limit.holds((call.model, *call.aliases)))
        return tuple(replace(key, quotas=key.quotas + quotas) for key in call.keys) if quotas else call.keys

    async def ready(self) -> None:
        """Return when the limits are known.

        Raises:
            errors.Unavailable: they cannot be read, and never were.
        """
        if self._known is None:
            async with self._first:
                if self._known is None:
                    await self.poll()
            if self._known is None:
                raise Unavailable("the limits of queues cannot be read")

    async def watch(self) -> None:
        """Read them periodically. Never returns."""
        while True:
            await self.poll()
            await asyncio.sleep(POLL_SECONDS)

    async def poll(self) -> None:
        """Read them once; while history is unavailable, the previous ones stay."""
        try:
            found = await self._queues.model_limits()
        except AgentJobsError as error:
            logger.warning("limits.queues_unavailable", extra={"error": str(error)})
            return
        known = {queue: self._read(queue, entries) for queue, entries in found.items()}
        changed = known != self._known
        self._known = known
        if changed:
            self._on_change()

    def _read(self, queue: _Queue, entries: Sequence[Any]) -> tuple[QueueLimit, ...]:
        try:
            return limits_of(*queue, entries)
        except (AttributeError, KeyError, TypeError) as error:  # written by a newer operator
            logger.error("limits.queue_unreadable", extra={"queue": "/".join(queue), "error": repr(error)})
            return (self._known or {}).get(queue, ())
