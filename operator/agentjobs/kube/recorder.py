"""Writes Kubernetes Events for people who use `kubectl describe`, without delaying other work.

Fed synchronously by the reconciler, written by its own task. Under load, Events are dropped and counted, Normal ones
before Warnings: nothing may depend on them. A repeated Event is one object with a count, also across restarts, because
its name is derived from its content.
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from agentjobs.bounded import Bounded
from agentjobs.errors import AgentJobsError, AlreadyExists, NotFound, TooManyRequests, Unavailable
from agentjobs.kube.client import KubeClient
from agentjobs.kube.resources import EVENTS
from agentjobs.kube.wire import Obj

logger = logging.getLogger(__name__)

COMPONENT: Final = "agentjobs"
# The API server's limits of a core/v1 Event.
MAX_REASON: Final = 128
MAX_MESSAGE: Final = 1024
MAX_NAME: Final = 253
# Per object, like client-go's spam filter: a burst of this many different Events, then one every five minutes.
OBJECT_BURST: Final = 20
OBJECT_SECONDS: Final = 300.0
# Additional Warnings of an object that has used up its burst.
OBJECT_CREDIT: Final = 5
# For all objects together: Events must not compete with other requests to the API server.
RATE: Final = 20.0
BURST: Final = 100
PENDING: Final = 1000
# Events and objects whose counts and budgets are cached.
REMEMBERED: Final = 4096
TRIES: Final = 5
RETRY_SECONDS: Final = 1.0
# Time between two log lines about dropped Events.
LOG_SECONDS: Final = 60.0


@dataclass(slots=True)
class _Pending:
    """An Event not yet written; repetitions meanwhile only raise `count`."""

    body: Obj
    count: int
    last: str
    tries: int = 0


@dataclass(slots=True)
class _Bucket:
    """A token bucket, refilled over time."""

    size: float
    per_second: float
    tokens: float
    filled_at: float

    def take(self, now: float, *, credit: float = 0) -> bool:
        """Take a token if there is one, or if at most `credit` are owed afterwards."""
        self._fill(now)
        if self.tokens + credit < 1:
            return False
        self.tokens -= 1
        return True

    def reserve(self, now: float) -> float:
        """Take a token in any case; return the seconds to wait until it is due."""
        self._fill(now)
        self.tokens -= 1
        return max(0.0, -self.tokens / self.per_second)

    def _fill(self, now: float) -> None:
        self.tokens = min(self.size, self.tokens + (now - self.filled_at) * self.per_second)
        self.filled_at = now


class EventRecorder:
    """Aggregating, bounded recorder. `record` from anywhere in the loop; `run` as one task."""

    def __init__(
        self,
        client: KubeClient,
        *,
        instance: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        rate: float = RATE,
        pending: int = PENDING,
        on_dropped: Callable[[], None] | None = None,
    ) -> None:
        """
        Args:
            instance: the reporting instance, such as the pod's name.
            rate: maximum Events written per second.
            pending: maximum Events that wait to be written.
            on_dropped: called for every dropped Event, for metrics.
        """
        self._client = client
        self._instance = instance
        self._now = now
        self._rate = rate
        self._limit = pending
        self._on_dropped = on_dropped
        self._pending: OrderedDict[tuple[str, str], _Pending] = OrderedDict()  # by namespace and name
        self._written: Bounded[tuple[str, str], int] = Bounded(REMEMBERED)  # count as last written
        self._buckets: Bounded[str, _Bucket] = Bounded(REMEMBERED)  # by uid of the object
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.dropped = 0
        self._unlogged = 0
        self._logged_at = float("-inf")

    def record(self, about: Mapping[str, Any], event_type: str, reason: str, message: str) -> None:
        """Record an Event about an object. Returns immediately, and never raises if it is dropped.

        Args:
            about: reference to the object: apiVersion, kind, namespace, name, uid; resourceVersion if known.
            event_type: `Normal` or `Warning`.
            reason: one CamelCase word, from a documented set.
            message: one sentence; cut at 1,024 characters.
        """
        message = message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"
        key = (str(about["namespace"]), _name(about, event_type, reason, message))
        time = _rfc3339(self._now())
        waiting = self._pending.get(key)
        if waiting is not None:
            waiting.count += 1
            waiting.last = time
            return
        warning = event_type == "Warning"
        if not (key in self._written or self._within_budget(str(about["uid"]), warning)) or not self._has_room(warning):
            self._drop()
            return
        self._pending[key] = _Pending(self._body(about, key, event_type, reason[:MAX_REASON], message, time), 1, time)
        self._idle.clear()
        self._wake.set()

    async def run(self) -> None:
        """Write recorded Events until cancelled."""
        loop = asyncio.get_running_loop()
        bucket = _Bucket(BURST, self._rate, BURST, loop.time())
        while True:
            if not self._pending:
                self._idle.set()
                self._wake.clear()
                await self._wake.wait()
            await asyncio.sleep(bucket.reserve(loop.time()))
            key, event = self._pending.popitem(last=False)
            await self._try(key, event)

    async def flush(self, *, seconds: float) -> bool:
        """Wait until all recorded Events are written or dropped; False if that took longer than `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def _try(self, key: tuple[str, str], event: _Pending) -> None:
        try:
            await self._write(key, event)
        except Unavailable as error:
            event.tries += 1
            if event.tries >= TRIES:
                self._drop()
                logger.debug("event.not_written", extra={"object": key[1], "error": str(error)})
                return
            self._put_back(key, event)
            await asyncio.sleep(error.retry_after if isinstance(error, TooManyRequests) else RETRY_SECONDS)
        except AgentJobsError as error:
            # The namespace is gone, or we may not write there: a retry does not help.
            self._drop()
            logger.debug("event.refused", extra={"object": key[1], "error": str(error)})

    def _put_back(self, key: tuple[str, str], event: _Pending) -> None:
        """Retry later, together with repetitions recorded meanwhile."""
        newer = self._pending.get(key)
        if newer is None:
            self._pending[key] = event
        else:
            newer.count += event.count
            newer.tries = event.tries
            newer.body = event.body

    async def _write(self, key: tuple[str, str], event: _Pending) -> None:
        namespace, name = key
        before = self._written.get(key)
        if before is None:
            body = {**event.body, "count": event.count, "lastTimestamp": event.last}
            try:
                await self._client.create(EVENTS, namespace, body)
            except AlreadyExists:  # an earlier process recorded it too
                before = int((await self._client.get(EVENTS, namespace, name)).get("count") or 1)
            else:
                self._written.put(key, event.count)
                return
        count = before + event.count
        try:
            await self._client.patch(EVENTS, namespace, name, {"count": count, "lastTimestamp": event.last})
        except NotFound:  # Events live an hour
            count = event.count
            await self._client.create(EVENTS, namespace, {**event.body, "count": count, "lastTimestamp": event.last})
        self._written.put(key, count)

    def _has_room(self, warning: bool) -> bool:
        """Whether another Event may wait. A Warning replaces the oldest Normal Event."""
        if len(self._pending) < self._limit:
            return True
        normal = next((key for key, event in self._pending.items() if event.body["type"] == "Normal"), None)
        if not warning or normal is None:
            return False
        del self._pending[normal]
        self._drop()
        return True

    def _within_budget(self, uid: str, warning: bool) -> bool:
        now = asyncio.get_running_loop().time()
        bucket = self._buckets.get(uid)
        if bucket is None:
            bucket = _Bucket(OBJECT_BURST, 1 / OBJECT_SECONDS, OBJECT_BURST, now)
            self._buckets.put(uid, bucket)
        return bucket.take(now, credit=OBJECT_CREDIT if warning else 0)

    def _drop(self) -> None:
        self.dropped += 1
        self._unlogged += 1
        if self._on_dropped is not None:
            self._on_dropped()
        now = asyncio.get_running_loop().time()
        if now - self._logged_at >= LOG_SECONDS:
            logger.warning("event.dropped", extra={"events": self._unlogged, "waiting": len(self._pending)})
            self._logged_at, self._unlogged = now, 0

    def _body(
        self, about: Mapping[str, Any], key: tuple[str, str], event_type: str, reason: str, message: str, time: str
    ) -> Obj:
        fields = ("apiVersion", "kind", "namespace", "name", "uid", "resourceVersion")
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"namespace": key[0], "name": key[1]},
            "involvedObject": {field: about[field] for field in fields if about.get(field)},
            "type": event_type,
            "reason": reason,
            "message": message,
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._instance,
            "firstTimestamp": time,
        }


def _name(about: Mapping[str, Any], event_type: str, reason: str, message: str) -> str:
    """Return `<object>.<hash>`: equal for equal Events about the same object."""
    words = "\0".join((str(about["uid"]), event_type, reason, message))
    digest = hashlib.sha256(words.encode()).hexdigest()[:16]
    return f"{str(about['name'])[: MAX_NAME - 17]}.{digest}"


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
