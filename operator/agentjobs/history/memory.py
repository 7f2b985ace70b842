"""History in memory, for tests: it keeps the promises of the one on PostgreSQL, the fence among them, and needs none.

    history = MemoryHistory(now=lambda: moment)
    await history.accept(Acceptance(job, start))
    await history.claim(job.job.uid, 1, "pod-uid", namespace="default", job="hello")

One value serves all three audiences. It belongs to one event loop. Of what PostgreSQL does only `Busy` is missing: no
two writes of a start can meet here.
"""

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, cast
from uuid import UUID

from msgspec import Raw

from agentjobs import errors
from agentjobs.api.recorded import (
    RecordedJob,
    RecordedStart,
    RecordedStep,
    RecordedTree,
    RelatedJob,
    Story,
    Transition,
)
from agentjobs.contract import (
    USAGE,
    Attempt,
    ErrorClass,
    Event,
    JournalHead,
    Resolved,
    ResultDocument,
    StepsBody,
    StepsPage,
    Verdict,
    Versions,
)
from agentjobs.core.job.observation import FinalResult, ParentRecord, Progress
from agentjobs.core.job.policy import may_run_again
from agentjobs.history import pages
from agentjobs.history.entries import entries_of, new_events, total_usage
from agentjobs.history.memory_slots import MemorySlots
from agentjobs.history.model_records import CallOutcome, EndedCall, NewCall
from agentjobs.history.outbox_rows import told_of
from agentjobs.history.ownership import check, start_key
from agentjobs.history.pages import DEFAULT_LIMIT, MAX_LIMIT, MAX_TREE, Page, checked_limit, page_of, parse_cursor
from agentjobs.history.records import (
    Acceptance,
    Accepted,
    Answer,
    Deletion,
    JobKey,
    JobRecord,
    Lives,
    Newest,
    NoSlot,
    Record,
    SlotRequest,
    StartEnd,
    StartRecord,
    StoredEvent,
    TransitionRecord,
)
from agentjobs.history.sanitize import clean_text, dump_json
from agentjobs.history.spending import usage, used
from agentjobs.history.steps import (
    MAX_PAGE_BYTES,
    MAX_PAGE_STEPS,
    Appended,
    Before,
    StepRow,
    append,
    check_run,
    keys_of,
    page_of_steps,
    recorded,
    run_of,
)
from agentjobs.history.twins import Decisions, Keyed
from agentjobs.models.budget import Limits, Scope, Spend, to_runner
from agentjobs.models.tokens import Tokens

# As PostgreSQL cuts a large answer for the operator.
_SHOWN_CHARS: Final = 32 * 1024


@dataclass(slots=True)
class MemoryStart:
    """One start, as its row says it."""

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
    """One model call, as its row says it."""

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
    """One notification, as its row says it; `MemoryOutbox` takes it."""

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


@dataclass(slots=True)
class MemoryJob:
    """One job, as its rows say it."""

    key: JobKey
    inserted: datetime
    resolved: Resolved | None = None
    spec_hash: str | None = None
    queue: str = ""
    unique_key: str | None = None
    duplicate_of: str = ""
    replaced_by: str = ""
    deleted: datetime | None = None
    result: Any = None
    """The final one."""
    starts: dict[int, MemoryStart] = field(default_factory=dict)
    steps: dict[int, StepRow] = field(default_factory=dict)
    transitions: dict[int, TransitionRecord] = field(default_factory=dict)
    calls: dict[UUID, MemoryCall] = field(default_factory=dict)
    """Of models; `MemoryModelCalls` writes them."""
    notifications: dict[tuple[str, int], MemoryNotification] = field(default_factory=dict)
    """By sink and transition."""

    @property
    def current(self) -> TransitionRecord | None:
        """The transition that stands: the end, else the newest."""
        return max(self.transitions.values(), key=lambda one: (one.finished, one.transition), default=None)

    @property
    def is_open(self) -> bool:
        """Whether the job may go on."""
        return self.deleted is None and not (self.current and self.current.finished)


