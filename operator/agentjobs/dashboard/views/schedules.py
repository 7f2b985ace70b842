"""What the pages of schedules show. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from agentjobs.api.conditions import find_condition
from agentjobs.api.job.team import as_object
from agentjobs.api.recorded import RecordedJob
from agentjobs.api.recorded_overview import ScheduleItem
from agentjobs.api.schedule.cron import Cron, parse_cron
from agentjobs.api.schedule.status import ActiveReason, AgentScheduleStatus, ScheduleConditionType
from agentjobs.dashboard.views.states import State, text_of

WEEKS_AHEAD: Final = 5
WEEKS_BACK: Final = 5
"""Including the current week, which both calendars have."""
_TIMES_SHOWN: Final = 2
"""Times of a day that are listed; for more, the first and their number."""
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Time:
    """A time of a schedule: in its time zone, and as an instant."""

    local: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Day:
    """A day of a calendar."""

    day: date
    label: str
    """`1 Dec` on the first of a month and of the calendar, else `2`."""
    begin: datetime
    end: datetime
    today: bool
    times: int = 0
    """Number of planned times."""
    shown: tuple[str, ...] = ()
    """The first of them in the schedule's time zone."""
    succeeded: int = 0
    failed: int = 0
    others: int = 0
    """Cancelled and skipped jobs, and jobs that have not ended."""


@dataclass(frozen=True, slots=True)
class ScheduleView:
    """A schedule."""

    namespace: str
    name: str
    expression: str
    zone: str
    state: State
    held_up: State | None
    """Set while a start is due and blocked."""
    trouble: State | None
    """Set while the last job failed or could not be created."""
    suspended: bool
    """Whether it can be resumed: it was suspended by a person or after too many failures."""
    status: AgentScheduleStatus
    policies: Sequence[str]
    """Sentences: what happens when jobs overlap or times are missed."""
    next: Sequence[Time]
    runs: str
    """The queue of its jobs."""
    template: str


def schedule_view(seen: ScheduleItem) -> ScheduleView:
    """Return what pages show of a schedule."""
    spec = as_object(seen.object.get("spec"))
    status = AgentScheduleStatus.parse(seen.object.get("status"))
    zone = text_of(spec, "timeZone") or "UTC"
    cron = _cron(spec)
    work = as_object(as_object(spec.get("jobTemplate")).get("spec"))
    active = find_condition(status.conditions, ScheduleConditionType.ACTIVE)
    return ScheduleView(
        namespace=seen.namespace,
        name=seen.name,
        expression=text_of(spec, "schedule"),
        zone=zone,
        state=_state(spec, status),
        held_up=_condition_state(status, ScheduleConditionType.BLOCKED, "Blocked", "A start is due and blocked."),
        trouble=_condition_state(
            status, ScheduleConditionType.DEGRADED, "Failing", "The last job failed or could not be created."
        ),
        suspended=spec.get("suspend") is True
        or (active is not None and active.reason == ActiveReason.TOO_MANY_FAILURES),
        status=status,
        policies=list(_policies(spec)),
        next=[Time(local_time(at, cron.zone if cron else UTC), at) for at in seen.next],
        runs=text_of(work, "queue") or "scheduled",
        template=text_of(as_object(work.get("templateRef")), "name"),
    )


def local_time(at: datetime, zone: ZoneInfo | Any) -> str:
    """Return a time in a time zone: `Mon 2026-11-30 06:30 CET`."""
    return f"{at.astimezone(zone):%a %Y-%m-%d %H:%M %Z}"


def _cron(spec: Mapping[str, Any]) -> Cron | None:
    try:
        return parse_cron(text_of(spec, "schedule"), text_of(spec, "timeZone") or "UTC")
    except ValueError:
        return None


_STOPPED: Final[Mapping[str, tuple[str, str]]] = {
    ActiveReason.SUSPENDED: ("Resuming", "It was resumed; the operator has not processed that yet."),
    ActiveReason.INVALID_SPEC: ("Invalid", "Its spec is invalid, so it creates no jobs."),
    ActiveReason.INVALID_SCHEDULE: (
        "Invalid",
        "Its cron expression or its time zone is invalid, so it creates no jobs.",
    ),
    ActiveReason.NEVER_FIRES: ("Never", "Its cron expression names a day that does not exist."),
    ActiveReason.TOO_MANY_FAILURES: (
        "Stopped",
        "Too many of its jobs failed in a row. It creates no jobs until it is resumed.",
    ),
    ActiveReason.MAX_RUNS_REACHED: ("Done", "It has created its maximum number of jobs."),
}
_OWN_FAULT: Final = ("Invalid", "Never", "Stopped")


