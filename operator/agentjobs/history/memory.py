"""History in memory, for tests: it behaves like the one in PostgreSQL, including the fence.

    history = MemoryHistory(now=lambda: moment)
    await history.accept(Acceptance(job, start))
    await history.claim(job.job.uid, 1, "pod-uid", namespace="default", job="hello")

It belongs to one event loop. Only `Busy` is missing, because two writes of a start cannot overlap here.
"""

from agentjobs.history.memory_operator import MemoryOperator
from agentjobs.history.memory_reads import MemoryReads
from agentjobs.history.memory_runner import MemoryRunner


class MemoryHistory(MemoryOperator, MemoryRunner, MemoryReads):
    """One object for all three audiences: the operator, runners, people."""
