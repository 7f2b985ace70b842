"""Rows in memory: jobs with all that belongs to them, and what follows from a row alone."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from msgspec import Raw

from agentjobs import errors
from agentjobs.api.conditions import DELETED
from agentjobs.contract import (
    Published,
    Resolved,
    Versions,
)
from agentjobs.core.job.observation import Progress
from agentjobs.history.memory_slots import MemorySlots
from agentjobs.history.model_records import CallOutcome, EndedCall, NewCall
from agentjobs.history.records import (
    JobKey,
    StartEnd,
    StoredEvent,
    TransitionRecord,
)
from agentjobs.history.sanitize import dump_json
from agentjobs.history.spending import is_turn, usage
from agentjobs.history.steps import (
    StepRow,
)
from agentjobs.models.tokens import Tokens


@dataclass(slots=True)
class MemoryStart:
    """The row of a start."""

    attempt: int
    pod: str
    started: datetime | None = None
    pod_uid: str | None = None
    claimed: datetime | None = None
    heartbeat: datetime | None = None
    fenced: datetime | None = None
    reported: dict[str, Any] | None = None
    usage: dict[str, int] | None = None
    result: Any = None
    """Its answer, while that is not the job's."""
    end: StartEnd | None = None
    events: dict[int, StoredEvent] = field(default_factory=dict)
    run: int | None = None
    versions: Versions | None = None


@dataclass(slots=True)
class MemoryCall:
    """The row of a model call."""

    new: NewCall
    attempt: int
    began: datetime
    ended: datetime | None = None
    end: EndedCall | None = None

    @property
    def booked(self) -> EndedCall | None:
        """Its end, where budgets and reports count it."""
        return self.end if self.end and self.end.outcome is not CallOutcome.FAILED else None


