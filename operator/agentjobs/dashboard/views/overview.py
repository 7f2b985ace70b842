"""What the overview shows: what runs, what waits for what, what happened, what it cost. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from agentjobs.api.conditions import AcceptedReason, AdmittedReason, Phase, PodStartedReason, SuspendedReason
from agentjobs.api.recorded_overview import Activity, OpenCounts, OpenJobs, UsagePoint, UsageSeries
from agentjobs.dashboard.rendering import link
from agentjobs.dashboard.views.charts import Chart, Series, bars, short_dollars
from agentjobs.dashboard.views.reasons import MEANINGS
from agentjobs.dashboard.views.time_axis import Slices, ceiling, slices

DEFAULT_RANGE: Final = "24h"
BY: Final = ("queue", "model", "partition")
MOST_KEYS: Final = 5
"""Of queues, models or partitions that a chart tells apart; the rest is one more."""
_MOST_QUEUES: Final = 3
# The meanings of conditions speak of fields; here people want to know what has to happen.
PLAIN: Final[Mapping[str, str]] = {
    AdmittedReason.WAITING_FOR_START_TIME: "Their start time, which lies ahead.",
    AdmittedReason.WAITING_FOR_SLOT: "A free slot: all of their queue, or partition, are taken.",
    AdmittedReason.WAITING_FOR_RATE: "The next period: their queue has had its starts of this one.",
    AdmittedReason.WAITING_FOR_LOCK: "Another job of the same session or worktree, which runs.",
    AdmittedReason.WAITING_FOR_MODEL_LIMIT: "A limit of their model, which is used up for all jobs.",
    AdmittedReason.QUEUE_HELD: "Somebody who resumes their queue: it is paused.",
    AdmittedReason.BUDGET_HELD: "A budget of their queue or partition, which is used up.",
    AdmittedReason.WAITING_FOR_BACKOFF: "The time between two attempts to pass.",
    AcceptedReason.WAITING_FOR_JOBS: "Other jobs to end, which they name.",
    AcceptedReason.QUEUE_NOT_FOUND: "A queue that does not exist.",
    AcceptedReason.TEMPLATE_NOT_FOUND: "A template that does not exist, or is illegal.",
    AcceptedReason.REFERENCE_NOT_FOUND: "A ConfigMap, or a key in one, that does not exist.",
    AcceptedReason.HISTORY_UNAVAILABLE: "The database, which cannot be reached.",
    AcceptedReason.UNKNOWN_MODEL_PRICE: "The price of a model: they have a budget in dollars, and it is not known.",
    AcceptedReason.SINK_NOT_FOUND: "A sink that the installation does not have.",
    AdmittedReason.SPEC_UNREADABLE: "An operator of the newer version that accepted them.",
    SuspendedReason.REQUESTED: "Somebody who resumes them: they were suspended.",
    SuspendedReason.RULE: "Somebody who resumes them: a rule for results suspended them.",
    SuspendedReason.BUDGET_EXCEEDED: "Somebody who raises their budget: a limit of it is reached.",
    SuspendedReason.QUEUE_DRAINED: "Their queue, which is drained.",
    SuspendedReason.QUEUE_BUDGET_EXCEEDED: "A budget of their queue, which is used up.",
    PodStartedReason.UNSCHEDULABLE: "A node with room for their pods.",
}


@dataclass(frozen=True, slots=True)
class Waiting:
    """Jobs that wait for the same."""

    phase: str
    reason: str
    meaning: str
    """In words; empty where the word is not ours."""
    jobs: int
    since: datetime
    """Of the one that waits longest."""
    queues: tuple[str, ...]
    """In which most of them wait, at most three."""
    more_queues: int
    address: str
    """The list of them."""


@dataclass(frozen=True, slots=True)
class Failing:
    """Jobs that failed for the same."""

    reason: str
    jobs: int
    share: int
    """Of the most frequent reason, in percent."""
    latest: datetime
    address: str


@dataclass(frozen=True, slots=True)
class Totals:
    """The numbers at the head of the page."""

    running: int
    waiting: int
    suspended: int
    succeeded: int
    failed: int
    created: int

    @property
    def success(self) -> str:
        """The share of jobs that succeeded, of those that did or failed; empty where none ended."""
        ended = self.succeeded + self.failed
        if not ended:
            return ""
        # Nearly all is not all: 99.96 % must not read as 100 %.
        share = 100 * self.succeeded / ended
        return f"{int(share * 10) / 10}%" if 99 <= share < 100 else f"{share:.0f}%"


@dataclass(frozen=True, slots=True)
class Used:
    """What model calls used, as charts and in all."""

    tokens: Chart
    cost: Chart
    calls: int
    total_tokens: int
    total_cost: Decimal


def window(span: timedelta, now: datetime) -> tuple[datetime, datetime]:
    """Return the time to ask about: it ends with the slice of the chart in which `now` lies.

    All who look at the same range within that slice ask the same.
    """
    until = ceiling(now, slices(now - span, now).seconds)
    return until - span, until


def totals(counts: OpenCounts, activity: Activity) -> Totals:
    """Count what is now, and what happened."""
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
    """Group the jobs that do not run by what they wait for; the most first."""
    groups: dict[tuple[str, str], list[OpenJobs]] = {}
    for each in counts.items:
        if each.phase != Phase.RUNNING:
            groups.setdefault((each.phase, each.reason), []).append(each)
    found = [_waiting(phase, reason, each, namespaces) for (phase, reason), each in groups.items()]
    return tuple(sorted(found, key=lambda one: (-one.jobs, one.since)))


def _waiting(phase: str, reason: str, jobs: Sequence[OpenJobs], namespaces: Sequence[str]) -> Waiting:
    by_queue: dict[str, int] = {}
    for each in jobs:
        if each.queue:
            by_queue[each.queue] = by_queue.get(each.queue, 0) + each.jobs
    queues = sorted(by_queue, key=lambda name: (-by_queue[name], name))
    return Waiting(
        phase=phase,
        reason=reason,
        meaning=_meaning(reason),
        jobs=sum(each.jobs for each in jobs),
        since=min(each.since for each in jobs),
        queues=tuple(queues[:_MOST_QUEUES]),
        more_queues=max(0, len(queues) - _MOST_QUEUES),
        address=link("jobs", namespace=list(namespaces), phase=phase, reason=reason, order="oldest"),
    )


def _meaning(reason: str) -> str:
    if reason in PLAIN:
        return PLAIN[reason]
    found = MEANINGS.get(reason, ())
    of_jobs = [one.text for one in found if one.of.endswith("of a job")]
    return (of_jobs[0] if of_jobs else next((one.text for one in found), "")).replace("`", "")


def failing(activity: Activity, namespaces: Sequence[str], word: str) -> tuple[Failing, ...]:
    """Tell for which reasons jobs failed, each with the list of them."""
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
    """Draw how many jobs ended, and how, and how many were made and started."""
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
    """Draw what model calls used, by the costliest queues, models or partitions."""
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
        return [one for one in (*named, others) if any(one.values)]

    return Used(
        tokens=bars("tokens", "Tokens", shown, drawn(_tokens)),
        cost=bars("cost", "Cost", shown, drawn(lambda point: float(point.cost_usd)), told=short_dollars),
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
    """Whether nothing is open, and nothing happened in the time asked for: there may never have been a job."""
    happened = any(each.created or each.started or each.succeeded or each.failed for each in activity.slices)
    return not counts.items and not happened and not activity.failures
