"""The client's operations on sessions and artifacts (effects.py); all are requests to the gateway."""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar
from urllib.parse import quote

from agentjobs import errors
from agentjobs.api.recorded_sessions import (
    Deleted,
    RecordedArtifact,
    RecordedArtifacts,
    RecordedSession,
    RecordedSessions,
    SessionEvent,
    SessionEvents,
    SessionHistory,
)
from agentjobs.client.effects import Operation, Send, Server, Stream
from agentjobs.client.requests import PAGE, KindOperations, paged


@dataclass(frozen=True, slots=True)
class SessionOperations(KindOperations):
    """The operations on the sessions of one namespace."""

    plural: ClassVar[str] = "agentjobs"

    def list(self, **chosen: str) -> Stream[RecordedSession]:
        """Emit the sessions, last used first; `app`, `user` and `session` filter them."""
        params = {"limit": str(PAGE)} | {key: value for key, value in chosen.items() if value}
        return paged(partial(self._read, "sessions"), RecordedSessions.model_validate, params)

    def find(self, session: str, *, app: str, user: str) -> Operation[RecordedSession]:
        """Return the session of that id, and of this app and user if given.

        Raises:
            errors.NotFound: it does not exist.
            errors.Conflict: several match; the message lists them.
            errors.Misconfigured: the id is empty, which would be any session.
        """
        if not session:
            raise errors.Misconfigured("the id of a session is empty")
        chosen = {"session": session, "app": app, "user": user, "limit": "3"}
        params = {key: value for key, value in chosen.items() if value}
        page = RecordedSessions.model_validate((yield from self._read("sessions", params)))
        if not page.items:
            of = "".join(f" of {kind} {name!r}" for kind, name in (("user", user), ("app", app)) if name)
            raise errors.NotFound(f"no session {session!r}{of} in namespace {self.namespace!r}")
        if len(page.items) > 1:
            matches = ", ".join(f"app {each.app!r} and user {each.user!r}" for each in page.items)
            raise errors.Conflict(f"several sessions are called {session!r}: {matches}; give app and user")
        return page.items[0]

    def history(self, session: RecordedSession) -> Operation[SessionHistory]:
        """Read the turns and states of a session."""
        return SessionHistory.model_validate((yield from self._read("session", _names(session))))

    def events(self, session: RecordedSession) -> Stream[SessionEvent]:
        """Emit the events of a session, oldest first."""
        return paged(partial(self._read, "session/events"), SessionEvents.model_validate, _names(session))

    def artifacts(self, session: RecordedSession) -> Stream[RecordedArtifact]:
        """Emit the artifacts of a session and of its user, with all versions, by name."""
        return paged(partial(self._read, "session/artifacts"), RecordedArtifacts.model_validate, _names(session))

    def artifact(self, session: RecordedSession, name: str, version: int | None) -> Operation[bytes]:
        """Read the bytes of an artifact, of a version or of the newest."""
        params = _names(session) | {"name": name} | ({} if version is None else {"version": str(version)})
        send = Send("GET", self._place("session/artifacts/content"), params=params, server=Server.GATEWAY, raw=True)
        content: Any = yield from self._sent(send)
        return bytes(content)

    def delete_session(self, session: RecordedSession) -> Operation[Deleted]:
        """Delete a session; a missing one is not an error."""
        try:
            return Deleted.model_validate((yield from self._gone("session", _names(session))))
        except errors.NotFound:
            return Deleted()

    def delete_user(self, user: str, *, app: str | None) -> Operation[Deleted]:
        """Delete all data of a user, in one app, or in all for None.

        Raises:
            errors.Misconfigured: user or app is empty.
        """
        if "" in (user, app):
            raise errors.Misconfigured("the user or the app is empty; leave out the app for all apps")
        params = {"user": user} | ({} if app is None else {"app": app})
        return Deleted.model_validate((yield from self._gone("user-data", params)))

    def _read(self, below: str, params: dict[str, str]) -> Operation[Any]:
        return (yield from self._sent(Send("GET", self._place(below), params=params, server=Server.GATEWAY)))

    def _gone(self, below: str, params: dict[str, str]) -> Operation[Any]:
        return (yield from self._sent(Send("DELETE", self._place(below), params=params, server=Server.GATEWAY)))

    def _place(self, below: str) -> str:
        return f"/v1/namespaces/{quote(self.namespace, safe='')}/{below}"


def _names(session: RecordedSession) -> dict[str, str]:
    return {"app": session.app, "user": session.user, "session": session.session}
