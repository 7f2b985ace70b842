"""Rules about what an answer decided."""

from datetime import timedelta

import pytest

from agentjobs.api.conditions import Phase
from agentjobs.contract import Verdict
from agentjobs.core.job.actions import Again, BackfillResult, Claim, Keep, Suspend
from agentjobs.core.job.decide import decide
from agentjobs.core.job.observation import FinalResult
from agentjobs.core.job.policy import may_run_again

OUTPUT = {"schema": {"type": "object"}}


def ruled(scene, *rules, attempt=1, **spec):
    return scene(resultPolicy={"rules": list(rules)}, output=OUTPUT, **spec).claimed(attempt=attempt)


def rule(action, *outcomes, name="again", **more):
    return {"name": name, "onOutcomes": list(outcomes or ("unsure",)), "action": action, **more}


def end_of(seen, outcome="unsure"):
    return decide(seen.said(Verdict.SUCCEED, outcome=outcome).observation, seen.now).action


@pytest.mark.parametrize(
    ("action", "phase", "reason"),
    [
        ("Succeed", Phase.SUCCEEDED, "ResultAccepted"),
        ("Fail", Phase.FAILED, "ResultError"),
        ("Cancel", Phase.CANCELLED, "Rule"),
    ],
)
def test_an_outcome_ends_the_job_by_its_rule_and_with_the_answer(scene, action, phase, reason):
    end = end_of(ruled(scene, rule(action)))

    assert (end.next_step.phase, end.next_step.reason, end.rule) == (phase, reason, "again")
    assert (end.next_step.outcome, end.next_step.summary) == ("unsure", "Hello.")
    assert ("rule again" in end.next_step.message, "unsure" in end.next_step.message) == (True, True)


def test_an_outcome_can_request_another_attempt(scene):
    seen = ruled(scene, rule("Retry", delay="5m"))
    end = end_of(seen)

    assert end.next_step == Again(seen.now + timedelta(minutes=5), infra=False)
    assert (end.record.verdict, end.record.charged) == ("Succeed", True)
    assert ("rule again" in end.record.message, "unsure" in end.record.message) == (True, True)


def test_an_outcome_can_request_a_snooze(scene):
    seen = ruled(scene, rule("Snooze", delay="1h"))
    end = end_of(seen)

    assert (end.next_step, end.record.charged) == (Again(seen.now + timedelta(hours=1), infra=False), False)


def test_an_outcome_can_suspend_the_job(scene):
    assert isinstance(end_of(ruled(scene, rule("Suspend"))).next_step, Suspend)


@pytest.mark.parametrize(("action", "attempt"), [("Retry", 2), ("Snooze", 1), ("Suspend", 1)])
def test_a_start_after_a_rejected_answer_begins_a_new_run(scene, action, attempt):
    seen = ruled(scene, rule(action))
    seen.written(end_of(seen)).later(hours=1).granted().pods.clear()
    seen.meta["annotations"] = {"agentjobs.dev/resume": "1"}

    assert decide(seen.observation, seen.now).action == Claim(2, attempt, afresh=True)


def test_a_start_after_one_without_an_answer_continues_the_run(scene):
    seen = ruled(scene, rule("Retry")).said(Verdict.RETRY, "ToolError")
    seen.written(decide(seen.observation, seen.now).action).later(hours=1).granted().pods.clear()

    assert decide(seen.observation, seen.now).action == Claim(2, 2, afresh=False)


def test_a_rule_at_its_limit_accepts_the_answer(scene):
    seen = ruled(scene, rule("Retry", limit=2))
    seen.status["ruleCounts"] = {"again": 2}

    end = end_of(seen)
    assert (end.next_step.phase, end.next_step.outcome, end.rule) == (Phase.SUCCEEDED, "unsure", "")


def test_an_outcome_that_requests_a_retry_at_the_last_attempt_fails_the_job_with_its_answer(scene):
    end = end_of(ruled(scene, rule("Retry"), attempt=3))

    assert (end.next_step.phase, end.next_step.reason, end.next_step.outcome) == (Phase.FAILED, "ResultError", "unsure")
    assert end.next_step.message.startswith("attempt 3 of 3 ")
    assert "rule again" in end.next_step.message


@pytest.mark.parametrize("outcome", ["sure", None])
def test_another_outcome_is_a_success(scene, outcome):
    end = end_of(ruled(scene, rule("Fail")), outcome)

    assert (end.next_step.phase, end.rule) == (Phase.SUCCEEDED, "")


def test_rules_without_outcomes_do_not_apply_to_a_success(scene):
    codes = {"name": "zero", "onExitCodes": {"operator": "In", "values": [0]}, "action": "Fail"}
    assert end_of(ruled(scene, codes)).next_step.phase is Phase.SUCCEEDED


def test_rules_about_outcomes_do_not_apply_to_a_failure(scene):
    seen = ruled(scene, rule("Fail")).said(Verdict.RETRY, "ToolError")
    assert isinstance(decide(seen.observation, seen.now).action.next_step, Again)


@pytest.mark.parametrize("action", ["Retry", "Snooze", "Suspend"])
def test_a_job_that_is_cancelled_does_not_run_again_for_an_outcome(scene, action):
    end = end_of(ruled(scene, rule(action), cancel=True))
    assert (end.next_step.phase, end.next_step.reason) == (Phase.CANCELLED, "Requested")


def test_a_success_that_no_rule_changes_has_precedence_over_a_cancel(scene):
    assert end_of(ruled(scene, rule("Retry"), cancel=True), "sure").next_step.phase is Phase.SUCCEEDED


def test_rules_are_not_applied_to_an_outcome_while_they_are_unknown(scene):
    seen = ruled(scene, rule("Retry")).knowing(spec=None, history_available=False)
    assert isinstance(end_of(seen), Keep)


def test_an_answer_that_ended_a_job_during_an_outage_of_the_database_is_fetched_later(scene):
    seen = ruled(scene, rule("Fail"))
    seen.written(end_of(seen))
    seen.pods = []

    assert seen.job.status.result.outcome == "unsure"
    assert decide(seen.observation, seen.now).action == BackfillResult(FinalResult())


def test_answers_are_final_unless_a_rule_can_rerun_the_job():
    known = [rule("Fail", "bad", name="bad"), rule("Retry", "unsure"), rule("Suspend", "ask", name="ask")]
    policy = {"rules": [*known, rule("AskHuman", "new", name="of-a-newer-version")]}
    found = [outcome for outcome in ("bad", "unsure", "ask", "sure", "new") if may_run_again(policy, outcome)]

    assert found == ["unsure", "ask", "new"]
