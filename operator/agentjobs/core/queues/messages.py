"""Messages for waiting jobs: each names the limit, its owner, and until when it applies if known."""

from datetime import datetime
from typing import Final

from agentjobs.api.conditions import AdmittedReason
from agentjobs.contract import ErrorClass
from agentjobs.core.queues.policy import Backlog, ExceededBudget, Rate, Stop
from agentjobs.core.queues.requests import Lock, Refusal, Rejection
from agentjobs.durations import format_duration, format_time

SLOT: Final = AdmittedReason.WAITING_FOR_SLOT.value
RATE: Final = AdmittedReason.WAITING_FOR_RATE.value
LOCK: Final = AdmittedReason.WAITING_FOR_LOCK.value
HELD: Final = AdmittedReason.QUEUE_HELD.value
BUDGET: Final = AdmittedReason.BUDGET_HELD.value
TURNS: Final = frozenset({SLOT, RATE})
"""Both mean that a job waits for its turn. They may alternate with each start, so only the first is written."""


def no_slot(limit: int, queue: str, partition: str | None = None) -> Refusal:
    """Return the message if all slots of the queue or of a partition are taken."""
    if not limit:
        return Refusal(SLOT, f"queue {queue} has no slots: its limit is 0")
    owner = _owner(queue, partition)
    return Refusal(SLOT, f"all {limit} slots of {owner} are taken" if limit > 1 else f"the 1 slot of {owner} is taken")


def no_rate(rate: Rate | None, queue: str, partition: str | None, until: datetime) -> Refusal:
    """Return the message if the rate limit is reached."""
    limit = f"{rate.starts} starts in {format_duration(rate.period)}" if rate else "starts of this period"
    return Refusal(
        RATE,
        f"{_owner(queue, partition)} reached its rate limit, {limit}; the next start is possible at {_clock(until)}",
    )


def in_use(lock: Lock, by: str) -> Refusal:
    """Return the message if another job uses the session or the worktree."""
    what = f"the worktree in volume {lock}" if isinstance(lock, str) else f"session {lock[2]}"
    return Refusal(LOCK, f"{what} is in use by {by or 'another job'}")


def held(queue: str, stop: Stop) -> Refusal:
    """Return the message if the queue is stopped."""
    return Refusal(HELD, f"queue {queue} starts no jobs: its stopPolicy is {stop.value}")


def over_budget(queue: str, budget: ExceededBudget) -> Refusal | Rejection:
    """Return the message if a budget of the queue is used up."""
    owner = _owner(queue, budget.partition)
    message = f"budget {budget.name} of {owner} is used up until {_clock(budget.until)}"
    return Rejection(ErrorClass.BUDGET_EXCEEDED, message) if budget.fails else Refusal(BUDGET, message)


def backlog_full(queue: str, backlog: Backlog) -> Rejection:
    """Return the message if the backlog is full."""
    return Rejection(ErrorClass.QUEUE_FULL, f"{backlog.limit} jobs wait in queue {queue}, its backlog.max")


def _owner(queue: str, partition: str | None) -> str:
    if partition is None:
        return f"queue {queue}"
    return f"partition {partition} in queue {queue}" if partition else f"jobs without a partition in queue {queue}"


def _clock(moment: datetime) -> str:
    return format_time(moment)
