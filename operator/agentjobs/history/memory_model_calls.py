"""The ledger of model calls in memory, for tests, for the jobs of a `MemoryHistory`.

history = MemoryHistory()
ledger = MemoryModelCalls(history)
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from msgspec import Raw

from agentjobs import errors
from agentjobs.api.recorded_models import CallsUnderWay
from agentjobs.api.recorded_usage import JobModelUsage, ModelUsage, RecordedCall, UsageBy, UsageLine, UsageReport
from agentjobs.history.memory import MemoryHistory
from agentjobs.history.memory_model_limits import MemoryModelLimits
from agentjobs.history.memory_rows import MemoryCall, MemoryJob, booked
from agentjobs.history.model_calls import content
from agentjobs.history.model_records import (
    MISSED,
    EndedCall,
    Limit,
    LimitsNow,
    LiveProxy,
    NewCall,
    Reserved,
)
from agentjobs.history.model_reports import checked_report, place_of
from agentjobs.history.ownership import check, start_key
from agentjobs.history.pages import DEFAULT_LIMIT, Page, checked_limit, page_of
from agentjobs.history.sanitize import clean_text
from agentjobs.models.budget import Fits, Judgement, Scope, Spend, judge
from agentjobs.models.tokens import Tokens


@dataclass(slots=True)
class MemoryProxy:
    """The row of a proxy."""

    since: datetime
    seen: datetime
    report: Mapping[str, Any]


class MemoryModelCalls:
    """What `ModelLedger` promises."""

    def __init__(self, history: MemoryHistory) -> None:
        self._history = history
        self.proxies: dict[str, MemoryProxy] = {}

    async def reserve(self, call: NewCall) -> Reserved:
        """Record a call before it is made, if its job's budget allows it."""
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
        others = [call for call in job.calls.values() if call.end is None and scope in (None, call.attempt)]
        under_way = sum((_most(call.new) for call in others), Spend())
        judgement = Judgement(Fits.YES)
        if call.id in job.calls and job.calls[call.id].end is not None:
            raise errors.Conflict(f"model call {call.id} has ended")
        if call.id not in job.calls:
            judgement = judge(call.limits, spent, under_way, _most(call))
        if judgement.fits is Fits.YES:
            job.calls.setdefault(call.id, MemoryCall(call, start.attempt, self._history.now()))
        return Reserved(judgement, spent)

    async def settle(self, ends: Sequence[EndedCall]) -> None:
        """Record what calls used and cost, once each."""
        self._check_available()
        open_ = {call.new.id: call for call in self._calls() if call.end is None}
        for end in ends:
            if call := open_.pop(end.id, None):
                stored, new = end.storable(), call.new
                call.end = replace(
                    stored,
                    provider=stored.provider or new.provider,
                    model=stored.model or new.model or new.requested,
                    cost=new.cost if stored.cost.is_nan() else stored.cost,
                )
                call.ended = self._history.now()

    async def heartbeat(self, proxy: str, report: Mapping[str, Any]) -> None:
        """Record that a proxy is alive; end calls of proxies that are missed as Lost."""
        self._check_available()
        now = self._history.now()
        own = self.proxies.get(proxy)
        since = own.since if own and now - own.seen <= MISSED else now
        self.proxies[proxy] = MemoryProxy(since, now, dict(report))
        if now - since > MISSED:
            alive = {name for name, each in self.proxies.items() if now - each.seen <= MISSED}
            await self.settle([_lost(each.new) for each in self._calls() if _is_lost(each, alive, now)])

    def _calls(self) -> list[MemoryCall]:
        return [call for job in self._history.jobs_by_uid.values() for call in job.calls.values()]

    def _check_available(self) -> None:
        if self._history.away:
            raise errors.Unavailable("history is unreachable")


