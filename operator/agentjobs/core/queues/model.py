"""An AgentQueue as a value: identity, spec or problems, and last written status."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentjobs.api.conditions import SuspendedReason
from agentjobs.api.problems import FieldProblem
from agentjobs.api.queues.spec import DEFAULT_CONCURRENCY, AgentQueueSpec
from agentjobs.api.queues.status import AgentQueueStatus
from agentjobs.api.queues.validation import read_queue
from agentjobs.core.job.observation import QueueStop
from agentjobs.core.queues.admission import Backlog, QueuePolicy, Rate, Stop, Strategy


@dataclass(frozen=True, slots=True)
class Queue:
    """An AgentQueue object. Few exist and are read often, so the spec is parsed immediately."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    deleting: bool
    spec: AgentQueueSpec | None
    """None if it is invalid."""
    problems: tuple[FieldProblem, ...]
    """Problems of the spec."""
    status: AgentQueueStatus
    raw_status: Mapping[str, Any]
    """The raw status, for the next patch."""

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name


def policy_of(spec: AgentQueueSpec, limit: int = DEFAULT_CONCURRENCY) -> QueuePolicy:
    """Return the policy of a spec; `limit` is its default number of slots."""
    rate, backlog = spec.rate_limit, spec.backlog
    return QueuePolicy(
        limit=limit if spec.concurrency.max is None else spec.concurrency.max,
        per_partition=spec.concurrency.per_partition,
        strategy=Strategy(spec.strategy),
        aging=spec.priority_aging,
        rate=Rate(rate.starts, rate.period, rate.scope == "Partition") if rate else None,
        stopped=None if spec.stop_policy == "None" else Stop(spec.stop_policy),
        backlog=Backlog(backlog.max, backlog.on_full == "Reject") if backlog else None,
    )


def defaults_of(spec: AgentQueueSpec) -> dict[str, Any]:
    """Return the queue's defaults for a job's spec; empty if none."""
    fields = spec.defaults.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {key: value for key, value in fields.items() if value != {}}


def drain_of(name: str, spec: AgentQueueSpec) -> QueueStop | None:
    """Return why running jobs of the queue are suspended, by its spec."""
    if spec.stop_policy != "HoldAndDrain":
        return None
    return QueueStop(SuspendedReason.QUEUE_DRAINED, f"stopPolicy of queue {name} is HoldAndDrain")


def parse_queue(obj: Mapping[str, Any]) -> Queue:
    """Parse a raw AgentQueue."""
    meta = obj["metadata"]
    read = read_queue(meta["name"], obj.get("spec"))
    return Queue(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        generation=meta.get("generation", 0),
        deleting=meta.get("deletionTimestamp") is not None,
        spec=read if isinstance(read, AgentQueueSpec) else None,
        problems=() if isinstance(read, AgentQueueSpec) else tuple(read),
        status=AgentQueueStatus.parse(obj.get("status")),
        raw_status=obj.get("status") or {},
    )
