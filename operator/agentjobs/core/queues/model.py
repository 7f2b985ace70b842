"""An AgentQueue as a value: identity, its spec or what is wrong with it, and the status as last written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentjobs.api.conditions import SuspendedReason
from agentjobs.api.problems import Problem
from agentjobs.api.queues.spec import DEFAULT_CONCURRENCY, AgentQueueSpec
from agentjobs.api.queues.status import AgentQueueStatus
from agentjobs.api.queues.validation import read_queue
from agentjobs.core.job.observation import QueueStop
from agentjobs.core.queues.admission import Backlog, QueuePolicy, Rate, Stop, Strategy


@dataclass(frozen=True, slots=True)
class Queue:
    """An AgentQueue object. Few exist and all are asked often, so the spec is read at once."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    deleting: bool
    spec: AgentQueueSpec | None
    """None when it breaks rules."""
    problems: tuple[Problem, ...]
    """Which rules those are."""
    status: AgentQueueStatus
    raw_status: Mapping[str, Any]
    """What `status` was read from, for the patch that follows it."""

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name


def policy_of(spec: AgentQueueSpec, limit: int = DEFAULT_CONCURRENCY) -> QueuePolicy:
    """Return what a spec allows; `limit` holds where it sets none."""
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
    """Return what the queue says of a job's spec where the job and its template do not; empty for nothing."""
    said = spec.defaults.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {key: value for key, value in said.items() if value != {}}


def drain_of(name: str, spec: AgentQueueSpec) -> QueueStop | None:
    """Return why jobs of the queue may not run on, as its spec says."""
    if spec.stop_policy != "HoldAndDrain":
        return None
    return QueueStop(SuspendedReason.QUEUE_DRAINED, f"stopPolicy of queue {name} is HoldAndDrain")


def parse_queue(obj: Mapping[str, Any]) -> Queue:
    """Read an AgentQueue object as the API server gives it."""
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
