import re
from datetime import UTC, datetime, timedelta

import pytest

from agentjobs.api import conditions as words
from agentjobs.api.conditions import (
    AdmittedReason,
    ConditionType,
    Phase,
    find_condition,
    is_true,
    phase_of,
    primary_condition,
)
from agentjobs.api.conditions import with_condition as said
from agentjobs.contract import ErrorClass

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)


def test_the_transition_time_changes_only_with_the_status() -> None:
    first = said((), ConditionType.ADMITTED, status=False, reason="WaitingForSlot", now=NOW, generation=1)
    same = said(first, ConditionType.ADMITTED, status=False, reason="WaitingForLock", now=LATER, generation=2)
    other = said(same, ConditionType.ADMITTED, status=True, reason="Admitted", now=LATER, generation=2)

    assert (same[0].last_transition_time, same[0].reason, same[0].observed_generation) == (NOW, "WaitingForLock", 2)
    assert other[0].last_transition_time == LATER


def test_a_condition_keeps_its_position() -> None:
    both = said((), ConditionType.ACCEPTED, status=True, reason="Resolved", now=NOW, generation=1)
    both = said(both, ConditionType.ADMITTED, status=False, reason="WaitingForSlot", now=NOW, generation=1)
    both = said(both, ConditionType.ACCEPTED, status=False, reason="QueueNotFound", now=LATER, generation=1)

    assert [condition.type for condition in both] == ["Accepted", "Admitted"]
    assert not is_true(both, ConditionType.ACCEPTED)
    assert find_condition(both, ConditionType.FAILED) is None


def test_a_long_message_is_truncated_to_the_limit_of_the_schema() -> None:
    (condition,) = said((), ConditionType.FAILED, status=True, reason="IO", message="ü" * 5000, now=NOW, generation=1)
    assert len(condition.message.encode()) <= 1024


@pytest.mark.parametrize(
    ("condition", "status", "reason", "phase"),
    [
        (ConditionType.ACCEPTED, True, "Resolved", Phase.PENDING),
        (ConditionType.ADMITTED, False, AdmittedReason.WAITING_FOR_START_TIME, Phase.SCHEDULED),
        (ConditionType.ADMITTED, False, AdmittedReason.WAITING_FOR_SLOT, Phase.QUEUED),
        (ConditionType.ADMITTED, False, AdmittedReason.WAITING_FOR_LOCK, Phase.QUEUED),
        (ConditionType.ADMITTED, False, AdmittedReason.WAITING_FOR_BACKOFF, Phase.RETRYING),
        (ConditionType.ADMITTED, True, AdmittedReason.ADMITTED, Phase.RUNNING),
        (ConditionType.COMPLETE, True, "ResultAccepted", Phase.SUCCEEDED),
        (ConditionType.FAILED, True, "AgentError", Phase.FAILED),
        (ConditionType.CANCELLED, True, "Requested", Phase.CANCELLED),
    ],
)
def test_the_phase_follows_from_the_conditions(
    condition: ConditionType, status: bool, reason: str, phase: Phase
) -> None:
    assert phase_of(said((), condition, status=status, reason=reason, now=NOW, generation=1)) is phase


def test_the_phase_of_an_ended_job_with_a_slot_is_final() -> None:
    both = said((), ConditionType.ADMITTED, status=True, reason="Admitted", now=NOW, generation=1)
    both = said(both, ConditionType.FAILED, status=True, reason="AgentError", now=NOW, generation=1)
    assert phase_of(both) is Phase.FAILED


ADMITTED = (ConditionType.ADMITTED, True, "Admitted")
WAITS = (ConditionType.ADMITTED, False, "WaitingForSlot")
OVER = (ConditionType.ADMITTED, False, "Finished")


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [
        pytest.param([], None, id="nothing-is-said"),
        pytest.param([(ConditionType.ACCEPTED, False, "QueueNotFound")], "QueueNotFound", id="not-accepted"),
        pytest.param([(ConditionType.ACCEPTED, True, "Resolved"), WAITS], "WaitingForSlot", id="waits"),
        pytest.param([ADMITTED], None, id="runs"),
        pytest.param([ADMITTED, (ConditionType.POD_STARTED, False, "ErrImagePull")], "ErrImagePull", id="pod-is-stuck"),
        pytest.param([ADMITTED, (ConditionType.POD_STARTED, True, "Started")], None, id="pod-has-healed"),
        pytest.param([WAITS, (ConditionType.SUSPENDED, True, "Rule")], "Rule", id="suspended"),
        pytest.param([WAITS, (ConditionType.SUSPENDED, False, "Resumed")], "WaitingForSlot", id="resumed"),
        pytest.param([OVER, (ConditionType.COMPLETE, True, "ResultAccepted")], "ResultAccepted", id="succeeded"),
        pytest.param([OVER, (ConditionType.FAILED, True, "OOMKilled")], "OOMKilled", id="failed"),
        pytest.param([OVER, (ConditionType.CANCELLED, True, "Replaced")], "Replaced", id="cancelled"),
    ],
)
def test_one_condition_has_the_reason_of_the_phase(
    conditions: list[tuple[ConditionType, bool, str]], reason: str | None
) -> None:
    every: tuple[words.Condition, ...] = ()
    for condition, status, word in conditions:
        every = said(every, condition, status=status, reason=word, now=NOW, generation=1)

    found = primary_condition(every)

    assert (found.reason if found else None) == reason


def test_every_reason_is_documented_and_valid_in_a_condition() -> None:
    kinds = [kind for kind in vars(words).values() if isinstance(kind, type) and issubclass(kind, words.DescribedEnum)]
    everything = [word for kind in kinds for word in kind]

    assert len(everything) > 30
    assert all(word.description.endswith(".") for word in everything)
    assert all(re.fullmatch(words.REASON_PATTERN, word) for word in [*everything, *ErrorClass])
