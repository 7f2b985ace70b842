"""The ledger of model calls in memory, for tests: beside a `MemoryHistory`, to whose jobs the calls belong.

history = MemoryHistory()
ledger = MemoryModelCalls(history)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from agentjobs import errors
from agentjobs.history.memory import MemoryCall, MemoryHistory, booked
from agentjobs.history.model_calls import MISSED, used
from agentjobs.history.model_records import CallOutcome, EndedCall, NewCall, Reserved
from agentjobs.history.ownership import check, start_key
from agentjobs.models.budget import Fits, Judgement, Scope, Spend, judge
from agentjobs.models.tokens import Tokens


@dataclass(slots=True)
class MemoryProxy:
    """One proxy, as its row says it."""

    since: datetime
    seen: datetime
    told: Mapping[str, Any]


class MemoryModelCalls:
    """What `ModelLedger` promises."""

    def __init__(self, history: MemoryHistory) -> None:
        self._history = history
        self.proxies: dict[str, MemoryProxy] = {}

    async def reserve(self, call: NewCall) -> Reserved:
        """Record a call that is about to be made, if the budget of its job has room for it."""
        self._check_available()
        start_key(call.uid, call.start)
        job = self._history.jobs_by_uid.get(call.uid)
        start = job.starts.get(call.start) if job else None
        if job is None or start is None:
            raise errors.NotFound(f"job {call.uid} has no start {call.start}")
        check(start.pod_uid, start.fenced, uid=call.uid, start=call.start, pod=call.pod_uid)
        call = _storable(call)
        scope = start.attempt if call.limits.scope is Scope.ATTEMPT else None
        spent = sum((_spend(end) for end in booked(job, scope)), Spend())
        others = [one for one in job.calls.values() if one.end is None and scope in (None, one.attempt)]
        under_way = sum((_most(one.new) for one in others), Spend())
        judgement = Judgement(Fits.YES)
        if call.id not in job.calls:
            judgement = judge(call.limits, spent, under_way, _most(call))
        if judgement.fits is Fits.YES:
            job.calls.setdefault(call.id, MemoryCall(call, start.attempt, self._history.now()))
        return Reserved(judgement, used(spent.cost, spent.tokens, spent.llm_calls))

    async def settle(self, ends: Sequence[EndedCall]) -> None:
        """Record what calls used and cost, once each."""
        self._check_available()
        open_ = {one.new.id: one for one in self._calls() if one.end is None}
        for end in ends:
            if call := open_.pop(end.id, None):
                stored = end.storable()
                call.end = replace(stored, cost=call.new.cost) if stored.cost.is_nan() else stored
                call.ended = self._history.now()

    async def seen(self, proxy: str, told: Mapping[str, Any]) -> None:
        """Note that a proxy lives; end calls of proxies that are missed as Lost."""
        self._check_available()
        now = self._history.now()
        own = self.proxies.get(proxy)
        since = own.since if own and now - own.seen <= MISSED else now
        self.proxies[proxy] = MemoryProxy(since, now, dict(told))
        if now - since > MISSED:
            alive = {name for name, one in self.proxies.items() if now - one.seen <= MISSED}
            await self.settle([_lost_end(one.new) for one in self._calls() if _is_lost(one, alive, now)])

    def _calls(self) -> list[MemoryCall]:
        return [call for job in self._history.jobs_by_uid.values() for call in job.calls.values()]

    def _check_available(self) -> None:
        if self._history.away:
            raise errors.Unavailable("history is away")


def _storable(call: NewCall) -> NewCall:
    try:
        return call.storable()
    except ValueError as error:
        raise errors.Invalid(str(error)) from None


def _spend(end: EndedCall) -> Spend:
    return Spend(end.cost, end.tokens.total, 1)


def _most(call: NewCall) -> Spend:
    return Spend(call.cost, call.tokens, 1)


def _is_lost(call: MemoryCall, alive: set[str], now: datetime) -> bool:
    return call.end is None and now - call.began > MISSED and call.new.proxy not in alive


def _lost_end(call: NewCall) -> EndedCall:
    tokens = Tokens(input=call.tokens)
    model = call.model or call.asked
    return EndedCall(call.id, CallOutcome.LOST, 0, call.provider, "", model, tokens, call.cost, estimated=True)
