"""`Client.queues` and `AsyncClient.queues`: each method runs one operation, as in clients.py."""

from collections.abc import Mapping, Sequence

from agentjobs.client.job_queue import Queue, QueueSpec
from agentjobs.client.queue_operations import QueueOperations
from agentjobs.client.transport import Blocking, Nonblocking


class Queues:
    """The queues of the client's namespace.

    For a queue of the installation `pause`, `drain`, `resume` and `scale` create its AgentQueue; omitted fields keep
    the installation's values.
    """

    def __init__(self, do: QueueOperations, transport: Blocking) -> None:
        self._do = do
        self._transport = transport

    def apply(
        self,
        name: str,
        spec: QueueSpec,
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> Queue:
        """Create a queue, or replace the spec of an existing one; applying twice changes nothing.

        A stopped queue stays stopped unless the spec has `stopPolicy`. Labels and annotations are added.

        Args:
            spec: a mapping as in YAML, or an `AgentQueueSpec`.

        Raises:
            Invalid: the API server rejected the spec.
        """
        return self._transport.run(self._do.apply(name, spec, labels=labels, annotations=annotations))

    def get(self, name: str) -> Queue:
        """Return the current queue. Raises NotFound, also for a queue without an object."""
        return self._transport.run(self._do.get(name))

    def list(self) -> Sequence[Queue]:
        """Return the queues with an object, and the installation's queues that jobs name."""
        return self._transport.run(self._do.in_use())

    def pause(self, name: str) -> Queue:
        """Start no more jobs; running jobs continue. Raises NotFound."""
        return self._transport.run(self._do.stop(name, "Hold"))[0]

    def drain(self, name: str) -> Queue:
        """Start no more jobs, and suspend running ones after their step. Raises NotFound."""
        return self._transport.run(self._do.stop(name, "HoldAndDrain"))[0]

    def resume(self, name: str) -> Queue:
        """Start jobs again; drained jobs continue. Raises NotFound."""
        return self._transport.run(self._do.stop(name, "None"))[0]

    def scale(self, name: str, most: int) -> Queue:
        """Set how many jobs have a slot at the same time; running jobs above it continue. Raises NotFound."""
        return self._transport.run(self._do.scale(name, most))[0]

    def delete(self, name: str) -> None:
        """Delete a queue's object, if it exists. Running jobs continue; waiting jobs wait until it exists again."""
        self._transport.run(self._do.delete(name))


class AsyncQueues:
    """`Queues` for asyncio."""

    def __init__(self, do: QueueOperations, transport: Nonblocking) -> None:
        self._do = do
        self._transport = transport

    async def apply(
        self,
        name: str,
        spec: QueueSpec,
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> Queue:
        """See `Queues.apply`."""
        return await self._transport.run(self._do.apply(name, spec, labels=labels, annotations=annotations))

    async def get(self, name: str) -> Queue:
        """See `Queues.get`."""
        return await self._transport.run(self._do.get(name))

    async def list(self) -> Sequence[Queue]:
        """See `Queues.list`."""
        return await self._transport.run(self._do.in_use())

    async def pause(self, name: str) -> Queue:
        """See `Queues.pause`."""
        return (await self._transport.run(self._do.stop(name, "Hold")))[0]

    async def drain(self, name: str) -> Queue:
        """See `Queues.drain`."""
        return (await self._transport.run(self._do.stop(name, "HoldAndDrain")))[0]

    async def resume(self, name: str) -> Queue:
        """See `Queues.resume`."""
        return (await self._transport.run(self._do.stop(name, "None")))[0]

    async def scale(self, name: str, most: int) -> Queue:
        """See `Queues.scale`."""
        return (await self._transport.run(self._do.scale(name, most)))[0]

    async def delete(self, name: str) -> None:
        """See `Queues.delete`."""
        await self._transport.run(self._do.delete(name))
