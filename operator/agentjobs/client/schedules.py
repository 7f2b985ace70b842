"""`Client.schedules` and `AsyncClient.schedules`: each method names one operation and drives it, as in clients.py."""

from collections.abc import Mapping, Sequence

from agentjobs.client.job import Job
from agentjobs.client.schedule import Schedule, ScheduleSpec
from agentjobs.client.schedule_operations import ScheduleOperations
from agentjobs.client.transport import Blocking, Nonblocking

PATIENCE_WITH_OPERATORS = 30.0
"""Seconds: long enough for a standby to take over."""


class Schedules:
    """The AgentSchedules of the client's namespace. What they made is told by `Client.history(schedule=…)`."""

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
        """Create a schedule, or change the one of that name to this spec; applying twice changes nothing.

        A schedule that is suspended stays so unless the spec says `suspend`. Labels and annotations are added.

        Args:
            spec: as in YAML (a mapping), or an `AgentScheduleSpec`.

        Raises:
            Invalid: the API server refused the spec.
            Conflict: it is being deleted.
        """
        return self._transport.run(self._do.apply(name, spec, labels=labels, annotations=annotations))

    def get(self, name: str) -> Schedule:
        """Return the schedule as it is now. Raises NotFound."""
        return self._transport.run(self._do.get(name))

    def list(self, *, selector: str = "") -> Sequence[Schedule]:
        """Return the schedules there are; `selector` chooses by labels, such as `team=docs,stage!=test`."""
        return self._transport.run(self._do.list(selector=selector))

    def trigger(self, name: str, *, value: str | None = None, timeout: float = PATIENCE_WITH_OPERATORS) -> Job:
        """Have a job made now, also while the schedule is suspended, and return it once it is there.

        Args:
            value: triggering twice with the same value makes one job; a random one by default.
            timeout: seconds.

        Raises:
            NotFound: there is no such schedule; or the job of this value is gone already.
            TimeoutError: the job is not there yet; it is still asked for.
        """
        return self._transport.run(self._do.trigger(name, value=value, timeout=timeout))

    def suspend(self, name: str) -> Schedule:
        """Create no more jobs. Running jobs continue; what is missed meanwhile is never caught up. Raises NotFound."""
        return self._transport.run(self._do.suspend(name))

    def resume(self, name: str) -> Schedule:
        """Make jobs again, whether `suspend` or too many failures stopped the schedule. Raises NotFound."""
        return self._transport.run(self._do.resume(name))

    def delete(self, name: str) -> None:
        """Delete a schedule and its jobs, if it is there; their history stays."""
        self._transport.run(self._do.delete(name))


class AsyncSchedules:
    """As `Schedules`, for asyncio."""

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

    async def trigger(self, name: str, *, value: str | None = None, timeout: float = PATIENCE_WITH_OPERATORS) -> Job:
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
