"""The overview: running and waiting jobs, activity, and usage. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from agentjobs.api.causes import HOLDS, POD_TROUBLE, SUSPENSIONS
from agentjobs.api.conditions import Phase
from agentjobs.api.recorded_overview import Activity, OpenCounts, OpenJobs, UsagePoint, UsageSeries
from agentjobs.dashboard.texts import link
from agentjobs.dashboard.views.charts import Chart, Series, bars, short_dollars
from agentjobs.dashboard.views.reasons import MEANINGS
from agentjobs.dashboard.views.time_axis import Slices, ceiling, slices

DEFAULT_RANGE: Final = "24h"
BY: Final = ("queue", "model", "partition")
MOST_KEYS: Final = 5
"""Queues, models or partitions of a chart; the rest is one more series."""
_MOST_QUEUES: Final = 3


@dataclass(frozen=True, slots=True)
class Waiting:
    """Jobs that wait for the same reason."""

    phase: str
    reason: str
    meaning: str
    """A sentence; empty for a reason that is not one of AgentJobs."""
    jobs: int
    since: datetime
    """Since when the oldest of them waits."""
    queues: tuple[str, ...]
    """The three queues with most of them."""
    more_queues: int
    address: str
    """Address of their list."""


@dataclass(frozen=True, slots=True)
class Failing:
    """Jobs that failed for the same reason."""

    reason: str
    jobs: int
    share: int
    """Percent of the most frequent reason."""
    latest: datetime
    address: str


@dataclass(frozen=True, slots=True)
class Totals:
    """The numbers at the top of the page."""

    running: int
    waiting: int
    suspended: int
    succeeded: int
    failed: int
    created: int

    @property
    def success(self) -> str:
        """Share of succeeded jobs among succeeded and failed ones; empty where none ended."""
        ended = self.succeeded + self.failed
        if not ended:
            return ""
        # 99.96 % must not be shown as 100 %.
        share = 100 * self.succeeded / ended
        return f"{int(share * 10) / 10}%" if 99 <= share < 100 else f"{share:.0f}%"


@dataclass(frozen=True, slots=True)
class Used:
    """Usage of model calls, as charts and totals."""

    tokens: Chart
    cost: Chart
    calls: int
    total_tokens: int
    total_cost: Decimal


def window(span: timedelta, now: datetime) -> tuple[datetime, datetime]:
    """Return the period to request, which ends with the slice of the chart that contains `now`.

    Within that slice all requests are the same, so REST can share the answer.
    """
    until = ceiling(now, slices(now - span, now).seconds)
    return until - span, until


def totals(counts: OpenCounts, activity: Activity) -> Totals:
    """Return the numbers at the top of the page."""
    by_phase: dict[str, int] = {}
    for each in counts.items:
        by_phase[each.phase] = by_phase.get(each.phase, 0) + each.jobs
    running, suspended = by_phase.pop(Phase.RUNNING, 0), by_phase.pop(Phase.SUSPENDED, 0)
    return Totals(
        running=running,
        waiting=sum(by_phase.values()),
        suspended=suspended,
        succeeded=sum(each.succeeded for each in activity.slices),
        failed=sum(each.failed for each in activity.slices),
        created=sum(each.created for each in activity.slices),
    )


def waiting(counts: OpenCounts, namespaces: Sequence[str]) -> tuple[Waiting, ...]:
    """Group waiting jobs by reason; the largest group first."""
    groups: dict[tuple[str, str], list[OpenJobs]] = {}
    for each in counts.items:
        if each.phase != Phase.RUNNING:
            groups.setdefault((each.phase, each.reason), []).append(each)
    found = [_waiting(phase, reason, each, namespaces) for (phase, reason), each in groups.items()]
    return tuple(sorted(found, key=lambda group: (-group.jobs, group.since)))


def _waiting(phase: str, reason: str, jobs: Sequence[OpenJobs], namespaces: Sequence[str]) -> Waiting:
    by_queue: dict[str, int] = {}
    for each in jobs:
        if each.queue:
            by_queue[each.queue] = by_queue.get(each.queue, 0) + each.jobs
    queues = sorted(by_queue, key=lambda name: (-by_queue[name], name))
    return Waiting(
        phase=phase,
        reason=reason,
        meaning=_meaning(phase, reason),
        jobs=sum(each.jobs for each in jobs),
        since=min(each.since for each in jobs),
        queues=tuple(queues[:_MOST_QUEUES]),
        more_queues=max(0, len(queues) - _MOST_QUEUES),
        address=link("jobs", namespace=list(namespaces), phase=phase, reason=reason, order="oldest"),
    )


def _meaning(phase: str, reason: str) -> str:
    tables = (SUSPENSIONS,) if phase == Phase.SUSPENDED else (HOLDS, POD_TROUBLE)
    cause = next((table[reason] for table in tables if reason in table), None)
    if cause is None:
        found = MEANINGS.get(reason, ())
        of_jobs = [meaning.text for meaning in found if meaning.of.endswith("of a job")]
        return (of_jobs[0] if of_jobs else next((meaning.text for meaning in found), "")).replace("`", "")
    clause = cause.clause.removeprefix("Waits: ").replace("queue {queue}", "its queue").removesuffix(".")
    return f"{clause[:1].upper()}{clause[1:]}. {cause.cure}".strip().replace("`", "")


def failing(activity: Activity, namespaces: Sequence[str], word: str) -> tuple[Failing, ...]:
    """Return the reasons of failures, each with the address of its jobs."""
    most = max((each.jobs for each in activity.failures), default=1)
    return tuple(
        Failing(
            reason=each.reason,
            jobs=each.jobs,
            share=max(1, round(100 * each.jobs / most)),
            latest=each.latest,
            address=link(
                "jobs",
                namespace=list(namespaces),
                phase=Phase.FAILED.value,
                reason=each.reason,
                endedWithin=word,
                order="ended",
            ),
        )
        for each in activity.failures
    )


def activity_charts(activity: Activity) -> tuple[Chart, Chart]:
    """Return the charts of ended jobs and of starts."""
    shown = slices(activity.since, activity.until, least=max(activity.seconds, 1))

    def counted(name: str, look: str, field: str) -> Series:
        values = [0.0] * shown.count
        for each in activity.slices:
            values[shown.place(each.begin)] += getattr(each, field)
        return Series(name, tuple(values), look)

    ended = [
        counted("succeeded", "ok", "succeeded"),
        counted("failed", "bad", "failed"),
        counted("cancelled", "dim", "cancelled"),
        counted("skipped", "c8", "skipped"),
    ]
    ended = [each for each in ended if any(each.values)]
    return (
        bars("ended", "Jobs that ended", shown, ended),
        bars("started", "Starts of pods", shown, [counted("started", "run", "started")]),
    )


def used(usage: UsageSeries) -> Used:
    """Return the charts of usage, by the most expensive queues, models or partitions."""
    shown = slices(usage.since, usage.until, least=max(usage.seconds, 1))
    keys = usage.keys[:MOST_KEYS]
    rest = [each for each in usage.items if each.key not in keys] + usage.others
    every = [*usage.items, *usage.others]

    def drawn(value: Callable[[UsagePoint], float]) -> list[Series]:
        named = [
            Series(key or f"no {usage.by}", _summed(shown, (e for e in usage.items if e.key == key), value), f"c{n}")
            for n, key in enumerate(keys, start=1)
        ]
        others = Series("others", _summed(shown, rest, value), "dim")
        return [line for line in (*named, others) if any(line.values)]

    return Used(
        tokens=bars("tokens", "Tokens", shown, drawn(_tokens)),
        cost=bars("cost", "Cost", shown, drawn(lambda point: float(point.cost_usd)), format_=short_dollars),
        calls=sum(each.calls for each in every),
        total_tokens=sum(_tokens(each) for each in every),
        total_cost=sum((each.cost_usd for each in every), Decimal()),
    )


def _tokens(point: UsagePoint) -> int:
    return point.input_tokens + point.output_tokens


def _summed(shown: Slices, points: Iterable[UsagePoint], value: Callable[[UsagePoint], float]) -> tuple[float, ...]:
    sums = [0.0] * shown.count
    for point in points:
        sums[shown.place(point.begin)] += value(point)
    return tuple(sums)


def is_untouched(counts: OpenCounts, activity: Activity) -> bool:
    """Whether no job is open and nothing happened in the period: there may never have been a job."""
    happened = any(each.created or each.started or each.succeeded or each.failed for each in activity.slices)
    return not counts.items and not happened and not activity.failures
