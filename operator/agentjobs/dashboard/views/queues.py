"""What the pages of queues show. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from pydantic import ValidationError

from agentjobs.api.conditions import find_condition
from agentjobs.api.job.team import as_object
from agentjobs.api.queues.counts import Counts, phases_by_queue, queues_without_object
from agentjobs.api.queues.order import level_of
from agentjobs.api.queues.spec import AgentQueueSpec, ModelLimit, QueueBudget, RateLimit
from agentjobs.api.queues.status import (
    AgentQueueStatus,
    BudgetSpend,
    LimitedReason,
    OpenReason,
    QueueConditionType,
)
from agentjobs.api.recorded import RecordedJob
from agentjobs.api.recorded_overview import OpenCounts, OpenJobs, QueueItem
from agentjobs.dashboard.views.states import Fill, State, counted, part_of
from agentjobs.durations import format_duration

PHASES: Final = ("Running", "Queued", "Scheduled", "Retrying", "Suspended", "Pending")
"""Phases of jobs that have not ended, in the order of pages."""
_EACH: Final = {"Daily": "day", "Weekly": "week", "Monthly": "month"}


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget of a queue and its usage."""

    name: str
    words: str
    """Its period and scope."""
    used: tuple[Fill, ...]
    """Usage in dollars and in tokens."""
    partition: str
    """The partition with the highest usage, for a budget of each partition."""
    resets: datetime | None
    then: str
    """What happens when the budget is used up."""


@dataclass(frozen=True, slots=True)
class ModelLimitLeft:
    """A limit of model calls, and how much remains."""

    models: str
    words: str
    left: Fill | None
    """None until an operator has reported it."""


@dataclass(frozen=True, slots=True)
class QueueView:
    """A queue."""

    namespace: str
    name: str
    has_object: bool
    state: State
    most: int | None
    """Slots; None where the limit is only in the settings of the operator."""
    slots: Fill
    phases: Sequence[tuple[str, int]]
    """Number of jobs that have not ended, by phase; phases without jobs are left out."""
    counted: bool
    """Whether these numbers are known; else `running` and `waiting` are 0."""
    running: int
    waiting: int
    oldest: datetime | None
    """Since when the job that has waited longest waits for a slot."""
    budgets: Sequence[Budget]
    limits: Sequence[str]
    """Sentences."""
    models: Sequence[ModelLimitLeft]
    stopped: bool
    """Whether it is paused or drained."""
    drains: bool
    illegal: str
    """What is wrong with the spec; empty for a valid one."""


def queue_view(seen: QueueItem, counts: OpenCounts | None = None) -> QueueView:
    """Return what pages show of a queue.

    Args:
        counts: of jobs that have not ended; they have the oldest waiting job where the status does not.
    """
    body = as_object(seen.object)
    status = AgentQueueStatus.parse(body.get("status"))
    spec = _spec(body) if seen.object is not None else None
    phases = [(phase, seen.phases[phase]) for phase in PHASES if seen.phases.get(phase, 0) > 0]
    running, waiting = seen.phases.get("Running", 0), seen.phases.get("Queued", 0)
    most = _most(spec, status) if seen.object is not None else None
    stop = as_object(body.get("spec")).get("stopPolicy")
    return QueueView(
        namespace=seen.namespace,
        name=seen.name,
        has_object=seen.object is not None,
        state=_state(seen, status, stop, running, most),
        most=most,
        slots=_slots(running if seen.counted else None, most),
        phases=phases,
        counted=seen.counted,
        running=running,
        waiting=waiting,
        oldest=status.oldest_waiting_time or _oldest(seen, counts),
        budgets=[_budget(budget, _spent(status, budget.name)) for budget in spec.budgets] if spec else [],
        limits=list(_limits(spec, most)) if spec else [],
        models=list(_model_limits(spec, status)) if spec else [],
        stopped=stop in ("Hold", "HoldAndDrain"),
        drains=stop == "HoldAndDrain",
        illegal=_illegal(seen, status, spec),
    )


