"""What people read and delete of a cluster's sessions, namespace by namespace, page by page."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from msgspec import Raw
from psycopg.rows import dict_row

from agentjobs import errors
from agentjobs.api.recorded_sessions import Deleted, RecordedArtifact, RecordedSession, RecordedTurn, SessionHistory
from agentjobs.history import pages
from agentjobs.history.artifacts import read_pieces, read_version
from agentjobs.history.database import Connection, Database
from agentjobs.history.pages import DEFAULT_LIMIT, MAX_LIMIT, Page, checked_limit, page_of, parse_cursor
from agentjobs.history.records import TurnEvent
from agentjobs.history.sanitize import clean_text
from agentjobs.history.scopes import Scope
from agentjobs.history.session_removal import Removal
from agentjobs.history.statements import load
from agentjobs.history.versions import StoredVersion

_Row = dict[str, Any]

_SQL: Final = load("session_reads")
_CONDITIONS: Final = "/* conditions */"
_COLUMNS: Final = {"app": "app", "user": "user_id", "session": "session_id"}
_OLDER: Final = "AND (scopes.used_at, scopes.id) < (%(used)s, %(id)s::uuid) "


class SessionReads:
    """The sessions of one cluster, as people see them.

    Args:
        cluster: uid of the namespace kube-system; only its rows are read.

    Every method raises `errors.Unavailable` when the database cannot answer within five seconds.
    """

    def __init__(self, database: Database, *, cluster: str) -> None:
        self._database = database
        self._cluster = cluster
        self._removal = Removal(database)

    async def sessions(
        self,
        namespace: str,
        *,
        app: str | None = None,
        user: str | None = None,
        session: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[RecordedSession]:
        """Return sessions, most recently used first; with `app`, `user` or `session` only those.

        Raises:
            errors.Invalid: `limit` or `cursor` is wrong.
        """
        limit = checked_limit(limit)
        parameters: _Row = {"cluster": self._cluster, "namespace": namespace, "limit": limit + 1}
        chosen = {"app": app, "user": user, "session": session}
        named = {name: clean_text(value) for name, value in chosen.items() if value is not None}
        conditions = "".join(f"AND scopes.{_COLUMNS[name]} = %({name})s " for name in named)
        if cursor is not None:
            used, id_ = parse_cursor(cursor, (datetime, str))
            conditions, parameters = conditions + _OLDER, parameters | {"used": used, "id": _uuid(id_)}
        rows = await self._rows(_SQL["sessions"].replace(_CONDITIONS, conditions), parameters | named)
        page = page_of(rows[:limit], lambda last: (last["used"], last["id"]), more=len(rows) > limit)
        return Page([_session(row) for row in page.items], page.cursor)

    async def session_history(self, namespace: str, app: str, user: str, session: str) -> SessionHistory:
        """Return a session with its newest turns and its states.

        Raises:
            errors.NotFound: there is no such session.
        """
        page = await self.sessions(namespace, app=app, user=user, session=session, limit=1)
        if not page.items:
            raise _missing(namespace, app, user, session)
        scope = self._scope(namespace, app, user, session)
        turns = await self._rows(_SQL["session_turns"], {"scope": scope.id, "limit": MAX_LIMIT})
        state = await self._rows(_SQL["session_state"], {"scope": scope.id})
        owners = [scope.of_user.id, scope.of_app.id]
        states = {row["scope"]: row["state"] for row in await self._rows(_SQL["states"], {"ids": owners})}
        return SessionHistory(
            session=page.items[0],
            turns=[RecordedTurn(**row) for row in reversed(turns)],
            state=state[0]["state"] if state else {},
            user_state=states.get(owners[0], {}),
            app_state=states.get(owners[1], {}),
        )

    async def turn_events(
        self, namespace: str, app: str, user: str, session: str, *, cursor: str | None = None
    ) -> Page[TurnEvent]:
        """Return a page of a session's events, oldest first; none for a session that is not there.

        Raises:
            errors.Invalid: `cursor` is wrong.
        """
        turn, n = (0, -1) if cursor is None else parse_cursor(cursor, (int, int))
        scope = self._scope(namespace, app, user, session)
        size = {"limit": DEFAULT_LIMIT + 1, "most": pages.MAX_PAGE_BYTES}
        rows = await self._rows(_SQL["session_events"], {"scope": scope.id, "turn": turn, "n": n} | size)
        shown = [row for row in rows[:DEFAULT_LIMIT] if row["before"] < pages.MAX_PAGE_BYTES]
        items = [TurnEvent(row["turn"], row["job"], row["n"], Raw(row["event"].encode())) for row in shown]
        return page_of(items, lambda last: (last.turn, last.n), more=len(items) < len(rows))

    async def artifacts(
        self, namespace: str, app: str, user: str, session: str, *, cursor: str | None = None
    ) -> Page[RecordedArtifact]:
        """Return versions of the artifacts of a session and of its user, by name and version.

        Raises:
            errors.Invalid: `cursor` is wrong.
        """
        name, version = ("", -1) if cursor is None else parse_cursor(cursor, (str, int))
        scope = self._scope(namespace, app, user, session)
        parameters = {"ids": [scope.id, scope.of_user.id], "name": name, "version": version, "limit": DEFAULT_LIMIT + 1}
        items = [RecordedArtifact(**row) for row in await self._rows(_SQL["artifacts"], parameters)]
        more = len(items) > DEFAULT_LIMIT
        return page_of(items[:DEFAULT_LIMIT], lambda last: (last.name, last.version), more=more)

    async def artifact(
        self, namespace: str, app: str, user: str, session: str, name: str, version: int | None = None
    ) -> StoredVersion:
        """Return one version of an artifact, or the newest.

        Raises:
            errors.NotFound: there is none.
        """
        scope = self._scope(namespace, app, user, session).of_artifact(name)
        found = await self._database.autocommit(lambda connection: read_version(connection, scope, name, version))
        if found is None:
            which = "" if version is None else f" of version {version}"
            raise errors.NotFound(
                f"session {session!r} of user {user!r} of app {app!r} has no artifact {name!r}{which}"
            )
        return found

    def pieces(self, stored: StoredVersion) -> AsyncIterator[bytes]:
        """Read the bytes of a version, piece by piece."""
        return read_pieces(self._database, stored)

    async def delete_session(self, namespace: str, app: str, user: str, session: str) -> Deleted:
        """Delete a session with its turns and its artifacts; data of the user stays.

        Raises:
            errors.NotFound: there is no such session.
        """
        if not session:  # that scope would be the user's
            raise _missing(namespace, app, user, session)
        deleted = await self._removal.remove([self._scope(namespace, app, user, session).id])
        if not deleted:
            raise _missing(namespace, app, user, session)
        return Deleted(**deleted)

    async def delete_user(self, namespace: str, user: str, *, app: str | None = None) -> Deleted:
        """Delete all sessions, artifacts and states of a user, in one app or in all."""
        parameters = {"cluster": self._cluster, "namespace": namespace, "user": clean_text(user), "app": app}
        owned = await self._rows(_SQL["scopes_of_user"], parameters) if user else []
        return Deleted(**await self._removal.remove([row["id"] for row in owned]))

    def _scope(self, namespace: str, app: str, user: str, session: str) -> Scope:
        return Scope(self._cluster, namespace, clean_text(app), clean_text(user), clean_text(session))

    async def _rows(self, statement: str, parameters: Mapping[str, Any]) -> list[_Row]:
        async def work(connection: Connection) -> list[_Row]:
            return await (await connection.cursor(row_factory=dict_row).execute(statement, parameters)).fetchall()

        return await self._database.autocommit(work)


def _session(row: _Row) -> RecordedSession:
    return RecordedSession(**{name: value for name, value in row.items() if name != "id"})


def _missing(namespace: str, app: str, user: str, session: str) -> errors.NotFound:
    return errors.NotFound(f"no session {session!r} of user {user!r} of app {app!r} in namespace {namespace!r}")


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise errors.Invalid("cursor: it is not of this list; omit it to start over") from None
