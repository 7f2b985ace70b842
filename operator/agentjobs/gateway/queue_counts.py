"""Numbers of jobs in the queues of a namespace, counted in history: listing them all would take the API server long."""

from collections.abc import Mapping

from fastapi import Request

from agentjobs import errors
from agentjobs.gateway import rights
from agentjobs.gateway.services import services_of
from agentjobs.problem import Problem

Phases = Mapping[str, int]


async def queues_in_use(request: Request, namespace: str) -> Mapping[str, Phases] | None:
    """Return the queues with unfinished jobs, and the numbers of these by phase.

    None if that is unknown: history is unavailable or does not count that many, or the caller may not list AgentJobs.
    """
    try:
        await rights.may(request, "list", namespace=namespace)
        services = services_of(request)
        overview = (await services.history()).overview
        async with services.reads.taken():
            counts = await overview.open_jobs([namespace])
    except (errors.Unavailable, errors.Denied):
        return None
    except Problem as problem:
        if problem.status in (403, 503):
            return None
        raise
    if counts.more:
        return None
    found: dict[str, dict[str, int]] = {}
    for row in counts.items:
        if row.queue:
            phases = found.setdefault(row.queue, {})
            phases[row.phase] = phases.get(row.phase, 0) + row.jobs
    return found


async def is_in_use(request: Request, namespace: str, queue: str) -> bool | None:
    """Whether a queue has unfinished jobs; None if that is unknown."""
    found = await queues_in_use(request, namespace)
    return None if found is None else queue in found