def with_counts(seen: Iterable[QueueItem], counts: OpenCounts | None, *, complete: Iterable[str]) -> list[QueueItem]:
    """Return the queues of several namespaces, with those that have no object.

    Args:
        seen: the queues with an object. Those with a status of the operator keep its counts.
        counts: the jobs in those namespaces that have not ended; None where history cannot be read.
        complete: the namespaces with all of their objects in `seen`, so that queues without one are known.
    """
    known = frozenset(complete)
    listed: dict[str, list[QueueItem]] = {namespace: [] for namespace in known}
    for queue in seen:
        listed.setdefault(queue.namespace, []).append(queue)
    is_counted = counts is not None and not counts.more
    rows: dict[str, list[OpenJobs]] = {}
    for row in counts.items if counts and is_counted else ():
        rows.setdefault(row.namespace, []).append(row)
    queues = []
    for namespace, objects in sorted(listed.items()):
        # Jobs were only counted in namespaces whose jobs the person may list.
        has_counts = is_counted and (namespace in known or namespace in rows)
        of = phases_by_queue(rows.get(namespace, ())) if has_counts else None
        shown = [queue if _is_counted(queue) else _counted(queue, of) for queue in objects]
        if namespace in known:
            shown += queues_without_object(namespace, of, known={queue.name for queue in shown})
        queues += sorted(shown, key=lambda queue: queue.name)
    return queues


@dataclass(frozen=True, slots=True)
class WaitingJobs:
    """The jobs that wait, and what their order says."""

    items: Sequence[RecordedJob]
    order: str
    """Sentences."""


def waiting_jobs(
    seen: QueueItem,
    queued: Sequence[RecordedJob],
    others: Sequence[RecordedJob],
    *,
    more: bool,
    now: datetime,
) -> WaitingJobs:
    """Return waiting jobs in the order in which admission starts them, as far as that is known.

    Args:
        queued: jobs that wait for a slot, the oldest first.
        others: jobs that wait for something else; they come last.
        more: whether more jobs wait for a slot than `queued`: then the next one may not be among these.
    """
    body = as_object(seen.object)
    spec = _spec(body)  # a queue without an object has the defaults
    is_illegal = bool(_illegal(seen, AgentQueueStatus.parse(body.get("status")), spec))
    last = " Jobs that do not wait for a slot are last." if queued and others else ""
    if not queued:
        return WaitingJobs(others, "Listed by age, the oldest first.")
    if more or spec is None or is_illegal:
        why = f"More than {len(queued):,} jobs wait" if more else "The spec is invalid"
        return WaitingJobs(
            [*queued, *others], f"Listed by age, the oldest first. {why}, so the order of starts is not known.{last}"
        )
    ordered = sorted(queued, key=lambda job: (_level(job, spec.priority_aging, now), job.created, job.name))
    is_known = spec.strategy == "Priority" or len({job.partition_key for job in queued}) == 1
    return WaitingJobs([*ordered, *others], _order_of_starts(spec, is_known=is_known) + last)


def _level(job: RecordedJob, aging: timedelta | None, now: datetime) -> int:
    return level_of(job.priority or 0, now - (job.changed or job.created), aging)


def _order_of_starts(spec: AgentQueueSpec, *, is_known: bool) -> str:
    gain = f", less one for each {format_duration(spec.priority_aging)} of waiting" if spec.priority_aging else ""
    skipped = "A job is skipped while its session or worktree is in use, or its partition has reached a limit."
    if is_known:
        return f"In the order of starts: by priority (0 is first, 9 is last){gain}, then by age. {skipped}"
    return (
        f"Listed by priority (0 is first, 9 is last){gain}, then by age. The order of starts may differ: among jobs of "
        f"the same priority, one of the partition with the fewest running jobs starts first. {skipped}"
    )


def _is_counted(seen: QueueItem) -> bool:
    return bool(AgentQueueStatus.parse(as_object(seen.object).get("status")).observed_generation)


def _counted(seen: QueueItem, phases: Counts | None) -> QueueItem:
    found = (phases or {}).get(seen.name, {})
    return seen.model_copy(update={"phases": dict(found), "counted": phases is not None})


def _spec(body: Mapping[str, Any]) -> AgentQueueSpec | None:
    """Return the spec, None where it is invalid; the conditions have the reason."""
    try:
        return AgentQueueSpec.model_validate(as_object(body.get("spec")))
    except ValidationError:
        return None


