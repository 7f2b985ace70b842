"""What people read, in memory: what `ReadHistory` promises, for `MemoryHistory`."""

import operator

from msgspec import Raw

from agentjobs import errors
from agentjobs.api.job_filter import EVERY_JOB, JobFilter, JobOrder
from agentjobs.api.recorded import (
    JobHistory,
    RecordedJob,
    RecordedStart,
    RecordedStep,
    RecordedTree,
    RecordedWorkspace,
    RelatedJob,
    StepSpan,
    Transition,
)
from agentjobs.contract import Resolved
from agentjobs.history import pages
from agentjobs.history.memory_filter import has
from agentjobs.history.memory_rows import MemoryCall, MemoryJob, MemoryRows, cost_of, phase_of, text_of, total_cost
from agentjobs.history.model_records import CallOutcome
from agentjobs.history.pages import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    MAX_TREE,
    Page,
    checked_limit,
    page_of,
    parse_cursor,
    parse_job_cursor,
    place_of,
    write_job_cursor,
)
from agentjobs.history.records import (
    StoredEvent,
    StoredStep,
    TransitionRecord,
)
from agentjobs.history.sanitize import clean_text
from agentjobs.history.steps import (
    StepRow,
)


class MemoryReads(MemoryRows):
    """Jobs with their stories, trees, events and steps."""

    async def jobs(
        self,
        namespaces: tuple[str, ...] | None,
        chosen: JobFilter = EVERY_JOB,
        *,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[RecordedJob]:
        """Return jobs of these namespaces that match the filter, in its order."""
        self._check_available()
        limit, order = checked_limit(limit), chosen.order
        found = [
            job
            for job in map(_recorded_job, self.jobs_by_uid.values())
            if (namespaces is None or job.namespace in namespaces) and has(job, chosen)
        ]
        found.sort(key=lambda job: (place_of(order, job), job.uid), reverse=order is not JobOrder.OLDEST)
        if cursor is not None:
            last = parse_job_cursor(order, cursor)
            before = operator.gt if order is JobOrder.OLDEST else operator.lt
            found = [job for job in found if before((place_of(order, job), job.uid), last)]
        return Page(found[:limit], write_job_cursor(order, found[limit - 1]) if len(found) > limit else None)

    async def namespaces(self, *, limit: int) -> list[str]:
        """Return the namespaces that have jobs in history, sorted by name."""
        self._check_available()
        return sorted({job.key.namespace for job in self.jobs_by_uid.values()})[:limit]

    async def job(self, namespace: str, name_or_uid: str) -> RecordedJob:
        """Return a job by uid, else the newest of that name."""
        self._check_available()
        for field in ("uid", "name"):
            for job in self._recorded_jobs(namespace):
                if getattr(job, field) == name_or_uid:
                    return job
        raise errors.NotFound(f"no AgentJob {name_or_uid!r} in the history of namespace {namespace!r}")

    async def job_history(self, namespace: str, name_or_uid: str) -> JobHistory:
        """Return a job with its starts and transitions, oldest first."""
        recorded = await self.job(namespace, name_or_uid)
        job = self.jobs_by_uid[recorded.uid]
        return JobHistory(
            job=recorded,
            spec_hash=job.spec_hash,
            starts=[_recorded_start(job, number) for number in sorted(job.starts)][-MAX_LIMIT:],
            transitions=[_recorded_move(move) for _, move in sorted(job.transitions.items())][-MAX_LIMIT:],
        )

    async def tree(self, namespace: str, name_or_uid: str) -> RecordedTree:
        """Return a job's whole tree of follow-ups."""
        found = (await self.job(namespace, name_or_uid)).uid
        here = {uid: job.key.parent_uid for uid, job in self.jobs_by_uid.items() if job.key.namespace == namespace}
        up = [found]
        while (parent := here.get(up[-1], "")) in here and parent not in up:
            up.append(parent)
        down = [up[-1] if here[up[-1]] not in up else found]
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
        starts = [] if job is None else [each for number, each in job.starts.items() if start in (None, number)]
        found = sorted((event for each in starts for event in each.events.values()), key=_place, reverse=newest)
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

    async def spans(self, uid: str) -> list[StepSpan]:
        """Return when each step of a job ran."""
        self._check_available()
        job = self.jobs_by_uid.get(uid)
        rows = sorted(job.steps.values(), key=lambda row: row.n) if job else []
        return [StepSpan(**{name: getattr(row, name) for name in StepSpan.model_fields}) for row in rows]

    async def step(self, uid: str, n: int) -> StoredStep | None:
        """Return one step of a job with its value."""
        self._check_available()
        job = self.jobs_by_uid.get(uid)
        row = job.steps.get(n) if job else None
        if job is None or row is None or row.request is None:
            return None
        return StoredStep(_recorded_step(job, row), row.request, row.body)

    async def result(self, uid: str) -> Raw | None:
        """Return a job's final result."""
        self._check_available()
        job = self.jobs_by_uid.get(uid)
        return text_of(job.result) if job else None

    async def parameters(self, uid: str) -> Raw | None:
        """Return the values of the parameters of the job's template."""
        self._check_available()
        job = self.jobs_by_uid.get(uid)
        template = job.resolved.get("template") if job and job.resolved else None
        return text_of(template["parameters"]) if template else None

    async def spec(self, uid: str) -> Raw | None:
        """Return a job's accepted spec."""
        self._check_available()
        job = self.jobs_by_uid.get(uid)
        return text_of(job.resolved["spec"]) if job and job.resolved else None

    def _recorded_jobs(self, namespace: str) -> list[RecordedJob]:
        found = [_recorded_job(job) for job in self.jobs_by_uid.values() if job.key.namespace == namespace]
        return sorted(found, key=lambda job: (job.created, job.uid), reverse=True)


def _template(resolved: Resolved | None) -> str:
    template = resolved.get("template") if resolved else None
    return template["name"] if template else ""


def _place(event: StoredEvent) -> tuple[int, int]:
    return event.start, event.seq


def _recorded_job(job: MemoryJob) -> RecordedJob:
    key, current = job.key, job.current
    newest = max(job.starts, default=0)
    spec = job.resolved["spec"] if job.resolved else {}
    partition, agent = spec.get("partitionKey"), spec.get("agent") or {}
    return RecordedJob(
        uid=key.uid,
        namespace=key.namespace,
        name=key.name,
        phase=phase_of(job),
        reason=current.reason if current else "",
        message=current.message if current else "",
        created=key.created,
        changed=job.changed,
        finished=current.time if current and current.finished else None,
        deleted=job.deleted,
        attempts=job.starts[newest].attempt if newest else 0,
        starts=newest,
        schedule=key.schedule,
        template=_template(job.resolved),
        partition_key=clean_text(partition or ""),
        queue=job.queue,
        priority=None if job.deleted or (current and current.finished) else job.priority,
        model=clean_text(str(agent.get("model") or "")),
        outcome=job.result.get("outcome") if job.result else None,
        labels=dict(job.labels),
        cost_usd=cost_of(job),
        workspace=None if job.workspace is None else RecordedWorkspace.model_validate(job.workspace),
    )


def _related_job(job: MemoryJob) -> RelatedJob:
    return RelatedJob(**dict(_recorded_job(job)) | {"parent_uid": job.key.parent_uid})


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
        cost_usd=total_cost(call for call in job.calls.values() if call.new.start == number),
    )


