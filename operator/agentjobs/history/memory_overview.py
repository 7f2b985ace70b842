"""Numbers of many jobs in memory, for tests, for the jobs of a `MemoryHistory`."""

from collections import Counter
from collections.abc import Collection, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from agentjobs import errors
from agentjobs.api.recorded_overview import Activity, FailureReason, OpenCounts, OpenJobs, Process, UsageSeries
from agentjobs.history import schema
from agentjobs.history.memory import MemoryHistory
from agentjobs.history.memory_rows import MemoryJob
from agentjobs.history.model_records import EndedCall
from agentjobs.history.overview import MAX_GROUPS, MAX_KEYS, MAX_REASONS, PHASES, activity_of, series_of
from agentjobs.history.overview_protocols import SeriesBy
from agentjobs.history.process_records import SEEN, DatabaseFacts, Presence
from agentjobs.history.slices import ACTIVITY_SECONDS, USAGE_SECONDS, slices_of


class MemoryOverview:
    """What `OverviewHistory` promises."""

    def __init__(self, history: MemoryHistory) -> None:
        self._history = history

    async def open_jobs(self, namespaces: Collection[str] | None = None) -> OpenCounts:
        """Return the number of unfinished jobs, by namespace, queue, phase and reason; largest first."""
        found: dict[tuple[str, str, str, str], list[datetime]] = {}
        for job in self._jobs(namespaces):
            if job.is_open:
                current = job.current
                state = (current.phase, current.reason) if current else ("Pending", "")
                found.setdefault((job.key.namespace, job.queue, *state), []).append(job.changed or job.key.created)
        items = [
            OpenJobs(namespace=place, queue=queue, phase=phase, reason=reason, jobs=len(times), since=min(times))
            for (place, queue, phase, reason), times in sorted(found.items())
        ]
        items.sort(key=lambda item: -item.jobs)
        return OpenCounts(items=items[:MAX_GROUPS], more=len(items) > MAX_GROUPS)

    async def activity(self, since: datetime, until: datetime, namespaces: Collection[str] | None = None) -> Activity:
        """Return the activity of jobs over time, and reasons of failures."""
        slices = slices_of(since, until, ACTIVITY_SECONDS)
        counted: Counter[tuple[datetime, str]] = Counter()
        failed: dict[str, list[datetime]] = {}
        for job in self._jobs(namespaces):
            for time, name in _happened(job):
                if (number := slices.number_of(time)) is not None:
                    counted[slices.time_of(number), name] += 1
                    if name == "failed" and job.current:
                        failed.setdefault(job.current.reason, []).append(time)
        failures = [FailureReason(reason=why, jobs=len(times), latest=max(times)) for why, times in failed.items()]
        failures.sort(key=lambda failure: (-failure.jobs, failure.reason))
        counts = [(begin, name, jobs) for (begin, name), jobs in counted.items()]
        return activity_of(slices, counts, failures[:MAX_REASONS])

    async def usage_series(
        self, by: SeriesBy, since: datetime, until: datetime, namespaces: Collection[str] | None = None
    ) -> UsageSeries:
        """Return what model calls used over time."""
        slices = slices_of(since, until, USAGE_SECONDS)
        used: dict[str, list[tuple[int, EndedCall]]] = {}
        for job in self._jobs(namespaces):
            for call in job.calls.values():
                number = slices.number_of(call.ended) if call.ended else None
                if call.booked is not None and number is not None:
                    used.setdefault(_key(job, call.booked, by), []).append((number, call.booked))
        ranked = sorted(used, key=lambda key: (-_cost(used[key]), -_tokens(used[key]), key))
        points: dict[tuple[int, int], list[EndedCall]] = {}
        for rank, key in enumerate(ranked, 1):
            for number, end in used[key]:
                points.setdefault((number, min(rank, MAX_KEYS + 1)), []).append(end)
        rows = [_row(number, rank, ranked[rank - 1], ends) for (number, rank), ends in sorted(points.items())]
        return series_of(slices, by, rows)

    def _jobs(self, namespaces: Collection[str] | None) -> list[MemoryJob]:
        if self._history.away:
            raise errors.Unavailable("history is unreachable")
        jobs = self._history.jobs_by_uid.values()
        return [job for job in jobs if namespaces is None or job.key.namespace in namespaces]


class MemoryProcesses:
    """What `ProcessHistory` promises."""

    def __init__(self, history: MemoryHistory) -> None:
        self._history = history
        self._seen: dict[str, tuple[Presence, datetime, datetime]] = {}

    async def lives(self, presence: Presence) -> None:
        """Record that a process is alive."""
        self._check_available()
        now = self._history.now()
        since = self._seen[presence.id][1] if presence.id in self._seen else now
        self._seen[presence.id] = presence, since, now

    async def processes(self) -> list[Process]:
        """Return the processes that were alive in the last minute, by kind and id."""
        self._check_available()
        found = [
            Process(
                kind=process.kind, id=process.id, version=process.version, leads=process.leads, since=since, seen=seen
            )
            for process, since, seen in self._seen.values()
            if self._history.now() - seen < SEEN
        ]
        return sorted(found, key=lambda process: (process.kind, process.id))

    async def database(self) -> DatabaseFacts:
        """Return facts about the database."""
        self._check_available()
        return DatabaseFacts("memory", schema.HEAD, 0, len(self._history.jobs_by_uid), self._history.now())

    def _check_available(self) -> None:
        if self._history.away:
            raise errors.Unavailable("history is unreachable")


def _happened(job: MemoryJob) -> Iterator[tuple[datetime, str]]:
    yield job.key.created, "created"
    yield from ((start.started, "started") for start in job.starts.values() if start.started)
    if job.current and job.current.finished and job.current.phase in PHASES:
        yield job.current.time, PHASES[job.current.phase]


def _key(job: MemoryJob, end: EndedCall, by: SeriesBy) -> str:
    spec: dict[str, Any] = job.resolved["spec"] if job.resolved else {}
    match by:
        case "queue":
            return end.queue or spec.get("queue", "")
        case "model":
            return end.model
        case "partition":
            return spec.get("partitionKey") or ""


def _row(number: int, rank: int, key: str, ends: list[EndedCall]) -> dict[str, Any]:
    is_other = rank > MAX_KEYS
    return {
        "slice": number,
        "rank": None if is_other else rank,
        "key": None if is_other else key,
        "calls": len(ends),
        "input": sum(end.tokens.input for end in ends),
        "output": sum(end.tokens.output for end in ends),
        "cost": sum((end.cost for end in ends), Decimal(0)),
    }


def _cost(used: list[tuple[int, EndedCall]]) -> Decimal:
    return sum((end.cost for _, end in used), Decimal(0))


def _tokens(used: list[tuple[int, EndedCall]]) -> int:
    return sum(end.tokens.input + end.tokens.output for _, end in used)
