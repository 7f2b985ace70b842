"""Acceptance: what the spec names is read, what will run is stored, and from then on that counts.

The only part that asks Postgres before an act. While it is away, jobs wait and say so.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from agentjobs.api.job.agent import ConfigMapKey
from agentjobs.api.job.resolve import config_map_keys, resolve_spec
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.core.job.observation import Job, Observation
from agentjobs.errors import Invalid, NotFound, Unavailable
from agentjobs.history.records import JobRecord, StartRecord
from agentjobs.kube.resources import CONFIGMAPS
from agentjobs.reconcile.job.rows import job_key
from agentjobs.reconcile.job.specs import Accepted, read_stored, to_accept
from agentjobs.reconcile.ports import Ports
from agentjobs.reconcile.state import Answers, State

logger = logging.getLogger(__name__)

OUTAGE_SECONDS: Final = 2.0


class Acceptance:
    """Reads references, stores accepted work, and knows when Postgres is away."""

    def __init__(self, ports: Ports, state: State) -> None:
        self._state = state
        self._cluster = ports.cluster
        self._history = ports.history

    def away(self, answers: Answers) -> bool:
        """Whether Postgres is known to be away, or did not answer in this look."""
        return answers.outage or self._history.away

    def outage(self, job: Job, answers: Answers, error: Unavailable) -> None:
        """Postgres did not answer: this look asks no more, and the job waits a little before the next."""
        answers.outage = True
        if not self._history.away:  # that is told once for all jobs
            said = {"namespace": job.namespace, "job": job.name, "uid": job.uid, "error": str(error)}
            logger.warning("history.unavailable", extra=said)

    async def read_references(self, seen: Observation, answers: Answers) -> None:
        """Read the ConfigMap keys that the spec names, and say which are missing or of no use."""
        missing: list[str] = []
        maps: dict[str, Mapping[str, Any] | None] = {}
        for name, key in sorted(seen.references):
            if name not in maps:
                maps[name] = await self._config_map(seen.job.namespace, name)
            data = maps[name]
            if data is None:
                missing.append(f"ConfigMap {name} does not exist in namespace {seen.job.namespace}")
            elif not isinstance(data.get(key), str):
                missing.append(f"ConfigMap {name} has no key {key}")
            else:
                answers.contents[ConfigMapKey(name, key)] = data[key]
        if not missing and seen.spec is not None:
            try:
                resolve_spec(seen.spec, seen.job.object["metadata"], answers.contents)
            except (Invalid, NotFound) as error:
                missing.append(str(error))
        answers.missing = tuple(dict.fromkeys(missing))

    async def _config_map(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        try:
            found = await self._cluster.get(CONFIGMAPS, namespace, name)
        except NotFound:
            return None
        return found.get("data") or {}

    async def accept(self, seen: Observation, answers: Answers, start: StartRecord | None) -> str | None:
        """Store the job (and its start) before anything acts on it.

        Returns the hash of what is accepted, which an earlier acceptance may have fixed. None while Postgres is away,
        and when a newer version has stored what this one cannot read: then the job is to be looked at again.
        """
        job, accepted = seen.job, self._state.specs.accepted(seen.job)
        if accepted is not None and start is None:
            return accepted.hash
        try:
            sent = accepted or await self._to_accept(seen, answers)
            record = JobRecord(job=job_key(job), resolved=sent.resolved, spec_hash=sent.hash)
            stored = self._state.specs.accept(job.uid, await self._history.accept(record, start), sent)
            self._state.hold_claim(job.key)
            return None if stored.unreadable else stored.hash
        except Unavailable as error:
            self.outage(job, answers, error)
            return None

    async def _to_accept(self, seen: Observation, answers: Answers) -> Accepted:
        job, spec = seen.job, seen.spec
        if job.accepted and (stored := await self._history.resolved(job.uid)) is not None:
            return read_stored(stored)
        assert spec is not None  # a job whose spec breaks rules ends before
        if job.accepted:
            # Accepted, but the database was replaced by an empty one: what the object says now is all there is.
            await self.read_references(replace(seen, references=frozenset(config_map_keys(spec))), answers)
        return to_accept(spec, resolve_spec(spec, job.object["metadata"], answers.contents))

    async def recall(self, job: Job, answers: Answers) -> None:
        """Ask what was accepted of a job whose object may not say it: it was edited, or we would not accept it."""
        specs = self._state.specs
        as_accepted = job.generation <= 1 and specs.own(job).spec is not None
        if as_accepted or specs.accepted(job) is not None or self.away(answers):
            return
        try:
            resolved = await self._history.resolved(job.uid)
        except Unavailable as error:
            self.outage(job, answers, error)
            return
        if resolved is not None:
            specs.accept(job.uid, resolved)
            self._state.hold_claim(job.key)

    def for_pod(self, seen: Observation) -> AgentJobSpec | None:
        """The spec a pod is built from: the accepted one. None while nobody can say what that is."""
        if (accepted := self._state.specs.accepted(seen.job)) is not None:
            return accepted.spec
        # Never edited, so what stands in the object is what was accepted; or history forgot it, and it is all there is.
        return seen.spec if seen.job.generation <= 1 or seen.history_available else None