def _recorded_step(job: MemoryJob, row: StepRow) -> RecordedStep:
    later = any(number > row.start and each.run == row.run for number, each in job.starts.items())
    fields = {name: getattr(row, name) for name in RecordedStep.model_fields if hasattr(row, name)}
    calls = sorted(_calls_of(job, row), key=lambda call: call.began)
    served = [call for call in calls if call.end and call.end.outcome is CallOutcome.ANSWERED][-1:]
    return RecordedStep(
        **fields,
        replayed=later and row.ended is not None and not row.void,
        cost_usd=total_cost(calls),
        served=next((call.end.model for call in served if call.end and call.end.model != call.new.requested), None),
        tries=len(calls),
    )


def _calls_of(job: MemoryJob, row: StepRow) -> list[MemoryCall]:
    """Return the calls of a row: of those that have its key, the first which ended after a call began has the call."""
    rows = sorted(
        (each for each in job.steps.values() if (each.run, each.key) == (row.run, row.key)), key=lambda each: each.n
    )
    made = [
        each for each in job.calls.values() if each.new.step == row.key and job.starts[each.new.start].run == row.run
    ]
    return [
        call
        for call in made
        if row is next((each for each in rows if each.ended and each.ended >= call.began), rows[-1])
    ]


def _recorded_move(move: TransitionRecord) -> Transition:
    return Transition(
        transition=move.transition, time=move.time, phase=move.phase, reason=move.reason, message=move.message
    )
