"""Whether history has a job's end: checked before the object is deleted, by TTL or its schedule's limits."""

from agentjobs.api.conditions import DELETED
from agentjobs.core.job.ended import EndedJob, KnownJob
from agentjobs.core.job.observation import Job, parse_job
from agentjobs.errors import NotFound
from agentjobs.history.protocols import OperatorHistory
from agentjobs.kube.resources import AGENTJOBS
from agentjobs.reconcile.job.rows import records_from_status
from agentjobs.reconcile.ports import Cluster, Writer


async def is_recorded(job: KnownJob, cluster: Cluster, history: OperatorHistory, writer: Writer) -> bool:
    """Return whether it is recorded; missing records are written again from the status. False while follow-ups are
    missing.

    Raises:
        Unavailable: the database is unreachable.
    """
    if isinstance(job, Job) and job.needs_follow_ups:
        return False
    if await history.recorded(job.uid) not in (None, DELETED):
        return True
    if isinstance(job, EndedJob):
        try:
            job = parse_job(await cluster.get(AGENTJOBS, *job.key))
        except NotFound:
            return False
    for record in records_from_status(job):
        writer.put(record)
    return False
