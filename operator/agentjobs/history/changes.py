"""Changes of a cluster's jobs since an earlier query: one query for all open pages.

A mark is a snapshot of PostgreSQL's transactions. So a transaction that begins early and commits late is never missed,
independent of clocks.
"""

from collections.abc import Collection
from typing import Any, Final

from psycopg.rows import dict_row

from agentjobs.history.change_records import MAX_CHANGED, ChangedJob, Changes
from agentjobs.history.database import Connection, Database
from agentjobs.history.statements import load

_SQL: Final = load("changes")
_Row = dict[str, Any]


class ChangedJobs:
    """The changes of one cluster's jobs.

    Args:
        cluster: uid of the namespace kube-system; only its rows are read.
    """

    def __init__(self, database: Database, *, cluster: str) -> None:
        self._database = database
        self._cluster = cluster

    async def changes(self, mark: str | None, *, watched: Collection[str] = ()) -> Changes:
        """Return the jobs that changed since a mark, and the progress of the watched ones, by uid.

        Args:
            mark: of the previous result; None for the current mark, without any jobs.

        Raises:
            errors.Unavailable: the database cannot answer within five seconds.
        """
        parameters = {"cluster": self._cluster, "mark": mark, "limit": MAX_CHANGED + 1, "uids": sorted(watched)}

        async def work(connection: Connection) -> tuple[list[_Row], list[_Row]]:
            changed, further = connection.cursor(row_factory=dict_row), connection.cursor(row_factory=dict_row)
            async with connection.pipeline():
                await changed.execute(_SQL["mark" if mark is None else "jobs"], parameters)
                if watched:
                    await further.execute(_SQL["progress"], parameters)
            return await changed.fetchall(), await further.fetchall() if watched else []

        rows, further = await self._database.autocommit(work)
        jobs = [ChangedJob(row["namespace"], row["name"], row["uid"]) for row in rows if row.get("uid")]
        progress = {row["uid"]: row["progress"] for row in further}
        return Changes(rows[0]["mark"], tuple(jobs[:MAX_CHANGED]), len(jobs) > MAX_CHANGED, progress)
