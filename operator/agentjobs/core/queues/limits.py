"""The limits of one queue and the counts against them: slots, starts, budgets, and pauses after PostgreSQL refused a
slot.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from agentjobs.core.queues import messages
from agentjobs.core.queues.partition import Partition, Pause
from agentjobs.core.queues.policy import ExceededBudget, QueuePolicy, Rate, Stop
from agentjobs.core.queues.requests import Refusal, Rejection
from agentjobs.core.queues.starts import Starts

NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class Limits:
    """The limits of the queue of that name, as of the last `admit`."""

    queue: str
    policy: QueuePolicy | None = None
    now: datetime = NEVER
    closed: tuple[Stop | None, ExceededBudget | None] = (None, None)
    """Why the whole queue starts no jobs until a user or the calendar opens it."""
    _holders: dict[str, int] = field(default_factory=dict)
    _starts: Starts = field(default_factory=Starts)
    _pause: Pause | None = None
    _exceeded: dict[str | None, list[ExceededBudget]] = field(default_factory=dict)

    @property
    def taken(self) -> int:
        """How many slots are taken."""
        return len(self._holders)

    def is_held(self, holder: str) -> bool:
        """Whether a holder has a slot."""
        return holder in self._holders

    def take(self, holder: str, partition: Partition | None) -> None:
        """Add a holding of a holder, which takes one slot for all its holdings."""
        for holders in (self._holders, partition.holders if partition else None):
            if holders is not None:
                holders[holder] = holders.get(holder, 0) + 1

    def give_back(self, holder: str, partition: Partition | None) -> bool:
        """Remove a holding. True if a slot becomes free."""
        is_free = _less(self._holders, holder)
        if is_free and self._pause is not None and not self._pause.of_rate:
            self._pause = None
        if partition is None or not _less(partition.holders, holder):
            return is_free
        if partition.pause is not None and not partition.pause.of_rate:
            partition.pause = None
        return True

    def adopt(self, policy: QueuePolicy) -> bool:
        """Set another policy. True if starts are now counted differently."""
        before, after = (_scope(each.rate if each else None) for each in (self.policy, policy))
        self.policy, self._pause, self._exceeded = policy, None, {}
        for budget in policy.exceeded:
            self._exceeded.setdefault(budget.partition, []).append(budget)
        if before != after:
            self._starts.clear()
        return before != after

    def close(self) -> bool:
        """Update whether the whole queue is open. True if that has changed."""
        before, stopped = self.closed, self.policy.stopped if self.policy else None
        self.closed = stopped, self.budget(None)
        return self.closed != before

    def log(self, partition: Partition) -> Starts | None:
        """Return the log of starts of a partition; None if they are not counted."""
        rate = self.policy.rate if self.policy else None
        if rate is None:
            return None
        return partition.starts if rate.by_partition else self._starts

    def pause(self, partition: Partition, reason: str, until: datetime) -> Refusal:
        """Grant no slots of the queue or partition until then. Returns the answer for the refused job."""
        policy, of_rate = self.policy or QueuePolicy(0), reason == "Rate"
        of_partition = reason == "Partition" or (of_rate and policy.rate is not None and policy.rate.by_partition)
        pause, key = Pause(until, of_rate), partition.key if of_partition else None
        if of_partition:
            partition.pause = pause
        else:
            self._pause = pause
        if of_rate:
            return messages.no_rate(policy.rate, self.queue, key, until)
        limit = policy.per_partition if of_partition and policy.per_partition else policy.limit
        return messages.no_slot(limit, self.queue, key)

    def budget(self, partition: str | None) -> ExceededBudget | None:
        """The decisive used up budget: one whose action is Fail, else the one whose period ends last."""
        found = [budget for budget in self._exceeded.get(partition, ()) if budget.until > self.now]
        return max(found, key=lambda budget: (budget.fails, budget.until, budget.name), default=None)

    def opens_at(self) -> datetime | None:
        """Return until when the rate, or a pause, closes the whole queue; None if neither does."""
        times = [self._pause.until] if self._pause is not None and self._pause.until > self.now else []
        rate = self.policy.rate if self.policy else None
        if rate is not None and not rate.by_partition:
            times += [at] if (at := self._starts.room_at(rate, self.now)) is not None else []
        return max(times, default=None)

    def changes_at(self) -> datetime | None:
        """Return when time alone may open the whole queue."""
        stopped, budget = self.closed
        if self.policy is None or stopped is not None:
            return None
        if budget is not None:
            return budget.until
        return self.opens_at() if self.taken < self.policy.limit else None

    def is_open(self) -> bool:
        """Whether the whole queue has room for a start."""
        policy = self.policy
        if policy is None or self.closed != (None, None) or self.taken >= policy.limit:
            return False
        return self.opens_at() is None

    def refusal(self) -> Refusal | Rejection | None:
        """Return why the whole queue starts no jobs now; None if it does."""
        policy, (stopped, budget) = self.policy, self.closed
        if policy is None:
            return messages.no_slot(0, self.queue)
        if stopped is not None:
            return messages.held(self.queue, stopped)
        if budget is not None:
            return messages.over_budget(self.queue, budget)
        if self.taken >= policy.limit:
            return messages.no_slot(policy.limit, self.queue)
        opens = self.opens_at()
        if opens is None:
            return None
        if _waits_for_slots(self._pause, self.now):
            return messages.no_slot(policy.limit, self.queue)
        return messages.no_rate(policy.rate, self.queue, None, opens)

    def refusal_of(self, partition: Partition, whole: Refusal | Rejection | None) -> Refusal | Rejection | None:
        """Return why no job of a partition starts now, for any session; None if one may. `whole` is the queue's
        refusal.
        """
        policy = self.policy
        if policy is None or self.closed != (None, None):
            return whole
        if partition.budget is not None:
            return messages.over_budget(self.queue, partition.budget)
        if whole is not None or partition.is_open:
            return whole
        opens = partition.opens_at(policy, self.now)
        if partition.is_full(policy) or opens is None or _waits_for_slots(partition.pause, self.now):
            return messages.no_slot(policy.per_partition or policy.limit, self.queue, partition.key)
        return messages.no_rate(policy.rate, self.queue, partition.key, opens)


def _less(holders: dict[str, int], holder: str) -> bool:
    """Remove a holding of a holder. True if none remains."""
    holders[holder] -= 1
    if holders[holder]:
        return False
    del holders[holder]
    return True


def _waits_for_slots(pause: Pause | None, now: datetime) -> bool:
    return pause is not None and not pause.of_rate and pause.until > now


def _scope(rate: Rate | None) -> bool | None:
    return None if rate is None else rate.by_partition
