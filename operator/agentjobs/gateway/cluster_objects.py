"""Objects of the API server as users see them. Pure."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Final

from agentjobs.api.conditions import find_condition
from agentjobs.api.queues.counts import Counts
from agentjobs.api.queues.status import AgentQueueStatus
from agentjobs.api.recorded_overview import QueueItem, ScheduleItem, TemplateItem
from agentjobs.api.schedule.cron import parse_cron
from agentjobs.api.schedule.status import ActiveReason, AgentScheduleStatus, ScheduleConditionType

NEXT_TIMES: Final = 10
Obj = Mapping[str, Any]


def plain(obj: Obj) -> dict[str, Any]:
    """Return an object without `managedFields`, which may be most of it."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return {**obj, "metadata": metadata}


def containers(pod: Obj) -> list[str]:
    """Return the names of a pod's containers."""
    spec = pod.get("spec") or {}
    return [str(container["name"]) for key in ("initContainers", "containers") for container in spec.get(key) or ()]


def queue(obj: Obj, namespace: str, counts: Counts | None) -> QueueItem:
    """Return a queue with its object. Its status has the numbers once an operator has observed it.

    Args:
        counts: None if jobs were not counted.
    """
    name = str(obj["metadata"]["name"])
    status = AgentQueueStatus.parse(obj.get("status"))
    reported = {
        "Running": status.running,
        "Queued": status.waiting,
        "Scheduled": status.scheduled,
        "Suspended": status.suspended,
    }
    if status.observed_generation:
        phases = {phase: jobs for phase, jobs in reported.items() if jobs}
    else:
        phases = dict((counts or {}).get(name, {}))
    counted = bool(status.observed_generation) or counts is not None
    return QueueItem(namespace=namespace, name=name, object=plain(obj), phases=phases, counted=counted)


def schedule(obj: Obj, namespace: str, *, now: datetime) -> ScheduleItem:
    """Return a schedule with its next times."""
    coming = list(islice(_times(obj, now), NEXT_TIMES))
    return ScheduleItem(namespace=namespace, name=str(obj["metadata"]["name"]), object=plain(obj), next=coming)


def template(obj: Obj, namespace: str) -> TemplateItem:
    """Return a template."""
    return TemplateItem(namespace=namespace, name=str(obj["metadata"]["name"]), object=plain(obj))


def _times(obj: Obj, now: datetime) -> Iterator[datetime]:
    """Yield the next times of a schedule; none while it is suspended, stopped or invalid."""
    spec = obj.get("spec") or {}
    active = find_condition(AgentScheduleStatus.parse(obj.get("status")).conditions, ScheduleConditionType.ACTIVE)
    halted = active is not None and active.reason == ActiveReason.TOO_MANY_FAILURES
    if spec.get("suspend") or halted:
        return
    try:
        cron = parse_cron(str(spec.get("schedule")), str(spec.get("timeZone") or "UTC"))
    except ValueError:
        return
    at = cron.next_after(now)
    while at is not None:
        yield at
        at = cron.next_after(at)
