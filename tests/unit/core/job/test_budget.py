"""Budgets: at a limit a job fails or is suspended, an edit resumes it, and nothing starts while a limit is reached."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.api.conditions import Phase
from agentjobs.contract import ANNOTATION_BUDGET, ANNOTATION_RESUME, Verdict
from agentjobs.core.job import needs
from agentjobs.core.job.actions import Again, Claim, Decision, EndStart, Finish, Keep, Suspend
from agentjobs.core.job.budget import reached
from agentjobs.core.job.decide import decide
from agentjobs.models.budget import NOTHING, Fits, Limits, Spend, judge

THREE = {"maxLLMCalls": 3}
KEPT = {**THREE, "onExceeded": "Suspend"}
ALL_USED = Spend(llm_calls=3)


def told(seen, budget):
    """The active pod was told this budget."""
    noted = {key: value for key, value in budget.items() if key != "onExceeded"}
    for pod in seen.pods:
        pod["metadata"]["annotations"] = {ANNOTATION_BUDGET: json.dumps(noted, separators=(",", ":"))}
    return seen


def exceeded(scene, budget=KEPT, **spec):
    """A start has ended at its budget."""
    return told(scene(budget=budget, **spec).claimed().said(Verdict.FAIL, "BudgetExceeded"), budget)


def next_of(seen):
    answer = decide(seen.observation, seen.now)
    assert isinstance(answer, Decision)
    assert isinstance(answer.action, EndStart)
    return answer.action


def suspended(scene, budget=KEPT, **spec):
    seen = exceeded(scene, budget, **spec)
    seen.written(next_of(seen)).granted()
    seen.pods = []
    return seen.knowing(spent=ALL_USED)


def edited(seen, **budget):
    seen.raw["budget"] = budget
    seen.meta["generation"] += 1
    seen.status["observedGeneration"] = seen.meta["generation"]
    for one in seen.status["conditions"]:
        one["observedGeneration"] = seen.meta["generation"]
    return seen


def test_a_job_at_its_budget_fails(scene):
    end = next_of(exceeded(scene, THREE))

    assert isinstance(end.next_step, Finish)
    assert (end.next_step.phase, end.next_step.reason) == (Phase.FAILED, "BudgetExceeded")


def test_a_job_at_its_budget_is_suspended_without_a_charge_if_it_says_so(scene):
    seen = exceeded(scene)
    end = next_of(seen)
    seen.written(end)

    assert isinstance(end.next_step, Suspend)
    assert (seen.job.status.phase, seen.job.status.reason) == (Phase.SUSPENDED, "BudgetExceeded")
    assert [record.charged for record in seen.job.status.attempt_history] == [False]


def test_a_job_suspended_by_another_version_stays_suspended_until_its_budget_is_edited(scene):
    seen = suspended(scene)
    (said,) = [one for one in seen.status["conditions"] if one["type"] == "Suspended"]
    said["message"] = "Other words of another version; its budget was: maxLLMCalls 3"
    seen.knowing(spent=Spend())

    assert isinstance(decide(seen.observation, seen.now).action, Keep)
    more = edited(seen, maxLLMCalls=4, onExceeded="Suspend")
    assert isinstance(decide(more.observation, more.now).action, Claim)


def out_of_turns(scene, budget):
    seen = scene(budget=budget).claimed().said(Verdict.FAIL, "MaxTurnsExceeded")
    return told(seen, budget)


def test_a_job_out_of_turns_fails_with_that_reason(scene):
    end = next_of(out_of_turns(scene, {"maxTurns": 5}))

    assert (end.next_step.phase, end.next_step.reason) == (Phase.FAILED, "MaxTurnsExceeded")


def test_a_job_out_of_turns_is_suspended_until_it_gets_more(scene):
    seen = out_of_turns(scene, {"maxTurns": 5, "onExceeded": "Suspend"})
    end = next_of(seen)
    seen.written(end).granted().pods.clear()

    assert isinstance(end.next_step, Suspend)
    assert not end.record.charged
    assert isinstance(decide(seen.observation, seen.now).action, Keep)
    more = edited(seen, maxTurns=10, onExceeded="Suspend")
    assert isinstance(decide(more.observation, more.now).action, Claim)


@pytest.mark.parametrize("action", ["Retry", "Succeed", "Cancel"])
def test_a_rule_of_the_job_has_precedence_over_its_budget(scene, action):
    rules = [{"name": "mine", "onErrors": ["BudgetExceeded"], "action": action}]
    end = next_of(exceeded(scene, resultPolicy={"rules": rules}))

    assert end.rule == "mine"
    assert not isinstance(end.next_step, Suspend)


@pytest.mark.parametrize("on_exceeded", ["Fail", "Suspend"])
def test_a_budget_raised_while_the_pod_ran_lets_the_job_continue_immediately(scene, on_exceeded):
    seen = exceeded(scene, {**THREE, "onExceeded": on_exceeded})
    seen.raw["budget"] = {"maxLLMCalls": 4, "onExceeded": on_exceeded}
    end = next_of(seen)
    seen.written(end)

    assert isinstance(end.next_step, Again)
    assert (end.next_step.at, end.record.charged) == (seen.now, False)
    assert (seen.job.status.snoozes, seen.job.status.infra_restarts) == (0, 0)


@pytest.mark.parametrize("noted", ["", "[]", "{", '{"maxLLMCalls": 0}', "[" * 5000])
def test_a_pod_without_its_budget_annotation_does_not_resume_the_job(scene, noted):
    seen = exceeded(scene)
    seen.pods[0]["metadata"]["annotations"] = {ANNOTATION_BUDGET: noted}

    assert isinstance(next_of(seen).next_step, Suspend)


def test_an_edited_budget_is_checked_before_the_next_start(scene):
    seen = exceeded(scene, THREE)
    seen.raw["budget"] = {"maxLLMCalls": 2}
    seen.written(next_of(seen)).granted()
    seen.pods = []
    answer = decide(seen.knowing(spent=ALL_USED).observation, seen.now)

    assert isinstance(answer, Decision)
    assert isinstance(answer.action, Finish)
    assert (answer.action.reason, "3 of 2" in answer.action.message) == ("BudgetExceeded", True)


def test_a_suspension_by_the_user_has_precedence_over_the_check_of_the_budget(scene):
    end = next_of(exceeded(scene, suspend=True))

    assert isinstance(end.next_step, Suspend)
    assert end.next_step.reason == "Requested"


def test_a_job_that_is_cancelled_at_its_budget_is_cancelled(scene):
    end = next_of(exceeded(scene, cancel=True))

    assert isinstance(end.next_step, Finish)
    assert end.next_step.phase is Phase.CANCELLED


def test_a_suspended_job_causes_no_query(scene):
    answer = decide(suspended(scene).knowing(spent=None).observation, datetime(2026, 11, 22, tzinfo=UTC))

    assert answer == Decision(Keep())


def test_raising_the_limit_resumes_the_job(scene):
    seen = edited(suspended(scene), maxLLMCalls=4, onExceeded="Suspend")

    assert decide(seen.knowing(spent=None).observation, seen.now) == needs.Spent(None)
    assert decide(seen.knowing(spent=ALL_USED).observation, seen.now) == Decision(Claim(2, 1))


def test_raising_the_limit_of_the_installation_resumes_jobs_suspended_at_it(scene):
    seen = scene(budget={"onExceeded": "Suspend"}).knowing(limits=Limits(llm_calls=3))
    told(seen.claimed().said(Verdict.FAIL, "BudgetExceeded"), THREE)
    seen.written(next_of(seen)).granted().knowing(spent=ALL_USED)
    seen.pods = []
    assert decide(seen.observation, seen.now) == Decision(Keep())

    assert decide(seen.knowing(limits=Limits(llm_calls=4)).observation, seen.now) == Decision(Claim(2, 1))


def test_removing_the_budget_resumes_the_job(scene):
    seen = suspended(scene)
    edited(seen)
    del seen.raw["budget"]

    assert decide(seen.observation, seen.now) == Decision(Claim(2, 1))


@pytest.mark.parametrize("budget", [{"maxLLMCalls": 2}, {"maxLLMCalls": 3, "maxTokens": 9}])
def test_an_edit_that_leaves_the_limit_reached_does_not_resume_the_job(scene, budget):
    seen = edited(suspended(scene), **budget, onExceeded="Suspend")
    answer = decide(seen.observation, seen.now)

    assert isinstance(answer, Decision)
    assert isinstance(answer.action, Suspend)
    assert decide(seen.written(answer.action).observation, seen.now) == Decision(Keep())


def test_an_edit_is_checked_when_history_is_available_again(scene):
    seen = edited(suspended(scene), maxLLMCalls=4).knowing(spent=None, history_available=False)
    answer = decide(seen.observation, seen.now)

    assert isinstance(answer, Decision)
    assert isinstance(answer.action, Keep)
    assert answer.again is not None


def test_the_resume_annotation_does_not_resume_a_job_at_its_budget(scene):
    seen = suspended(scene)
    seen.meta["annotations"] = {ANNOTATION_RESUME: "now"}

    assert decide(seen.observation, seen.now) == Decision(Keep())


def test_a_job_suspended_at_its_budget_can_be_cancelled(scene):
    seen = suspended(scene, cancel=False)
    seen.raw["cancel"] = True
    answer = decide(seen.observation, seen.now)

    assert isinstance(answer, Decision)
    assert isinstance(answer.action, Finish)
    assert answer.action.phase is Phase.CANCELLED


def test_suspending_and_resuming_does_not_bypass_the_budget(scene):
    seen = suspended(scene)
    seen.raw["suspend"] = True
    asked = decide(seen.observation, seen.now)
    assert isinstance(asked, Decision)
    assert isinstance(asked.action, Suspend)
    assert asked.action.reason == "Requested"

    seen.written(asked.action).raw["suspend"] = False
    answer = decide(seen.observation, seen.now)

    assert isinstance(answer, Decision)
    assert isinstance(answer.action, Suspend)
    assert answer.action.reason == "BudgetExceeded"


@pytest.mark.parametrize(("on_exceeded", "action"), [("Fail", Finish), ("Suspend", Suspend)])
def test_a_retry_does_not_start_with_a_budget_that_is_used_up(scene, on_exceeded, action):
    seen = scene(budget={**THREE, "onExceeded": on_exceeded}).claimed().said(Verdict.RETRY, "ToolError")
    seen.written(next_of(seen)).granted()
    seen.pods = []
    waits = decide(seen.knowing(spent=None).observation, seen.now)
    assert isinstance(waits, Decision)  # its backoff is not over, and no one is asked before

    seen.later(minutes=1)
    assert decide(seen.observation, seen.now) == needs.Spent(None)
    answer = decide(seen.knowing(spent=ALL_USED).observation, seen.now)

    assert isinstance(answer, Decision)
    assert isinstance(answer.action, action)


def test_a_budget_per_attempt_is_checked_for_the_next_attempt(scene):
    seen = scene(budget={**THREE, "scope": "Attempt"}).claimed().said(Verdict.RETRY, "ToolError")
    seen.written(next_of(seen)).granted().later(minutes=1)
    seen.pods = []

    assert decide(seen.knowing(spent=None).observation, seen.now) == needs.Spent(2)
    assert decide(seen.knowing(spent=Spend()).observation, seen.now) == Decision(Claim(2, 2))


def test_a_first_start_causes_no_query(scene):
    seen = scene(budget=THREE).granted().knowing(spent=None)

    assert decide(seen.observation, seen.now) == Decision(Claim(1, 1))


def test_an_operator_that_cannot_read_the_budget_leaves_the_job_to_a_newer_one(scene):
    seen = exceeded(scene).knowing(spec=None, unreadable="budget.onExceeded: Ask")
    end = next_of(seen)
    kept = suspended(scene).knowing(spec=None, unreadable="budget.onExceeded: Ask")

    assert isinstance(end.next_step, Again)
    assert not end.record.charged
    assert decide(kept.observation, kept.now) == Decision(Keep())


def test_a_runner_that_disagrees_with_history_about_usage_causes_no_loop(scene):
    seen = suspended(scene).knowing(spent=Spend(llm_calls=1))

    assert decide(seen.later(days=1).observation, seen.now) == Decision(Keep())


@pytest.mark.parametrize(
    ("used", "said"),
    [
        (Spend(Decimal("2.5"), 9, 2, 9), ["maxCostUSD"]),
        (Spend(Decimal("2.499"), 10, 2, 9), ["maxTokens"]),
        (Spend(Decimal("0.1"), 9, 3, 10), ["maxLLMCalls", "maxToolCalls"]),
        (Spend(Decimal("2.499999"), 9, 2, 9), []),
    ],
)
def test_each_limit_that_is_reached_is_named(used, said):
    assert re.findall(r"budget\.(\w+)", reached(Limits(Decimal("2.50"), 10, 3, 10), used)) == said
    assert reached(Limits(), replace(used, llm_calls=10**9)) == ""


MAYBE = st.none() | st.integers(1, 9)


@given(st.builds(Limits, MAYBE.map(lambda n: n and Decimal(n)), MAYBE, MAYBE), st.integers(0, 9), st.integers(0, 9))
def test_a_job_is_held_exactly_if_its_next_call_would_be_refused(limits, amount, calls):
    refused = judge(limits, Spend(Decimal(amount), amount, calls), Spend(), Spend(NOTHING, 0, 1)).fits is Fits.NO

    assert bool(reached(limits, Spend(Decimal(amount), amount, calls))) == refused


def at_limit(scene, until, **spec):
    models = frozenset({"gemini-flash-latest"})
    return scene(**spec).granted().knowing(models=models, exhausted={"gemini-flash-latest": until})


def test_a_job_whose_model_is_at_its_limit_waits_without_a_slot(scene):
    seen = scene().granted().knowing(models=frozenset({"gemini-flash-latest"}))
    assert decide(seen.observation, seen.now) == needs.ExhaustedModels()

    until = seen.now + timedelta(minutes=5)
    answer = decide(at_limit(scene, until).observation, seen.now)

    assert isinstance(answer, Decision)
    assert answer.action.reason == "WaitingForModelLimit"
    assert "gemini-flash-latest" in answer.action.message
    assert "09:05:00Z" in answer.action.message
    assert until <= answer.again <= until + timedelta(seconds=30)


def test_a_job_starts_if_another_model_is_at_its_limit(scene):
    seen = scene().granted().knowing(models=frozenset({"gemini-x"}), exhausted={"gemini-y": scene().now})

    assert decide(seen.observation, seen.now) == Decision(Claim(1, 1))


def test_the_end_of_a_short_wait_changes_without_a_write(scene):
    seen = at_limit(scene, scene().now + timedelta(seconds=5))
    first = decide(seen.observation, seen.now)
    seen.knowing(exhausted={"gemini-flash-latest": seen.now + timedelta(seconds=40)})
    second = decide(seen.later(seconds=6).observation, seen.now)

    assert isinstance(first, Decision)
    assert isinstance(second, Decision)
    assert first.action.message == second.action.message


def test_jobs_retry_at_spread_times(scene):
    seen = at_limit(scene, scene().now + timedelta(minutes=5))
    again = set()
    for number in range(20):
        seen.meta["uid"] = f"uid-{number}"
        again.add(decide(seen.observation, seen.now).again)

    assert len(again) == 20


def test_the_queue_timeout_counts_while_the_model_is_at_its_limit(scene):
    seen = at_limit(scene, scene().now + timedelta(hours=5), timeouts={"queue": "10m"})
    first = decide(seen.observation, seen.now)
    assert isinstance(first, Decision)
    assert first.again == seen.now + timedelta(minutes=10)

    answer = decide(seen.written(first.action).later(minutes=10).observation, seen.now)

    assert isinstance(answer.action, Finish)
    assert answer.action.reason == "QueueTimeout"
