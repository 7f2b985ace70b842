"""An AgentSchedule as a program sees it: one frozen value, read from what the API server answered. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from agentjobs.api.conditions import ConditionStatus, first_in, is_true
from agentjobs.api.schedule.spec import AgentScheduleSpec
from agentjobs.api.schedule.status import AgentScheduleStatus, ScheduleConditionType
from agentjobs.client.object import Object, facts

# What a schedule suffers from, the worst first, each with the status in which it does.
_PRECEDENCE: Final[Mapping[str, ConditionStatus]] = {
    ScheduleConditionType.ACTIVE: "False",
    ScheduleConditionType.BLOCKED: "True",
    ScheduleConditionType.DEGRADED: "True",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule(Object):
    """An AgentSchedule at one instant. `AgentScheduleSpec.model_validate(schedule.spec)` has the defaults in it."""

    status: AgentScheduleStatus

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> "Schedule":
        """Read an object as the API server answers it."""
        return cls(status=AgentScheduleStatus.parse(body.get("status")), **facts(body))

    @property
    def active(self) -> bool:
        """Whether it makes jobs at its times; false while no operator has seen it."""
        return is_true(self.status.conditions, ScheduleConditionType.ACTIVE)

    @property
    def reason(self) -> str:
        """What is wrong, in one word: why it makes no jobs, what holds up a start; empty when all is well."""
        said = first_in(self.status.conditions, _PRECEDENCE)
        return said.reason if said else ""

    @property
    def message(self) -> str:
        """The same in a sentence."""
        said = first_in(self.status.conditions, _PRECEDENCE)
        return said.message if said else ""


ScheduleSpec = AgentScheduleSpec | Mapping[str, Any]
"""A spec as in YAML, or as a model."""
