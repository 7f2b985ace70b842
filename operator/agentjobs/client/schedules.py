"""`Client.schedules` and `AsyncClient.schedules`: each method runs one operation, as in clients.py."""

from collections.abc import Mapping, Sequence

from agentjobs.client.job import Job
from agentjobs.client.schedule import Schedule, ScheduleSpec
from agentjobs.client.schedule_operations import ScheduleOperations
from agentjobs.client.transport import Blocking, Nonblocking

TRIGGER_SECONDS = 30.0
"""Seconds: enough for a standby to take over."""


class Schedules:
    """The AgentSchedules of the client's namespace. `Client.history(schedule=…)` has their jobs."""

    def __init__(self, do: ScheduleOperations, transport: Blocking) -> None:
        self._do = do
        self._transport = transport

    def apply(
        self,
        name: str,
        spec: ScheduleSpec,
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> Schedule:
        """Create a schedule, or replace the spec of an existing one; applying twice changes nothing.

        A suspended schedule stays suspended unless the spec has `suspend`. Labels and annotations are added.

        Args:
            spec: a mapping as in YAML, or an `AgentScheduleSpec`.

        Raises:
            Invalid: the API server rejected the spec.
            Conflict: it is being deleted.
        """
        return self._transport.run(self._do.apply(name, spec, labels=labels, annotations=annotations))

    def get(self, name: str) -> Schedule:
        """Return the current schedule. Raises NotFound."""
        return self._transport.run(self._do.get(name))

    def list(self, *, selector: str = "") -> Sequence[Schedule]:
        """Return the schedules; `selector` filters by labels, such as `team=docs,stage!=test`."""
        return self._transport.run(self._do.list(selector=selector))

    def trigger(self, name: str, *, value: str | None = None, timeout: float = TRIGGER_SECONDS) -> Job:
        """Create a job now, even if the schedule is suspended, and return it.

        Args:
            value: the same value creates the same job; by default random.
            timeout: seconds.

        Raises:
            NotFound: the schedule does not exist, or the job of this value was deleted.
            TimeoutError: the job does not exist yet; the request remains.
        """
        return self._transport.run(self._do.trigger(name, value=value, timeout=timeout))

    def suspend(self, name: str) -> Schedule:
        """Create no more jobs. Running jobs continue; times that pass meanwhile are not caught up. Raises NotFound."""
        return self._transport.run(self._do.suspend(name))

    def resume(self, name: str) -> Schedule:
        """Create jobs again, after `suspend` or too many failures. Raises NotFound."""
        return self._transport.run(self._do.resume(name))

    def delete(self, name: str) -> None:
        """Delete a schedule and its jobs, if it exists; their history stays."""
        self._transport.run(self._do.delete(name))


class AsyncSchedules:
    """`Schedules` for asyncio."""

    def __init__(self, do: ScheduleOperations, transport: Nonblocking) -> None:
        self._do = do
        self._transport = transport

    async def apply(
        self,
        name: str,
        spec: ScheduleSpec,
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> Schedule:
        """See `Schedules.apply`."""
        return await self._transport.run(self._do.apply(name, spec, labels=labels, annotations=annotations))

    async def get(self, name: str) -> Schedule:
        """See `Schedules.get`."""
        return await self._transport.run(self._do.get(name))

    async def list(self, *, selector: str = "") -> Sequence[Schedule]:
        """See `Schedules.list`."""
        return await self._transport.run(self._do.list(selector=selector))

    async def trigger(self, name: str, *, value: str | None = None, timeout: float = TRIGGER_SECONDS) -> Job:
        """See `Schedules.trigger`."""
        return await self._transport.run(self._do.trigger(name, value=value, timeout=timeout))

    async def suspend(self, name: str) -> Schedule:
        """See `Schedules.suspend`."""
        return await self._transport.run(self._do.suspend(name))

    async def resume(self, name: str) -> Schedule:
        """See `Schedules.resume`."""
        return await self._transport.run(self._do.resume(name))

    async def delete(self, name: str) -> None:
        """See `Schedules.delete`."""
        await self._transport.run(self._do.delete(name))
