"""Full lists of all watched kinds: before the first decision, and periodically to repair what a watch missed.

Created and run by `operator_process`. It feeds the caches and history, and makes no decisions.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Any, Final

from agentjobs.core.job.ended import KnownJob
from agentjobs.core.job.observation import Job
from agentjobs.engine.cache import Name
from agentjobs.engine.kinds import Kind
from agentjobs.errors import AgentJobsError, Gone, Invalid, NotFound, Unavailable
from agentjobs.history.breaker import Away
from agentjobs.history.records import StartEnd, TransitionRecord
from agentjobs.kube.resources import AGENTJOBS
from agentjobs.reconcile.job.rows import records_from_status
from agentjobs.reconcile.ports import Ports
from agentjobs.reconcile.state import State

logger = logging.getLogger(__name__)

# A snapshot is valid for at least five minutes; a list of 100,000 jobs takes a fraction of that.
SNAPSHOTS: Final = 3

RETRY_SECONDS: Final = 5.0
AT_ONCE: Final = 50


class Lists:
    """Loads the lists of all kinds and namespaces.

    The records in the status of a job are compared with history once, when a list finds the job.
    """

    def __init__(self, ports: Ports, state: State, namespaces: tuple[str, ...]) -> None:
        self._cluster = ports.cluster
        self._history = ports.history
        self._writer = ports.writer
        self._state = state
        self._namespaces: tuple[str | None, ...] = namespaces or (None,)
        self._records: list[TransitionRecord | StartEnd] = []
        # Versions of the lists that `start` took, by kind and namespace.
        self._versions: dict[tuple[str, str | None], str] = {}
        self._incomplete: list[tuple[Kind[Any, Any], str | None]] = []
        self._wake = asyncio.Event()
        self._listed_at: datetime | None = None
        self.completed = asyncio.Event()
        """Set once every kind has been listed completely."""
        state.informers.subscribe(AGENTJOBS, self._note)

    async def start(self) -> None:
        """List what decisions depend on, in the order of the kinds' rows; then decisions may begin. `run` does the
        rest.
        """
        self._listed_at = await self._clock()
        for kind in self._state.informers.kinds:
            for namespace in self._namespaces:
                self._versions[kind.resource.kind, namespace] = await self._begin(kind, namespace)
        self._state.begin(self._listed_at)

    async def begin(self, kind: Kind[Any, Any], namespace: str | None) -> str:
        """Return the resourceVersion from which to watch: that of `start`'s list, later that of a new one."""
        version = self._versions.pop((kind.resource.kind, namespace), None)
        if version is not None:
            return version
        self._listed_at = self._listed_at or await self._clock()
        return await self._begin(kind, namespace)

    async def _begin(self, kind: Kind[Any, Any], namespace: str | None) -> str:
        if kind.first:
            # 400 before Kubernetes 1.31, and with the CRD of an earlier release.
            with contextlib.suppress(Invalid):
                version = await self._list_first(kind, namespace)
                self._incomplete.append((kind, namespace))
                self._wake.set()
                return version
        return await self._list(kind, namespace)

    async def _list_first(self, kind: Kind[Any, Any], namespace: str | None) -> str:
        """Load the objects that decisions depend on."""
        selected = partial(self._cluster.pages, label_selector=kind.selector, field_selector=kind.first)
        for _ in range(SNAPSHOTS):
            listed = ""
            with contextlib.suppress(Gone):
                async for items, version in selected(kind.resource, namespace):
                    await _each(items, partial(self._state.observe, kind.resource, None))
                    listed = version
                    await self._feed()
                return listed
        raise Unavailable(f"list {kind.resource.plural}: {SNAPSHOTS} snapshots in a row expired before the end")

    async def _list(self, kind: Kind[Any, Any], namespace: str | None) -> str:
        """Load a complete list page by page; restart if its snapshot expires."""
        resource = kind.resource
        for _ in range(SNAPSHOTS):
            listing, listed = self._state.informers.listing(resource, namespace), ""
            with contextlib.suppress(Gone):
                async for items, version in self._cluster.pages(resource, namespace, label_selector=kind.selector):
                    await _each(items, listing.take)
                    listed = version
                    await self._feed()
                listing.end(listed)
                return listed
        raise Unavailable(f"list {resource.plural}: {SNAPSHOTS} snapshots in a row expired before the end")

    def lives(self, uid: str, namespace: str, name: str) -> bool:
        """Whether the object of a job exists."""
        job = self._state.jobs.get((namespace, name))
        return job is not None and job.uid == uid

    async def _clock(self) -> datetime | None:
        """Return the database's time before a list, for `_close_vanished`; None while it is unreachable."""
        try:
            return await self._history.clock()
        except Unavailable as error:
            _log(error)
            return None

    def _note(self, _name: Name, before: KnownJob | None, after: KnownJob | None) -> None:
        """Keep the records in the status of a new job."""
        if before is None and isinstance(after, Job):
            self._records += records_from_status(after)

    async def _feed(self) -> None:
        """Write the kept records that history lacks because of a crash.

        While PostgreSQL is unreachable, all records wait in the writer.
        """
        records, self._records = self._records, []
        if not records:
            return
        try:
            records = await self._history.lacking(records)
        except Unavailable as error:
            _log(error)
        for record in records:
            self._writer.put(record)

    async def _close_vanished(self, listed_at: datetime | None) -> None:
        """Close the history of jobs that are not in the last list: they were deleted while no operator watched.

        Called after every list, because a deletion that a watch missed may also be missing in history.
        """
        if listed_at is None:
            return
        only = [name for name in self._namespaces if name is not None] or None
        try:
            closed = await self._history.close_vanished(self.lives, listed_at=listed_at, namespaces=only)
        except Unavailable as error:
            _log(error)
            return
        if closed:
            logger.info("history.closed", extra={"jobs": closed})

    async def run(self, seconds: float) -> None:
        """Complete what `begin` left out, and compare all objects every `seconds`.

        Continues if the API server or PostgreSQL is unavailable.
        """
        while True:
            try:
                await self.complete()
                if await self._is_idle_for(seconds):
                    await self.compare()
            except AgentJobsError as error:
                logger.warning("lists.unavailable", extra={"error": str(error)})
                await asyncio.sleep(RETRY_SECONDS)

    async def _is_idle_for(self, seconds: float) -> bool:
        try:
            # Not wait_for, which creates a task: kopf waits at its end for every task created meanwhile.
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return True
        return False

    async def compare(self) -> None:
        """Compare the version of every object with the caches, and read those that differ.

        Watches are not known to miss events; this would detect it.
        """
        listed_at = await self._clock()
        for kind in self._state.informers.kinds:
            for namespace in self._namespaces:
                await self._compare(kind, namespace)
        await self._close_vanished(listed_at)

    async def _compare(self, kind: Kind[Any, Any], namespace: str | None) -> None:
        resource, listed, read = kind.resource, "", 0
        listing = self._state.informers.listing(resource, namespace)
        async for items, version in self._cluster.metadata_pages(resource, namespace, label_selector=kind.selector):
            for item in items:
                if not listing.has(item):
                    read += 1
                    with contextlib.suppress(NotFound):
                        meta = item["metadata"]
                        listing.take(await self._cluster.get(resource, meta.get("namespace"), meta["name"]))
            listed = version
            await self._feed()
        listing.end(listed)
        logger.info("lists.compared", extra={"kind": resource.kind, "read": read})

    async def complete(self) -> None:
        """Load the missing complete lists, and close the history of jobs that are gone."""
        self._wake.clear()
        while self._incomplete:
            await self._list(*self._incomplete[0])
            del self._incomplete[0]
        listed_at, self._listed_at = self._listed_at, None
        await self._close_vanished(listed_at)
        if not self.completed.is_set():
            self.completed.set()
            logger.info("lists.complete", extra={"jobs": len(self._state.jobs)})


async def _each(items: Iterable[dict[str, Any]], take: Callable[[dict[str, Any]], None]) -> None:
    """Iterate, and yield to other tasks now and then: a whole page would delay decisions by 50 ms."""
    for number, item in enumerate(items, start=1):
        take(item)
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)


def _log(error: Unavailable) -> None:
    if not isinstance(error, Away):  # the breaker logs that, once
        logger.warning("history.unavailable", extra={"error": str(error)})
