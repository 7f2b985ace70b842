"""The rules by which a runner's request changes the journal. Pure.

Requests of a job are serialized (`fence`), so the rules see the current rows. A repeated request changes nothing: an
existing step is identified by its key, and a void one also by start and beginning.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, cast

import msgspec
from msgspec import Raw

from agentjobs import errors
from agentjobs.contract import MAX_JOB_STEPS, MAX_RUN_BYTES, RecordedStep, Step, StepsBody, StepsPage
from agentjobs.history.entries import parse_time, total_usage
from agentjobs.history.sanitize import clean_text, dump_json

Place = tuple[str, int, datetime]

MAX_PAGE_STEPS: Final = 500
MAX_PAGE_BYTES: Final = 1024 * 1024
"""Bytes of requests and bodies; the step that exceeds it is the page's last, so a page has at most twice as much."""

# It scans the whole text without building objects.
_LOOK: Final = msgspec.json.Decoder(Raw)


@dataclass(slots=True)
class StepRow:
    """One row of the table of steps."""

    n: int
    run: int
    start: int
    """The start that began it last."""
    key: str
    kind: str
    began: datetime
    ended: datetime | None
    bytes: int
    """Of request and body."""
    usage: dict[str, int]
    void: bool
    agent: str = ""
    name: str = ""
    request: Raw | None = None
    """None for what is stored already."""
    body: Raw | None = None
    """As `request`; also None for a call that has not ended, and for a step that gave null."""

    @property
    def place(self) -> Place:
        """What distinguishes steps with the same key."""
        return self.key, self.start, self.began


@dataclass(frozen=True, slots=True)
class RecordedNow:
    """What one request changed about a step, for metrics: it began, ended or became void, with its usage."""

    kind: str
    ended: bool
    """False for the beginning of a call."""
    void: bool = False
    usage: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Appended:
    """What one request changed."""

    last: int
    """Number of the newest step of the job."""
    inserted: Sequence[StepRow] = ()
    changed: Sequence[StepRow] = ()
    """Existing rows by number: calls that ended or began again, and steps that became void."""
    bytes: int = 0
    usage: dict[str, int] = field(default_factory=dict)
    """What the start used by it."""
    recorded: Sequence[RecordedNow] = ()


def keys_of(body: StepsBody) -> list[str]:
    """Return the keys that a request names, as they are stored."""
    return [clean_text(key) for key in {*body["void"], *(step["key"] for step in body["steps"])}]


def recorded(row: StepRow) -> RecordedStep:
    """Return a step as a later start reads it; request and body are `Raw`."""
    body: Any = row.body
    step = RecordedStep(
        n=row.n,
        start=row.start,
        key=row.key,
        kind=row.kind,
        agent=row.agent,
        name=row.name,
        ended=None if row.ended is None else row.ended.astimezone(UTC).isoformat(),
        request=cast("Any", row.request),
        body=body,
    )
    if body is not None and not _is_json(body):
        step["body"] = None
        step["unreadable"] = True
    return step


def page_of_steps(steps: list[RecordedStep], *, more: bool) -> StepsPage:
    """Return a page of these steps; `more` says whether there are later ones."""
    return StepsPage(steps=steps, next=steps[-1]["n"] if more and steps else None)


def _is_json(text: Raw) -> bool:
    try:
        _LOOK.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Before:
    """The newest earlier start that has a run."""

    run: int
    attempt: int


def run_of(start: int, attempt: int, before: Before | None, *, checkpoint: str | None, resume: str | None) -> int:
    """Return the run of a start that is being claimed: the run that it continues, or its own number.

    Args:
        checkpoint: `steps.checkpoint` of the job.
        resume: `retry.resume` of the job.
    """
    if before is None or checkpoint == "None" or (resume == "FromStart" and attempt != before.attempt):
        return start
    return before.run


def check_run(run: int, *, start: int, of_start: int | None) -> None:
    """Return if a start may record in a run: the run of its claim, or its own.

    Raises:
        errors.Invalid: it may not.
    """
    if run not in (of_start, start):
        raise errors.Invalid(f"run {run}: start {start} must continue run {of_start or start} or begin run {start}")