class MemoryHistory:
    """What `OperatorHistory`, `RunnerHistory` and `ReadHistory` promise.

    Args:
        now: its clock.
    """

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.now = now
        self.jobs_by_uid: dict[str, MemoryJob] = {}
        """All it holds. A test may look at it and change it."""
        self.slots = MemorySlots(lambda: self.now())
        self.has_session: Callable[[str], bool] = lambda _uid: False
        """Whether a job begins with a session or a state. `MemorySessions` knows it."""
        self.away = False
        """Set it, and every method raises `errors.Unavailable`."""

    # The operator

    async def accept(self, asked: Acceptance) -> Answer:
        """Store a job and its start with its slot."""
        self._check_available()
        decisions = self._decided(asked)
        stored = self._accept(asked.job, decisions)
        uid = stored.key.uid
        assert stored.resolved is not None
        if uid in decisions.stopped:
            return decisions.stopped[uid]
        stored.queue = clean_text(asked.slot.queue if asked.slot else _queue(asked.job.resolved))
        if asked.start is not None:
            if asked.slot is not None:
                refusal = self._claim(stored, asked.start, asked.slot)
                if refusal is not None:
                    return decisions.answer(uid, refusal)
            self._store(asked.start)
        held = self.slots.held.get(uid) if asked.start and asked.slot else None
        return decisions.answer(uid, Accepted(stored.resolved, held.claimed if held else None))

    def _decided(self, asked: Acceptance) -> Decisions:
        decisions = Decisions()
        if asked.unique is None:
            return decisions
        for uid, job in self.jobs_by_uid.items():
            if uid == asked.job.job.uid:
                other = self.jobs_by_uid.get(job.duplicate_of or job.replaced_by)
                name = other.key.name if other else ""
                decisions.remember(uid, job.resolved is not None, job.duplicate_of, job.replaced_by, name)
            elif job.unique_key is not None:
                keyed = Keyed(uid, job.key.name, job.key.created, bool(job.starts), not job.is_open, _phase(job))
                decisions.know(job.key.namespace, job.unique_key, keyed)
        decisions.decide([asked])
        for uid, by in decisions.replaced.items():
            self.jobs_by_uid[uid].unique_key, self.jobs_by_uid[uid].replaced_by = None, by.uid
        return decisions

    def _claim(self, job: MemoryJob, start: StartRecord, slot: SlotRequest) -> NoSlot | None:
        assert job.resolved is not None
        running = [
            (self.jobs_by_uid[uid].key, number, partition)
            for uid, number, partition in slot.held
            if uid in self.jobs_by_uid and self._runs(self.jobs_by_uid[uid], number)
        ]
        return self.slots.claim(job.key, start.start, slot, job.resolved, running)

    def _runs(self, job: MemoryJob, start: int) -> bool:
        return job.is_open and not any(one.end for number, one in job.starts.items() if number >= start)

    async def give_back(self, left: Collection[tuple[str, int, datetime]]) -> None:
        """Free slots whose starts never began."""
        self._check_available()
        self.slots.give_back(left)

    async def write(self, batch: Sequence[Record]) -> None:
        """Store all records or none."""
        self._check_available()
        for record in batch:
            if isinstance(record, JobRecord):
                _copied(record.resolved)
        for record in batch:
            self._store(record)

    async def resolved(self, uid: str) -> Resolved | None:
        """Return the work a job was accepted with."""
        self._check_available()
        job = self.jobs_by_uid.get(uid)
        return job.resolved if job else None

    async def final_result(self, uid: str) -> FinalResult:
        """Return the result of a job that ends, and what its starts used and did; its last answer becomes final."""
        self._check_available()
        job = self.jobs_by_uid.get(uid)
        if job is None:
            return FinalResult()
        _finalize(job)
        last = max(job.starts, default=0)
        return FinalResult(_shown(job.result), _usage(job), _progress(job, last) if last else None, _cost(job))

    async def spent(self, uid: str, attempt: int | None = None) -> Spend:
        """Return what all starts of a job used so far, or those of one attempt."""
        self._check_available()
        job = self.jobs_by_uid.get(uid)
        return used(_usage(job, attempt), _cost(job, attempt)) if job else Spend()

    async def progress(self, uid: str, start: int) -> Progress:
        """Return how far a start got."""
        self._check_available()
        job = self.jobs_by_uid.get(uid)
        return _progress(job, start) if job and start in job.starts else Progress()

    async def silence(self, uid: str, start: int) -> timedelta | None:
        """Return for how long nothing was heard of a start."""
        self._check_available()
        found = self._start(uid, start)
        heard = [time for time in (found.claimed, found.heartbeat) if time is not None] if found else []
        return self.now() - max(heard) if heard else None

    async def recorded(self, uid: str) -> str | None:
        """Return the phase a job ended with."""
        self._check_available()
        job = self.jobs_by_uid.get(uid)
        return None if job is None or job.is_open else _phase(job)

    async def lacking(self, records: Sequence[TransitionRecord | StartEnd]) -> list[TransitionRecord | StartEnd]:
        """Return those that are not stored."""
        self._check_available()
        return [record for record in records if not self._has(record)]

    async def job_of(self, namespace: str, schedule: str, name: str, *, since: datetime) -> str | None:
        """Return the uid of a schedule's job of that name, made since then."""
        self._check_available()
        for job in self.jobs_by_uid.values():
            key = job.key
            if (key.namespace, key.schedule, key.name) == (namespace, schedule, name) and key.created >= since:
                return key.uid
        return None

    async def newest(self, namespace: str, names: Collection[str]) -> dict[str, Newest]:
        """Return the newest job of each of these names."""
        self._check_available()
        found = reversed(self._recorded_jobs(namespace))
        return {
            job.name: Newest(job.uid, job.phase, job.reason, not self.jobs_by_uid[job.uid].is_open)
            for job in found
            if job.name in names
        }

    async def answers(self, uids: Collection[str]) -> dict[str, Raw]:
        """Return the whole final answers of those that have one."""
        self._check_available()
        found = {uid: _text(self.jobs_by_uid[uid].result) for uid in uids if uid in self.jobs_by_uid}
        return {uid: answer for uid, answer in found.items() if answer is not None}

    async def parent(self, uid: str) -> ParentRecord:
        """Return what a job was accepted with, all of its answer, and the jobs that follow it."""
        self._check_available()
        job = self.jobs_by_uid.get(uid)
        if job is None:
            return ParentRecord(None, None, {})
        last = job.starts[max(job.starts)].result if job.starts else None
        answer = job.result if job.result is not None else last
        found = [one.key for one in self.jobs_by_uid.values() if one.key.parent_uid == uid]
        return ParentRecord(job.resolved, _text(answer), {one.name: one.uid for one in found})

    async def clock(self) -> datetime:
        """Return the time."""
        self._check_available()
        return self.now()

    async def close_vanished(
        self, lives: Lives, *, listed_at: datetime, namespaces: Collection[str] | None = None
    ) -> int:
        """Mark open jobs that do not live as deleted, and end their starts."""
        self._check_available()
        vanished = [
            job
            for uid, job in self.jobs_by_uid.items()
            if job.is_open
            and job.inserted < listed_at
            and (namespaces is None or job.key.namespace in namespaces)
            and not lives(uid, job.key.namespace, job.key.name)
        ]
        for job in vanished:
            job.deleted = listed_at
            self.slots.release_all(job.key.uid)
            for number, start in job.starts.items():
                if start.end is None:
                    self._store(_vanished(job.key, number, start, listed_at))
        return len(vanished)

    # Runners

    async def claim(
        self, uid: str, start: int, pod_uid: str, *, namespace: str, job: str, budget: Limits | None = None
    ) -> Attempt:
        """Bind a start to the pod that asks first and return its work."""
        self._check_available()
        start_key(uid, start)
        own, found = self.jobs_by_uid.get(uid), self._start(uid, start)
        if own is None or found is None or (own.key.namespace, own.key.name) != (namespace, job):
            raise errors.NotFound(f"job {uid} has no start {start}")
        check(found.pod_uid, found.fenced, uid=uid, start=start, pod=pod_uid, unclaimed=True)
        if own.resolved is None:
            raise errors.NotFound(f"job {uid} was never accepted")
        if found.pod_uid is None:
            found.pod_uid, found.claimed = pod_uid, self.now()
        head = _journal_head(own, start)
        found.run = head["run"]
        attempt = Attempt(
            namespace=namespace,
            job=job,
            uid=uid,
            start=start,
            attempt=found.attempt,
            maxAttempts=own.resolved["spec"]["retry"]["maxAttempts"],
            resolved=cast("Any", _text(own.resolved)),
            result=cast("Any", _text(own.result)),
            journal=head,
            session=self.has_session(uid),
        )
        if budget is not None and budget.dump():
            scope = found.attempt if budget.scope is Scope.ATTEMPT else None
            attempt["budget"] = to_runner(budget, used(_usage(own, scope, before=start), _cost(own, scope)))
        return attempt

    async def read_steps(
        self, uid: str, start: int, pod_uid: str, *, after: int = 0, limit: int = MAX_PAGE_STEPS
    ) -> StepsPage:
        """Return a page of the steps of a start's run."""
        self._check_available()
        found = self._held(uid, start, pod_uid)
        rows = self.jobs_by_uid[uid].steps.values()
        left = [row for row in rows if row.run == found.run and not row.void and row.n > after]
        page, size = [], 0
        for row in left[:limit]:
            if size >= MAX_PAGE_BYTES:
                break
            page.append(recorded(row))
            size += row.bytes
        return page_of_steps(page, more=len(page) < len(left))

    async def append_steps(self, uid: str, start: int, pod_uid: str, body: StepsBody) -> Appended:
        """Record steps, all or none, each once, and count what they used."""
        found = self._fenced(uid, start, pod_uid)
        job, run, keys = self.jobs_by_uid[uid], body["run"], keys_of(body)
        check_run(run, start=start, of_start=found.run)
        of_run = [row for row in job.steps.values() if row.run == run]
        known, stored = [row for row in of_run if row.key in keys], sum(row.bytes for row in of_run)
        changes = append(body, known, start=start, last=len(job.steps), stored=stored)
        for row in (*changes.changed, *changes.inserted):
            old = job.steps.get(row.n)
            job.steps[row.n] = row if old is None else _overwritten(old, row)
        found.run, found.versions = run, found.versions or body.get("versions")
        if changes.usage:
            found.usage = total_usage([found.usage or {}, changes.usage])
        return changes

    async def add_events(self, uid: str, start: int, pod_uid: str, batch: Sequence[Event]) -> list[Event]:
        """Store events of a start, each once, and count what they used."""
        entries = entries_of(batch)
        found = self._fenced(uid, start, pod_uid)
        new = [entry for entry in entries if entry["seq"] not in found.events]
        for entry in new:
            told = entry["seq"], entry["time"], entry["kind"], entry["author"], entry["data"]
            found.events[entry["seq"]] = StoredEvent(start, *told)
        if any(entry["usage"] for entry in new):
            found.usage = total_usage([found.usage or {}, *(entry["usage"] or {} for entry in new)])
        return new_events(batch, [entry["seq"] for entry in new])

    async def heartbeat(self, uid: str, start: int, pod_uid: str) -> None:
        """Note that the pod of a start lives."""
        self._fenced(uid, start, pod_uid)

    async def put_result(self, uid: str, start: int, pod_uid: str, document: ResultDocument) -> Raw | None:
        """Store how a start says it ended; return the job's final result."""
        found = self._fenced(uid, start, pod_uid)
        job, result = self.jobs_by_uid[uid], document["result"]
        if found.reported is None:
            found.reported = _copied({name: value for name, value in document.items() if name != "result"})
            if found.usage is None and result is not None:
                found.usage = {name: result["usage"].get(name, 0) for name in USAGE}
        if document["verdict"] == Verdict.SUCCEED and result is not None:
            if _may_go_on(job, result.get("outcome")):
                found.result = found.result or _copied(result)
            else:
                job.result = job.result or _copied(result)
        return _text(job.result)

    # People

    async def jobs(
        self,
        namespace: str,
        *,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
        name: str | None = None,
        schedule: str | None = None,
        partition_key: str | None = None,
        template: str | None = None,
    ) -> Page[RecordedJob]:
        """Return jobs of a namespace, newest first."""
        self._check_available()
        limit = checked_limit(limit)
        before = None if cursor is None else tuple(parse_cursor(cursor, (datetime, str)))
        found = [
            job
            for job in self._recorded_jobs(namespace)
            if (before is None or (job.created, job.uid) < before)
            and (name is None or job.name == name)
            and (schedule is None or job.schedule == schedule != "")
            and (partition_key is None or job.partition_key == partition_key != "")
            and (template is None or job.template == template != "")
        ]
        return page_of(found[:limit], lambda last: (last.created, last.uid), more=len(found) > limit)

    async def job(self, namespace: str, name_or_uid: str) -> RecordedJob:
        """Return a job by uid, else the newest of that name."""
        self._check_available()
        for asked in ("uid", "name"):
            for job in self._recorded_jobs(namespace):
                if getattr(job, asked) == name_or_uid:
                    return job
        raise errors.NotFound(f"no AgentJob {name_or_uid!r} in the history of namespace {namespace!r}")

    async def story(self, namespace: str, name_or_uid: str) -> Story:
        """Return a job with its starts and transitions, oldest first."""
        told = await self.job(namespace, name_or_uid)
        job = self.jobs_by_uid[told.uid]
        return Story(
            job=told,
            spec_hash=job.spec_hash,
            starts=[_recorded_start(job, number) for number in sorted(job.starts)][-MAX_LIMIT:],
            transitions=[_recorded_move(move) for _, move in sorted(job.transitions.items())][-MAX_LIMIT:],
        )

    async def tree(self, namespace: str, name_or_uid: str) -> RecordedTree:
        """Return a job with those before it and all that follow them."""
        asked = (await self.job(namespace, name_or_uid)).uid
        here = {uid: job.key.parent_uid for uid, job in self.jobs_by_uid.items() if job.key.namespace == namespace}
        up = [asked]
        while (parent := here.get(up[-1], "")) in here and parent not in up:
            up.append(parent)
        down = [up[-1] if here[up[-1]] not in up else asked]
        for uid in down:
            down += sorted(child for child, parent in here.items() if parent == uid and child not in down)
        items = [_related_job(self.jobs_by_uid[uid]) for uid in down[:MAX_TREE]]
        return RecordedTree(items=items, truncated=len(down) > MAX_TREE)

    async def events(
        self,
        uid: str,
        *,
        start: int | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
        newest: bool = False,
    ) -> Page[StoredEvent]:
        """Return a job's events by start and number."""
        self._check_available()
        limit = checked_limit(limit)
        job = self.jobs_by_uid.get(uid)
        starts = [] if job is None else [one for number, one in job.starts.items() if start in (None, number)]
        found = sorted((event for one in starts for event in one.events.values()), key=_place, reverse=newest)
        if cursor is not None:
            last = tuple(parse_cursor(cursor, (int, int)))
            found = [event for event in found if (_place(event) < last if newest else _place(event) > last)]
        items, size = [], 0
        for event in found[:limit]:
            if size >= pages.MAX_PAGE_BYTES:
                break
            items.append(event)
            size += len(memoryview(event.data))
        return page_of(items, _place, more=len(items) < len(found))

    async def steps(
        self, uid: str, *, start: int | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[RecordedStep]:
        """Return a job's steps in the order of recording."""
        self._check_available()
        limit = checked_limit(limit)
        (after,) = (0,) if cursor is None else parse_cursor(cursor, (int,))
        job = self.jobs_by_uid.get(uid)
        rows = job.steps.values() if job else ()
        found = [_recorded_step(job, row) for row in rows if job and row.n > after and start in (None, row.start)]
        return page_of(found[:limit], lambda last: (last.n,), more=len(found) > limit)

    async def result(self, uid: str) -> Raw | None:
        """Return a job's final result."""
        self._check_available()
        job = self.jobs_by_uid.get(uid)
        return _text(job.result) if job else None

    async def parameters(self, uid: str) -> Raw | None:
        """Return the values of the parameters of the job's template."""
        self._check_available()
        job = self.jobs_by_uid.get(uid)
        template = job.resolved.get("template") if job and job.resolved else None
        return _text(template["parameters"]) if template else None

    async def spec(self, uid: str) -> Raw | None:
        """Return a job's spec as it was accepted."""
        self._check_available()
        job = self.jobs_by_uid.get(uid)
        return _text(job.resolved["spec"]) if job and job.resolved else None

    def _check_available(self) -> None:
        if self.away:
            raise errors.Unavailable("history is away")

    def _start(self, uid: str, start: int) -> MemoryStart | None:
        job = self.jobs_by_uid.get(uid)
        return job.starts.get(start) if job else None

    def _fenced(self, uid: str, start: int, pod: str) -> MemoryStart:
        """Return the start of a pod that may write for it, which is a sign of life."""
        self._check_available()
        found = self._held(uid, start, pod)
        found.heartbeat = self.now()
        return found

    def _held(self, uid: str, start: int, pod: str) -> MemoryStart:
        start_key(uid, start)
        found = self._start(uid, start)
        if found is None:
            raise errors.NotFound(f"job {uid} has no start {start}")
        check(found.pod_uid, found.fenced, uid=uid, start=start, pod=pod)
        return found

    def _job(self, key: JobKey) -> MemoryJob:
        return self.jobs_by_uid.setdefault(key.uid, MemoryJob(key, self.now()))

    def _accept(self, record: JobRecord, decisions: Decisions | None = None) -> MemoryJob:
        resolved = _copied(record.resolved)
        job = self._job(record.job)
        if job.resolved is None:
            job.resolved, job.spec_hash, job.queue = resolved, record.spec_hash, _queue(resolved)
            columns = (decisions or Decisions()).columns(record.job.uid)
            job.unique_key = columns["unique_key"]
            job.duplicate_of, job.replaced_by = columns["duplicate_of"] or "", columns["replaced_by"] or ""
        return job

    def _store(self, record: Record) -> None:
        match record:
            case JobRecord():
                self._accept(record)
            case StartRecord(job=key, start=number, time=time):
                begun = MemoryStart(record.attempt, record.pod, time, run=record.run)
                start = self._job(key).starts.setdefault(number, begun)
                start.started = min(start.started or time, time)
                self._fence_older(key.uid)
            case StartEnd():
                self._end(record)
            case TransitionRecord(job=key, transition=number):
                job = self._job(key)
                cleaned = replace(record, reason=clean_text(record.reason), message=clean_text(record.message))
                if job.transitions.setdefault(number, cleaned) is cleaned:
                    _notify(job, record, self.now())
                if record.finished:
                    _finalize(job)
                    self.slots.release_all(key.uid)
            case Deletion(job=key, time=time):
                job = self._job(key)
                self.slots.release_all(key.uid)
                job.deleted = min(job.deleted or time, time)

    def _end(self, record: StartEnd) -> None:
        starts = self._job(record.job).starts
        start = starts.setdefault(record.start, MemoryStart(record.attempt, record.pod))
        if start.end is None:
            start.end = replace(record, reason=clean_text(record.reason), message=clean_text(record.message))
            start.started = min((time for time in (start.started, record.started) if time), default=None)
            start.fenced = start.fenced or self.now()
        self._fence_older(record.job.uid)
        self.slots.release([(record.job.uid, record.start)])

    def _fence_older(self, uid: str) -> None:
        starts = self.jobs_by_uid[uid].starts
        for number, start in starts.items():
            if number < max(starts):
                start.fenced = start.fenced or self.now()

    def _has(self, record: TransitionRecord | StartEnd) -> bool:
        if isinstance(record, StartEnd):
            start = self._start(record.job.uid, record.start)
            return start is not None and start.end is not None
        job = self.jobs_by_uid.get(record.job.uid)
        return job is not None and record.transition in job.transitions

    def _recorded_jobs(self, namespace: str) -> list[RecordedJob]:
        found = [_recorded_job(job) for job in self.jobs_by_uid.values() if job.key.namespace == namespace]
        return sorted(found, key=lambda job: (job.created, job.uid), reverse=True)


def _notify(job: MemoryJob, record: TransitionRecord, now: datetime) -> None:
    """Tell a transition that is new to the sinks that asked for its event."""
    if job.resolved is None:
        return
    row, spec, work = told_of(record), job.resolved["spec"], cast("dict[str, Any]", job.resolved)
    told = {name: value for name, value in row.get("told", {}).items() if value is not None}
    named = {"template": (work.get("template") or {}).get("name"), "partition": spec.get("partitionKey")}
    data = {
        "namespace": job.key.namespace,
        "name": job.key.name,
        "uid": job.key.uid,
        **{name: value for name, value in named.items() if value},
        "phase": record.phase,
        **told,
    }
    for wanted in spec.get("notifications") or ():
        if row.get("event") in wanted["events"]:
            sink, uid = wanted["sink"], job.key.uid
            ahead = [one.due for one in job.notifications.values() if one.is_open and one.sink == sink]
            due = max([now, *ahead])
            job.notifications[sink, record.transition] = MemoryNotification(
                uid, sink, record.transition, row["event"], record.time, data, now, due
            )


def _copied(value: Any) -> Any:
    """Return what PostgreSQL would give back of a JSON value.

    Raises:
        errors.Invalid: it is not JSON.
    """
    try:
        return json.loads(dump_json(value))
    except ValueError as error:
        raise errors.Invalid(f"history cannot store this: {error}") from error


def _queue(resolved: Resolved) -> str:
    return clean_text(resolved["spec"].get("queue") or "")


def _template(resolved: Resolved | None) -> str:
    template = resolved.get("template") if resolved else None
    return template["name"] if template else ""


def _journal_head(job: MemoryJob, start: int) -> JournalHead:
    own = job.starts[start]
    earlier = [(number, one) for number, one in sorted(job.starts.items()) if number < start and one.run is not None]
    before = Before(earlier[-1][1].run or 0, earlier[-1][1].attempt) if earlier else None
    spec = job.resolved["spec"] if job.resolved else {}
    wanted = {"checkpoint": spec.get("steps", {}).get("checkpoint"), "resume": spec["retry"].get("resume")}
    run = own.run or run_of(start, own.attempt, before, **wanted)
    begun = [*(one.versions for _, one in earlier if one.run == run), own.versions]
    last = max((row.n for row in job.steps.values() if row.run == run), default=0)
    return JournalHead(run=run, last=last, versions=next((one for one in begun if one is not None), None))


def _progress(job: MemoryJob, start: int) -> Progress:
    runs = [one.run for number, one in sorted(job.starts.items()) if number <= start and one.run is not None]
    rows = [row for row in job.steps.values() if row.run in runs[-1:] and row.ended is not None and not row.void]
    last = max(rows, key=lambda row: row.n, default=None)
    return Progress(
        before=max((row.n for row in rows if row.start < start), default=0),
        last=last.n if last else 0,
        name=last.name if last else "",
        time=last.ended if last else None,
        advanced=any(row.start == start for row in rows),
    )


def _usage(job: MemoryJob, attempt: int | None = None, *, before: int | None = None) -> dict[str, int]:
    starts = [start for number, start in job.starts.items() if before is None or number < before]
    told = [start.usage or {} for start in starts if attempt in (None, start.attempt)]
    tokens, calls = sum((end.tokens for end in booked(job, attempt)), Tokens()), len(booked(job, attempt))
    return usage(told, {"llmCalls": calls, "inputTokens": tokens.input, "outputTokens": tokens.output})


def booked(job: MemoryJob, attempt: int | None = None) -> list[EndedCall]:
    """Return the calls that count as spent, of all attempts or of one."""
    return [call.booked for call in job.calls.values() if call.booked and attempt in (None, call.attempt)]


def _cost(job: MemoryJob, attempt: int | None = None) -> Decimal | None:
    return _total_cost(call for call in job.calls.values() if attempt in (None, call.attempt))


def _total_cost(calls: Iterable[MemoryCall]) -> Decimal | None:
    costs = [call.booked.cost for call in calls if call.booked]
    return sum(costs, Decimal(0)) if costs else None


def _overwritten(old: StepRow, new: StepRow) -> StepRow:
    """Return a row as it is after a change, which has no names and maybe no content."""
    if new.request is None:
        new = replace(new, request=old.request, body=old.body)
    return replace(new, agent=old.agent, name=old.name)


def _text(value: Any) -> Raw | None:
    return None if value is None else Raw(dump_json(value))


def _phase(job: MemoryJob) -> str:
    current = job.current
    if job.deleted is not None and not (current and current.finished):
        return "Deleted"
    return current.phase if current else "Pending"


def _finalize(job: MemoryJob) -> None:
    """The answer of a job's last start is final, unless another answer is."""
    if job.result is None and job.starts:
        job.result = job.starts[max(job.starts)].result


def _may_go_on(job: MemoryJob, outcome: str | None) -> bool:
    if outcome is None or job.resolved is None or not job.is_open:
        return False
    rules = job.resolved["spec"].get("resultPolicy")
    return rules is not None and may_run_again(rules, outcome)


def _shown(answer: Any) -> Any:
    """Return an answer as it is, or of a large one what is enough to show it."""
    if answer is None or len(json.dumps(answer, ensure_ascii=False).encode()) <= _SHOWN_CHARS:
        return answer
    structured = answer.get("structured")
    small = len(json.dumps(structured, ensure_ascii=False).encode()) <= _SHOWN_CHARS
    return {
        "text": answer["text"][:_SHOWN_CHARS],
        "structured": structured if small else "too large",
        **{name: answer.get(name) for name in ("outcome", "usage", "cutFrom")},
    }


def _vanished(key: JobKey, number: int, start: MemoryStart, time: datetime) -> StartEnd:
    return StartEnd(
        key,
        number,
        start.attempt,
        start.pod,
        start.started,
        time,
        Verdict.CANCEL.value,
        ErrorClass.JOB_DELETED.value,
        False,
        "the job was deleted",
    )


def _place(event: StoredEvent) -> tuple[int, int]:
    return event.start, event.seq


def _recorded_job(job: MemoryJob) -> RecordedJob:
    key, current = job.key, job.current
    newest = max(job.starts, default=0)
    partition = job.resolved["spec"].get("partitionKey") if job.resolved else None
    return RecordedJob(
        uid=key.uid,
        namespace=key.namespace,
        name=key.name,
        phase=_phase(job),
        reason=current.reason if current else "",
        message=current.message if current else "",
        created=key.created,
        changed=current.time if current else None,
        finished=current.time if current and current.finished else None,
        deleted=job.deleted,
        attempts=job.starts[newest].attempt if newest else 0,
        starts=newest,
        schedule=key.schedule,
        template=_template(job.resolved),
        partition_key=clean_text(partition or ""),
        cost_usd=_cost(job),
    )


def _related_job(job: MemoryJob) -> RelatedJob:
    outcome = job.result.get("outcome") if job.result else None
    return RelatedJob(**dict(_recorded_job(job)), parent_uid=job.key.parent_uid, outcome=outcome)


def _recorded_start(job: MemoryJob, number: int) -> RecordedStart:
    start = job.starts[number]
    end = start.end
    return RecordedStart(
        start=number,
        attempt=start.attempt,
        pod=start.pod,
        started=start.started,
        claimed=start.claimed,
        heartbeat=start.heartbeat,
        ended=end.ended if end else None,
        verdict=end.verdict if end else None,
        reason=end.reason if end else None,
        charged=end.charged if end else None,
        message=end.message if end else None,
        reported=start.reported,
        usage=start.usage,
        cost_usd=_total_cost(call for call in job.calls.values() if call.new.start == number),
    )


def _recorded_step(job: MemoryJob, row: StepRow) -> RecordedStep:
    later = any(number > row.start and one.run == row.run for number, one in job.starts.items())
    told = {name: getattr(row, name) for name in RecordedStep.model_fields if hasattr(row, name)}
    calls = sorted(_calls_of(job, row), key=lambda call: call.began)
    served = [call for call in calls if call.end and call.end.outcome is CallOutcome.ANSWERED][-1:]
    return RecordedStep(
        **told,
        replayed=later and row.ended is not None and not row.void,
        cost_usd=_total_cost(calls),
        served=next((call.end.model for call in served if call.end and call.end.model != call.new.asked), None),
        tries=len(calls),
    )


def _calls_of(job: MemoryJob, row: StepRow) -> list[MemoryCall]:
    """Return the calls of a row: of those that have its key, the first which ended after a call began has the call."""
    rows = sorted(
        (one for one in job.steps.values() if (one.run, one.key) == (row.run, row.key)), key=lambda one: one.n
    )
    made = [one for one in job.calls.values() if one.new.step == row.key and job.starts[one.new.start].run == row.run]
    return [
        call for call in made if row is next((one for one in rows if one.ended and one.ended >= call.began), rows[-1])
    ]


def _recorded_move(move: TransitionRecord) -> Transition:
    return Transition(
        transition=move.transition, time=move.time, phase=move.phase, reason=move.reason, message=move.message
    )
