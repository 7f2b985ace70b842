"""How grave an Event is follows from its reason."""

import pytest

from agentjobs.api import conditions, events
from agentjobs.api.conditions import AdmittedReason, DescribedEnum, Phase
from agentjobs.api.events import NORMAL, WARNING, EventReason, severity
from agentjobs.api.schedule import status as schedule_status
from agentjobs.contract import ErrorClass, Verdict

TYPES = (conditions.ConditionType, schedule_status.ScheduleConditionType)
WORDS = {
    word
    for module in (conditions, events, schedule_status)
    for words in vars(module).values()
    if isinstance(words, type) and issubclass(words, DescribedEnum) and words not in TYPES
    for word in words
}


@pytest.mark.parametrize("reason", sorted({*WORDS, *ErrorClass, *Verdict}))
def test_each_reason_is_in_one_of_the_two_tables(reason):
    assert (reason in NORMAL) != (reason in WARNING)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (AdmittedReason.WAITING_FOR_SLOT, "Normal"),
        (AdmittedReason.WAITING_FOR_LOCK, "Normal"),
        (AdmittedReason.WAITING_FOR_BACKOFF, "Normal"),
        (AdmittedReason.HISTORY_UNAVAILABLE, "Warning"),
        (Phase.FAILED, "Warning"),
        (Phase.CANCELLED, "Normal"),
        (EventReason.SPEC_CHANGED, "Warning"),
        (ErrorClass.TOOL_ERROR, "Warning"),
        (ErrorClass.SNOOZED, "Normal"),
        ("AWordOfTheKubelet", "Warning"),
    ],
)
def test_waiting_is_normal_and_failing_is_a_warning(reason, expected):
    assert severity(reason) == expected
