"""The current policy of each queue, from its object or else the installation, and from its budgets.

Fed by the cache of queues, and with spending by `feed`. An invalid spec has no effect: the last valid one that this
process has seen applies, and without one no job starts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from agentjobs.api.queues.spec import DEFAULT_CONCURRENCY, AgentQueueSpec
from agentjobs.api.queues.status import LimitLeft
from agentjobs.core.job.observation import QueueStop
from agentjobs.core.queues.admission import QueuePolicy
from agentjobs.core.queues.budgets import BudgetState, Spent, budget_state, budget_stops, periods_of
from agentjobs.core.queues.model import Queue, defaults_of, drain_of, policy_of
from agentjobs.engine.cache import Cache, Name

_EVER: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Standing:
    """State of a queue with an object."""

    policy: QueuePolicy
    spec: AgentQueueSpec | None = None
    """The effective spec; None if no valid one is known."""
    drain: QueueStop | None = None
    stops: Mapping[str | None, QueueStop] = field(default_factory=dict)
    """Why running jobs are suspended, by partition; None is the key for all."""
    budgets: tuple[BudgetState, ...] = ()
    spending_known: bool = True
    """Whether the spending in all periods is known. Until then no job starts, and answers do not change."""
    until: datetime = _EVER
    """When the next period ends."""


NOTHING_STARTS: Final = Standing(QueuePolicy(limit=0))


class Policies:
    """The policies of all queues, by namespace and name."""

    def __init__(self, queues: Cache[Queue], limits: Mapping[str, int], *, now: Callable[[], datetime]) -> None:
        """`limits` maps the installation's queues, which every namespace has, to their slots."""
        self.limits: Final = dict(limits)
        self._queues = queues
        self._now = now
        self._defaults: dict[Name, Mapping[str, Any]] = {}
        self._legal: dict[Name, tuple[str, AgentQueueSpec]] = {}
        # By queue and the beginning of a period.
        self._spent: dict[Name, dict[datetime, Spent]] = {}
        self._standings: dict[Name, Standing] = {}
        self._left: dict[Name, tuple[LimitLeft, ...]] = {}

    def observe(self, name: Name, after: Queue | None) -> None:
        """Update a queue's object; None if it is gone."""
        self._standings.pop(name, None)
        if after is None:
            self._legal.pop(name, None)
            self._defaults.pop(name, None)
            self._spent.pop(name, None)
        elif after.spec is not None:
            self._legal[name] = after.uid, after.spec
            self._defaults[name] = defaults_of(after.spec)

    def budget_periods(self) -> dict[Name, set[datetime]]:
        """Return the queues with budgets, with the beginnings of their current periods."""
        found: dict[Name, set[datetime]] = {}
        for name in self._legal:
            spec = self.spec(name)
            if spec is not None and spec.budgets:
                found[name] = {period.begin for _, period in periods_of(spec, self._now())}
        return found

    def spent(self, name: Name, spent: dict[datetime, Spent]) -> bool:
        """Update a queue's spending, by the beginnings of periods. True if that changes its policy."""
        before = self._standings.get(name)
        if self._queues.get(name) is None:
            return False
        self._spent[name] = spent
        self._standings.pop(name, None)
        after = self.standing(name)
        return before is None or after is None or _allows(before) != _allows(after)

    def note_left(self, left: Mapping[Name, tuple[LimitLeft, ...]]) -> list[Name]:
        """Update what remains of all limits of model calls. Returns the queues whose values changed."""
        before, self._left = self._left, dict(left)
        return [name for name in sorted(before.keys() | left.keys()) if before.get(name) != left.get(name)]

    def left(self, name: Name) -> tuple[LimitLeft, ...]:
        """Return what remains of a queue's limits of model calls."""
        return self._left.get(name, ())

    def spec(self, name: Name) -> AgentQueueSpec | None:
        """Return the effective spec of a queue with an object; None if none was ever valid."""
        queue = self._queues.get(name)
        if queue is None:
            return None
        uid, spec = self._legal.get(name, ("", None))
        return spec if uid == queue.uid else None

    def defaults(self, name: Name) -> Mapping[str, Any]:
        """Return a queue's defaults for jobs, or an empty object."""
        found = self._defaults.get(name)
        return found if found and self.spec(name) is not None else {}

    def standing(self, name: Name) -> Standing | None:
        """Return the state of a queue; None if it has no object."""
        if self._queues.get(name) is None:
            return None
        known = self._standings.get(name)
        if known is None or known.until <= self._now():
            known = self._standings[name] = self._stand(name)
        return known

    def stop(self, name: Name, partition: str) -> QueueStop | None:
        """Return why running jobs of a queue are suspended; None if they are not."""
        standing = self.standing(name)
        if standing is None:
            return None
        return standing.drain or standing.stops.get(None) or standing.stops.get(partition)

    def policy(self, name: Name) -> QueuePolicy | None:
        """Return a queue's policy; None if the queue does not exist."""
        standing = self.standing(name)
        if standing is not None:
            return standing.policy
        limit = self.limits.get(name[1])
        return None if limit is None else QueuePolicy(limit=limit)

    def local_queue(self, name: Name) -> str:
        """Return Kueue's LocalQueue for pods of a queue, or empty."""
        spec = self.spec(name)
        return spec.kueue.local_queue if spec is not None and spec.kueue is not None else ""

    def is_spending_known(self, name: Name) -> bool:
        """Whether all inputs of `policy` are known."""
        standing = self.standing(name)
        return standing is None or standing.spending_known

    def _stand(self, name: Name) -> Standing:
        spec, now = self.spec(name), self._now()
        if spec is None:
            return NOTHING_STARTS
        policy, drain = policy_of(spec, self.limits.get(name[1], DEFAULT_CONCURRENCY)), drain_of(name[1], spec)
        if not spec.budgets:
            return Standing(policy, spec, drain)
        spent, periods = self._spent.get(name, {}), tuple(periods_of(spec, now))
        states = tuple(budget_state(budget, spent[at.begin], at) for budget, at in periods if at.begin in spent)
        return Standing(
            policy=replace(policy, exceeded=tuple(over for state in states for over in state.exceeded)),
            spec=spec,
            drain=drain,
            stops=budget_stops(name[1], states),
            budgets=states,
            spending_known=len(states) == len(periods),
            until=min(at.end for _, at in periods),
        )


def _allows(standing: Standing) -> tuple[object, ...]:
    return standing.policy, standing.stops, standing.spending_known