def append(body: StepsBody, known: Iterable[StepRow], *, start: int, last: int, stored: int) -> Appended:
    """Return what a request changes.

    Args:
        known: the rows of its run that have one of its keys; they are left as they are.
        last: number of the newest step of the job.
        stored: bytes of all steps of the run.

    Raises:
        errors.Invalid: a time cannot be stored, or `errors.JournalFull`; nothing of the request may be stored then.
    """
    given = [_row(step, body["run"], start) for step in body["steps"]]
    request = _Request(known, start, last)
    for key in body["void"]:
        request.void(clean_text(key), {row.place for row in given})
    for row in given:
        request.record(row)
    changes = request.changes()
    if changes.inserted and changes.last > MAX_JOB_STEPS:
        raise errors.JournalFull(f"the job has recorded {last} steps; {MAX_JOB_STEPS} is the limit for one job")
    if changes.bytes > 0 and stored + changes.bytes > MAX_RUN_BYTES:
        message = f"the steps of run {body['run']} take {stored} bytes; {MAX_RUN_BYTES} is the limit for one run"
        raise errors.JournalFull(message)
    return changes


class _Request:
    def __init__(self, known: Iterable[StepRow], start: int, last: int) -> None:
        rows = [replace(row) for row in known]
        self._start = start
        self._first_new = last + 1
        self._last = last
        self._live = {row.key: row for row in rows if not row.void}
        self._by_place = {row.place: row for row in rows}
        self._inserted: list[StepRow] = []
        self._changed: dict[int, StepRow] = {}
        self._bytes = 0
        self._used: list[dict[str, int]] = []
        self._recorded: list[RecordedNow] = []

    def void(self, key: str, given: set[Place]) -> None:
        """Make the step of a key void, unless the request itself records it."""
        row = self._live.get(key)
        if row is None or row.place in given:
            return
        row.void = True
        del self._live[key]
        self._changed[row.n] = row
        if row.ended is not None:
            self._recorded.append(RecordedNow(row.kind, ended=True, void=True))

    def record(self, new: StepRow) -> None:
        """Record a step or a call's beginning, once."""
        row = self._by_place.get(new.place) or self._live.get(new.key)
        if row is None or (new.void and row.ended is not None and row.place != new.place):
            self._insert(new)
        elif row.ended is None and (new.ended is not None or self._begins_again(row, new)):
            self._overwrite(row, new)

    def _begins_again(self, row: StepRow, new: StepRow) -> bool:
        """Whether a call is repeated: by a later start, or as a retry of the same one."""
        return row.start != self._start or new.began > row.began

    def changes(self) -> Appended:
        """Return what all of it changed."""
        changed = list(self._changed.values())
        usage = total_usage(self._used)
        return Appended(self._last, self._inserted, changed, self._bytes, usage, self._recorded)

    def _insert(self, new: StepRow) -> None:
        self._last += 1
        new.n = self._last
        self._inserted.append(new)
        self._bytes += new.bytes
        self._by_place[new.place] = new
        if not new.void:
            self._live[new.key] = new
        self._count(new, new.usage)

    def _overwrite(self, row: StepRow, new: StepRow) -> None:
        """End a call, or begin it again in a later start."""
        self._bytes += new.bytes - row.bytes
        row.start, row.began, row.ended = new.start, new.began, new.ended
        row.request, row.body, row.bytes = new.request, new.body, new.bytes
        row.usage = total_usage([row.usage, new.usage])
        if new.void and not row.void:
            row.void = True
            del self._live[row.key]
        self._by_place[row.place] = row
        if row.n < self._first_new:
            self._changed[row.n] = row
        self._count(row, new.usage)

    def _count(self, row: StepRow, used: dict[str, int]) -> None:
        self._used.append(used)
        self._recorded.append(RecordedNow(row.kind, row.ended is not None, row.void, used))


def _row(step: Step, run: int, start: int) -> StepRow:
    request = Raw(dump_json(step["request"]))
    body: Any = None if step["ended"] is None else Raw(dump_json(step["body"]))
    if body is not None and bytes(body) == b"null":
        body = None
    return StepRow(
        n=0,
        run=run,
        start=start,
        key=clean_text(step["key"]),
        kind=clean_text(step["kind"]),
        began=parse_time(step["began"], "began of a step"),
        ended=None if step["ended"] is None else parse_time(step["ended"], "end of a step"),
        bytes=len(memoryview(request)) + (0 if body is None else len(memoryview(body))),
        usage=total_usage([step["usage"]]),
        void=bool(step.get("void")),
        agent=clean_text(step["agent"]),
        name=clean_text(step["name"]),
        request=request,
        body=body,
    )
