"""History in memory, for tests: it keeps the promises of the one on PostgreSQL, the fence among them, and needs none.

    history = MemoryHistory(now=lambda: moment)
    await history.accept(Acceptance(job, start))
    await history.claim(job.job.uid, 1, "pod-uid", namespace="default", job="hello")

It belongs to one event loop. Of what PostgreSQL does only `Busy` is missing: no two writes of a start can meet here.
"""

from agentjobs.history.memory_operator import MemoryOperator
from agentjobs.history.memory_reads import MemoryReads
from agentjobs.history.memory_runner import MemoryRunner


class MemoryHistory(MemoryOperator, MemoryRunner, MemoryReads):
    """One value for all three audiences: the operator, runners, people."""
