"""The operator's writes and reads in memory: `OperatorHistory` for `MemoryHistory`."""

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, cast

from msgspec import Raw

from agentjobs.contract import ErrorClass, Resolved, Verdict
from agentjobs.core.job.observation import FinalResult, ParentRecord, Progress
from agentjobs.history.equal_jobs import Decisions, Keyed
from agentjobs.history.memory_rows import (
    MemoryJob,
    MemoryNotification,
    MemoryRows,
    MemoryStart,
    copied,
    cost_of,
    phase_of,
    progress_of,
    text_of,
    usage_of,
)
from agentjobs.history.outbox_rows import event_of
from agentjobs.history.records import (
    Acceptance,
    AcceptanceAnswer,
    Accepted,
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
    Steering,
    TransitionRecord,
)
from agentjobs.history.sanitize import clean_text
from agentjobs.history.spending import used
from agentjobs.models.budget import Spend

# As PostgreSQL cuts a large answer for the operator.
_SHOWN_CHARS: Final = 32 * 1024


class MemoryOperator(MemoryRows):
    """Jobs, starts, transitions and their slots."""

    async def accept(self, acceptance: Acceptance) -> AcceptanceAnswer:
        """Store a job and its start with its slot."""
        self._check_available()
        decisions = self._decided(acceptance)
        stored = self._accept(acceptance.job, decisions)
        uid = stored.key.uid
        assert stored.resolved is not None
        if uid in decisions.stopped:
            return decisions.stopped[uid]
        stored.queue = clean_text(acceptance.slot.queue if acceptance.slot else _queue(acceptance.job.resolved))
        if acceptance.start is not None:
            if acceptance.slot is not None:
                refusal = self._claim(stored, acceptance.start, acceptance.slot)
                if refusal is not None:
                    return decisions.answer(uid, refusal)
            self._store(acceptance.start)
        held = self.slots.held.get(uid) if acceptance.start and acceptance.slot else None
        return decisions.answer(uid, Accepted(stored.resolved, held.claimed if held else None))

    def _decided(self, acceptance: Acceptance) -> Decisions:
        decisions = Decisions()
        if acceptance.unique is None:
            return decisions
        for uid, job in self.jobs_by_uid.items():
            if uid == acceptance.job.job.uid:
                other = self.jobs_by_uid.get(job.duplicate_of or job.replaced_by)
                name = other.key.name if other else ""
                decisions.remember(uid, job.resolved is not None, job.duplicate_of, job.replaced_by, name)
            elif job.unique_key is not None:
                keyed = Keyed(
                    uid, job.key.name, job.key.created, job.inserted, bool(job.starts), not job.is_open, phase_of(job)
                )
                decisions.know(job.key.namespace, job.unique_key, keyed)
        decisions.decide([acceptance])
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
        return job.is_open and not any(row.end for number, row in job.starts.items() if number >= start)

    async def give_back(self, left: Collection[tuple[str, int, datetime]]) -> None:
        """Free slots whose starts never began."""
        self._check_available()
        self.slots.give_back(left)

    async def write(self, batch: Sequence[Record]) -> None:
        """Store all records or none."""
        self._check_available()
        for record in batch:
            if isinstance(record, JobRecord):
                copied(record.resolved)
        for record in batch:
            self._store(record)

    async def resolved(self, uid: str) -> Resolved | None:
        """Return the accepted work of a job."""
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
        return FinalResult(_shown(job.result), usage_of(job), progress_of(job, last) if last else None, cost_of(job))

    async def spent(self, uid: str, attempt: int | None = None) -> Spend:
        """Return the usage of all starts of a job, or of one attempt."""
        self._check_available()
        job = self.jobs_by_uid.get(uid)
        return used(usage_of(job, attempt), cost_of(job, attempt)) if job else Spend()

    async def progress(self, uid: str, start: int) -> Progress:
        """Return the progress of a start."""
        self._check_available()
        job = self.jobs_by_uid.get(uid)
        return progress_of(job, start) if job and start in job.starts else Progress()

    async def silence(self, uid: str, start: int) -> timedelta | None:
        """Return for how long a start has not reported."""
        self._check_available()
        found = self._start(uid, start)
        reports = [time for time in (found.claimed, found.heartbeat) if time is not None] if found else []
        return self.now() - max(reports) if reports else None

    async def recorded(self, uid: str) -> str | None:
        """Return the phase a job ended with."""
        self._check_available()
        job = self.jobs_by_uid.get(uid)
        return None if job is None or job.is_open else phase_of(job)

    async def lacking(self, records: Sequence[TransitionRecord | StartEnd]) -> list[TransitionRecord | StartEnd]:
        """Return the records that are not stored."""
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
        found = sorted(self.jobs_by_uid.values(), key=lambda job: (job.key.created, job.key.uid))
        return {
            job.key.name: Newest(job.key.uid, phase_of(job), job.current.reason if job.current else "", job.ended)
            for job in found
            if job.key.namespace == namespace and job.key.name in names
        }

    async def answers(self, uids: Collection[str]) -> dict[str, Raw]:
        """Return the complete final answers of these jobs, if any."""
        self._check_available()
        found = {uid: text_of(self.jobs_by_uid[uid].result) for uid in uids if uid in self.jobs_by_uid}
        return {uid: answer for uid, answer in found.items() if answer is not None}

    async def parent(self, uid: str) -> ParentRecord:
        """Return a job's accepted spec, its complete answer, and its follow-up jobs."""
        self._check_available()
        job = self.jobs_by_uid.get(uid)
        if job is None:
            return ParentRecord(None, None, {})
        last = job.starts[max(job.starts)].result if job.starts else None
        answer = job.result if job.result is not None else last
        found = [child.key for child in self.jobs_by_uid.values() if child.key.parent_uid == uid]
        return ParentRecord(job.resolved, text_of(answer), {child.name: child.uid for child in found})

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

    def _job(self, key: JobKey) -> MemoryJob:
        return self.jobs_by_uid.setdefault(key.uid, MemoryJob(key, self.now(), labels=key.labels))

    def _accept(self, record: JobRecord, decisions: Decisions | None = None) -> MemoryJob:
        resolved = copied(record.resolved)
        job = self._job(record.job)
        if job.resolved is None:
            job.resolved, job.spec_hash, job.queue = resolved, record.spec_hash, _queue(resolved)
            job.priority = record.resolved["spec"].get("priority")
            job.labels = record.job.labels
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
                job.workspace = job.workspace or record.workspace
                if record.finished:
                    _finalize(job)
                    self.slots.release_all(key.uid)
            case Steering(job=key, generation=generation):
                job = self._job(key)
                if generation >= job.steered_generation:
                    job.steered_generation = generation
                    if phase_of(job) == "Queued" and job.queue != clean_text(record.queue):
                        job.moved = record.time
                    job.priority, job.queue = record.priority, clean_text(record.queue)
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


