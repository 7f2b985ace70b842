"""`Client.overview` and `AsyncClient.overview`: each method names one operation and drives it, as in clients.py."""

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing
from datetime import datetime
from typing import Literal

from agentjobs.api.recorded_overview import Activity, Change, Installation, OpenCounts, RecordedAction, UsageSeries
from agentjobs.client.overview_operations import OverviewOperations
from agentjobs.client.transport import Blocking, Nonblocking

By = Literal["queue", "model", "partition"]


class Overview:
    """The jobs of the client's namespace in numbers; with `everywhere` those of all namespaces that the user may read.

    Times have a zone. They are 1 hour to 90 days, by default the last day, and are covered by at most 100 slices.
    """

    def __init__(self, do: OverviewOperations, transport: Blocking) -> None:
        self._do = do
        self._transport = transport

    def open_jobs(self, *, everywhere: bool = False) -> OpenCounts:
        """Return how many jobs have not ended, by namespace, queue, phase and reason. Raises Denied."""
        return self._transport.run(self._do.open_jobs(everywhere=everywhere))

    def activity(
        self, *, since: datetime | None = None, until: datetime | None = None, everywhere: bool = False
    ) -> Activity:
        """Return how many jobs were created and started and how many ended, over time, and why jobs failed.

        Raises:
            Invalid: no such time can be told of.
            Denied: the user may not.
        """
        return self._transport.run(self._do.activity(since, until, everywhere=everywhere))

    def usage(
        self,
        by: By = "model",
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        everywhere: bool = False,
    ) -> UsageSeries:
        """Return what model calls used over time, of the costliest eight keys apart. Raises as `activity`."""
        return self._transport.run(self._do.usage(by, since, until, everywhere=everywhere))

    def installation(self) -> Installation:
        """Return which processes live and how the database is.

        Raises:
            Denied: the user may not list AgentJobs in all namespaces.
        """
        return self._transport.run(self._do.installation())

    def actions(self, *, uid: str = "", everywhere: bool = False) -> Generator[RecordedAction]:
        """Yield what people did through REST and dashboard, newest first, also what was refused.

        Args:
            uid: only to the job with this uid.

        Raises:
            Denied: the user may not list the AgentJobs of the namespace.
        """
        yield from self._transport.iterate(self._do.actions(uid=uid, everywhere=everywhere))

    def changes(self, *, job: str = "", every: float = 2.0, everywhere: bool = False) -> Generator[Change]:
        """Yield that jobs have changed, for as long as it is iterated over; what they are now is asked for as before.

        Args:
            job: only of this job, by name or uid; then also that its steps went on.
            every: seconds, 1 to 60: at most one change in so many, which stands for all of them.

        Raises:
            Denied: the user may not list the AgentJobs of the namespace, or get the job.
            Unavailable: the gateway cannot be reached for longer than the client's patience.
        """
        yield from self._transport.iterate(self._do.changes(job=job, every=every, everywhere=everywhere))


class AsyncOverview:
    """As `Overview`, for asyncio."""

    def __init__(self, do: OverviewOperations, transport: Nonblocking) -> None:
        self._do = do
        self._transport = transport

    async def open_jobs(self, *, everywhere: bool = False) -> OpenCounts:
        """See `Overview.open_jobs`."""
        return await self._transport.run(self._do.open_jobs(everywhere=everywhere))

    async def activity(
        self, *, since: datetime | None = None, until: datetime | None = None, everywhere: bool = False
    ) -> Activity:
        """See `Overview.activity`."""
        return await self._transport.run(self._do.activity(since, until, everywhere=everywhere))

    async def usage(
        self,
        by: By = "model",
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        everywhere: bool = False,
    ) -> UsageSeries:
        """See `Overview.usage`."""
        return await self._transport.run(self._do.usage(by, since, until, everywhere=everywhere))

    async def installation(self) -> Installation:
        """See `Overview.installation`."""
        return await self._transport.run(self._do.installation())

    async def actions(self, *, uid: str = "", everywhere: bool = False) -> AsyncGenerator[RecordedAction]:
        """See `Overview.actions`."""
        async with aclosing(self._transport.iterate(self._do.actions(uid=uid, everywhere=everywhere))) as found:
            async for one in found:
                yield one

    async def changes(self, *, job: str = "", every: float = 2.0, everywhere: bool = False) -> AsyncGenerator[Change]:
        """See `Overview.changes`."""
        do = self._do.changes(job=job, every=every, everywhere=everywhere)
        async with aclosing(self._transport.iterate(do)) as told:
            async for change in told:
                yield change
