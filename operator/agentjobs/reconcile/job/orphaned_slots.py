"""Slots that a crashed operator left: claimed in PostgreSQL, but the start was never claimed in the job's status.

A refusal lists slots that are old enough. Those that the cache does not confirm are checked with the API server.
"""

import logging
from collections.abc import Iterable
from typing import Final

from agentjobs.bounded import Bounded
from agentjobs.core.job.observation import Job, parse_job
from agentjobs.errors import NotFound
from agentjobs.history.records import Holder
from agentjobs.kube.resources import AGENTJOBS
from agentjobs.reconcile.ports import Ports
from agentjobs.reconcile.state import State

logger = logging.getLogger(__name__)

RECHECK_SECONDS: Final = 30.0
"""How soon a slot that is in use is checked again."""
_KEPT: Final = 4096


class OrphanedSlots:
    """Finds and gives back slots whose job is not at that start."""

    def __init__(self, ports: Ports, state: State) -> None:
        self._state = state
        self._cluster = ports.cluster
        self._history = ports.history
        self._metrics = ports.metrics
        self._monotonic = ports.monotonic
        self._checked: Bounded[tuple[str, int], float] = Bounded(_KEPT)

    async def give_back(self, holders: Iterable[Holder]) -> None:
        """Give back unused slots. Raises like reads of the API server, and `Unavailable`."""
        left = [holder for holder in holders if not await self._is_used(holder)]
        if not left:
            return
        await self._history.give_back([(holder.uid, holder.start, holder.claimed) for holder in left])
        self._metrics.slots_given_back.inc(len(left))
        for holder in left:
            about = {"namespace": holder.namespace, "job": holder.name, "uid": holder.uid, "start": holder.start}
            logger.warning("slot.released", extra=about)

    async def _is_used(self, holder: Holder) -> bool:
        name, place = (holder.namespace, holder.name), (holder.uid, holder.start)
        known = self._state.jobs.get(name)
        if isinstance(known, Job) and _is_at(known, holder):
            return True
        checked = self._checked.get(place)
        if checked is not None and self._monotonic() - checked < RECHECK_SECONDS:
            return True
        try:
            job = parse_job(await self._cluster.get(AGENTJOBS, *name))
        except NotFound:
            return False
        if not _is_at(job, holder):
            return False
        self._checked.put(place, self._monotonic())
        return True


def _is_at(job: Job, holder: Holder) -> bool:
    return job.uid == holder.uid and job.active is not None and job.active.start == holder.start
