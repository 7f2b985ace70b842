"""Acceptance: a job's work is stored in Postgres, and is used from then on regardless of edits."""

import contextlib
from dataclasses import replace

from agentjobs.api.job.relations import Unique
from agentjobs.api.job.resolve import config_map_keys, resolve_spec
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.job.status import EqualJob
from agentjobs.api.job.unique import unique_key
from agentjobs.contract import Resolved
from agentjobs.core.job.observation import EqualJobFound, Job, Observation
from agentjobs.errors import Invalid, Unavailable
from agentjobs.history import records
from agentjobs.history.records import Ends, JobRecord, NoSlot, SlotRequest, StartRecord, UniqueRequest
from agentjobs.kube.resources import AGENTJOBS
from agentjobs.reconcile.job.facts import Facts, FactsLoader
from agentjobs.reconcile.job.memo import ClaimedSlot, JobMemo
from agentjobs.reconcile.job.orphaned_slots import OrphanedSlots
from agentjobs.reconcile.job.rows import job_key
from agentjobs.reconcile.job.specs import Accepted, read_stored, to_accept
from agentjobs.reconcile.ports import Ports
from agentjobs.reconcile.state import State


class Acceptance:
    """Stores accepted work, and returns the spec for a pod."""

    def __init__(self, ports: Ports, state: State, loader: FactsLoader) -> None:
        self._state = state
        self._history = ports.history
        self._metrics = ports.metrics
        self._loader = loader
        self._left = OrphanedSlots(ports, state)

    async def accept(
        self, seen: Observation, facts: Facts, start: StartRecord | None = None, memo: JobMemo | None = None
    ) -> str | None:
        """Store the job (and its start, with its slot) before anything acts on it.

        Returns the hash of the accepted work, possibly from an earlier acceptance. None while Postgres is unreachable,
        if it has no slot for the start, and if a newer version stored a spec that this one cannot read: then the job
        must be reconciled again. `memo` keeps the slot until the status shows its start.
        """
        job, accepted = seen.job, self._state.specs.accepted(seen.job)
        if accepted is not None and start is None:
            return accepted.hash
        try:
            sent = accepted or await self._to_accept(seen)
            record = JobRecord(job=job_key(job), resolved=sent.resolved, spec_hash=sent.hash)
            answer = await self._store(seen, record, start)
            if isinstance(answer, records.Duplicate | records.Superseded):
                other = EqualJob(answer.name, answer.uid)
                replaces = isinstance(answer, records.Superseded)
                self._state.memo(job).equal_job = EqualJobFound(other, replaces=replaces)
                return None
            self._wake_replaced(job, answer)
            stored = self._state.specs.accept(job.uid, answer.resolved, sent)
            if isinstance(answer, NoSlot):
                self._metrics.claim_refused(answer.reason)
                self._state.room_refused(job, answer.reason, answer.retry_in)
                with contextlib.suppress(Unavailable):  # the next refusal retries
                    await self._left.give_back(answer.holders)
                return None
            if memo is not None and start is not None and answer.claimed is not None:
                memo.claimed = ClaimedSlot(start.start, answer.claimed, job.resource_version)
            self._state.hold_claim(job.key)
            return None if stored.unreadable else stored.hash
        except Unavailable as error:
            self._loader.outage(job, facts, error)
            return None

    async def _store(self, seen: Observation, record: JobRecord, start: StartRecord | None) -> records.AcceptanceAnswer:
        """Store in history, together with changes of the queue's slots that it may not have."""
        unique = unique_request(seen.job, record.resolved, self._state.end_of)
        if start is None:
            return await self._history.accept(records.Acceptance(record, unique=unique))
        queue, partition = (seen.job.namespace, seen.legal_spec.queue), record.resolved["spec"].get("partitionKey")
        policy, changes = self._state.policy(*queue), self._state.slot_changes.of(queue)
        slot = SlotRequest(
            queue=queue[1],
            partition=str(partition or ""),
            limit=policy.limit if policy else 0,
            per_partition=policy.per_partition if policy else None,
            rate=policy.rate if policy else None,
            held=changes.held,
            released=changes.released,
        )
        answer = await self._history.accept(records.Acceptance(record, start, slot, unique))
        if isinstance(answer, records.Accepted | NoSlot):  # else no slot was requested, and nothing was sent
            self._state.slot_changes.delivered(queue, changes)
        return answer

    async def give_up(self, job: Job, memo: JobMemo) -> None:
        """Give back the slot of a start that the job will not begin now.

        Only once the job's version differs from the one of the claim, so that the claim can no longer succeed. Without
        PostgreSQL the next pass does it.
        """
        claimed = memo.claimed
        if claimed is None or claimed.version == job.resource_version:
            return
        if job.status.starts < claimed.start:
            try:
                await self._history.give_back([(job.uid, claimed.start, claimed.time)])
            except Unavailable:
                return
        memo.claimed = None

    async def _to_accept(self, seen: Observation) -> Accepted:
        job, spec, resolved = seen.job, seen.legal_spec, seen.resolved
        if job.accepted and (stored := await self._history.resolved(job.uid)) is not None:
            return read_stored(stored)
        if job.accepted:
            # Accepted, but the database was replaced by an empty one: only the current object remains.
            texts = (await self._loader.awaited(seen)).texts if spec.after else {}
            read = replace(seen.sources, after=texts)
            named = replace(seen, references=frozenset(config_map_keys(spec)), sources=read)
            missing, resolved = await self._loader.references(named)
            if resolved is None:
                raise Invalid("; ".join(missing))
        return to_accept(spec, resolved or resolve_spec(spec, job.object["metadata"], seen.sources))

    def _wake_replaced(self, job: Job, answer: records.Accepted | NoSlot) -> None:
        """Wake the jobs that this job replaced, so that they end. After a crash they find out when they would start."""
        for uid, name in answer.replaced:
            other = self._state.jobs.get((job.namespace, name))
            if isinstance(other, Job) and other.uid == uid:
                self._state.memo(other).equal_job = EqualJobFound(EqualJob(job.name, job.uid), replaces=True)
                self._state.queue.add(AGENTJOBS.key(other.key))

    def for_pod(self, seen: Observation) -> AgentJobSpec | None:
        """Return the spec for a pod: the accepted one. None while it is unknown."""
        if (accepted := self._state.specs.accepted(seen.job)) is not None:
            return accepted.spec
        # Never edited, so the object has the accepted spec; or history has lost it, and only the object remains.
        is_whole = seen.job.generation <= 1 and self._state.specs.own(seen.job).is_alone
        return seen.spec if is_whole or seen.history_available else None


def unique_request(job: Job, resolved: Resolved, ends: Ends) -> UniqueRequest | None:
    """Return the accepted work's request about other jobs with the same key."""
    raw = resolved["spec"].get("unique")
    if raw is None:
        return None
    unique = Unique.model_validate(raw, extra="ignore")
    return UniqueRequest(
        key=unique_key(resolved, name=job.name, uid=job.uid),
        period=unique.period,
        states=unique.states,
        replaces=unique.on_conflict == "Replace",
        is_decided=job.accepted,
        ends=ends,
    )
