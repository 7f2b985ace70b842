"""The job's own rules for endings: the first that matches decides, before the built-in classes do.

They resemble a Job's podFailurePolicy. Its Ignore is our Snooze, its Count our Retry, its FailJob our Fail.
"""

from collections.abc import Mapping
from typing import Any

from agentjobs.api.job.spec import ExitCodes, ResultPolicy, Rule
from agentjobs.contract import Verdict
from agentjobs.core.pods.diagnose import StartEnding
from agentjobs.core.pods.pod import Pod

FINAL_ACTIONS = ("Succeed", "Fail", "Cancel")
"""Actions after which the job does not run again."""


def matching_rule(
    policy: ResultPolicy, ending: StartEnding, pod: Pod | None, *, fired: Mapping[str, int] | None
) -> Rule | None:
    """Return the rule that decides about an ending, or None.

    Args:
        fired: how often each rule has fired in this job; rules at their limit are skipped.
    """
    for rule in policy.rules:
        if rule.limit is not None and (fired or {}).get(rule.name, 0) >= rule.limit:
            continue
        if _matches(rule, ending, pod):
            return rule
    return None


def may_run_again(policy: Mapping[str, Any], outcome: str) -> bool:
    """Whether a rule may run a job again after an answer with this outcome, so that the answer is not final yet.

    Ignores limits: only the operator knows how often a rule has fired, and then makes the answer final.

    Args:
        policy: the accepted `resultPolicy`; an unknown action of a newer version may run the job again.
    """
    rules = policy.get("rules") or ()
    return any(outcome in (rule.get("onOutcomes") or ()) and rule.get("action") not in FINAL_ACTIONS for rule in rules)


def _matches(rule: Rule, ending: StartEnding, pod: Pod | None) -> bool:
    """Whether all given matchers match; only rules about outcomes match a success."""
    if ending.verdict is Verdict.SUCCEED and not rule.on_outcomes:
        return False
    if rule.on_outcomes and ending.outcome not in rule.on_outcomes:
        return False
    if rule.on_errors and ending.reason not in rule.on_errors:
        return False
    if rule.on_exit_codes is not None and not _has_code(rule.on_exit_codes, pod):
        return False
    return not rule.on_pod_conditions or (
        pod is not None
        and any(
            wanted.type == kind and wanted.status == status and wanted.reason in (None, reason)
            for wanted in rule.on_pod_conditions
            for kind, status, reason in pod.conditions
        )
    )


def _has_code(codes: ExitCodes, pod: Pod | None) -> bool:
    """Whether the exit code matches; a missing one matches neither In nor NotIn."""
    if pod is None or pod.terminated is None or pod.terminated.exit_code < 0:
        return False
    return (pod.terminated.exit_code in codes.values) == (codes.operator == "In")
