"""Whether history has how a job ended: asked before the object goes, by its time to live or its schedule's limits."""

from typing import Final

from agentjobs.core.job.observation import Job
from agentjobs.reconcile.job.rows import past
from agentjobs.reconcile.ports import History, Writer

# What history says of a job whose object vanished before anybody told how it ended.
_DELETED: Final = "Deleted"


async def is_recorded(job: Job, history: History, writer: Writer) -> bool:
    """Ask; what history lacks is put again, from the status.

    Raises:
        Unavailable: the database cannot be asked.
    """
    if await history.recorded(job.uid) not in (None, _DELETED):
        return True
    for record in past(job):
        writer.put(record)
    return False
