"""`Client.overview` and `AsyncClient.overview`: each method runs one operation, as in clients.py."""

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing
from datetime import datetime
from typing import Literal

from agentjobs.api.recorded_overview import Activity, Change, Installation, OpenCounts, RecordedAction, UsageSeries
from agentjobs.client.overview_operations import OverviewOperations
from agentjobs.client.transport import Blocking, Nonblocking

By = Literal["queue", "model", "partition"]


class Overview:
    """Statistics of the client's namespace; with `everywhere` of all namespaces that the user may read.

    Times need a time zone. A range has 1 hour to 90 days, by default the last day, and at most 100 slices.
    """

    def __init__(self, do: OverviewOperations, transport: Blocking) -> None:
        self._do = do
        self._transport = transport

    def open_jobs(self, *, everywhere: bool = False) -> OpenCounts:
        """Return the number of unfinished jobs, by namespace, queue, phase and reason. Raises Denied."""
        return self._transport.run(self._do.open_jobs(everywhere=everywhere))

    def activity(
        self, *, since: datetime | None = None, until: datetime | None = None, everywhere: bool = False
    ) -> Activity:
        """Return how many jobs were created, started and ended over time, and why jobs failed.

        Raises:
            Invalid: the range is not supported.
            Denied: the user lacks the right.
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
        """Return usage of model calls over time, with the eight most expensive keys separate. Raises as `activity`."""
        return self._transport.run(self._do.usage(by, since, until, everywhere=everywhere))

    def installation(self) -> Installation:
        """Return the running processes and the state of the database.

        Raises:
            Denied: the user may not list AgentJobs in all namespaces.
        """
        return self._transport.run(self._do.installation())

    def actions(self, *, uid: str = "", everywhere: bool = False) -> Generator[RecordedAction]:
        """Yield actions of users through REST and the dashboard, newest first, including rejected ones.

        Args:
            uid: only on the job with this uid.

        Raises:
            Denied: the user may not list AgentJobs in the namespace.
        """
        yield from self._transport.iterate(self._do.actions(uid=uid, everywhere=everywhere))

    def changes(self, *, job: str = "", every: float = 2.0, everywhere: bool = False) -> Generator[Change]:
        """Yield a value whenever jobs have changed, without the change itself; read the jobs to see it.

        Args:
            job: only changes of this job, by name or uid; then progress of its steps is a change, too.
            every: seconds, 1 to 60: changes within this time are combined into one.

        Raises:
            Denied: the user may not list AgentJobs in the namespace, or get the job.
            Unavailable: the gateway was unavailable for longer than the client's `retry_for`.
        """
        yield from self._transport.iterate(self._do.changes(job=job, every=every, everywhere=everywhere))


class AsyncOverview:
    """`Overview` for asyncio."""

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
            async for action in found:
                yield action

    async def changes(self, *, job: str = "", every: float = 2.0, everywhere: bool = False) -> AsyncGenerator[Change]:
        """See `Overview.changes`."""
        do = self._do.changes(job=job, every=every, everywhere=everywhere)
        async with aclosing(self._transport.iterate(do)) as changes:
            async for change in changes:
                yield change