class MemoryModelReports:
    """What `ModelReports` promises."""

    def __init__(self, history: MemoryHistory, ledger: MemoryModelCalls, limits: MemoryModelLimits) -> None:
        self._history = history
        self._ledger = ledger
        self._limits = limits

    async def usage(
        self,
        by: Sequence[UsageBy],
        *,
        first: date,
        last: date,
        namespace: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> UsageReport:
        """Return what the calls of these days used."""
        self._check_available()
        limit = checked_report(by, first=first, last=last, limit=limit)
        lines: dict[tuple[str, ...], list[EndedCall]] = {}
        ended = [(job, call) for job in self._history.jobs_by_uid.values() for call in job.calls.values()]
        for job, call in ended:
            day = call.ended.astimezone(UTC).date() if call.ended else None
            if call.booked and day and first <= day <= last and namespace in (None, job.key.namespace):
                values = _values_of(job, call.booked, day)
                lines.setdefault(tuple(values[each] for each in by), []).append(call.booked)
        lines_of_usage = [
            UsageLine(**_sum(ends), by=dict(zip(by, key, strict=True))) for key, ends in sorted(lines.items())
        ]
        lines_of_usage.sort(key=lambda line: (line.by.get(UsageBy.DAY, ""), -line.cost_usd))
        total = ModelUsage(**_sum([end for ends in lines.values() for end in ends]))
        return UsageReport(
            first=first, last=last, items=lines_of_usage[:limit], more=len(lines_of_usage) > limit, total=total
        )

    async def job_models(self, uid: str) -> list[JobModelUsage]:
        """Return what a job's calls used by provider and model."""
        self._check_available()
        job = self._history.jobs_by_uid.get(uid)
        calls: dict[tuple[str, str], list[MemoryCall]] = {}
        for call in job.calls.values() if job else ():
            requested = call.new.provider, call.new.model or call.new.requested
            calls.setdefault((call.end.provider, call.end.model) if call.end else requested, []).append(call)
        lines = [_job_model(provider, model, made) for (provider, model), made in sorted(calls.items())]
        return sorted(lines, key=lambda line: -line.cost_usd)

    async def calls(
        self, uid: str, *, step: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[RecordedCall]:
        """Return a job's model calls in the order in which they began."""
        self._check_available()
        limit, after = checked_limit(limit), place_of(cursor)
        job = self._history.jobs_by_uid.get(uid)
        made = sorted(job.calls.values() if job else (), key=lambda call: (call.began, call.new.id))
        named = None if step is None else clean_text(step)
        found = [call for call in made if named in (None, call.new.step) and (call.began, call.new.id) > after]
        recorded = [_recorded(call) for call in found[:limit]]
        return page_of(recorded, lambda last: (last.began, str(last.id)), more=len(found) > limit)

    async def content(self, uid: str, call: UUID) -> Raw | None:
        """Return request and answer of a job's call."""
        self._check_available()
        job = self._history.jobs_by_uid.get(uid)
        found = job.calls.get(call) if job else None
        return None if found is None or found.end is None or found.end.content is None else content(found.end.content)

    async def proxies(self) -> list[LiveProxy]:
        """Return the live proxies."""
        self._check_available()
        found = sorted(self._ledger.proxies.items())
        now = self._history.now()
        return [LiveProxy(name, seen.since, seen.seen, seen.report) for name, seen in found if now - seen.seen < MISSED]

    async def limits_now(self, limits: Collection[Limit]) -> LimitsNow:
        """Return the state of limits."""
        self._check_available()
        return await self._limits.limits_now(limits)

    async def under_way(self, namespace: str | None = None) -> list[CallsUnderWay]:
        """Return the calls that have not ended by job and model."""
        self._check_available()
        began: dict[tuple[str, str, str], list[datetime]] = {}
        for job in self._history.jobs_by_uid.values():
            for call in job.calls.values():
                if call.end is None and namespace in (None, job.key.namespace):
                    model = call.new.model or call.new.requested
                    began.setdefault((job.key.namespace, job.key.name, model), []).append(call.began)
        running = [
            CallsUnderWay(namespace=place, job=name, model=model, calls=len(times), since=min(times))
            for (place, name, model), times in sorted(began.items())
        ]
        return sorted(running, key=lambda call: call.since)

    def _check_available(self) -> None:
        if self._history.away:
            raise errors.Unavailable("history is unreachable")


def _values_of(job: MemoryJob, end: EndedCall, day: date) -> dict[UsageBy, str]:
    spec = job.resolved["spec"] if job.resolved else {}
    return {
        UsageBy.NAMESPACE: job.key.namespace,
        UsageBy.QUEUE: end.queue or spec.get("queue", ""),
        UsageBy.PARTITION: spec.get("partitionKey") or "",
        UsageBy.USER: spec.get("session", {}).get("userId", "system"),
        UsageBy.PROVIDER: end.provider,
        UsageBy.MODEL: end.model,
        UsageBy.DAY: day.isoformat(),
    }


def _sum(ends: Sequence[EndedCall]) -> dict[str, Any]:
    tokens = sum((end.tokens for end in ends), Tokens())
    return {
        "calls": len(ends),
        **{f"{name}_tokens": getattr(tokens, name) for name in Tokens.__slots__},
        "cost_usd": sum((end.cost for end in ends), Decimal(0)),
    }


def _recorded(call: MemoryCall) -> RecordedCall:
    new, end = call.new, call.end
    tokens = end.tokens if end else Tokens()
    return RecordedCall(
        id=new.id,
        start=new.start,
        attempt=call.attempt,
        step=new.step,
        requested=new.requested,
        model=end.model if end else new.model or new.requested,
        provider=end.provider if end else new.provider,
        key=end.key if end else "",
        began=call.began,
        ended=call.ended,
        status=end.status if end else None,
        outcome=end.outcome if end else None,
        cost_usd=end.cost if end else Decimal(0),
        reserved_usd=new.cost,
        estimated=bool(end and end.estimated),
        has_content=bool(end and end.content is not None),
        **{f"{name}_tokens": getattr(tokens, name) for name in Tokens.__slots__},
    )


def _job_model(provider: str, model: str, calls: Sequence[MemoryCall]) -> JobModelUsage:
    counted = [call.booked for call in calls if call.booked]
    under_way = sum(call.end is None for call in calls)
    return JobModelUsage(
        **_sum(counted),
        provider=provider,
        model=model,
        failed=len(calls) - len(counted) - under_way,
        under_way=under_way,
        estimated=sum(end.estimated for end in counted),
    )


def _storable(call: NewCall) -> NewCall:
    try:
        return call.storable()
    except ValueError as error:
        raise errors.Invalid(str(error)) from None


def _spend(end: EndedCall) -> Spend:
    return Spend(end.cost, end.tokens.total, 1)


def _most(call: NewCall) -> Spend:
    return Spend(call.cost, call.tokens, 1)


def _lost(call: NewCall) -> EndedCall:
    model = call.model or call.requested
    return EndedCall.lost(call.id, provider=call.provider, model=model, tokens=call.tokens, cost=call.cost)


def _is_lost(call: MemoryCall, alive: set[str], now: datetime) -> bool:
    return call.end is None and now - call.began > MISSED and call.new.proxy not in alive
