"""An AgentSchedule as one frozen value, read from the API server's response. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from agentjobs.api.conditions import ConditionStatus, first_in, is_true
from agentjobs.api.schedule.spec import AgentScheduleSpec
from agentjobs.api.schedule.status import AgentScheduleStatus, ScheduleConditionType
from agentjobs.client.object import Object, facts

# Problems of a schedule, worst first, each with the status of its condition.
_PRECEDENCE: Final[Mapping[str, ConditionStatus]] = {
    ScheduleConditionType.ACTIVE: "False",
    ScheduleConditionType.BLOCKED: "True",
    ScheduleConditionType.DEGRADED: "True",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule(Object):
    """An AgentSchedule at one instant. `AgentScheduleSpec.model_validate(schedule.spec)` adds the defaults."""

    status: AgentScheduleStatus

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> "Schedule":
        """Read an object of the API server."""
        return cls(status=AgentScheduleStatus.parse(body.get("status")), **facts(body))

    @property
    def active(self) -> bool:
        """Whether it creates jobs at its times; false until an operator has seen it."""
        return is_true(self.status.conditions, ScheduleConditionType.ACTIVE)

    @property
    def reason(self) -> str:
        """The problem: why it creates no jobs, or what delays one; empty if there is none."""
        condition = first_in(self.status.conditions, _PRECEDENCE)
        return condition.reason if condition else ""

    @property
    def message(self) -> str:
        """The same as a sentence."""
        condition = first_in(self.status.conditions, _PRECEDENCE)
        return condition.message if condition else ""


ScheduleSpec = AgentScheduleSpec | Mapping[str, Any]
"""A spec as in YAML, or as a model."""
