"""Holds a Lease, so that only one operator writes, and reports at any time whether this process may write.

Owned by the operator's process, which waits in `acquire`, keeps `run` as a task and ends when that raises. The Lease
protects global state (queue limits); single objects are safe by preconditions even if two processes write.

The elector must write before it holds the Lease, so it gets a client without a fence, and all others one with it:
`elector = Elector(client, …); fenced = client.with_check(elector.held)`.

Other candidates wait for the record to stay unchanged by *their* clock, like client-go, so clocks are never compared.
Ours may have been stopped (suspended machine, frozen cgroup): `held` reads CLOCK_BOOTTIME, which includes that time.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from agentjobs.errors import AgentJobsError, AlreadyExists, Conflict, Invalid, NotFound
from agentjobs.kube.client import KubeClient
from agentjobs.kube.resources import LEASES
from agentjobs.kube.startup import StartupRetry
from agentjobs.kube.wire import Obj

logger = logging.getLogger(__name__)

# client-go's values: others wait 15 s for the holder, which stops writing after 10 s, and retries every 2 s before.
DURATION: Final = timedelta(seconds=15)
DEADLINE: Final = timedelta(seconds=10)
RETRY: Final = timedelta(seconds=2)
# The deadline has room for two tries, the pause between them and some spare time, even if the first one hangs.
TRY_SECONDS: Final = 4.0
RELEASE_SECONDS: Final = 3.0


class LeaseLost(AgentJobsError):
    """This process does not hold the Lease and must not write; it ends, and another one takes over."""


def boottime() -> float:
    """Return seconds of a monotonic clock, which on Linux includes suspended time."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def utc_now() -> datetime:
    """Return the wall clock, which is written into the Lease only for people."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The holder's record as first seen, and when (own clock)."""

    record: tuple[Any, ...]
    at: float


