"""`Client.queues` and `AsyncClient.queues`: each method names one operation and drives it, as in clients.py."""

from collections.abc import Mapping, Sequence

from agentjobs.client.job_queue import Queue, QueueSpec
from agentjobs.client.queue_operations import QueueOperations
from agentjobs.client.transport import Blocking, Nonblocking


class Queues:
    """The queues of the client's namespace.

    `pause`, `drain`, `resume` and `scale` of a queue of the installation make its AgentQueue, which takes what it does
    not say from the installation.
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
        """Create a queue, or change the one of that name to this spec; applying twice changes nothing.

        A queue that is stopped stays so unless the spec says `stopPolicy`. Labels and annotations are added.

        Args:
            spec: as in YAML (a mapping), or an `AgentQueueSpec`.

        Raises:
            Invalid: the API server refused the spec.
        """
        return self._transport.run(self._do.apply(name, spec, labels=labels, annotations=annotations))

    def get(self, name: str) -> Queue:
        """Return the queue as it is now. Raises NotFound, also for one of the installation without an object."""
        return self._transport.run(self._do.get(name))

    def list(self) -> Sequence[Queue]:
        """Return the queues with an object, and those of the installation as far as jobs show them."""
        return self._transport.run(self._do.in_use())

    def pause(self, name: str) -> Queue:
        """Start no more jobs; those that run go on. Raises NotFound."""
        return self._transport.run(self._do.stop(name, "Hold"))[0]

    def drain(self, name: str) -> Queue:
        """Start no more jobs, and suspend those that run after their step. Raises NotFound."""
        return self._transport.run(self._do.stop(name, "HoldAndDrain"))[0]

    def resume(self, name: str) -> Queue:
        """Start jobs again; those that were drained go on by themselves. Raises NotFound."""
        return self._transport.run(self._do.stop(name, "None"))[0]

    def scale(self, name: str, most: int) -> Queue:
        """Let at most so many jobs hold a slot at once; what runs above that goes on. Raises NotFound."""
        return self._transport.run(self._do.scale(name, most))[0]

    def delete(self, name: str) -> None:
        """Delete a queue's object, if it is there. Running jobs go on; those that wait do so until there is one."""
        self._transport.run(self._do.delete(name))


class AsyncQueues:
    """As `Queues`, for asyncio."""

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