@dataclass(slots=True)
class MemoryNotification:
    """The row of a notification; `MemoryOutbox` claims it."""

    uid: str
    sink: str
    transition: int
    event: str
    time: datetime
    data: dict[str, Any]
    since: datetime
    due: datetime
    tries: int = 0
    sent: datetime | None = None
    given_up: datetime | None = None
    error: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it is still to be sent."""
        return self.sent is None and self.given_up is None


@dataclass(frozen=True, slots=True)
class MemoryKeptFile:
    """The rows of a kept file."""

    data: bytes
    start: int
    write: int


@dataclass(slots=True)
class MemoryJob:
    """The rows of a job."""

    key: JobKey
    inserted: datetime
    resolved: Resolved | None = None
    spec_hash: str | None = None
    queue: str = ""
    priority: int | None = None
    steered_generation: int = 0
    """The generation from which queue and priority were written; 0 as accepted."""
    moved: datetime | None = None
    """When it was moved to another queue while it waited for a slot."""
    labels: tuple[tuple[str, str], ...] = ()
    unique_key: str | None = None
    duplicate_of: str = ""
    replaced_by: str = ""
    deleted: datetime | None = None
    result: Any = None
    """The final one."""
    result_run: int | None = None
    """The run that it comes from, where a start stored it."""
    workspace: Published | None = None
    starts: dict[int, MemoryStart] = field(default_factory=dict)
    steps: dict[int, StepRow] = field(default_factory=dict)
    transitions: dict[int, TransitionRecord] = field(default_factory=dict)
    calls: dict[UUID, MemoryCall] = field(default_factory=dict)
    """Of models; `MemoryModelCalls` writes them."""
    notifications: dict[tuple[str, int], MemoryNotification] = field(default_factory=dict)
    """By sink and transition."""
    kept: dict[int, dict[str, MemoryKeptFile]] = field(default_factory=dict)
    """By run and name."""

    @property
    def current(self) -> TransitionRecord | None:
        """The current transition: the end, else the newest."""
        return max(
            self.transitions.values(), key=lambda transition: (transition.finished, transition.transition), default=None
        )

    @property
    def changed(self) -> datetime | None:
        """When its phase changed last, or it was moved to another queue since."""
        return max((time for time in (self.current and self.current.time, self.moved) if time), default=None)

    @property
    def ended(self) -> datetime | None:
        """When it ended, or its object was deleted; None while it is unfinished."""
        return self.current.time if self.current and self.current.finished else self.deleted

    @property
    def is_open(self) -> bool:
        """Whether the job is unfinished."""
        return self.ended is None


class MemoryRows:
    """What all audiences of history in memory share.

    Args:
        now: its clock.
    """

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.now = now
        self.jobs_by_uid: dict[str, MemoryJob] = {}
        """All rows. A test may read and change them."""
        self.slots = MemorySlots(lambda: self.now())
        self.has_session: Callable[[str], bool] = lambda _uid: False
        """Whether a job begins with a session or a state. `MemorySessions` knows it."""
        self.away = False
        """If it is set, every method raises `errors.Unavailable`."""

    def _check_available(self) -> None:
        if self.away:
            raise errors.Unavailable("history is unreachable")

    def _start(self, uid: str, start: int) -> MemoryStart | None:
        job = self.jobs_by_uid.get(uid)
        return job.starts.get(start) if job else None


def copied(value: Any) -> Any:
    """Return what PostgreSQL would give back of a JSON value.

    Raises:
        errors.Invalid: it is not JSON.
    """
    try:
        return json.loads(dump_json(value))
    except ValueError as error:
        raise errors.Invalid(f"history cannot store this: {error}") from error


def text_of(value: Any) -> Raw | None:
    """Return the JSON text of a value, None for None."""
    return None if value is None else Raw(dump_json(value))


def phase_of(job: MemoryJob) -> str:
    """Return the phase that people see; `Deleted` of a job that went before it ended."""
    current = job.current
    if job.deleted is not None and not (current and current.finished):
        return DELETED
    return current.phase if current else "Pending"


def booked(job: MemoryJob, attempt: int | None = None) -> list[EndedCall]:
    """Return the calls that count as spent, of all attempts or of one."""
    return [call.booked for call in job.calls.values() if call.booked and attempt in (None, call.attempt)]


def usage_of(job: MemoryJob, attempt: int | None = None, *, before: int | None = None) -> dict[str, int]:
    """Return what starts used, of all attempts or of one, up to the start before `before`."""
    starts = [start for number, start in job.starts.items() if before is None or number < before]
    usages = [start.usage or {} for start in starts if attempt in (None, start.attempt)]
    tokens, calls = sum((end.tokens for end in booked(job, attempt)), Tokens()), len(booked(job, attempt))
    return usage(usages, {"llmCalls": calls, "inputTokens": tokens.input, "outputTokens": tokens.output})


def turns_of(job: MemoryJob, attempt: int | None = None, *, before: int) -> int:
    """Return how many turns starts took, of all attempts or of one, up to the start before `before`."""
    answers = [
        row for row in job.steps.values() if row.kind == "model" and row.ended is not None and row.start < before
    ]
    return sum(is_turn(json.loads(bytes(row.request)), attempt) for row in answers if row.request is not None)


def cost_of(job: MemoryJob, attempt: int | None = None) -> Decimal | None:
    """Return what the calls of a job cost, of all attempts or of one; None where there are none."""
    return total_cost(call for call in job.calls.values() if attempt in (None, call.attempt))


def total_cost(calls: Iterable[MemoryCall]) -> Decimal | None:
    """Return what calls cost that count as spent; None where there are none."""
    costs = [call.booked.cost for call in calls if call.booked]
    return sum(costs, Decimal(0)) if costs else None


def progress_of(job: MemoryJob, start: int) -> Progress:
    """Return the progress of a start."""
    runs = [each.run for number, each in sorted(job.starts.items()) if number <= start and each.run is not None]
    rows = [row for row in job.steps.values() if row.run in runs[-1:] and row.ended is not None and not row.void]
    last = max(rows, key=lambda row: row.n, default=None)
    return Progress(
        before=max((row.n for row in rows if row.start < start), default=0),
        last=last.n if last else 0,
        name=last.name if last else "",
        time=last.ended if last else None,
        advanced=any(row.start == start for row in rows),
    )
