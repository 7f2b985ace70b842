"""Acceptance: what will run is stored in Postgres, and from then on that counts, whatever is edited."""

from dataclasses import replace

from agentjobs.api.job.resolve import Sources, config_map_keys, resolve_spec
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.core.job.observation import Observation
from agentjobs.errors import Invalid, Unavailable
from agentjobs.history import records
from agentjobs.history.records import JobRecord, StartRecord
from agentjobs.reconcile.job.facts import Facts, FactsLoader
from agentjobs.reconcile.job.rows import job_key
from agentjobs.reconcile.job.specs import Accepted, read_stored, to_accept
from agentjobs.reconcile.ports import Ports
from agentjobs.reconcile.state import State


class Acceptance:
    """Stores accepted work, and knows from which spec a pod is made."""

    def __init__(self, ports: Ports, state: State, loader: FactsLoader) -> None:
        self._state = state
        self._history = ports.history
        self._loader = loader

    async def accept(self, seen: Observation, facts: Facts, start: StartRecord | None) -> str | None:
        """Store the job (and its start) before anything acts on it.

        Returns the hash of what is accepted, which an earlier acceptance may have fixed. None while Postgres is away,
        and when a newer version has stored what this one cannot read: then the job is to be looked at again.
        """
        job, accepted = seen.job, self._state.specs.accepted(seen.job)
        if accepted is not None and start is None:
            return accepted.hash
        try:
            sent = accepted or await self._to_accept(seen)
            record = JobRecord(job=job_key(job), resolved=sent.resolved, spec_hash=sent.hash)
            answer = await self._history.accept(records.Acceptance(record, start))
            if not isinstance(answer, records.Accepted):
                return None
            stored = self._state.specs.accept(job.uid, answer.resolved, sent)
            self._state.hold_claim(job.key)
            return None if stored.unreadable else stored.hash
        except Unavailable as error:
            self._loader.outage(job, facts, error)
            return None

    async def _to_accept(self, seen: Observation) -> Accepted:
        job, spec, resolved = seen.job, seen.legal_spec, seen.resolved
        if job.accepted and (stored := await self._history.resolved(job.uid)) is not None:
            return read_stored(stored)
        if job.accepted:
            # Accepted, but the database was replaced by an empty one: what the object says now is all there is.
            named = replace(seen, references=frozenset(config_map_keys(spec)))
            missing, resolved = await self._loader.references(named)
            if resolved is None:
                raise Invalid("; ".join(missing))
        return to_accept(spec, resolved or resolve_spec(spec, job.object["metadata"], Sources()))

    def for_pod(self, seen: Observation) -> AgentJobSpec | None:
        """The spec that a pod is made from: the accepted one. None while it is not known."""
        if (accepted := self._state.specs.accepted(seen.job)) is not None:
            return accepted.spec
        # Never edited, so the object says what was accepted; or history has lost it, and the object is all there is.
        return seen.spec if seen.job.generation <= 1 or seen.history_available else None
