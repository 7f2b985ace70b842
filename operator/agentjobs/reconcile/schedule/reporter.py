"""Reports the operator's actions on schedules: log lines and Events.

`grep NAME` over the log shows what happened to a schedule, in order.
"""

import logging
from collections.abc import Iterable, Iterator
from typing import Any, Final

from agentjobs.api.conditions import find_condition
from agentjobs.api.schedule.status import AgentScheduleStatus, ScheduleConditionType
from agentjobs.contract import cut
from agentjobs.core.children import ChildRefusal
from agentjobs.core.schedule.actions import Event, MakeJob, Record, Reserve
from agentjobs.core.schedule.model import Schedule
from agentjobs.core.schedule.observation import ScheduleObservation, blocked_reason
from agentjobs.durations import format_time
from agentjobs.kube.resources import AGENTSCHEDULES
from agentjobs.reconcile.ports import Ports
from agentjobs.reconcile.reporting import MAX_WORDS, log_action, record_event

MAX_NAMES: Final = 3


class ScheduleReporter:
    """Reports actions on schedules."""

    def __init__(self, ports: Ports) -> None:
        self._recorder = ports.recorder

    def written(self, seen: ScheduleObservation, action: Reserve | Record) -> None:
        """The schedule's status was written: occurrences were reserved, or their results recorded."""
        status = action.status
        self.record(seen.schedule, [*action.events, *_held_up(seen.schedule.status, status)])
        reasons = {condition.type: condition.reason for condition in status.conditions}
        fields = {
            "active": [occurrence.name for occurrence in status.active],
            "conditions": reasons,
            "missed": action.missed or None,
        }
        if isinstance(action, Reserve):
            fields["reserved"] = [occurrence.name for occurrence in action.occurrences]
        verb = "reserved" if isinstance(action, Reserve) else "recorded"
        self.log(f"schedule.{verb}", seen, action, **fields)

    def job_refused(self, seen: ScheduleObservation, action: MakeJob, refusal: ChildRefusal) -> None:
        """The job of an occurrence cannot be created now."""
        # The refusal of an invalid job quotes it; only the status has the message.
        detail = "" if refusal.final else cut(refusal.message, MAX_WORDS)
        fields = {
            "job": action.occurrence.name,
            "reason": str(blocked_reason(refusal)),
            "final": refusal.final,
            "detail": detail,
        }
        self.log("schedule.job_refused", seen, action, logging.WARNING, **fields)

    def log(
        self, event: str, seen: ScheduleObservation, decision: object, level: int = logging.INFO, /, **fields: Any
    ) -> None:
        """Log an action; `event` is `schedule.` and a verb."""
        schedule = seen.schedule
        about = {"namespace": schedule.namespace, "schedule": schedule.name, "uid": schedule.uid}
        observed = "; ".join(_observed(seen))
        log_action(event, level, about, {"decision": type(decision).__name__, **fields, "observed": observed})

    def record(self, schedule: Schedule, events: Iterable[Event]) -> None:
        """Record Events."""
        for event in events:
            record_event(self._recorder, AGENTSCHEDULES, schedule, event.reason, event.message)


def _held_up(before: AgentScheduleStatus, after: AgentScheduleStatus) -> Iterator[Event]:
    """Record an Event if an occurrence is newly blocked."""
    blocked = find_condition(after.conditions, ScheduleConditionType.BLOCKED)
    old = find_condition(before.conditions, ScheduleConditionType.BLOCKED)
    if blocked and blocked.is_true and not (old and (old.status, old.reason) == (blocked.status, blocked.reason)):
        yield Event(blocked.reason, blocked.message)


def _observed(seen: ScheduleObservation) -> Iterator[str]:
    """Return what the decision is based on, in a few words."""
    running = [job.name for job in seen.jobs if not job.finished]
    more = f" and {len(running) - MAX_NAMES} more" if len(running) > MAX_NAMES else ""
    yield f"running {', '.join(running[:MAX_NAMES])}{more}" if running else "no job running"
    status = seen.schedule.status
    if status.next_schedule_time is not None:
        yield f"due {format_time(status.next_schedule_time)}"
    blocked = find_condition(status.conditions, ScheduleConditionType.BLOCKED)
    if blocked is not None and blocked.is_true:
        yield f"blocked {blocked.reason}"
