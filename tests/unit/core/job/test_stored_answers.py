"""Jobs with a stored answer whose start ended without a message: the first stored answer is final."""

import pytest

from agentjobs.api.conditions import Phase
from agentjobs.contract import Verdict
from agentjobs.core.job import needs
from agentjobs.core.job.actions import Again
from agentjobs.core.job.decide import decide
from agentjobs.core.job.observation import FinalResult

ANSWER = {"text": "Hello.", "structured": {"outcome": "sure"}, "outcome": "sure", "usage": {}}
ONCE = {"retry": {"maxAttempts": 1, "maxInfraRestarts": 0, "maxSnoozes": 0}}
DISRUPTED = {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]}


def stored(scene, *rules, answer=ANSWER, **spec):
    spec = {"output": {"schema": {"type": "object"}}, "resultPolicy": {"rules": list(rules)}, **ONCE, **spec}
    return scene(**spec).claimed().knowing(result=FinalResult(answer))


def rule(action):
    return {"name": "r", "onOutcomes": ["sure"], "action": action}


def end_of(seen):
    return decide(seen.observation, seen.now).action


@pytest.mark.parametrize(
    "how",
    [
        {"code": 1, "reason": "Error"},
        {"code": 0},
        {"code": 137, "reason": "OOMKilled"},
        {"code": 137, "phase": "Failed", "meta": {}, **DISRUPTED},
    ],
    ids=["crashed", "silent", "for-memory", "evicted"],
)
def test_a_job_whose_last_start_crashed_after_its_answer_was_stored_has_succeeded(scene, how):
    end = end_of(stored(scene).ended(**how))

    assert (end.next_step.phase, end.next_step.reason) == (Phase.SUCCEEDED, "ResultAccepted")
    assert (end.next_step.summary, end.next_step.outcome) == ("Hello.", "sure")
    assert (end.record.verdict, end.record.charged) == ("Succeed", False)


def test_the_stored_answer_is_read_only_when_the_job_would_end(scene):
    seen = stored(scene, retry={"maxAttempts": 2}).ended(code=1).knowing(result=None)
    assert isinstance(end_of(seen).next_step, Again)

    last = stored(scene).ended(code=1).knowing(result=None)
    assert decide(last.observation, last.now) == needs.FinalResult()


@pytest.mark.parametrize("said", [Verdict.RETRY, Verdict.SNOOZE])
def test_a_runner_that_could_not_know_that_its_answer_was_stored_has_succeeded(scene, said):
    end = end_of(stored(scene).said(said, "JournalUnavailable"))

    assert end.next_step.phase is Phase.SUCCEEDED


def test_a_failure_that_a_runner_reports_as_final_remains_a_failure(scene):
    end = end_of(stored(scene).said(Verdict.FAIL, "ConfigInvalid"))

    assert (end.next_step.phase, end.next_step.reason) == (Phase.FAILED, "ConfigInvalid")


@pytest.mark.parametrize(
    ("action", "phase"), [("Succeed", Phase.SUCCEEDED), ("Fail", Phase.FAILED), ("Cancel", Phase.CANCELLED)]
)
def test_a_rule_about_the_outcome_of_a_stored_answer_applies(scene, action, phase):
    end = end_of(stored(scene, rule(action)).ended(code=1))

    assert (end.rule, end.next_step.phase, end.next_step.outcome) == ("r", phase, "sure")


@pytest.mark.parametrize("action", ["Retry", "Snooze", "Suspend"])
def test_an_answer_after_which_a_rule_can_rerun_the_job_is_not_final(scene, action):
    end = end_of(stored(scene, rule(action)).ended(code=1))

    assert (end.next_step.phase, end.next_step.reason) == (Phase.FAILED, "RunnerCrashed")


def test_a_stored_answer_has_precedence_over_a_cancel(scene):
    end = end_of(stored(scene, cancel=True).ended(code=137, meta={"deletionTimestamp": "2026-11-21T09:01:00Z"}))

    assert end.next_step.phase is Phase.SUCCEEDED


def test_a_stored_answer_that_is_not_published_is_not_a_success(scene):
    publish = {"mode": "Branch", "branch": "agents/x", "secretRef": {"name": "writer"}}
    workspace = {"git": {"url": "https://github.com/acme/papers"}, "publish": publish}
    end = end_of(stored(scene, workspace=workspace).ended(code=1))

    assert end.next_step.phase is Phase.FAILED


def waiting(scene, **later):
    seen = stored(scene, retry={"maxAttempts": 2}, timeouts={"running": "30s"}).ended(code=1)
    seen.written(end_of(seen.knowing(result=None))).later(hours=1)
    seen.knowing(result=FinalResult(ANSWER)).pods.clear()
    seen.status["runningSeconds"] = 60
    seen.raw |= later
    return seen


def test_a_job_without_another_start_ends_with_its_stored_answer(scene):
    end = end_of(waiting(scene))

    assert (end.phase, end.reason, end.outcome) == (Phase.SUCCEEDED, "ResultAccepted", "sure")


def test_a_job_cancelled_while_it_waits_is_cancelled(scene):
    assert end_of(waiting(scene, cancel=True)).phase is Phase.CANCELLED
