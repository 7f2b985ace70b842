from datetime import UTC, datetime
from typing import Any

import pytest

from agentjobs.api.conditions import Condition
from agentjobs.api.schedule.status import ActiveJob, AgentScheduleStatus

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
FULL = AgentScheduleStatus(
    observed_generation=3,
    conditions=(Condition("Active", "True", "Scheduled", "", NOW, 3),),
    active=(ActiveJob("brief-1", NOW, uid="u"), ActiveJob("brief-2", NOW, previous=NOW)),
    running=2,
    last_schedule_time=NOW,
    last_successful_time=NOW,
    next_schedule_time=NOW,
    settled_time=NOW,
    timing="@daily UTC",
    missed=1,
    runs=2,
    consecutive_failures=3,
    last_trigger="a",
    last_resume="b",
)


def test_a_status_is_read_as_it_was_written() -> None:
    assert AgentScheduleStatus.parse(FULL.to_dict()) == FULL
    assert AgentScheduleStatus.parse({}) == AgentScheduleStatus()


def test_unchanged_fields_are_not_written() -> None:
    assert FULL.patch_from(FULL.to_dict() | {"of_a_later_version": 1}) == {}


def test_missing_fields_are_removed() -> None:
    patch = AgentScheduleStatus(observed_generation=3).patch_from(FULL.to_dict())

    assert {key for key, value in patch.items() if value is None} == {
        "lastScheduleTime",
        "lastSuccessfulTime",
        "nextScheduleTime",
        "settledTime",
        "timing",
        "lastTrigger",
        "lastResume",
    }
    assert (patch["active"], patch["conditions"], patch["runs"]) == ([], [], 0)


@pytest.mark.parametrize(
    "raw",
    [
        None,
        5,
        {"active": 5, "conditions": {}, "runs": -1, "missed": "3", "timing": 5},
        {"active": [5, {}, {"name": "x"}, {"name": 5, "time": 5}, {"name": "x", "time": "soon"}]},
        {"lastScheduleTime": "soon", "settledTime": 5, "nextScheduleTime": {}, "lastTrigger": [], "runs": 2**40},
    ],
)
def test_any_status_can_be_read(raw: Any) -> None:
    assert AgentScheduleStatus.parse(raw) == AgentScheduleStatus()
