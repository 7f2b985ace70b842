"""A queue as one frozen value, read from the API server's response. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from agentjobs.api.conditions import find_condition, is_true
from agentjobs.api.queues.spec import AgentQueueSpec
from agentjobs.api.queues.status import AgentQueueStatus, QueueConditionType
from agentjobs.client.object import Object, facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue(Object):
    """A queue at one instant. A queue of the installation has no uid, and only counts in its status."""

    status: AgentQueueStatus

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> "Queue":
        """Read an object of the API server."""
        return cls(status=AgentQueueStatus.parse(body.get("status")), **facts(body))

    @classmethod
    def of_installation(cls, name: str, phases: Mapping[str, int], *, namespace: str) -> "Queue":
        """Return the value of a queue without an object, from its number of jobs by phase."""
        return cls(
            namespace=namespace,
            name=name,
            uid="",
            created=datetime.fromtimestamp(0, UTC),
            version="",
            spec={},
            labels={},
            annotations={},
            deleting=False,
            status=AgentQueueStatus(
                running=phases.get("Running", 0),
                waiting=phases.get("Queued", 0),
                scheduled=phases.get("Scheduled", 0) + phases.get("Retrying", 0),
                suspended=phases.get("Suspended", 0),
            ),
        )

    @property
    def has_object(self) -> bool:
        """Whether an AgentQueue exists; otherwise only the installation defines the queue."""
        return bool(self.uid)

    @property
    def open(self) -> bool:
        """Whether it starts jobs; false until an operator has seen it."""
        return not self.has_object or is_true(self.status.conditions, QueueConditionType.OPEN)

    @property
    def reason(self) -> str:
        """Why it is open or closed; empty if not reported."""
        condition = find_condition(self.status.conditions, QueueConditionType.OPEN)
        return condition.reason if condition else ""


QueueSpec = AgentQueueSpec | Mapping[str, Any]
"""A spec as in YAML, or as a model."""
