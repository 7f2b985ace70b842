"""Full lists of what is watched: before the first decision, and now and then to repair what a watch missed.

Made and run by `operator_process`. It feeds the caches and history, and decides nothing.
"""

import asyncio
import contextlib
import logging
from datetime import datetime
from typing import Any, Final

from agentjobs.core.job.ended import KnownJob
from agentjobs.core.job.observation import Job
from agentjobs.engine.cache import Name
from agentjobs.engine.kinds import Kind
from agentjobs.errors import AgentJobsError, Gone, Unavailable
from agentjobs.history.breaker import Away
from agentjobs.history.records import StartEnd, TransitionRecord
from agentjobs.kube.resources import AGENTJOBS
from agentjobs.reconcile.job.rows import past
from agentjobs.reconcile.ports import Ports
from agentjobs.reconcile.state import State

logger = logging.getLogger(__name__)

# A snapshot lives for five minutes or more, a list of 100,000 jobs takes a fraction of that.
SNAPSHOTS: Final = 3

# kopf's watch lists again shortly after ours; what was deleted between the two lists shows in a third.
SECOND_LOOK_SECONDS: Final = 5.0


class Lists:
    """Full lists of what is watched: before the first decision, and now and then to repair what a watch missed.

    What the status of a job tells of its past is compared with history once, when the job is found.
    """

    def __init__(self, ports: Ports, state: State, namespaces: tuple[str, ...]) -> None:
        self._cluster = ports.cluster
        self._history = ports.history
        self._writer = ports.writer
        self._state = state
        self._namespaces: tuple[str | None, ...] = namespaces or (None,)
        self._told: list[TransitionRecord | StartEnd] = []
        state.informers.subscribe(AGENTJOBS, self._note)

    async def sync(self) -> None:
        """List every kind once, in the order of its rows, and close the history of jobs that are gone."""
        listed_at = await self._clock()
        for kind in self._state.informers.kinds:
            for namespace in self._namespaces:
                await self._list(kind, namespace)
        self._state.begin()
        await self._close_vanished(listed_at)

    async def _list(self, kind: Kind[Any, Any], namespace: str | None) -> None:
        """Take in a complete list page by page; begin again when its snapshot expires half way."""
        resource = kind.resource
        for _ in range(SNAPSHOTS):
            listing, listed = self._state.informers.listing(resource, namespace), ""
            with contextlib.suppress(Gone):
                async for items, version in self._cluster.pages(resource, namespace, label_selector=kind.label):
                    for item in items:
                        listing.take(item)
                    listed = version
                    await self._feed()
                listing.end(listed)
                return
        raise Unavailable(f"list {resource.plural}: {SNAPSHOTS} snapshots in a row have expired half way")

    def live(self) -> list[str]:
        """Uids of all jobs whose object exists."""
        return [job.uid for job in self._state.jobs.values()]

    async def _clock(self) -> datetime | None:
        """The database's time before a list, for `_close_vanished`; None while it is away."""
        try:
            return await self._history.clock()
        except Unavailable as error:
            _tell(error)
            return None

    def _note(self, _name: Name, before: KnownJob | None, after: KnownJob | None) -> None:
        """Remember what the status of a job that was not known before tells of its past."""
        if before is None and isinstance(after, Job):
            self._told += past(after)

    async def _feed(self) -> None:
        """Write what was told and history lacks, for whatever a crash kept from it.

        While PostgreSQL is away all of it waits in the writer.
        """
        records, self._told = self._told, []
        try:
            records = await self._history.lacking(records)
        except Unavailable as error:
            _tell(error)
        for record in records:
            self._writer.put(record)

    async def _close_vanished(self, listed_at: datetime | None) -> None:
        """Close the history of jobs whose object went while nobody watched: those that the list just taken had not.

        Every list, not the first alone: what the watch did not tell of a deletion may have been lost here as well.
        """
        if listed_at is None:
            return
        only = [name for name in self._namespaces if name is not None] or None
        try:
            closed = await self._history.close_vanished(self.live(), listed_at=listed_at, namespaces=only)
        except Unavailable as error:
            _tell(error)
            return
        if closed:
            logger.info("history.closed", extra={"jobs": closed})

    async def repeat(self, seconds: float) -> None:
        """List again shortly after the start, then every `seconds`.

        An API server that is away is waited for.
        """
        await asyncio.sleep(SECOND_LOOK_SECONDS)
        while True:
            try:
                await self.sync()
            except AgentJobsError as error:
                logger.warning("lists.unavailable", extra={"error": str(error)})
            await asyncio.sleep(seconds)


def _tell(error: Unavailable) -> None:
    if not isinstance(error, Away):  # that is told by the breaker, once
        logger.warning("history.unavailable", extra={"error": str(error)})
