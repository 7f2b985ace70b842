"""`Client.sessions` and `AsyncClient.sessions`: each method runs operations, as in clients.py."""

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing

from agentjobs.api.recorded_sessions import Deleted, RecordedArtifact, RecordedSession, SessionEvent, SessionHistory
from agentjobs.client.session_operations import SessionOperations
from agentjobs.client.transport import Blocking, Nonblocking


class Sessions:
    """The sessions of the client's namespace, and their artifacts, which outlive their jobs.

    A session is identified by its id; if several apps or users have that id, by `app` and `user`, too.
    """

    def __init__(self, do: SessionOperations, transport: Blocking) -> None:
        self._do = do
        self._transport = transport

    def list(self, *, app: str = "", user: str = "") -> Generator[RecordedSession]:
        """Yield the sessions, last used first; only those of `app` and `user` if given."""
        yield from self._transport.iterate(self._do.list(app=app, user=user))

    def get(self, session: str, *, app: str = "", user: str = "") -> SessionHistory:
        """Return a session with its turns, its state, and the states of its user and app.

        Raises:
            NotFound: the session does not exist.
            Conflict: several match; give app and user.
        """
        return self._transport.run(self._do.history(self._find(session, app, user)))

    def events(self, session: str, *, app: str = "", user: str = "") -> Generator[SessionEvent]:
        """Yield ADK's events of a session, oldest first. Raises as `get`."""
        yield from self._transport.iterate(self._do.events(self._find(session, app, user)))

    def artifacts(self, session: str, *, app: str = "", user: str = "") -> Generator[RecordedArtifact]:
        """Yield the artifacts of a session and of its user, with all versions, by name. Raises as `get`."""
        yield from self._transport.iterate(self._do.artifacts(self._find(session, app, user)))

    def artifact(self, session: str, name: str, *, version: int | None = None, app: str = "", user: str = "") -> bytes:
        """Return the bytes of an artifact, of a version or of the newest. Raises as `get`."""
        return self._transport.run(self._do.artifact(self._find(session, app, user), name, version))

    def delete(self, session: str, *, app: str = "", user: str = "") -> Deleted:
        """Delete a session with its turns and artifacts, but not its user's. Raises as `get`.

        A running job stores its turn when it succeeds: cancel it first.
        """
        return self._transport.run(self._do.delete_session(self._find(session, app, user)))

    def delete_user(self, user: str, *, app: str | None = None) -> Deleted:
        """Delete all sessions, artifacts, states and memories of a user, in one app or in all. Raises as `delete`."""
        return self._transport.run(self._do.delete_user(user, app=app))

    def _find(self, session: str, app: str, user: str) -> RecordedSession:
        return self._transport.run(self._do.find(session, app=app, user=user))


class AsyncSessions:
    """`Sessions` for asyncio."""

    def __init__(self, do: SessionOperations, transport: Nonblocking) -> None:
        self._do = do
        self._transport = transport

    async def list(self, *, app: str = "", user: str = "") -> AsyncGenerator[RecordedSession]:
        """See `Sessions.list`."""
        async with aclosing(self._transport.iterate(self._do.list(app=app, user=user))) as sessions:
            async for session in sessions:
                yield session

    async def get(self, session: str, *, app: str = "", user: str = "") -> SessionHistory:
        """See `Sessions.get`."""
        return await self._transport.run(self._do.history(await self._find(session, app, user)))

    async def events(self, session: str, *, app: str = "", user: str = "") -> AsyncGenerator[SessionEvent]:
        """See `Sessions.events`."""
        found = await self._find(session, app, user)
        async with aclosing(self._transport.iterate(self._do.events(found))) as events:
            async for event in events:
                yield event

    async def artifacts(self, session: str, *, app: str = "", user: str = "") -> AsyncGenerator[RecordedArtifact]:
        """See `Sessions.artifacts`."""
        found = await self._find(session, app, user)
        async with aclosing(self._transport.iterate(self._do.artifacts(found))) as artifacts:
            async for artifact in artifacts:
                yield artifact

    async def artifact(
        self, session: str, name: str, *, version: int | None = None, app: str = "", user: str = ""
    ) -> bytes:
        """See `Sessions.artifact`."""
        return await self._transport.run(self._do.artifact(await self._find(session, app, user), name, version))

    async def delete(self, session: str, *, app: str = "", user: str = "") -> Deleted:
        """See `Sessions.delete`."""
        return await self._transport.run(self._do.delete_session(await self._find(session, app, user)))

    async def delete_user(self, user: str, *, app: str | None = None) -> Deleted:
        """See `Sessions.delete_user`."""
        return await self._transport.run(self._do.delete_user(user, app=app))

    async def _find(self, session: str, app: str, user: str) -> RecordedSession:
        return await self._transport.run(self._do.find(session, app=app, user=user))
