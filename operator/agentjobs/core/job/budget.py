"""What a job has spent of its budget, and what follows at a limit.

A job continues only after its budget was edited: its pod and the message of its suspension contain the limits that
applied. So a runner that counts differently from history cannot cause a loop.
"""

import json
from datetime import datetime

from agentjobs.api.conditions import ConditionType, Phase, SuspendedReason, find_condition
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.contract import ErrorClass, cut
from agentjobs.core.job.actions import Again, Finish, Suspend
from agentjobs.core.job.observation import Job, Observation
from agentjobs.core.pods.diagnose import StartEnding
from agentjobs.core.pods.pod import Pod
from agentjobs.models.budget import Limits, Spend

# A condition has 1 KiB, and its end must not be cut.
MAX_WORDS = 512
# Other versions read it, so it must not change: they would take a changed one for an edit of the budget.
_THEN = "its budget was: "


def reached(limits: Limits, spent: Spend) -> str:
    """Return a sentence about the limits that are reached; empty if none."""
    messages = [f"budget.{name} is reached: {limits.used_of(name, spent)} used" for name in limits.reached(spent)]
    return f"{', '.join(messages)}. Raise it to continue the job" if messages else ""


def over_budget(
    spec: AgentJobSpec, limits: Limits, message: str, reason: str = ErrorClass.BUDGET_EXCEEDED
) -> Finish | Suspend:
    """Return what follows if the budget in `limits` is used up: the job fails with `reason`, or is suspended."""
    if spec.budget is None or spec.budget.on_exceeded == "Fail":
        return Finish(Phase.FAILED, reason, message)
    text = cut(message, MAX_WORDS).rstrip(".")
    return Suspend(SuspendedReason.BUDGET_EXCEEDED, f"{text}; {_THEN}{_words(limits)}")


def after_start(seen: Observation, spec: AgentJobSpec, ending: StartEnding, now: datetime) -> Again | Finish | Suspend:
    """Return what follows a start that ended because its budget or its turns were used up.

    If the budget was edited meanwhile, the job continues, and the new budget is checked before the next start.
    """
    noted = _noted(seen.active_pod)
    if noted is not None and noted != seen.limits:
        return Again(now, infra=False, free=True)
    return over_budget(spec, seen.limits, ending.message, ending.reason)


def is_suspended(job: Job) -> bool:
    """Whether the job is suspended because its budget is used up."""
    return job.has_condition(ConditionType.SUSPENDED, status=True, reason=SuspendedReason.BUDGET_EXCEEDED)


def is_unchanged(job: Job, limits: Limits) -> bool:
    """Whether a job that is suspended for its budget still has the same budget."""
    condition = find_condition(job.status.conditions, ConditionType.SUSPENDED)
    return condition is not None and condition.message.endswith(f"; {_THEN}{_words(limits)}")


def _noted(pod: Pod | None) -> Limits | None:
    """Return the limits noted on a pod; None if missing, e.g. after an edit of its annotation."""
    try:
        return Limits.read(json.loads(pod.budget)) if pod is not None else None
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def _words(limits: Limits) -> str:
    return ", ".join(f"{name} {value}" for name, value in limits.dump().items()) or "none"
