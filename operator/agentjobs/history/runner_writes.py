"""Writes of runners through the gateway. Every write checks the fence in its own transaction.

Content from models and tools is data, stored unchanged except for what PostgreSQL cannot store. It is passed as JSON
text (`msgspec.Raw`) if it is not read here, because objects take up to 25 times the memory.
"""

from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec
from msgspec import Raw

from agentjobs import errors
from agentjobs.contract import (
    USAGE,
    Attempt,
    Budget,
    JournalHead,
    ResultDocument,
    StepsBody,
    StepsPage,
    TimelineEntry,
    Verdict,
)
from agentjobs.core.job.policy import may_run_again
from agentjobs.history.database import Connection, Database, as_json
from agentjobs.history.entries import MAX_USAGE, entries_of, new_events
from agentjobs.history.fence import Fence
from agentjobs.history.journal import Journal
from agentjobs.history.ownership import check, start_key
from agentjobs.history.spending import count_turns, query_spending, usage_of, used
from agentjobs.history.statements import load
from agentjobs.history.steps import MAX_PAGE_STEPS, Appended, Before, run_of
from agentjobs.models.budget import Limits, Scope, to_runner

_SQL: Final = load("runner_writes")


class RunnerWrites:
    """Writes of the runners of one cluster.

    Args:
        cluster: uid of the namespace kube-system; only its jobs can be claimed.

    Every method raises `errors.Unavailable` when the database cannot answer within five seconds.
    """

    def __init__(self, database: Database, *, cluster: str) -> None:
        self._database = database
        self._cluster = cluster
        self._fence = Fence(database)
        self._journal = Journal(database, self._fence)

    async def claim(
        self, uid: str, start: int, pod_uid: str, *, namespace: str, job: str, budget: Limits | None = None
    ) -> Attempt:
        """Bind a start to the first pod that claims it, and return its work; the same pod may repeat the request.

        `resolved` and `result` of what it returns are `Raw`.

        Args:
            uid: the job's, from the pod: any client that may create pods can write any uid there.
            namespace: of the pod, which it cannot choose. Only a job of this namespace is accepted.
            job: the name that goes with `uid`.
            budget: the job's budget, from its pod; returned with the usage of earlier starts.

        Raises:
            errors.NotFound: no such start is recorded of such a job.
            errors.Fenced: another pod holds it, it has ended, or a newer start exists.
        """
        key = start_key(uid, start)
        place = {"uid": uid, "cluster": self._cluster, "namespace": namespace, "name": job}

        async def work(tx: Connection) -> Attempt:
            statements = ("lock_start", "work", "journal_before", "journal_end")
            answers = [await tx.execute(_SQL[statement], {**key, **place}) for statement in statements]
            row, own, before, end = [await answer.fetchone() for answer in answers]
            if row is None or own is None:
                raise errors.NotFound(f"job {uid} has no start {start}")
            check(row.pod_uid, row.fenced_at, uid=uid, start=start, pod=pod_uid, unclaimed=True)
            if own.resolved is None:
                raise errors.NotFound(f"job {uid} was never accepted")
            head = _journal_head(start, row, own, before, end)
            if row.pod_uid is None or row.run is None:
                await tx.execute(_SQL["claim"], {**key, "pod": pod_uid, "run": head["run"]})
            attempt = Attempt(
                namespace=namespace,
                job=job,
                uid=uid,
                start=start,
                attempt=row.attempt,
                maxAttempts=own.max_attempts,
                resolved=cast("Any", Raw(own.resolved)),
                result=cast("Any", None if own.result is None else Raw(own.result)),
                journal=head,
                session=own.has_session,
            )
            if own.undecided is not None and own.result is None:
                attempt["undecided"] = own.undecided
            if budget is not None and budget.dump():
                attempt["budget"] = await _budget(tx, budget, uid=uid, start=start, attempt=row.attempt)
            return attempt

        return await self._database.run(work)

    async def read_steps(
        self, uid: str, start: int, pod_uid: str, *, after: int = 0, limit: int = MAX_PAGE_STEPS
    ) -> StepsPage:
        """Return the steps of a start's run by number, without void ones: at most `limit` of those after `after`, and
        fewer where they are large. Requests and bodies are `Raw`.

        Raises:
            errors.Fenced, errors.NotFound: this pod does not hold the start.
        """
        return await self._journal.read(uid, start, pod_uid, after=after, limit=limit)

    async def append_steps(self, uid: str, start: int, pod_uid: str, body: StepsBody) -> Appended:
        """Record steps of a start, each once, all or none, and add what they used to its usage; return what changed.

        Requests and bodies may be `Raw`. It waits while another body of the start is being stored, for three seconds
        at most.

        Raises:
            errors.Fenced, errors.NotFound: as `add_events`.
            errors.Invalid: the run is not the start's, a time cannot be stored, or `errors.JournalFull`.
        """
        return await self._journal.append(uid, start, pod_uid, body)

    async def add_events(
        self, uid: str, start: int, pod_uid: str, batch: Sequence[TimelineEntry]
    ) -> list[TimelineEntry]:
        """Store events of a start and add what they used to its usage; those already there stay, and count once.

        Returns the events that were not there yet.

        Raises:
            errors.Fenced, errors.NotFound: as `claim`, or this pod never claimed the start.
            errors.Busy: another body of this start is being stored; raised immediately, so that no connection waits.
            errors.Invalid: a time or number cannot be stored; nothing of the batch is.
        """
        rows = as_json(Raw(msgspec.json.encode(entries_of(batch))))
        async with self._fence(uid, start, pod_uid) as tx:
            stored = batch and await tx.execute(
                _SQL["add_events"], {**start_key(uid, start), "rows": rows, "most": MAX_USAGE}
            )
        if not stored:
            return []
        found: Any = await stored.fetchone()
        return new_events(batch, found.seqs)

    async def heartbeat(self, uid: str, start: int, pod_uid: str) -> None:
        """Record that the pod of a start is alive, also while a body of it is being stored. Raises Fenced and
        NotFound as `add_events`."""
        await self._fence.heartbeat(uid, start, pod_uid)

    async def put_result(self, uid: str, start: int, pod_uid: str, document: ResultDocument) -> Raw | None:
        """Store a start's own report of its end; return the job's final result, possibly another start's.

        The result itself, or its text and what is structured, may be `Raw`.

        The first result with the verdict Succeed is final for the job; None while there is none. If a rule may run the
        job again after its outcome, it is kept with its start until the operator ends the job with it.

        Raises:
            errors.Fenced, errors.NotFound, errors.Invalid, errors.Busy: as `add_events`.
        """
        key, result = start_key(uid, start), document["result"]
        reported = {name: value for name, value in document.items() if name != "result"}
        # An older runner sends no usage with its events, so its own sum is used.
        used = None if result is None else {name: result["usage"].get(name, 0) for name in USAGE}
        async with self._fence(uid, start, pod_uid) as tx:
            await tx.execute(_SQL["report"], {**key, "reported": as_json(reported), "usage": as_json(used)})
            if document["verdict"] == Verdict.SUCCEED and result is not None:
                again = await self._may_run_again(tx, uid, result.get("outcome"))
                keep = _SQL["keep_answer" if again else "insert_result"]
                await tx.execute(keep, {**key, "result": as_json(result)})
            final = await tx.execute(_SQL["final_result"], {"uid": uid})
        row = await final.fetchone()
        return None if row is None else Raw(row[0])

    async def _may_run_again(self, tx: Connection, uid: str, outcome: str | None) -> bool:
        if outcome is None:
            return False
        row: Any = await (await tx.execute(_SQL["policy"], {"uid": uid})).fetchone()
        return row is not None and row.rules is not None and may_run_again(row.rules, outcome)


async def _budget(tx: Connection, limits: Limits, *, uid: str, start: int, attempt: int) -> Budget:
    of = {"uid": uid, "before": start, "attempt": attempt if limits.scope is Scope.ATTEMPT else None}
    row = await (await query_spending(tx, [of])).fetchone()
    turns = None if limits.turns is None else await count_turns(tx, of)
    return to_runner(limits, used(usage_of(row), row.cost), turns)


def _journal_head(start: int, row: Any, own: Any, before: Any, end: Any) -> JournalHead:
    """Return a start's summary of earlier steps. `row` is its own, `before` the previous start's, `end` the newest
    step's.
    """
    earlier = None if before is None else Before(before.run, before.attempt)
    run = row.run or own.result_run or run_of(start, row.attempt, earlier, checkpoint=own.checkpoint, resume=own.resume)
    begun = row.versions if earlier is None or run != earlier.run else before.versions or row.versions
    versions = cast("Any", None if begun is None else Raw(begun))
    return JournalHead(run=run, last=end.n if end is not None and end.run == run else 0, versions=versions)
