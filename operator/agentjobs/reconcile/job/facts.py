"""Answers the needs of `decide` from Postgres, the API server and the queue, and keeps the answers for one pass.

While Postgres is unreachable, jobs wait. After a failed request, a pass sends it no further requests.
"""

import logging
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, assert_never

from agentjobs.api.job.agent import ConfigMapKey
from agentjobs.api.job.resolve import resolve_spec
from agentjobs.api.problems import FieldProblem
from agentjobs.contract import Resolved
from agentjobs.core.job import needs
from agentjobs.core.job.awaiting import Awaited
from agentjobs.core.job.observation import FinalResult, Heartbeat, Job, Observation, ParentRecord, Progress, Tried
from agentjobs.errors import Invalid, NotFound, Unavailable
from agentjobs.kube.resources import AGENTJOBS, CONFIGMAPS
from agentjobs.models.budget import Spend
from agentjobs.reconcile.job.awaiting import Awaiting
from agentjobs.reconcile.job.dry_run import DryRun
from agentjobs.reconcile.job.end_recorded import is_recorded
from agentjobs.reconcile.job.exhausted import Exhausted
from agentjobs.reconcile.job.memo import JobMemo
from agentjobs.reconcile.job.specs import Own
from agentjobs.reconcile.ports import Ports
from agentjobs.reconcile.setup import RETRY_SECONDS
from agentjobs.reconcile.state import State

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Facts:
    """Answers to the needs of one pass over a job. None or False if not read."""

    spec_known: bool = False
    missing: tuple[str, ...] | None = None
    resolved: Resolved | None = None
    awaited: Awaited | None = None
    heartbeat: Heartbeat | None = None
    progress: Progress | None = None
    spent: tuple[int, Spend] | None = None
    """Usage, and the number of starts that it includes."""
    exhausted: Mapping[str, datetime] | None = None
    end_recorded: bool | None = None
    result: FinalResult | None = None
    record: ParentRecord | None = None
    tried: dict[str, Tried] = field(default_factory=dict)
    """Results of the follow-ups that were tried, by name."""
    outage: bool = False
    """Postgres did not answer in this pass."""
    read_of: Hashable = None
    """The version of object and template for which `missing`, `resolved` and `awaited` were read."""

    @property
    def follow_news(self) -> bool:
        """Whether no answer is kept here that news of this pass may have made stale: an end that another job waits for
        wakes it, and so does PostgreSQL when it is back."""
        return self.awaited is None and not self.outage

    def read(self, version: Hashable) -> None:
        """Discard facts that were read for another version, so that versions are not mixed."""
        if version != self.read_of:
            self.read_of, self.missing, self.resolved, self.awaited = version, None, None, None


