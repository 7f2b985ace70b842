"""The status of an AgentQueue. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from agentjobs.api.conditions import with_condition
from agentjobs.api.problems import rejection
from agentjobs.api.queues.status import (
    AgentQueueStatus,
    LimitedReason,
    LimitLeft,
    OpenReason,
    QueueConditionType,
)
from agentjobs.core.queues.budgets import BudgetState, reported_spend
from agentjobs.core.queues.model import Queue
from agentjobs.core.queues.policy import QueuePolicy, Stop
from agentjobs.durations import format_time


@dataclass(frozen=True, slots=True)
class QueueView:
    """A queue and its state at one moment."""

    queue: Queue
    policy: QueuePolicy
    """The effective policy, possibly of an earlier spec."""
    known: bool
    """Whether any valid spec is known."""
    running: int = 0
    waiting: int = 0
    scheduled: int = 0
    suspended: int = 0
    oldest: datetime | None = None
    budgets: tuple[BudgetState, ...] = ()
    limits: tuple[LimitLeft, ...] = ()
    rate_reached: bool = False
    """Whether jobs wait because of the rate."""


def status_of(view: QueueView, now: datetime) -> AgentQueueStatus:
    """Return the next status of a queue."""
    queue = view.queue
    status = replace(
        queue.status,
        observed_generation=queue.generation,
        max=view.policy.limit,
        running=view.running,
        waiting=view.waiting,
        scheduled=view.scheduled,
        suspended=view.suspended,
        oldest_waiting_time=view.oldest,
        spend=reported_spend(view.budgets),
        limits=view.limits,
    )
    conditions = status.conditions
    for kind, (holds, reason, message) in (
        (QueueConditionType.OPEN, _open(view)),
        (QueueConditionType.LIMITED, next(_limits(view), _NOT_LIMITED)),
    ):
        conditions = with_condition(
            conditions, kind, status=holds, reason=reason, message=message, now=now, generation=queue.generation
        )
    return replace(status, conditions=conditions)


_State = tuple[bool, str, str]
_NOT_LIMITED: _State = (False, LimitedReason.NOT_LIMITED, "")


def _open(view: QueueView) -> _State:
    holds, reason, message = _openness(view)
    if view.queue.problems:
        problem = rejection(view.queue.problems)[1]
        kept = "the last valid spec applies" if view.known else "no job starts until it is corrected"
        return holds and view.known, OpenReason.INVALID_SPEC, f"{problem}; {kept}"
    return holds, reason, message


def _openness(view: QueueView) -> _State:
    policy = view.policy
    if policy.stopped is Stop.HOLD_AND_DRAIN:
        return False, OpenReason.DRAINED, "stopPolicy is HoldAndDrain: no job starts, running jobs are suspended"
    if policy.stopped is Stop.HOLD:
        return False, OpenReason.HELD, "stopPolicy is Hold: no job starts, running jobs continue"
    whole = [budget for budget in policy.exceeded if budget.partition is None]
    if whole:
        last = max(whole, key=lambda budget: budget.until)
        return False, OpenReason.BUDGET_EXCEEDED, f"budget {last.name} is used up until {format_time(last.until)}"
    if policy.limit == 0:
        return False, OpenReason.NO_SLOTS, "concurrency.max is 0"
    return True, OpenReason.OPEN, ""


def _limits(view: QueueView) -> Iterator[_State]:
    """Return the limits other than slots that make jobs wait, most important first."""
    policy = view.policy
    for budget in policy.exceeded:
        of = "" if budget.partition is None else f" for {_shown(budget.partition)}"
        yield (
            True,
            LimitedReason.BUDGET_EXCEEDED,
            f"budget {budget.name} is used up{of} until {format_time(budget.until)}",
        )
    if view.rate_reached and policy.rate is not None:
        yield True, LimitedReason.RATE_LIMIT, "jobs wait until the rate allows another start"
    backlog = policy.backlog
    if backlog is not None and (view.waiting > backlog.limit or (backlog.rejects and view.waiting == backlog.limit)):
        then = "further jobs end with QueueFull" if backlog.rejects else "further jobs wait too"
        yield True, LimitedReason.BACKLOG_FULL, f"{view.waiting} jobs wait, backlog.max is {backlog.limit}; {then}"


def _shown(partition: str) -> str:
    return f"partition {partition}" if partition else "jobs without a partitionKey"
