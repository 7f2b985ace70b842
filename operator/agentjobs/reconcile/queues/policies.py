"""What each queue allows at this moment: its object says so, else the installation.

Fed by the cache of queues. A spec that breaks rules changes nothing: the last legal one that this process has seen
counts, and without one nothing starts.
"""

from collections.abc import Mapping
from typing import Final

from agentjobs.api.queues.spec import AgentQueueSpec
from agentjobs.core.job.observation import QueueStop
from agentjobs.core.queues.admission import QueuePolicy
from agentjobs.core.queues.model import Queue, drain_of, policy_of
from agentjobs.engine.cache import Cache, Name

NOTHING_STARTS: Final = QueuePolicy(limit=0)


class Policies:
    """The policies of all queues, by namespace and name."""

    def __init__(self, queues: Cache[Queue], limits: Mapping[str, int]) -> None:
        """`limits` maps the installation's queues, which every namespace has, to their slots."""
        self.limits: Final = dict(limits)
        self._queues = queues
        self._legal: dict[Name, tuple[str, AgentQueueSpec]] = {}

    def observe(self, name: Name, after: Queue | None) -> None:
        """Take in that a queue's object is so now; None for gone."""
        if after is None:
            self._legal.pop(name, None)
        elif after.spec is not None:
            self._legal[name] = after.uid, after.spec

    def spec(self, name: Name) -> AgentQueueSpec | None:
        """The spec that counts for a queue with an object; None when none was ever legal."""
        queue = self._queues.get(name)
        if queue is None:
            return None
        uid, spec = self._legal.get(name, ("", None))
        return spec if uid == queue.uid else None

    def stop(self, name: Name) -> QueueStop | None:
        """Why jobs of a queue may not even run on; None when they may."""
        spec = self.spec(name)
        return None if spec is None else drain_of(name[1], spec)

    def policy(self, name: Name) -> QueuePolicy | None:
        """What a queue allows; None when there is no such queue."""
        if self._queues.get(name) is None:
            limit = self.limits.get(name[1])
            return None if limit is None else QueuePolicy(limit=limit)
        spec = self.spec(name)
        return NOTHING_STARTS if spec is None else policy_of(spec)
