"""Budgets of queues: their calendar periods in a time zone, and what remains. Pure.

Spending is summed by quarters of an hour, and every period begins with one, because the offsets of all zones are whole
quarters.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from agentjobs.api.conditions import SuspendedReason
from agentjobs.api.queues.spec import AgentQueueSpec, QueueBudget
from agentjobs.api.queues.status import BudgetSpend
from agentjobs.api.schedule.cron import parse_zone
from agentjobs.core.job.observation import QueueStop
from agentjobs.core.queues.policy import ExceededBudget
from agentjobs.durations import format_time
from agentjobs.models.budget import Spend, plain

Spent = Mapping[str, Spend]
"""Usage of a queue's calls in a period, by partition."""


@dataclass(frozen=True, slots=True)
class Period:
    """A day, week or month of a time zone, as UTC instants."""

    begin: datetime
    end: datetime
    """When the next period begins."""


def period_of(budget: QueueBudget, now: datetime) -> Period:
    """Return the period of a valid budget that contains `now`."""
    zone = parse_zone(budget.time_zone)
    today = now.astimezone(zone).date()
    if budget.period == "Daily":
        first, following = today, today + timedelta(days=1)
    elif budget.period == "Weekly":
        first = today - timedelta(days=today.weekday())
        following = first + timedelta(days=7)
    else:
        first = today.replace(day=1)
        following = (first + timedelta(days=31)).replace(day=1)
    return Period(_midnight(first, zone), _midnight(following, zone))


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return the first instant of a day; if a clock change skips midnight, the instant of the change."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class BudgetState:
    """State of a budget in its current period."""

    budget: QueueBudget
    period: Period
    spend: Spend
    """Usage of the queue, or of the partition that spent the most."""
    partition: str | None
    """That partition; None for a budget of the queue."""
    over: tuple[str | None, ...]
    """Partitions with a used up budget, or None for the queue."""

    @property
    def exceeded(self) -> tuple[ExceededBudget, ...]:
        """The used up budget for admission, if any."""
        fails = self.budget.on_exceeded == "Fail"
        return tuple(ExceededBudget(self.budget.name, self.period.end, partition, fails) for partition in self.over)


def budget_state(budget: QueueBudget, spent: Spent, period: Period) -> BudgetState:
    """Return the state of a budget, from the usage of its period."""
    if budget.scope == "Queue":
        total = sum(spent.values(), Spend())
        return BudgetState(budget, period, total, None, (None,) if _is_over(budget, total) else ())
    most = max(spent, key=lambda partition: (_share(budget, spent[partition]), partition), default="")
    over = tuple(partition for partition in sorted(spent) if _is_over(budget, spent[partition]))
    return BudgetState(budget, period, spent.get(most, Spend()), most, over)


def _is_over(budget: QueueBudget, spend: Spend) -> bool:
    return _share(budget, spend) >= 1


def _share(budget: QueueBudget, spend: Spend) -> Decimal:
    """Return the spent share of the budget, by the limit that is nearer."""
    shares = [Decimal(0)]
    if budget.max_cost_usd is not None:
        shares.append(spend.cost / Decimal(budget.max_cost_usd))
    if budget.max_tokens is not None:
        shares.append(Decimal(spend.tokens) / budget.max_tokens)
    return max(shares)


def budget_stops(queue: str, states: tuple[BudgetState, ...]) -> Mapping[str | None, QueueStop]:
    """Return why running jobs are suspended for a budget, by partition; None is the key for all."""
    found: dict[str | None, QueueStop] = {}
    for state in states:
        if state.budget.action == "Suspend":
            for partition in state.over:
                until = format_time(state.period.end)
                message = f"budget {state.budget.name} of queue {queue} is used up until {until}, or until it is raised"
                found.setdefault(partition, QueueStop(SuspendedReason.QUEUE_BUDGET_EXCEEDED, message))
    return found


def reported_spend(states: tuple[BudgetState, ...]) -> tuple[BudgetSpend, ...]:
    """Return the budgets for the status."""
    return tuple(
        BudgetSpend(
            name=state.budget.name,
            cost_usd=plain(state.spend.cost),
            tokens=state.spend.tokens,
            resets=state.period.end,
            partition=state.partition or "",
        )
        for state in states
    )


def periods_of(spec: AgentQueueSpec, now: datetime) -> Iterator[tuple[QueueBudget, Period]]:
    """Return the current period of each budget."""
    for budget in spec.budgets:
        yield budget, period_of(budget, now)
