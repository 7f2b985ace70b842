"""What becomes of recorded steps when something changed between two starts."""

import pytest

from agentjobs.contract import ErrorClass, Verdict, Versions
from agentjobs_runner.endings import StartEnded
from agentjobs_runner.version_change import Change, judge

BEFORE = Versions(adk="2.13.0", runner="0.1.0", scheme="1", agent="aa")


def now(**changed):
    return Versions(**{**BEFORE, **changed})


@pytest.mark.parametrize("policy", ["Continue", "Restart", "Fail"])
@pytest.mark.parametrize("before", [None, BEFORE], ids=["nothing-known", "the-same"])
def test_no_warning_is_given_if_nothing_changed(before, policy):
    assert judge(before, now(), policy) == Change()


@pytest.mark.parametrize("changed", [{"adk": "2.14.0"}, {"runner": "0.2.0"}, {"agent": "bb"}], ids=str)
def test_a_run_continues_and_reports_what_changed(changed):
    change = judge(BEFORE, now(**changed), "Continue")

    assert not change.restart
    assert next(iter(changed.values())) in change.message


def test_a_run_continues_only_if_its_steps_can_be_found():
    with pytest.raises(StartEnded) as caught:
        judge(BEFORE, now(scheme="2"), "Continue")

    ending = caught.value.ending
    assert (ending.verdict, ending.reason) == (Verdict.FAIL, ErrorClass.VERSION_MISMATCH)
    assert "onVersionChange: Restart" in ending.message


def test_any_change_fails_a_job_that_says_so():
    with pytest.raises(StartEnded) as caught:
        judge(BEFORE, now(agent="bb"), "Fail")

    assert caught.value.ending.reason == ErrorClass.VERSION_MISMATCH


def test_any_change_begins_a_new_run_if_the_job_says_so():
    change = judge(BEFORE, now(scheme="2"), "Restart")

    assert change.restart
    assert "scheme" in change.message
