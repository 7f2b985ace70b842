"""Actions through REST and dashboard, one row per action: written by the gateway, read by people."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg.rows import dict_row

from agentjobs import errors
from agentjobs.api.recorded_overview import RecordedAction
from agentjobs.history.action_records import Action
from agentjobs.history.database import Connection, Database
from agentjobs.history.pages import DEFAULT_LIMIT, Page, checked_limit, parse_cursor, write_cursor
from agentjobs.history.statements import load

_SQL: Final = load("actions")
_CONDITIONS: Final = "/* conditions */"
_OLDER: Final = "AND (actions.time, actions.id) < (%(before)s, %(last)s) "
# `<> ''` is separate, so that the planner uses the partial index.
_OF_JOB: Final = "AND actions.uid = %(uid)s AND actions.uid <> '' "


class Actions:
    """The actions of one cluster.

    Args:
        cluster: uid of the namespace kube-system.

    Every method raises `errors.Unavailable` when the database cannot answer within five seconds.
    """

    def __init__(self, database: Database, *, cluster: str) -> None:
        self._database = database
        self._cluster = cluster

    async def record(self, action: Action) -> None:
        """Store an action with the database's time; storing it again changes nothing."""
        row = {"cluster": self._cluster, **action.stored()}
        await self._database.autocommit(lambda connection: connection.execute(_SQL["record"], row))

    async def actions(
        self,
        namespaces: Collection[str] | None,
        *,
        uid: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[RecordedAction]:
        """Return actions, newest first.

        Args:
            namespaces: only in these; None for all.
            uid: only to the job with this uid.

        Raises:
            errors.Invalid: `limit` or `cursor` is wrong.
        """
        limit = checked_limit(limit)
        parameters: dict[str, Any] = {"cluster": self._cluster, "limit": limit + 1, "uid": uid}
        conditions = _OF_JOB if uid is not None else ""
        if cursor is not None:
            conditions += _OLDER
            parameters |= zip(("before", "last"), place_in(cursor), strict=True)
        statement = _SQL["everywhere" if namespaces is None else "within"].replace(_CONDITIONS, conditions)
        parameters |= {"namespaces": sorted(set(namespaces or ()))}

        async def work(connection: Connection) -> list[dict[str, Any]]:
            return await (await connection.cursor(row_factory=dict_row).execute(statement, parameters)).fetchall()

        return page_of_rows(await self._database.autocommit(work), limit)


def page_of_rows(rows: list[dict[str, Any]], limit: int) -> Page[RecordedAction]:
    """Return a page of rows, of which there is one more where there is another page."""
    shown = rows[:limit]
    more = len(rows) > limit
    found = [RecordedAction.model_validate(row) for row in shown]
    return Page(found, write_cursor((shown[-1]["time"], str(shown[-1]["id"]))) if more else None)


def place_in(cursor: str) -> tuple[datetime, UUID]:
    """Return where a page begins: before this time and id.

    Raises:
        errors.Invalid: it is not a cursor of this list.
    """
    time, last = parse_cursor(cursor, (datetime, str))
    try:
        return time, UUID(last)
    except ValueError as error:
        raise errors.Invalid(f"cursor: {cursor[:80]!r} is not of this list; omit it to start over") from error
