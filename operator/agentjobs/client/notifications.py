"""`Client.notifications` and `AsyncClient.notifications`: each method runs one operation, as in clients.py."""

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing

from agentjobs.api.recorded_notifications import RecordedNotification
from agentjobs.client.notification_operations import NotificationOperations
from agentjobs.client.transport import Blocking, Nonblocking


class Notifications:
    """Notifications about the jobs of the client's namespace."""

    def __init__(self, do: NotificationOperations, transport: Blocking) -> None:
        self._do = do
        self._transport = transport

    def list(self, *, job: str = "", stuck: bool = False) -> Generator[RecordedNotification]:
        """Yield notifications, newest first.

        Args:
            job: only for this job, by name or uid.
            stuck: only those that failed.

        Raises:
            NotFound: the job does not exist.
        """
        yield from self._transport.iterate(self._do.list(job=job, stuck=stuck))

    def retry(self, job: str, *, sink: str = "") -> int:
        """Retry a job's failed and given-up notifications now, all or for one sink; return how many.

        Raises:
            NotFound: the job does not exist.
            Denied: the user may not change the job.
        """
        return self._transport.run(self._do.retry(job, sink=sink))


class AsyncNotifications:
    """`Notifications` for asyncio."""

    def __init__(self, do: NotificationOperations, transport: Nonblocking) -> None:
        self._do = do
        self._transport = transport

    async def list(self, *, job: str = "", stuck: bool = False) -> AsyncGenerator[RecordedNotification]:
        """See `Notifications.list`."""
        async with aclosing(self._transport.iterate(self._do.list(job=job, stuck=stuck))) as found:
            async for notification in found:
                yield notification

    async def retry(self, job: str, *, sink: str = "") -> int:
        """See `Notifications.retry`."""
        return await self._transport.run(self._do.retry(job, sink=sink))