def _notify(job: MemoryJob, record: TransitionRecord, now: datetime) -> None:
    """Add notifications of a new transition, for the sinks that subscribe to its event."""
    if job.resolved is None:
        return
    row, spec, work = event_of(record), job.resolved["spec"], cast("dict[str, Any]", job.resolved)
    details = {name: value for name, value in row.get("details", {}).items() if value is not None}
    named = {"template": (work.get("template") or {}).get("name"), "partition": spec.get("partitionKey")}
    data = {
        "namespace": job.key.namespace,
        "name": job.key.name,
        "uid": job.key.uid,
        **{name: value for name, value in named.items() if value},
        "phase": record.phase,
        **details,
    }
    for wanted in spec.get("notifications") or ():
        if row.get("event") in wanted["events"]:
            sink, uid = wanted["sink"], job.key.uid
            ahead = [
                notification.due
                for notification in job.notifications.values()
                if notification.is_open and notification.error and notification.sink == sink
            ]
            due = max([now, *ahead])
            job.notifications[sink, record.transition] = MemoryNotification(
                uid, sink, record.transition, row["event"], record.time, data, now, due
            )


def _queue(resolved: Resolved) -> str:
    return clean_text(resolved["spec"].get("queue") or "")


def _finalize(job: MemoryJob) -> None:
    """The answer of a job's last start is final, unless another answer is."""
    if job.result is None and job.starts:
        job.result = job.starts[max(job.starts)].result


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
