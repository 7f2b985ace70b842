"""Writes core/v1 Events about pods, as scheduler and kubelet do, for `kubectl describe pod`.

Best effort: events that cannot be written are dropped, and nothing waits for an event. A repeated event increases the
count of the first.
"""

import asyncio
import datetime
from collections import OrderedDict

from devcluster.client import EVENTS, ApiError, Client, Object
from devcluster.timestamps import timestamp

_REMEMBERED = 1000  # distinct events whose count is remembered
_IN_FLIGHT = 200


class EventRecorder:
    """Records the events of one component."""

    def __init__(self, client: Client, *, component: str, host: str = "") -> None:
        self._client = client
        self._source = {"component": component} | ({"host": host} if host else {})
        self._seen: OrderedDict[tuple[str, str, str], tuple[str, int]] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def record(self, pod: Object, type_: str, reason: str, message: str, *, now: datetime.datetime) -> None:
        """Write an event of `type_` Normal or Warning in the background."""
        if len(self._tasks) >= _IN_FLIGHT:
            return
        task = asyncio.get_running_loop().create_task(self._write(pod, type_, reason, message, now))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def flush(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for pending events, then drop the rest."""
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=timeout)
            for task in late:
                task.cancel()

    async def _write(self, pod: Object, type_: str, reason: str, message: str, now: datetime.datetime) -> None:
        metadata = pod["metadata"]
        namespace, time = metadata["namespace"], timestamp(now)
        key = (metadata["uid"], reason, message)
        name, count = self._seen.get(key, (f"{metadata['name'][:220]}.{int(now.timestamp() * 1e9):x}", 0))
        self._seen[key] = (name, count + 1)
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        try:
            if count:
                await self._client.patch(EVENTS, namespace, name, {"count": count + 1, "lastTimestamp": time})
                return
            await self._client.create(
                EVENTS,
                namespace,
                {
                    "apiVersion": "v1",
                    "kind": "Event",
                    "metadata": {"name": name, "namespace": namespace},
                    "involvedObject": {
                        "apiVersion": "v1",
                        "kind": "Pod",
                        "namespace": namespace,
                        "name": metadata["name"],
                        "uid": metadata["uid"],
                    },
                    "type": type_,
                    "reason": reason,
                    "message": message[:1024],
                    "source": self._source,
                    "firstTimestamp": time,
                    "lastTimestamp": time,
                    "count": 1,
                },
            )
        except ApiError:
            return