class FactsLoader:
    """Answers needs, and detects when Postgres is unreachable."""

    def __init__(self, ports: Ports, state: State, dry_run: DryRun) -> None:
        self._state = state
        self._dry_run = dry_run
        self._cluster = ports.cluster
        self._history = ports.history
        self._writer = ports.writer
        self._awaiting = Awaiting(ports, state)
        models = ports.models
        self._exhausted = None if models is None else Exhausted(models.exhausted_models, ports.monotonic)
        self._now = ports.now

    def away(self, facts: Facts) -> bool:
        """Whether Postgres is known to be unreachable, or did not answer in this pass."""
        return facts.outage or self._history.away

    def exhausted(self, facts: Facts) -> Mapping[str, datetime] | None:
        """The models at their limits; None if history must be read."""
        if facts.exhausted is not None or self._exhausted is None:
            return facts.exhausted
        return self._exhausted.known

    def outage(self, job: Job, facts: Facts, error: Unavailable) -> None:
        """Record that Postgres did not answer: this pass sends no further requests."""
        facts.outage = True
        if not self._history.away:  # logged once for all jobs
            about = {"namespace": job.namespace, "job": job.name, "uid": job.uid, "error": str(error)}
            logger.warning("history.unavailable", extra=about)

    async def load(self, seen: Observation, need: needs.Need, facts: Facts, memo: JobMemo) -> bool:
        """Answer a need. False if the answer is not available yet: then the job is reconciled again later."""
        job = seen.job
        if isinstance(need, needs.ParentRecord) and memo.written != job.resource_version:
            await self._read_again(job)
        match need:
            case needs.Slot():
                self._state.request_slot(job, need)
                return False
            case needs.PodDryRun():
                memo.dry_run = self._state.specs.own(job).version, await self._tried(job)
            case needs.References():
                facts.missing, facts.resolved = await self.references(seen)
            case needs.AwaitedJobs():
                selected = await self._awaiting.selected(seen, memo)
                try:
                    facts.awaited = await self._awaiting.look(seen, selected)
                except Unavailable as error:
                    self.outage(job, facts, error)
            case _:
                try:
                    await self._read_history(job, need, facts)
                except Unavailable as error:
                    self.outage(job, facts, error)
                    return not self._defers(job, need)
        return True

    def pod_problems(self, job: Job, own: Own, memo: JobMemo) -> tuple[FieldProblem, ...] | None:
        """Return why the API server rejects the pod of a job before acceptance; None if unknown."""
        if own.spec is None or job.accepted or job.deleting:
            return ()
        if memo.dry_run is not None and memo.dry_run[0] == own.version:
            return memo.dry_run[1]
        return () if self._dry_run.is_passed(job, own.spec) else None

    async def references(self, seen: Observation) -> tuple[tuple[str, ...], Resolved | None]:
        """Read the ConfigMap keys that the spec names. Return their problems, or the resolved spec."""
        missing: list[str] = []
        contents: dict[ConfigMapKey, str] = {}
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
                contents[ConfigMapKey(name, key)] = data[key]
        if missing:
            return tuple(dict.fromkeys(missing)), None
        sources = replace(seen.sources, contents=contents)
        try:
            return (), resolve_spec(seen.legal_spec, seen.job.object["metadata"], sources)
        except (Invalid, NotFound) as error:
            return (str(error),), None

    async def awaited(self, seen: Observation) -> Awaited:
        """Return again the values that a job reads of the jobs that it has waited for.

        Raises:
            Invalid: they are no longer available.
        """
        awaited = await self._awaiting.look(seen, await self._awaiting.selected(seen, JobMemo(seen.job.uid)))
        self._state.waits.drop(seen.job.key)
        if awaited.problems or not awaited.is_over:
            raise Invalid("; ".join(map(str, awaited.problems)) or awaited.message)
        return awaited

    async def _config_map(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        try:
            found = await self._cluster.get(CONFIGMAPS, namespace, name)
        except NotFound:
            return None
        return found.get("data") or {}

    async def _tried(self, job: Job) -> tuple[FieldProblem, ...]:
        spec = self._state.specs.own(job).spec
        return () if spec is None else await self._dry_run.problems(job, spec)

    async def _read_history(self, job: Job, need: needs.HistoryNeed, facts: Facts) -> None:
        match need:
            case needs.AcceptedSpec():
                await self._recall(job)
                facts.spec_known = True
            case needs.LastHeartbeat(start):
                silence = await self._history.silence(job.uid, start)
                if silence is None and job.active is not None and job.active.started is not None:
                    silence = self._now() - job.active.started  # its runner has not reported yet
                facts.heartbeat = Heartbeat(silence)
            case needs.StartProgress(start):
                facts.progress = await self._history.progress(job.uid, start)
            case needs.Spent(attempt):
                facts.spent = job.status.starts, await self._history.spent(job.uid, attempt)
            case needs.ExhaustedModels():
                facts.exhausted = await self._exhausted.models() if self._exhausted else {}
            case needs.FinalResult():
                facts.result = await self._history.final_result(job.uid)
            case needs.ParentRecord():
                facts.record = await self._history.parent(job.uid)
            case needs.EndRecorded():
                facts.end_recorded = await is_recorded(job, self._cluster, self._history, self._writer)
            case _:
                assert_never(need)

    async def _read_again(self, job: Job) -> None:
        """Read the job from the API server: its follow-ups may have been created, and their jobs deleted."""
        try:
            self._state.observe(AGENTJOBS, None, await self._cluster.get(AGENTJOBS, *job.key))
        except NotFound:
            self._state.observe_gone(AGENTJOBS, job)

    async def _recall(self, job: Job) -> None:
        if (resolved := await self._history.resolved(job.uid)) is not None:
            self._state.specs.accept(job.uid, resolved)
            self._state.hold_claim(job.key)

    def _defers(self, job: Job, need: needs.HistoryNeed) -> bool:
        """Whether the job only waits for this answer: it has ended, and its result is missing."""
        if not (job.finished and isinstance(need, needs.FinalResult)):
            return False
        self._state.queue.add_after(AGENTJOBS.key(job.key), RETRY_SECONDS)
        return True
