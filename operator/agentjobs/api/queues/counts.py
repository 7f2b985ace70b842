"""The numbers of unfinished jobs in queues, and the queues that have no object. Pure."""

from collections.abc import Collection, Iterable, Mapping

from agentjobs.api.queues.spec import COMMON
from agentjobs.api.recorded_overview import OpenJobs, QueueItem

Phases = Mapping[str, int]
Counts = Mapping[str, Phases]
"""The numbers of unfinished jobs by queue and phase."""


def phases_by_queue(rows: Iterable[OpenJobs]) -> Counts:
    """Return the numbers of jobs of one namespace by queue and phase."""
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        if row.queue:
            phases = found.setdefault(row.queue, {})
            phases[row.phase] = phases.get(row.phase, 0) + row.jobs
    return found


def queues_without_object(namespace: str, counts: Counts | None, *, known: Collection[str]) -> list[QueueItem]:
    """Return the queues without an object: those of the installation, and those with jobs.

    Args:
        counts: None if jobs were not counted.
    """
    phases, counted = counts or {}, counts is not None
    return [
        QueueItem(namespace=namespace, name=name, object=None, phases=dict(phases.get(name, {})), counted=counted)
        for name in sorted({*COMMON, *phases})
        if name not in known
    ]