def _most(spec: AgentQueueSpec | None, status: AgentQueueStatus) -> int | None:
    if spec is not None and spec.concurrency.max is not None:
        return spec.concurrency.max
    return status.max if status.conditions else None


def _state(seen: QueueItem, status: AgentQueueStatus, stop: object, running: int, most: int | None) -> State:
    if seen.object is None:
        return State("Open", "ok", "It has no AgentQueue: the limits of the operator's settings apply.")
    if stop == "HoldAndDrain":
        if not seen.counted:
            return State("Draining", "warn", "No jobs start, and running jobs stop after the current step.")
        if running:
            return State(
                "Draining", "warn", f"No jobs start; {counted(running, 'job')} will stop after the current step."
            )
        return State("Drained", "warn", "No jobs start, and running jobs were suspended until the queue is resumed.")
    if stop == "Hold":
        goes_on = f"; {counted(running, 'running job')} will continue" if running else ""
        return State("Held", "warn", f"It is paused: no jobs start{goes_on}.")
    return _of_conditions(status, running, most)


_CLOSED: Final[Mapping[str, tuple[str, str]]] = {
    OpenReason.NO_SLOTS: ("No slots", "The limit is 0, so no jobs start."),
    OpenReason.BUDGET_EXCEEDED: ("Budget used up", "No jobs start until the budget resets or is raised."),
    OpenReason.INVALID_SPEC: (
        "Invalid",
        "Its spec is invalid. The last valid spec applies; without one, no jobs start.",
    ),
    OpenReason.HELD: ("Resuming", "It was resumed; the operator has not processed that yet."),
    OpenReason.DRAINED: ("Resuming", "It was resumed; the operator has not processed that yet."),
}
_LIMITED: Final[Mapping[str, str]] = {
    LimitedReason.RATE_LIMIT: "Jobs wait: the rate limit of this period is reached.",
    LimitedReason.BUDGET_EXCEEDED: "Jobs wait: a budget is used up.",
    LimitedReason.BACKLOG_FULL: "The backlog is full.",
}


def _of_conditions(status: AgentQueueStatus, running: int, most: int | None) -> State:
    opened = find_condition(status.conditions, QueueConditionType.OPEN)
    limited = find_condition(status.conditions, QueueConditionType.LIMITED)
    if opened is None:
        return State("Not seen", "dim", "No operator has processed this queue yet.")
    if opened.status != "True":
        word, text = _CLOSED.get(opened.reason, ("Closed", "No jobs start."))
        return State(word, "bad" if word == "Invalid" else "warn", text, opened.reason, opened.message)
    if limited is not None and limited.status == "True":
        text = _LIMITED.get(limited.reason, "Jobs wait because of another limit than the slots.")
        return State("Limited", "warn", text, limited.reason, limited.message)
    if most is not None and running >= most > 0:
        return State("Full", "wait", "All slots are taken: the next job starts when one is free.")
    return State("Open", "ok", "Jobs start as soon as a slot is free.")


def _illegal(seen: QueueItem, status: AgentQueueStatus, spec: AgentQueueSpec | None) -> str:
    opened = find_condition(status.conditions, QueueConditionType.OPEN)
    if opened is not None and opened.reason == OpenReason.INVALID_SPEC:
        return opened.message or "no operator has reported which."
    return "" if spec is not None or seen.object is None else "no operator has reported which."


def _slots(running: int | None, most: int | None) -> Fill:
    if running is None:
        return Fill(0, "unknown" if most is None else f"unknown of {most:,}")
    if most is None:
        return Fill(0, f"{running:,} in use")
    return Fill(part_of(running, most), f"{running:,} of {most:,}", "warn" if running >= most else "run")


def _oldest(seen: QueueItem, counts: OpenCounts | None) -> datetime | None:
    waits = [
        row.since
        for row in (counts.items if counts else ())
        if (row.namespace, row.queue, row.phase) == (seen.namespace, seen.name, "Queued") and row.jobs
    ]
    return min(waits, default=None)


