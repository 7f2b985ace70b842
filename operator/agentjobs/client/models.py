"""`Client.models` and `AsyncClient.models`: each method runs one operation, as in clients.py."""

from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing
from datetime import date
from typing import Any
from uuid import UUID

from agentjobs.api.recorded_models import ModelsOverview
from agentjobs.api.recorded_usage import JobModelUsage, RecordedCall, UsageBy, UsageReport
from agentjobs.client.model_operations import ModelOperations
from agentjobs.client.transport import Blocking, Nonblocking

BY_MODEL = (UsageBy.MODEL,)


class Models:
    """The models that the client's namespace may use, and what they cost."""

    def __init__(self, do: ModelOperations, transport: Blocking) -> None:
        self._do = do
        self._transport = transport

    def overview(self, *, everywhere: bool = False) -> ModelsOverview:
        """Return providers, prices and aliases, what remains of limits, and current callers.

        Args:
            everywhere: for all namespaces; needs the right to list AgentJobs in all namespaces.

        Raises:
            Denied: the user lacks that right.
        """
        return self._transport.run(self._do.overview(everywhere=everywhere))

    def usage(
        self,
        by: Sequence[UsageBy] = BY_MODEL,
        *,
        since: date | None = None,
        until: date | None = None,
        limit: int | None = None,
        everywhere: bool = False,
    ) -> UsageReport:
        """Return usage and cost of model calls, most expensive first, or by day.

        Args:
            by: the grouping; several are combined.
            since: the first day (UTC); by default 30 days in total.
            until: the last day; by default today.
            limit: number of lines, 1 to 500; by default 100. `more` is set if there are others.
            everywhere: as for `overview`.

        Raises:
            Invalid: the combination is not supported.
            Denied: the user lacks the right.
        """
        do = self._do.usage(by, since=since, until=until, limit=limit, everywhere=everywhere)
        return self._transport.run(do)

    def of_job(self, name: str) -> list[JobModelUsage]:
        """Return usage and cost of a job's model calls, by provider and model. Raises NotFound."""
        return self._transport.run(self._do.of_job(name))

    def calls(self, name: str, *, step: str = "") -> Generator[RecordedCall]:
        """Yield a job's model calls in the order in which they began, with ending, usage and cost.

        Args:
            step: only those of the step with this key.

        Raises:
            NotFound: the job does not exist.
        """
        yield from self._transport.iterate(self._do.calls(name, step=step))

    def content(self, name: str, call: UUID) -> Any:
        """Return request and answer of a call. Raises NotFound if the installation does not record them."""
        return self._transport.run(self._do.content(name, call))


class AsyncModels:
    """`Models` for asyncio."""

    def __init__(self, do: ModelOperations, transport: Nonblocking) -> None:
        self._do = do
        self._transport = transport

    async def overview(self, *, everywhere: bool = False) -> ModelsOverview:
        """See `Models.overview`."""
        return await self._transport.run(self._do.overview(everywhere=everywhere))

    async def usage(
        self,
        by: Sequence[UsageBy] = BY_MODEL,
        *,
        since: date | None = None,
        until: date | None = None,
        limit: int | None = None,
        everywhere: bool = False,
    ) -> UsageReport:
        """See `Models.usage`."""
        do = self._do.usage(by, since=since, until=until, limit=limit, everywhere=everywhere)
        return await self._transport.run(do)

    async def of_job(self, name: str) -> list[JobModelUsage]:
        """See `Models.of_job`."""
        return await self._transport.run(self._do.of_job(name))

    async def calls(self, name: str, *, step: str = "") -> AsyncGenerator[RecordedCall]:
        """See `Models.calls`."""
        async with aclosing(self._transport.iterate(self._do.calls(name, step=step))) as calls:
            async for call in calls:
                yield call

    async def content(self, name: str, call: UUID) -> Any:
        """See `Models.content`."""
        return await self._transport.run(self._do.content(name, call))