def _state(spec: Mapping[str, Any], status: AgentScheduleStatus) -> State:
    if spec.get("suspend") is True:
        return State("Suspended", "warn", "It is suspended: it creates no jobs until it is resumed.")
    active = find_condition(status.conditions, ScheduleConditionType.ACTIVE)
    if active is None:
        return State("Not seen", "dim", "No operator has processed this schedule yet.")
    if active.status == "True":
        return State("Active", "ok", "It creates jobs at its times.")
    word, text = _STOPPED.get(active.reason, ("Stopped", "It creates no jobs."))
    return State(word, "bad" if word in _OWN_FAULT else "dim", text, active.reason, active.message)


def _condition_state(status: AgentScheduleStatus, about: ScheduleConditionType, word: str, text: str) -> State | None:
    condition = find_condition(status.conditions, about)
    if condition is None or condition.status != "True":
        return None
    return State(word, "warn", text, condition.reason, condition.message)


_MEETING: Final = {
    "Forbid": "A new job waits until the previous one has ended.",
    "Allow": "Jobs may overlap.",
    "Replace": "A new job cancels the previous one if it has not ended.",
}
_LATE: Final = {
    "None": "Times missed by more than a minute are skipped.",
    "Latest": "Of missed times, the latest is made up for.",
    "All": "All missed times are made up for one by one, oldest first.",
}


def _policies(spec: Mapping[str, Any]) -> Iterable[str]:
    yield _MEETING.get(text_of(spec, "concurrencyPolicy"), _MEETING["Forbid"])
    yield _LATE.get(text_of(as_object(spec.get("catchUp")), "policy"), _LATE["Latest"])
    if jitter := text_of(spec, "jitter"):
        yield f"Each job starts up to {jitter} later, to spread the load."
    if isinstance(late := spec.get("startingDeadlineSeconds"), int):
        yield f"A time counts as missed after {late:,} seconds."
    if isinstance(most := spec.get("maxConsecutiveFailures"), int):
        yield f"It is suspended after {most:,} failed jobs in a row."
    if isinstance(runs := spec.get("maxRuns"), int):
        yield f"It creates {runs:,} jobs in total."


def calendar_since(seen: ScheduleItem, now: datetime) -> datetime:
    """Return the beginning of the first day that `past` shows."""
    zone = _zone(seen)
    return _midnight(_monday(now, zone) - timedelta(weeks=WEEKS_BACK - 1), zone)


def past(seen: ScheduleItem, jobs: Sequence[RecordedJob], now: datetime) -> list[list[Day]]:
    """Return the weeks up to the current one, with how the jobs of each day ended. Days are in the time zone.

    Args:
        jobs: of the schedule, those that were created since `calendar_since`.
    """
    zone = _zone(seen)
    made: dict[date, list[str]] = {}
    for job in jobs:
        made.setdefault(job.created.astimezone(zone).date(), []).append(job.phase)
    first = _monday(now, zone) - timedelta(weeks=WEEKS_BACK - 1)

    def day_of(day: date) -> Day:
        phases = made.get(day, [])
        succeeded, failed = phases.count("Succeeded"), phases.count("Failed")
        plain = _day(day, first, zone, now)
        return replace(plain, succeeded=succeeded, failed=failed, others=len(phases) - succeeded - failed)

    return [[day_of(day) for day in week] for week in _weeks(first, WEEKS_BACK)]


def ahead(seen: ScheduleItem, now: datetime) -> list[list[Day]]:
    """Return this week and the next ones with the planned times of each day; empty for a suspended schedule."""
    cron, zone = _cron(as_object(seen.object.get("spec"))), _zone(seen)
    if cron is None or not seen.next:
        return []
    first = _monday(now, zone)
    return [[_planned(_day(day, first, zone, now), cron, now) for day in week] for week in _weeks(first, WEEKS_AHEAD)]


def _planned(day: Day, cron: Cron, now: datetime) -> Day:
    after = max(day.begin - timedelta(microseconds=1), now)
    until = day.end - timedelta(microseconds=1)
    if until <= after:
        return day
    shown: list[str] = []
    at = cron.next_after(after)
    while at is not None and at <= until and len(shown) < _TIMES_SHOWN:
        shown.append(f"{at.astimezone(cron.zone):%H:%M}")
        at = cron.next_after(at)
    return replace(day, times=cron.count(after, until), shown=tuple(shown))


def _day(day: date, first: date, zone: ZoneInfo, now: datetime) -> Day:
    label = f"{day.day} {day:%b}" if day == first or day.day == 1 else str(day.day)
    begin, end = _midnight(day, zone), _midnight(day + _DAY, zone)
    return Day(day, label, begin, end, begin <= now < end)


def _weeks(first: date, weeks: int) -> list[list[date]]:
    return [[first + _DAY * (7 * week + day) for day in range(7)] for week in range(weeks)]


def _monday(now: datetime, zone: ZoneInfo) -> date:
    today = now.astimezone(zone).date()
    return today - _DAY * today.weekday()


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _zone(seen: ScheduleItem) -> ZoneInfo:
    cron = _cron(as_object(seen.object.get("spec")))
    return cron.zone if cron else ZoneInfo("UTC")