def _limits(spec: AgentQueueSpec, most: int | None) -> Iterable[str]:
    each = spec.concurrency.per_partition
    if spec.concurrency.max is not None:
        yield f"At most {counted(most or 0, 'job')} at the same time."
    elif most is not None:
        yield f"At most {counted(most, 'job')} at the same time, by the operator's settings."
    if each is not None:
        yield f"At most {counted(each, 'job')} of one partition at the same time."
    if spec.rate_limit is not None:
        yield _rate(spec.rate_limit)
    if spec.backlog is not None:
        beyond = "more jobs wait as well" if spec.backlog.on_full == "Wait" else "more jobs are refused"
        yield f"At most {counted(spec.backlog.max, 'waiting job')}; {beyond}."
    yield _order(spec)
    if spec.defaults.timeouts.queue is not None:
        yield f"By default, jobs fail after {format_duration(spec.defaults.timeouts.queue)} of waiting."
    if spec.defaults.priority is not None:
        yield f"By default, jobs have priority {spec.defaults.priority} (0 is first, 9 is last)."
    if spec.kueue is not None:
        yield f"Pods also wait for room in Kueue's LocalQueue {spec.kueue.local_queue}."


def _rate(limit: RateLimit) -> str:
    scope = " for each partition" if limit.scope == "Partition" else ""
    return f"At most {counted(limit.starts, 'start')} in any {format_duration(limit.period)}{scope}."


def _order(spec: AgentQueueSpec) -> str:
    first = (
        "the oldest of the partition with the fewest running jobs is first"
        if spec.strategy == "Fair"
        else "the oldest is first"
    )
    gain = spec.priority_aging
    aged = f" A waiting job gains one step of priority every {format_duration(gain)}." if gain else ""
    return f"Among jobs of the same priority, {first}.{aged}"


def _spent(status: AgentQueueStatus, name: str) -> BudgetSpend:
    return next((spend for spend in status.spend if spend.name == name), BudgetSpend(name))


def _budget(budget: QueueBudget, spend: BudgetSpend) -> Budget:
    scope = ", for each partition" if budget.scope == "Partition" else ""
    used = []
    if budget.max_cost_usd is not None:
        cost, most = _dollars(spend.cost_usd), _dollars(budget.max_cost_usd)
        used.append(_used(cost, most, f"${cost:,.2f} of ${most:,.2f}"))
    if budget.max_tokens is not None:
        used.append(_used(spend.tokens, budget.max_tokens, f"{spend.tokens:,} of {budget.max_tokens:,} tokens"))
    waiting = "jobs wait for the next period" if budget.on_exceeded == "Hold" else "jobs fail instead of starting"
    running = (
        "running jobs may spend more" if budget.action == "LetFinish" else "running jobs are suspended after their step"
    )
    words = f"Per {_EACH[budget.period]} in {budget.time_zone}{scope}"
    return Budget(budget.name, words, tuple(used), spend.partition, spend.resets, f"{waiting}, {running}")


def _used(spent: Decimal | int, most: Decimal | int, text: str) -> Fill:
    part = part_of(float(spent), float(most))
    return Fill(part, text, "bad" if part >= 100 else "warn" if part >= 80 else "run")


def _dollars(text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return Decimal(0)
    return found if found.is_finite() else Decimal(0)


_LEFT_OF: Final = (
    ("requestsPerMinute", "requests_per_minute", "calls a minute"),
    ("tokensPerMinute", "tokens_per_minute", "tokens a minute"),
    ("maxConcurrentCalls", "max_concurrent_calls", "calls at the same time"),
)


def _model_limits(spec: AgentQueueSpec, status: AgentQueueStatus) -> Iterable[ModelLimitLeft]:
    for limit in spec.model_limits:
        for key, field, unit in _LEFT_OF:
            most: int | None = getattr(limit, field)
            if most is not None:
                yield ModelLimitLeft(", ".join(limit.models), f"{most:,} {unit}", _left(limit, key, status))


def _left(limit: ModelLimit, key: str, status: AgentQueueStatus) -> Fill | None:
    for left in status.limits:
        if left.limit == key and [name.strip() for name in left.models.split(",")] == list(limit.models):
            part = part_of(left.left, left.max)
            return Fill(part, f"{left.left:,} of {left.max:,} left", "bad" if left.left <= 0 else "run")
    return None
