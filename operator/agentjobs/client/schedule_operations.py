"""The client's operations on AgentSchedules, shared by both clients: see operations.py."""

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from agentjobs import errors
from agentjobs.api.conditions import find_condition
from agentjobs.api.schedule.status import ActiveReason, ScheduleConditionType
from agentjobs.client.effects import Now, Operation, Send, Sleep
from agentjobs.client.job import Job
from agentjobs.client.object import plain_spec
from agentjobs.client.operations import Operations
from agentjobs.client.requests import KindOperations
from agentjobs.client.schedule import Schedule, ScheduleSpec
from agentjobs.contract import ANNOTATION_RESUME, ANNOTATION_TRIGGER
from agentjobs.core.schedule.job import triggered_name

# A running operator creates the job immediately.
_POLL_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class ScheduleOperations(KindOperations):
    """The operations on the AgentSchedules of one namespace."""

    plural: ClassVar[str] = "agentschedules"

    def apply(
        self,
        name: str,
        spec: ScheduleSpec,
        *,
        labels: Mapping[str, str] | None,
        annotations: Mapping[str, str] | None,
    ) -> Operation[Schedule]:
        """Create a schedule, or replace the spec of an existing one."""
        notes = {"labels": labels, "annotations": annotations}
        applied = self._applied(name, plain_spec(spec), kind="AgentSchedule", stopping="suspend", **notes)
        return Schedule.parse((yield from applied))

    def get(self, name: str) -> Operation[Schedule]:
        """Read a schedule."""
        return Schedule.parse((yield from self._sent(Send("GET", self.path(name)))))

    def list(self, *, selector: str) -> "Operation[Sequence[Schedule]]":
        """List the schedules, sorted by name."""
        found, _ = yield from self.listed(selector)
        return tuple(map(Schedule.parse, found))

    def suspend(self, name: str) -> Operation[Schedule]:
        """Suspend a schedule."""
        return Schedule.parse((yield from self._patched(name, {"spec": {"suspend": True}})))

    def resume(self, name: str) -> Operation[Schedule]:
        """Resume a schedule that was stopped by its spec or by too many failures."""
        body: dict[str, Any] = {"spec": {"suspend": False}}
        active = find_condition((yield from self.get(name)).status.conditions, ScheduleConditionType.ACTIVE)
        if active is not None and active.reason == ActiveReason.TOO_MANY_FAILURES:
            # Only then: otherwise the value would immediately resume the next halt.
            body["metadata"] = {"annotations": {ANNOTATION_RESUME: secrets.token_hex(8)}}
        return Schedule.parse((yield from self._patched(name, body)))

    def request_trigger(self, name: str, *, value: str | None) -> Operation[str]:
        """Request a job, and return its future name; the same value requests the same job."""
        value = value or secrets.token_hex(8)
        yield from self._patched(name, {"metadata": {"annotations": {ANNOTATION_TRIGGER: value}}})
        return triggered_name(name, value)

    def triggered(self, name: str, *, value: str) -> Operation[Job | None]:
        """Return the job that this value has already created; None if there is none, or it was deleted."""
        try:
            return (yield from Operations(self.namespace, self.retry_for).get(triggered_name(name, value)))
        except errors.NotFound:
            return None

    def trigger(self, name: str, *, value: str | None, timeout: float) -> Operation[Job]:
        """Request a job, and return it when it exists."""
        deadline = (yield Now()) + timeout
        value = value or secrets.token_hex(8)
        made = yield from self.request_trigger(name, value=value)
        jobs = Operations(self.namespace, self.retry_for)
        while True:
            schedule = yield from self.get(name)
            with suppress(errors.NotFound):
                return (yield from jobs.get(made))
            known = schedule.status.last_trigger == value
            if known and made not in [start.name for start in schedule.status.active]:
                raise errors.NotFound(
                    f"AgentJob {made!r} was deleted, or could not be created. {schedule.message}".rstrip()
                )
            if (yield Now()) >= deadline:
                message = schedule.message or "no operator has created it; check that one is running"
                raise TimeoutError(f"AgentJob {made!r} was not created within {timeout:g} s: {message}")
            yield Sleep(_POLL_SECONDS)
