"""Prunes history of jobs that ended long ago and whose objects are gone. Run by the leading operator in the background.

Kept files are deleted after a job's end, because no later start reads them. Then events and steps, which take most of
the space, contents of model calls, and sent notifications; then whole jobs. Nothing else of a job that has not ended,
or whose object exists, is deleted. Data without a job is deleted by its own age: usage by day, actions, starts and
usage of queues, and data of dead proxies and processes. Rows are deleted in batches with pauses, so that deleting a
year never competes with starting a job; the next sweep continues after a crash.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from agentjobs.errors import AgentJobsError
from agentjobs.history.database import Connection, Database
from agentjobs.history.model_reports import KEPT_DAYS
from agentjobs.history.records import Lives
from agentjobs.history.statements import load

logger = logging.getLogger(__name__)

_SQL: Final = load("retention")

SWEEP_SECONDS: Final = 3600.0
# The first sweep waits until a new leader has caught up.
FIRST_SECONDS: Final = 60.0
# Jobs checked in one query, rows deleted in one transaction: some ten milliseconds each.
PAGE: Final = 200
BATCH: Final = 2000
# A part of a kept file has up to 1 MiB.
KEPT_BATCH: Final = 200
# At most one batch a second, and never more than a fifth of the time: see `_pause`.
PAUSE_SECONDS: Final = 1.0
SHARE: Final = 5
# Children before parents; each is bounded separately, because one job may have a hundred thousand events.
_PARTS: Final = ("events", "steps", "model_calls", "notifications", "transitions", "starts", "results")
_DETAILS: Final = ("events", "steps", "contents", "sent_notifications")
_KEPT: Final = ("kept_parts", "kept_files")
_OF_NO_JOB: Final = (
    "actions",
    "model_usage",
    "queue_usage",
    "queue_spend",
    "queue_starts",
    "limit_slices",
    "limit_running",
    "closed_keys",
    "exhausted_models",
    "proxies",
    "processes",
)


class _Job(NamedTuple):
    uid: str
    namespace: str
    name: str
    ended: datetime
    is_whole: bool
    """Whether the whole job must be deleted."""
    has_details: bool
    """Whether any of its events, steps, sent notifications or contents of model calls remain."""


async def every_hour(sweep: Callable[[], Awaitable[object]], *, sleep: Callable[[float], Awaitable[None]]) -> None:
    """Sweep every hour. If the database is unreachable, retry an hour later."""
    await sleep(FIRST_SECONDS)
    while True:
        try:
            await sweep()
        except AgentJobsError as error:
            logger.warning("history.prune_failed", extra={"error": str(error)})
        await sleep(SWEEP_SECONDS)


class Retention:
    """Sweeps one cluster's history.

    Args:
        namespaces: those the operator serves; empty for all. Others are not touched.
        lives: whether an object with that uid, namespace and name exists. Must be complete for `namespaces`.
        keep_jobs: how long a job is kept after its end; None: forever.
        keep_events: how long its events are kept; None: as long as the job.
        on_pruned: called with the table and the number of deleted rows.
    """

    def __init__(
        self,
        database: Database,
        *,
        cluster: str,
        namespaces: Collection[str],
        lives: Lives,
        keep_jobs: timedelta | None,
        keep_events: timedelta | None,
        on_pruned: Callable[[str, int], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._cluster = cluster
        self._namespaces = sorted(namespaces)
        self._lives = lives
        self._keep_jobs = keep_jobs
        self._keep_events = keep_events
        self._on_pruned = on_pruned
        self._sleep = sleep

    async def run(self) -> None:
        """Sweep forever."""
        await every_hour(self.sweep, sleep=self._sleep)

    async def sweep(self) -> dict[str, int]:
        """Sweep once; return the number of deleted rows by table.

        Raises:
            errors.AgentJobsError: the database is unreachable; deletions so far are kept.
        """
        counts: dict[str, int] = {}
        await self._prune(_KEPT, self._place, counts)
        after: tuple[datetime | str, str] = ("-infinity", "")
        while page := await self._database.autocommit(lambda connection: self._page(connection, after)):  # noqa: B023  awaited
            dead = [job for job in page if not self._lives(job.uid, job.namespace, job.name)]
            whole = [job.uid for job in dead if job.is_whole]
            detailed = [job.uid for job in dead if job.has_details and not job.is_whole]
            await self._prune(_DETAILS if detailed else (), {"uids": detailed}, counts)
            await self._prune((*_PARTS, "jobs") if whole else (), {"uids": whole}, counts)
            after = (page[-1].ended, page[-1].uid)
        old = {"days": KEPT_DAYS, "keep_jobs": self._keep_jobs}
        await self._prune(_OF_NO_JOB, {**self._place, **old}, counts)
        if counts:
            logger.info("history.pruned", extra={"jobs": counts.get("jobs", 0), "events": counts.get("events", 0)})
        return counts

    async def _page(self, connection: Connection, after: tuple[datetime | str, str]) -> list[_Job]:
        kept = [keep for keep in (self._keep_jobs, self._keep_events) if keep is not None]
        if not kept:
            return []
        parameters = {
            **self._place,
            "keep_jobs": self._keep_jobs,
            "keep": min(kept),
            "after_end": after[0],
            "after_uid": after[1],
            "limit": PAGE,
        }
        found: list[Any] = await (await connection.execute(_SQL["page"], parameters)).fetchall()
        return [_Job(*row) for row in found]

    @property
    def _place(self) -> dict[str, Any]:
        return {"cluster": self._cluster, "namespaces": self._namespaces or None}

    async def _prune(self, tables: Sequence[str], of: Mapping[str, Any], counts: dict[str, int]) -> None:
        for table in tables:
            count = batch = KEPT_BATCH if table in _KEPT else BATCH
            while count == batch:
                began = time.monotonic()
                count = await self._database.autocommit(lambda connection: _delete(connection, table, of, batch))  # noqa: B023  awaited
                if count:
                    counts[table] = counts.get(table, 0) + count
                    self._on_pruned(table, count)
                    await self._pause(time.monotonic() - began)

    async def _pause(self, worked: float) -> None:
        await self._sleep(max(PAUSE_SECONDS, worked * (SHARE - 1)))


async def _delete(connection: Connection, table: str, of: Mapping[str, Any], batch: int) -> int:
    return (await connection.execute(_SQL[f"delete_{table}"], {**of, "batch": batch})).rowcount
