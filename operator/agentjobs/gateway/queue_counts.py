"""Numbers of jobs in the queues of a namespace, counted in history: listing them all would take the API server long."""

from fastapi import Request

from agentjobs import errors
from agentjobs.api.queues.counts import Counts, phases_by_queue
from agentjobs.gateway import rights
from agentjobs.gateway.services import services_of
from agentjobs.problem import Problem


async def queues_in_use(request: Request, namespace: str) -> Counts | None:
    """Return the queues with unfinished jobs, and the numbers of these by phase.

    None if that is unknown: history is unavailable or does not count that many, or the caller may not list AgentJobs.
    """
    try:
        await rights.authorize(request, "list", namespace=namespace)
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
    return phases_by_queue(counts.items)


async def is_in_use(request: Request, namespace: str, queue: str) -> bool | None:
    """Whether a queue has unfinished jobs; None if that is unknown."""
    found = await queues_in_use(request, namespace)
    return None if found is None else queue in found
