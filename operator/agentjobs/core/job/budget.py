"""What a job has spent against its budget, and what follows when a limit is reached.

A job goes on when its budget was edited, and for no other reason: a pod carries the limits that it was told, and a
suspension's message ends with them. So a runner that counts otherwise than history does never makes a loop.
"""

import json
from datetime import datetime

from agentjobs.api.conditions import ConditionType, Phase, SuspendedReason, find_condition
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.contract import ErrorClass, cut
from agentjobs.core.job.actions import Again, Finish, Suspend
from agentjobs.core.job.observation import Job, Observation
from agentjobs.core.pods.diagnose import Ending
from agentjobs.core.pods.pod import Pod
from agentjobs.models.budget import Limits, Spend

# A condition has 1 KiB, and must not lose its end.
MAX_WORDS = 512
_THEN = "its budget was: "


def reached(limits: Limits, spent: Spend) -> str:
    """Return the limits that are reached in words, empty for none."""
    most, used = limits.dump(), spent.by_limit()
    told = [f"budget.{name} is reached: {used[name]} of {most[name]} used" for name in limits.reached(spent)]
    return f"{', '.join(told)}. Raise it to let the job do more" if told else ""


def over_budget(
    spec: AgentJobSpec, limits: Limits, message: str, reason: str = ErrorClass.BUDGET_EXCEEDED
) -> Finish | Suspend:
    """Return what follows for a job whose budget, as `limits` have it, is used up: it fails with `reason`, or waits."""
    if spec.budget is None or spec.budget.on_exceeded == "Fail":
        return Finish(Phase.FAILED, reason, message)
    said = cut(message, MAX_WORDS).rstrip(".")
    return Suspend(SuspendedReason.BUDGET_EXCEEDED, f"{said}; {_THEN}{_words(limits)}")


def after_start(seen: Observation, spec: AgentJobSpec, ending: Ending, now: datetime) -> Again | Finish | Suspend:
    """Return what follows a start that ended because its budget was used up, or the turns of it.

    When the budget was edited meanwhile, the job goes on as if it had been so from the beginning: what is left of it is
    judged before the next start.
    """
    told = _noted(seen.active_pod)
    if told is not None and told != seen.limits:
        return Again(now, infra=False, free=True)
    return over_budget(spec, seen.limits, ending.message, ending.reason)


def is_suspended(job: Job) -> bool:
    """Whether the job is suspended because its budget is used up."""
    return job.says(ConditionType.SUSPENDED, status=True, reason=SuspendedReason.BUDGET_EXCEEDED)


def is_unchanged(job: Job, limits: Limits) -> bool:
    """Whether a job that is suspended for its budget still has the budget that it was suspended for."""
    said = find_condition(job.status.conditions, ConditionType.SUSPENDED)
    return said is not None and said.message.endswith(f"; {_THEN}{_words(limits)}")


def _noted(pod: Pod | None) -> Limits | None:
    """What a pod was told to keep to; None when it does not say so, as with an annotation that was edited."""
    try:
        return Limits.read(json.loads(pod.budget)) if pod is not None else None
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def _words(limits: Limits) -> str:
    return ", ".join(f"{name} {value}" for name, value in limits.dump().items()) or "none"
