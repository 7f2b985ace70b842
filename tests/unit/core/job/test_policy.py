"""A job's own rules for endings."""

from datetime import timedelta

import pytest

from agentjobs.api.conditions import Phase
from agentjobs.contract import Verdict
from agentjobs.core.job import needs
from agentjobs.core.job.actions import Again, Claim, Decision, Keep, Suspend
from agentjobs.core.job.decide import decide


def ruled(scene, *rules, **spec):
    return scene(resultPolicy={"rules": list(rules)}, **spec).claimed()


def ending_of(seen):
    answer = decide(seen.observation, seen.now)
    return answer.action if isinstance(answer, Decision) else answer


@pytest.mark.parametrize(
    ("action", "phase"), [("Succeed", Phase.SUCCEEDED), ("Fail", Phase.FAILED), ("Cancel", Phase.CANCELLED)]
)
def test_a_rule_ends_the_job_with_its_action(scene, action, phase):
    seen = ruled(scene, {"name": "enough", "onErrors": ["ToolError"], "action": action})
    verdict = ending_of(seen.said(Verdict.RETRY, "ToolError"))

    assert verdict.next_step.phase is phase
    assert "rule enough" in verdict.next_step.message


def test_the_first_rule_that_matches_decides(scene):
    seen = ruled(
        scene,
        {"name": "other", "onErrors": ["AgentError"], "action": "Fail"},
        {"name": "first", "onErrors": ["ToolError"], "action": "Cancel"},
        {"name": "second", "onErrors": ["ToolError"], "action": "Fail"},
    )

    assert ending_of(seen.said(Verdict.RETRY, "ToolError")).rule == "first"


def test_all_matchers_of_a_rule_must_match(scene):
    codes = {"operator": "In", "values": [3]}
    seen = ruled(scene, {"name": "both", "onErrors": ["RunnerCrashed"], "onExitCodes": codes, "action": "Fail"})

    assert ending_of(seen.ended(1, code=4, reason="Error")).rule == ""
    assert ending_of(seen.ended(1, code=3, reason="Error")).rule == "both"


def test_an_exit_code_can_be_matched_by_not_in(scene):
    codes = {"operator": "NotIn", "values": [3]}
    seen = ruled(scene, {"name": "others", "onExitCodes": codes, "action": "Fail"})

    assert ending_of(seen.ended(1, code=3, reason="Error")).rule == ""
    assert ending_of(seen.ended(1, code=9, reason="Error")).rule == "others"


def test_a_condition_of_the_pod_is_matched_by_type_status_and_reason(scene):
    wanted = {"type": "DisruptionTarget", "reason": "EvictionByEvictionAPI"}
    seen = ruled(scene, {"name": "drained", "onPodConditions": [wanted], "action": "Snooze", "delay": "5s"})
    had = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    verdict = ending_of(seen.ended(1, code=137, reason="Error", conditions=[had]))

    assert verdict.next_step == Again(seen.now + timedelta(seconds=5), infra=False)


@pytest.mark.parametrize(("delay", "seconds"), [({"delay": "2m"}, 120), ({"delay": "0s"}, 0), ({}, 30)])
def test_a_snooze_by_a_rule_uses_up_no_attempt_and_has_the_rules_delay(scene, delay, seconds):
    seen = ruled(scene, {"name": "busy", "onErrors": ["ToolError"], "action": "Snooze", **delay})
    verdict = ending_of(seen.said(Verdict.RETRY, "ToolError"))

    assert not verdict.record.charged
    assert verdict.next_step == Again(seen.now + timedelta(seconds=seconds), infra=False)


def test_a_retry_by_a_rule_uses_up_an_attempt_and_has_the_rules_delay(scene):
    seen = ruled(scene, {"name": "quota", "onErrors": ["ModelRateLimited"], "action": "Retry", "delay": "7s"})
    verdict = ending_of(seen.said(Verdict.SNOOZE, "ModelRateLimited", delay=60))

    assert verdict.record.charged
    assert verdict.next_step == Again(seen.now + timedelta(seconds=7), infra=False)


def test_a_retry_by_a_rule_fails_at_the_last_attempt(scene):
    rule = {"name": "again", "onErrors": ["ConfigInvalid"], "action": "Retry"}
    seen = ruled(scene, rule, retry={"maxAttempts": 1})

    assert ending_of(seen.said(Verdict.FAIL, "ConfigInvalid")).next_step.phase is Phase.FAILED


def test_a_rule_at_its_limit_is_skipped(scene):
    seen = ruled(scene, {"name": "once", "onErrors": ["ToolError"], "action": "Snooze", "delay": "1s", "limit": 1})
    first = ending_of(seen.said(Verdict.RETRY, "ToolError"))
    seen.written(first).later(seconds=5).claimed(start=2)
    seen.pods = []
    second = ending_of(seen.said(Verdict.RETRY, "ToolError", start=2))

    assert seen.job.status.rule_counts == {"once": 1}
    assert (first.rule, second.rule) == ("once", "")


def test_rules_do_not_apply_to_a_success(scene):
    seen = ruled(scene, {"name": "never", "onExitCodes": {"operator": "In", "values": [0]}, "action": "Fail"})

    assert ending_of(seen.said(Verdict.SUCCEED)).next_step.phase is Phase.SUCCEEDED


def test_a_job_suspended_by_a_rule_waits_for_a_new_value_of_the_annotation(scene):
    seen = ruled(scene, {"name": "ask", "onErrors": ["ContentBlocked"], "action": "Suspend"})
    seen.meta["annotations"] = {"agentjobs.dev/resume": "from long ago"}
    verdict = ending_of(seen.said(Verdict.FAIL, "ContentBlocked"))
    seen.written(verdict)
    seen.pods = []
    resting = ending_of(seen)
    seen.meta["annotations"] = {"agentjobs.dev/resume": "now"}

    assert isinstance(verdict.next_step, Suspend)
    assert (seen.job.status.phase, resting) == (Phase.SUSPENDED, Keep())
    assert isinstance(ending_of(seen), needs.Slot)
    assert ending_of(seen.granted()) == Claim(start=2, attempt=1)