class Elector:
    """Acquires, renews and releases one Lease under one identity, which must be unique to this process."""

    def __init__(
        self,
        client: KubeClient,
        *,
        namespace: str,
        name: str,
        identity: str,
        duration: timedelta = DURATION,
        deadline: timedelta = DEADLINE,
        retry: timedelta = RETRY,
        clock: Callable[[], float] = boottime,
        now: Callable[[], datetime] = utc_now,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """
        Args:
            client: without a fence (see the module).
            duration: how long others wait for a holder that does not renew.
            deadline: how long after a renewal this process may write; less than `duration`.
            retry: time between renewals; candidates check twice as often.
            clock: monotonic seconds, which include time while the process is stopped.
            now: for `acquireTime` and `renewTime`.
            jitter: in [0, 1), spreads candidates.
        """
        if not retry < deadline < duration:
            raise ValueError(f"lease: needs retry < deadline < duration, got {retry}, {deadline}, {duration}")
        self._client = client
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._duration = duration
        self._deadline = deadline.total_seconds()
        self._retry = retry.total_seconds()
        self._clock = clock
        self._now = now
        self._jitter = jitter
        self._lease: Obj | None = None
        self._seen: _Seen | None = None
        self._renewed_at: float | None = None

    @property
    def leading(self) -> bool:
        """Whether this process may write now."""
        return self._remaining() > 0

    def held(self) -> None:
        """The fence: return if this process may write now.

        Raises:
            LeaseLost: it never held the Lease, released it, or did not renew it in time.
        """
        if self._renewed_at is None:
            raise LeaseLost(f"lease {self._namespace}/{self._name}: not held by {self._identity}")
        if self._remaining() <= 0:
            age = self._clock() - self._renewed_at
            raise LeaseLost(
                f"lease {self._namespace}/{self._name}: last renewed {age:.1f} s ago, may write for "
                f"{self._deadline:g} s"
            )

    async def acquire(self) -> None:
        """Wait until the Lease is ours. Continues after temporary errors.

        Raises:
            Denied, Invalid: waiting does not help; the process should report it and end.
        """
        retry = StartupRetry(self._clock)
        while True:
            begin = self._clock()
            try:
                async with asyncio.timeout(TRY_SECONDS):
                    if await self._try_acquire(begin):
                        logger.info("lease.acquired", extra={"lease": self._name, "identity": self._identity})
                        return
            except Invalid:
                raise
            except (AgentJobsError, TimeoutError) as error:
                retry.tolerate(error)
                logger.warning("lease.unavailable", extra=self._fields(error))
            # Twice as often as a leader renews, because a handover waits for half of it on average.
            await asyncio.sleep(self._retry / 2 * (1 + 0.2 * self._jitter()))

    async def run(self) -> None:
        """Renew until the Lease is lost. Call after `acquire`; cancel it before `release`.

        Raises:
            LeaseLost: another process took the Lease, or no renewal succeeded in time.
        """
        while True:
            await asyncio.sleep(min(self._retry, max(0.0, self._remaining())))
            self.held()
            begin = self._clock()
            try:
                async with asyncio.timeout(min(TRY_SECONDS, self._remaining())):
                    await self._renew(begin)
            except LeaseLost:
                self._renewed_at = None
                raise
            except (AgentJobsError, TimeoutError) as error:
                logger.warning("lease.renewal_failed", extra=self._fields(error))

    async def release(self) -> None:
        """Release the Lease, so that another process need not wait for it to expire. Writes are fenced immediately.

        Also if it was not renewed in time, because it may still be ours in the server.
        """
        lease, self._lease, self._renewed_at = self._lease, None, None
        if lease is None:
            return
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._give_back(lease)
        except (AgentJobsError, TimeoutError) as error:
            logger.warning("lease.release_failed", extra=self._fields(error))
        else:
            logger.info("lease.released", extra={"lease": self._name, "identity": self._identity})

    async def _give_back(self, lease: Obj) -> None:
        free = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": self._time()}
        try:
            await self._put({**lease, "spec": {**lease["spec"], **free}})
        except Conflict:
            # A renewal that we gave up may have succeeded.
            lease = await self._client.get(LEASES, self._namespace, self._name)
            self._check_holder(lease)
            await self._put({**lease, "spec": {**lease["spec"], **free}})

    async def _try_acquire(self, begin: float) -> bool:
        """Take the Lease if it is free or has expired while we observed it."""
        try:
            lease = await self._client.get(LEASES, self._namespace, self._name)
        except NotFound:
            return await self._create(begin)
        spec = lease.get("spec") or {}
        if not self._free(spec):
            return False
        transitions = int(spec.get("leaseTransitions") or 0) + 1
        taken = self._spec(acquired=self._time(), transitions=transitions)
        try:
            lease = await self._put({**lease, "spec": taken})
        except Conflict:
            return False
        self._renewed(lease, begin)
        return True

    def _free(self, spec: Obj) -> bool:
        holder = spec.get("holderIdentity")
        if not holder or holder == self._identity:
            return True
        record = (holder, spec.get("renewTime"), spec.get("acquireTime"), spec.get("leaseTransitions"))
        now = self._clock()
        if self._seen is None or self._seen.record != record:
            if self._seen is None or self._seen.record[0] != holder:
                logger.info("lease.held_by_other", extra={"lease": self._name, "holder": holder})
            self._seen = _Seen(record, now)
        return now >= self._seen.at + float(spec.get("leaseDurationSeconds") or self._duration.total_seconds())

    async def _create(self, begin: float) -> bool:
        body: Obj = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": self._spec(acquired=self._time(), transitions=0),
        }
        try:
            lease = await self._client.create(LEASES, self._namespace, body)
        except AlreadyExists:
            return False
        self._renewed(lease, begin)
        return True

    async def _renew(self, begin: float) -> None:
        assert self._lease is not None
        spec = {**self._lease["spec"], "renewTime": self._time()}
        try:
            lease = await self._put({**self._lease, "spec": spec})
        except NotFound:
            # Deleted by a user. The first process that creates it holds it.
            if not await self._create(begin):
                raise LeaseLost(
                    f"lease {self._namespace}/{self._name}: deleted, then created by another process"
                ) from None
            return
        except Conflict:
            # Our own earlier try may have succeeded, or a client may have labelled it; only another holder matters.
            lease = await self._client.get(LEASES, self._namespace, self._name)
            self._check_holder(lease)
            lease = await self._put({**lease, "spec": {**lease["spec"], "renewTime": self._time()}})
        self._renewed(lease, begin)

    def _check_holder(self, lease: Obj) -> None:
        holder = (lease.get("spec") or {}).get("holderIdentity")
        if holder != self._identity:
            raise LeaseLost(f"lease {self._namespace}/{self._name}: taken by {holder or 'an unnamed holder'}")

    async def _put(self, lease: Obj) -> Obj:
        return await self._client.replace(LEASES, self._namespace, self._name, lease)

    def _renewed(self, lease: Obj, begin: float) -> None:
        """Count from before the request, because the server may have written at any time since."""
        self._lease = lease
        self._renewed_at = begin

    def _remaining(self) -> float:
        return -1.0 if self._renewed_at is None else self._renewed_at + self._deadline - self._clock()

    def _spec(self, *, acquired: str, transitions: int) -> Obj:
        return {
            "holderIdentity": self._identity,
            # Rounded up: a standby must not wait shorter than we may still write.
            "leaseDurationSeconds": math.ceil(self._duration.total_seconds()),
            "acquireTime": acquired,
            "renewTime": acquired,
            "leaseTransitions": transitions,
        }

    def _fields(self, error: Exception) -> dict[str, str]:
        return {"lease": self._name, "error": str(error) or "no answer in time"}

    def _time(self) -> str:
        """Format a MicroTime, for which the API server requires six digits."""
        return self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
