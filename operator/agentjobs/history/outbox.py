"""The outbox: notifications that wait for their sinks, taken and marked by the notifiers of one cluster.

Rows are inserted with the transitions (`operator_writes`). No transaction is open while one is sent: taking a row sets
a lease. If a notifier dies, the row is due again when its lease ends, so each notification is delivered at least once,
and those of a job in order.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from psycopg.rows import dict_row
from psycopg.types.json import Json

from agentjobs.api.recorded_notifications import RecordedNotification
from agentjobs.history.batcher import Batcher
from agentjobs.history.database import Connection, Database
from agentjobs.history.outbox_records import Backlog, Due, Tried
from agentjobs.history.pages import DEFAULT_LIMIT, Page, checked_limit, page_of, parse_cursor
from agentjobs.history.sanitize import clean_text
from agentjobs.history.statements import load

_SQL: Final = load("outbox")
_CONDITIONS: Final = "/* conditions */"
_OLDER: Final = (
    "AND (one.inserted_at, one.uid, one.sink, one.transition)"
    " < (%(since)s, %(last_uid)s, %(last_sink)s, %(last_transition)s) "
)
_OF_JOB: Final = "AND one.uid = %(uid)s "
_STUCK: Final = "AND one.sent_at IS NULL AND (one.given_up_at IS NOT NULL OR one.error <> '') "

NO_SINK: Final = "the installation has no sink of this name"
SINK_DOWN: Final = "the sink was down"


class Outbox:
    """The outbox for notifiers.

    Args:
        cluster: uid of the namespace kube-system; only its rows are taken.

    Every method raises `errors.Unavailable` when the database cannot answer within five seconds.
    """

    def __init__(self, database: Database, *, cluster: str) -> None:
        self._database = database
        self._cluster = cluster
        self._marks = Batcher(self._mark)

    async def take(self, room: Mapping[str, int], *, lease: timedelta) -> list[Due]:
        """Take due notifications, for each sink up to its capacity; no other notifier takes them until the lease
        ends.
        """
        wanted = [{"sink": sink, "room": count} for sink, count in room.items() if count > 0]
        if not wanted:
            return []
        parameters = {"rows": _json(wanted), "cluster": self._cluster, "lease": lease}

        async def work(connection: Connection) -> list[Due]:
            rows = await (await connection.execute(_SQL["take"], parameters)).fetchall()
            return [Due(*row) for row in rows]

        return await self._database.autocommit(work)

    async def mark(self, tried: Tried) -> None:
        """Record how a try ended. A sent notification stays sent, and a failure counts only from the notifier that took
        it last.
        """
        await self._marks(tried)

    async def _mark(self, batch: Sequence[Tried]) -> list[None]:
        parameters = {"rows": _json([_row(tried) for tried in batch])}
        await self._database.autocommit(lambda connection: connection.execute(_SQL["mark"], parameters))
        return [None] * len(batch)

    async def give_up(self, sinks: Collection[str], *, down: Collection[str] = (), after: timedelta) -> Counter[str]:
        """Give up notifications that wait that long for an unknown sink, or for one that is down."""
        parameters = {
            "cluster": self._cluster,
            "sinks": list(sinks),
            "available": list(set(sinks) - set(down)),
            "after": after,
            "no_sink": NO_SINK,
            "sink_down": SINK_DOWN,
        }

        async def work(connection: Connection) -> Counter[str]:
            rows = await (await connection.execute(_SQL["give_up"], parameters)).fetchall()
            return Counter(sink for (sink,) in rows)

        return await self._database.autocommit(work)

    async def backlog(self) -> Backlog:
        """Return the backlog."""

        async def work(connection: Connection) -> Any:
            return await (await connection.execute(_SQL["backlog"], {"cluster": self._cluster})).fetchone()

        row = await self._database.autocommit(work)
        return Backlog(row.pending, row.oldest or timedelta(0))


class Notifications:
    """The outbox of one cluster for people, who can retry notifications."""

    def __init__(self, database: Database, *, cluster: str) -> None:
        self._database = database
        self._cluster = cluster

    async def notifications(
        self,
        namespace: str,
        *,
        uid: str | None = None,
        stuck: bool = False,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[RecordedNotification]:
        """Return notifications of a namespace or of one job, newest first; with `stuck` those that failed, not sent.

        Raises:
            errors.Invalid: `limit` or `cursor` is wrong.
        """
        limit = checked_limit(limit)
        parameters: dict[str, Any] = {"cluster": self._cluster, "namespace": namespace, "limit": limit + 1, "uid": uid}
        conditions = (_OF_JOB if uid is not None else "") + (_STUCK if stuck else "")
        if cursor is not None:
            names = ("since", "last_uid", "last_sink", "last_transition")
            conditions += _OLDER
            parameters |= zip(names, parse_cursor(cursor, (datetime, str, str, int)), strict=True)
        statement = _SQL["notifications"].replace(_CONDITIONS, conditions)

        async def work(connection: Connection) -> list[dict[str, Any]]:
            return await (await connection.cursor(row_factory=dict_row).execute(statement, parameters)).fetchall()

        rows = await self._database.autocommit(work)
        found = [RecordedNotification.model_validate(row) for row in rows]
        return page_of(found[:limit], place_of, more=len(found) > limit)

    async def retry(self, uid: str, sink: str | None = None) -> int:
        """Retry a job's notifications that failed or were given up, all or of one sink; return how many."""

        async def work(connection: Connection) -> int:
            return (await connection.execute(_SQL["again"], {"uid": uid, "sink": sink})).rowcount

        return await self._database.autocommit(work)


def place_of(notification: RecordedNotification) -> tuple[datetime, str, str, int]:
    """Return the key of a notification in the list, newest first."""
    return notification.since, notification.uid, notification.sink, notification.transition


def _row(tried: Tried) -> dict[str, Any]:
    return {
        "uid": tried.due.uid,
        "sink": tried.due.sink,
        "transition": tried.due.transition,
        "tries": tried.due.tries,
        "outcome": tried.outcome.value,
        "seconds": tried.retry_in.total_seconds(),
        "error": clean_text(tried.error),
    }


def _json(rows: Sequence[Any]) -> Json:
    return Json(rows, msgspec.json.encode)
