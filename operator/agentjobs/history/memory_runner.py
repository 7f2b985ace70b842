"""The runners' writes and reads in memory: `RunnerHistory` for `MemoryHistory`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from msgspec import Raw

from agentjobs import errors
from agentjobs.contract import (
    USAGE,
    Attempt,
    JournalHead,
    ResultDocument,
    StepsBody,
    StepsPage,
    TimelineEntry,
    Verdict,
)
from agentjobs.core.job.policy import may_run_again
from agentjobs.history.entries import entries_of, new_events, total_usage
from agentjobs.history.memory_rows import (
    MemoryJob,
    MemoryRows,
    MemoryStart,
    copied,
    cost_of,
    text_of,
    turns_of,
    usage_of,
)
from agentjobs.history.ownership import check, start_key
from agentjobs.history.records import (
    StoredEvent,
)
from agentjobs.history.spending import used
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
from agentjobs.models.budget import Limits, Scope, to_runner


class MemoryRunner(MemoryRows):
    """Claims, steps, events and results, behind the fence."""

    async def claim(
        self, uid: str, start: int, pod_uid: str, *, namespace: str, job: str, budget: Limits | None = None
    ) -> Attempt:
        """Bind a start to the first pod that claims it, and return its work."""
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
            resolved=cast("Any", text_of(own.resolved)),
            result=cast("Any", text_of(own.result)),
            journal=head,
            session=self.has_session(uid),
        )
        if found.result is not None and own.result is None:
            attempt["undecided"] = found.result["outcome"]
        if budget is not None and budget.dump():
            scope = found.attempt if budget.scope is Scope.ATTEMPT else None
            spent = used(usage_of(own, scope, before=start), cost_of(own, scope))
            turns = None if budget.turns is None else turns_of(own, scope, before=start)
            attempt["budget"] = to_runner(budget, spent, turns)
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

    async def add_events(
        self, uid: str, start: int, pod_uid: str, batch: Sequence[TimelineEntry]
    ) -> list[TimelineEntry]:
        """Store events of a start, each once, and count what they used."""
        entries = entries_of(batch)
        found = self._fenced(uid, start, pod_uid)
        new = [entry for entry in entries if entry["seq"] not in found.events]
        for entry in new:
            fields = entry["seq"], entry["time"], entry["kind"], entry["author"], entry["data"]
            found.events[entry["seq"]] = StoredEvent(start, *fields)
        if any(entry["usage"] for entry in new):
            found.usage = total_usage([found.usage or {}, *(entry["usage"] or {} for entry in new)])
        return new_events(batch, [entry["seq"] for entry in new])

    async def heartbeat(self, uid: str, start: int, pod_uid: str) -> None:
        """Record that the pod of a start is alive."""
        self._fenced(uid, start, pod_uid)

    async def put_result(self, uid: str, start: int, pod_uid: str, document: ResultDocument) -> Raw | None:
        """Store the ending that a start reports; return the job's final result."""
        found = self._fenced(uid, start, pod_uid)
        job, result = self.jobs_by_uid[uid], document["result"]
        if found.reported is None:
            found.reported = copied({name: value for name, value in document.items() if name != "result"})
            if found.usage is None and result is not None:
                found.usage = {name: result["usage"].get(name, 0) for name in USAGE}
        if document["verdict"] == Verdict.SUCCEED and result is not None:
            if _may_go_on(job, result.get("outcome")):
                found.result = found.result or copied(result)
            elif job.result is None:
                job.result, job.result_run = copied(result), found.run or start
        return text_of(job.result)

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


def _journal_head(job: MemoryJob, start: int) -> JournalHead:
    own = job.starts[start]
    earlier = [(number, each) for number, each in sorted(job.starts.items()) if number < start and each.run is not None]
    before = Before(earlier[-1][1].run or 0, earlier[-1][1].attempt) if earlier else None
    spec = job.resolved["spec"] if job.resolved else {}
    wanted = {"checkpoint": spec.get("steps", {}).get("checkpoint"), "resume": spec["retry"].get("resume")}
    run = own.run or job.result_run or run_of(start, own.attempt, before, **wanted)
    begun = [*(each.versions for _, each in earlier if each.run == run), own.versions]
    last = max((row.n for row in job.steps.values() if row.run == run), default=0)
    return JournalHead(run=run, last=last, versions=next((each for each in begun if each is not None), None))


def _overwritten(old: StepRow, new: StepRow) -> StepRow:
    """Return a row as it is after a change, which has no names and maybe no content."""
    if new.request is None:
        new = replace(new, request=old.request, body=old.body)
    return replace(new, agent=old.agent, name=old.name)


def _may_go_on(job: MemoryJob, outcome: str | None) -> bool:
    if outcome is None or job.resolved is None or not job.is_open:
        return False
    rules = job.resolved["spec"].get("resultPolicy")
    return rules is not None and may_run_again(rules, outcome)
