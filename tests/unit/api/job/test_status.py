from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.api.conditions import Condition, ConditionType, Phase
from agentjobs.api.job.status import (
    AgentJobStatus,
    AttemptRecord,
    Checkpoint,
    QueuePlace,
    ResolvedSpec,
    ResultSummary,
    Usage,
)

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FULL = AgentJobStatus(
    observed_generation=1,
    phase=Phase.SUCCEEDED,
    conditions=(Condition(ConditionType.COMPLETE, "True", "ResultAccepted", "", NOW, 1),),
    start_time=NOW,
    completion_time=NOW,
    next_attempt_time=NOW,
    attempts=1,
    starts=2,
    transitions=5,
    snoozes=1,
    infra_restarts=1,
    attempt_history=(AttemptRecord(1, 1, "hello-1", NOW, NOW, "Snooze", "NodeLost", False, "gone", 0, 3),),
    checkpoint=Checkpoint(3, "search", NOW),
    usage=Usage(1, 2, 3, 4),
    result=ResultSummary("Hello.", {"a": 1}, False, "journal:jobs/1/result"),
    queue=QueuePlace("agents", NOW),
    resolved=ResolvedSpec("9f2c0000"),
)
KEYS = st.sampled_from(sorted(FULL.to_dict()))


def test_a_status_is_read_as_it_was_written() -> None:
    assert AgentJobStatus.parse(FULL.to_dict()) == FULL


@given(st.dictionaries(KEYS, JSON, max_size=8) | JSON)
def test_any_status_can_be_read(raw: Any) -> None:
    status = AgentJobStatus.parse(raw)
    assert AgentJobStatus.parse(status.to_dict()) == status


@pytest.mark.parametrize("value", [-1, 2**31, "3", 2.0, True, None, []], ids=repr)
def test_an_invalid_count_is_read_as_zero(value: object) -> None:
    assert AgentJobStatus.parse({"starts": value}).starts == 0


def test_a_start_from_before_steps_existed_has_no_steps() -> None:
    (record,) = AgentJobStatus.parse({"attemptHistory": [{"attempt": 1, "start": 1}]}).attempt_history
    assert (record.from_step, record.to_step) == (None, None)
    assert "toStep" not in AgentJobStatus(attempt_history=(record,)).to_dict()["attemptHistory"][0]


def test_the_name_of_a_step_is_truncated_to_the_limit_of_the_crd() -> None:
    status = AgentJobStatus.parse({"checkpoint": {"step": 1, "name": "x" * 300}})
    assert status.checkpoint == Checkpoint(1, "x" * 253)


def test_an_unknown_phase_is_read_as_none() -> None:
    assert AgentJobStatus.parse({"phase": "Dreaming"}).phase is None


def test_an_equal_status_needs_no_patch() -> None:
    assert FULL.patch_from(FULL.to_dict()) == {}


def test_a_patch_removes_missing_keys_and_keeps_unknown_ones() -> None:
    before = FULL.to_dict() | {"ofALaterVersion": {"root": "x"}}
    after = AgentJobStatus.parse(before | {"nextAttemptTime": None, "starts": 3})

    assert after.patch_from(before) == {"nextAttemptTime": None, "starts": 3}


def test_a_patch_removes_keys_inside_a_structured_answer() -> None:
    before = {"result": {"summary": "", "structured": {"old": 1, "kept": 2}, "truncated": False, "ref": ""}}
    after = AgentJobStatus(result=ResultSummary(structured={"kept": 2}))
    assert after.patch_from(before)["result"] == {"structured": {"old": None}}
