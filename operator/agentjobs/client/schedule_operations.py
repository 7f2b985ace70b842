"""What a client can do with AgentSchedules, written once for both worlds: see operations.py."""

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
from agentjobs.client.requests import Asking
from agentjobs.client.schedule import Schedule, ScheduleSpec
from agentjobs.contract import ANNOTATION_RESUME, ANNOTATION_TRIGGER
from agentjobs.core.schedule.job import triggered_name

# An operator that runs makes a job at once.
_LOOK_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class ScheduleOperations(Asking):
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
        """Create a schedule, or change the one of that name to this spec."""
        notes = {"labels": labels, "annotations": annotations}
        applied = self._applied(name, plain_spec(spec), kind="AgentSchedule", stopping="suspend", **notes)
        return Schedule.parse((yield from applied))

    def get(self, name: str) -> Operation[Schedule]:
        """Read a schedule."""
        return Schedule.parse((yield from self._asked(Send("GET", self.path(name)))))

    def list(self, *, selector: str) -> "Operation[Sequence[Schedule]]":
        """List the schedules there are, in the order of their names."""
        found, _ = yield from self.listed(selector)
        return tuple(map(Schedule.parse, found))

    def suspend(self, name: str) -> Operation[Schedule]:
        """Let a schedule make no jobs."""
        return Schedule.parse((yield from self._patched(name, {"spec": {"suspend": True}})))

    def resume(self, name: str) -> Operation[Schedule]:
        """Let a schedule make jobs again, whether its spec or too many failures stopped it."""
        body: dict[str, Any] = {"spec": {"suspend": False}}
        said = find_condition((yield from self.get(name)).status.conditions, ScheduleConditionType.ACTIVE)
        if said is not None and said.reason == ActiveReason.TOO_MANY_FAILURES:
            # Only then: a value nobody waits for would at once resume the next halt.
            body["metadata"] = {"annotations": {ANNOTATION_RESUME: secrets.token_hex(8)}}
        return Schedule.parse((yield from self._patched(name, body)))

    def ask(self, name: str, *, value: str | None) -> Operation[str]:
        """Ask for a job, and return the name that it will have; the same value asks for the same job."""
        value = value or secrets.token_hex(8)
        yield from self._patched(name, {"metadata": {"annotations": {ANNOTATION_TRIGGER: value}}})
        return triggered_name(name, value)

    def trigger(self, name: str, *, value: str | None, timeout: float) -> Operation[Job]:
        """Ask for a job, and return it once it is made."""
        deadline = (yield Now()) + timeout
        value = value or secrets.token_hex(8)
        made = yield from self.ask(name, value=value)
        jobs = Operations(self.namespace, self.patience)
        while True:
            schedule = yield from self.get(name)
            with suppress(errors.NotFound):
                return (yield from jobs.get(made))
            known = schedule.status.last_trigger == value
            if known and made not in [start.name for start in schedule.status.active]:
                raise errors.NotFound(f"AgentJob {made!r} is gone, or could not be made. {schedule.message}".rstrip())
            if (yield Now()) >= deadline:
                told = schedule.message or "no operator has made it; does one run?"
                raise TimeoutError(f"AgentJob {made!r} was not there within {timeout:g} s: {told}")
            yield Sleep(_LOOK_SECONDS)
