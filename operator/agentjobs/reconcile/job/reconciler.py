"""One job's loop: observe, call `decide`, answer its need or apply its action, until that is Keep.

Run by the engine's workers, one worker per key. Every write has a precondition (resourceVersion, uid, or a unique
name), so that two operators at the same time, or a repetition, do no harm. The next pass completes what a crash left
half done.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from agentjobs.api.job.budget import limits_of
from agentjobs.api.job.resolve import config_map_keys
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.core.job import needs
from agentjobs.core.job.actions import Claim, Decision, Keep, NeedOrDecision
from agentjobs.core.job.decide import decide
from agentjobs.core.job.ended import EndedJob
from agentjobs.core.job.models import exhausted_until, requested_models, uncounted, unpriced
from agentjobs.core.job.observation import Job, Observation
from agentjobs.core.pods.pod import Pod
from agentjobs.core.queues.admission import JobName
from agentjobs.kube.resources import AGENTJOBS
from agentjobs.reconcile.job.acceptance import Acceptance
from agentjobs.reconcile.job.apply import Applier
from agentjobs.reconcile.job.facts import Facts, FactsLoader
from agentjobs.reconcile.job.follow_ups import FollowUps
from agentjobs.reconcile.job.memo import JobMemo
from agentjobs.reconcile.job.reporter import JobReporter
from agentjobs.reconcile.job.specs import Own
from agentjobs.reconcile.setup import RETRY_SECONDS, Setup

# A job's longest chain is claim, pod, end, finalizer and a few needs. More means that two actions undo each other,
# which must be an error instead of an endless loop.
MAX_STEPS: Final = 24


class Jobs:
    """Observe, decide, apply for all jobs of the watched namespaces."""

    def __init__(self, setup: Setup) -> None:
        ports, self._state = setup.ports, setup.state
        self._reporter = JobReporter(ports)
        self._facts = FactsLoader(ports, self._state, setup.dry_run)
        self._acceptance = acceptance = Acceptance(ports, self._state, self._facts)
        self._applier = Applier(
            ports,
            state=self._state,
            acceptance=acceptance,
            reporter=self._reporter,
            pods=setup.pods,
            follow_ups=FollowUps(setup),
        )
        self._depth = setup.follow_up_depth
        self._max_llm_calls = setup.pods.max_llm_calls
        self._models = setup.models
        self._sinks = setup.sinks
        self._has_proxy = setup.pods.models_url is not None
        self._has_ledger = ports.models is not None
        self._now = ports.now
        self._monotonic = ports.monotonic

    async def reconcile(self, name: JobName) -> datetime | None:
        """Reconcile one job. Returns when to reconcile again even without an event."""
        try:
            return await self._reconcile(name)
        finally:
            self._state.mark_seen(name)

    async def _reconcile(self, name: JobName) -> datetime | None:
        facts = Facts()
        for _ in range(MAX_STEPS):
            if facts.follow_news:
                self._state.queue.catch_up(AGENTJOBS.key(name))
            await self._applier.release_orphans(name, self._state.jobs.get(name))
            job = self._state.jobs.get(name)
            if job is None:
                if (uid := self._state.forget(name)) is not None:
                    self._reporter.gone(name, uid)
                return None
            if isinstance(job, EndedJob):
                if not self._state.is_due(job):
                    self._state.renew_expiry(job)
                    return None
                if not await self._applier.read_again(job):
                    return self._now() + timedelta(seconds=RETRY_SECONDS)
                continue
            memo = self._state.memo(job)
            seen = self._observe(job, memo, facts)
            answer = decide(seen, self._now())
            if memo.claimed is not None and _gives_up(answer):
                await self._acceptance.give_up(job, memo)
            if not isinstance(answer, Decision):
                if not await self._facts.load(seen, answer, facts, memo):
                    return None
                continue
            await self._applier.hand_over(seen, memo)
            self._applier.warn_of_edits(job, memo)
            self._applier.record_steering(seen, memo)
            if not await self._applier.apply(seen, answer.action, facts, memo):
                idle = isinstance(answer.action, Keep) and self._state.reduce(job)
                return None if idle else answer.again
        raise RuntimeError(
            f"job {name[0]}/{name[1]}: {MAX_STEPS} needs and actions in a row without reaching a stable state"
        )

    def _observe(self, job: Job, memo: JobMemo, facts: Facts) -> Observation:
        pods = tuple(pod for pod in self._state.pods.by("job", job.key) if pod.owner_uid == job.uid)
        available = not self._facts.away(facts)
        if job.finished or job.deleting or job.active:
            self._state.leave(job)  # it needs no slot, or holds one by its claim
        if job.finished:
            return self._observe_finished(job, pods, facts, available=available)
        own = self._state.specs.own(job)
        spec = self._state.specs.in_force(job, own)
        facts.read(own.version)
        known = facts.spec_known or self._is_known(job, own)
        if not known and not available and not own.is_alone:
            spec = None  # the template may have changed since the job was accepted
        active_for = self._active_for(job, pods, memo)
        models = self._requested_models(spec, memo) if job.active is None else frozenset[str]()
        exhausted = self._facts.exhausted(facts) if models else None
        return Observation(
            job=job,
            spec=spec,
            unreadable=self._state.specs.unreadable(job),
            spec_known=known,
            limits=limits_of(spec.budget if spec else None, max_llm_calls=self._max_llm_calls),
            without=own.without if spec is None else "",
            sources=replace(own.sources, after=facts.awaited.texts) if facts.awaited else own.sources,
            problems=own.problems,
            pod_problems=self._facts.pod_problems(job, own, memo),
            pods=pods,
            queue_known=spec is None or self._state.policy(job.namespace, spec.queue) is not None,
            stop=self._state.stop_of(job),
            references=frozenset(config_map_keys(spec)) if spec and not job.accepted else frozenset(),
            equal_job=memo.equal_job,
            awaited=facts.awaited,
            missing=facts.missing,
            resolved=facts.resolved,
            unknown_sinks=self._unknown_sinks(job, spec),
            unpriced=self._unpriced(job, spec),
            spent=facts.spent[1] if facts.spent and facts.spent[0] == job.status.starts else None,
            exhausted=None if exhausted is None else self._exhausted(job, models, exhausted),
            models=models,
            slot=self._state.slots.answer(job, spec.queue) if spec else None,
            history_available=available,
            obstacle=memo.obstacle,
            heartbeat=facts.heartbeat,
            active_for=active_for,
            deleting_for=self._deleting_for(job, pods, memo),
            stopped=memo.stopped,
            progress=facts.progress,
            result=facts.result,
            follow_ups=self._state.specs.follow_ups(job, own),
        )

    def _observe_finished(self, job: Job, pods: tuple[Pod, ...], facts: Facts, *, available: bool) -> Observation:
        """Observe a finished job, as most jobs are: the remaining fields of its spec are read raw."""
        return Observation(
            job=job,
            spec=None,
            pods=pods,
            history_available=available,
            end_recorded=facts.end_recorded,
            result=facts.result,
            record=facts.record,
            tried=facts.tried,
            depth=self._depth,
        )

    def _requested_models(self, spec: AgentJobSpec | None, memo: JobMemo) -> frozenset[str]:
        if spec is None or not self._has_ledger:
            return frozenset()
        if memo.models is None or memo.models[0] is not spec:
            memo.models = spec, requested_models(spec, self._models.aliases)
        return memo.models[1]

    def _exhausted(self, job: Job, models: frozenset[str], exhausted: Mapping[str, datetime]) -> dict[str, datetime]:
        ends = (
            {model: exhausted_until(self._models, model, job.namespace, exhausted) for model in models}
            if exhausted
            else {}
        )
        return {model: until for model, until in ends.items() if until is not None}

    def _unknown_sinks(self, job: Job, spec: AgentJobSpec | None) -> tuple[str, ...]:
        if job.accepted or spec is None:
            return ()
        return tuple(rule.sink for rule in spec.notifications if rule.sink not in self._sinks)

    def _unpriced(self, job: Job, spec: AgentJobSpec | None) -> tuple[str, ...]:
        if job.accepted or spec is None or spec.budget is None or spec.budget.max_cost_usd is None:
            return ()
        if not self._has_proxy:
            return uncounted(spec)
        return unpriced(
            spec, lambda model: self._models.price(model, self._now().date()) is not None, self._models.source
        )

    def _is_known(self, job: Job, own: Own) -> bool:
        """Whether the accepted spec is known without a request: it was read, or the object was never edited."""
        if not job.accepted or self._state.specs.accepted(job) is not None:
            return True
        return job.generation <= 1 and own.spec is not None and own.is_alone

    def _active_for(self, job: Job, pods: tuple[Pod, ...], memo: JobMemo) -> timedelta:
        """Return how long the active start has been observed with a pod without scheduling gates."""
        if job.active is None:
            memo.active = None
            return timedelta(0)
        if memo.active is None or memo.active[0] != job.active.start:
            memo.active = (job.active.start, self._monotonic())
            memo.obstacle = None  # it was another pod's
        if any(pod.gates and pod.start == job.active.start for pod in pods):
            memo.active = (job.active.start, self._monotonic())
        return timedelta(seconds=self._monotonic() - memo.active[1])

    def _deleting_for(self, job: Job, pods: tuple[Pod, ...], memo: JobMemo) -> timedelta:
        active = job.active
        pod = next((pod for pod in pods if active and pod.start == active.start and pod.deletion), None)
        if pod is None:
            memo.terminating = None
            return timedelta(0)
        if memo.terminating is None or memo.terminating[0] != pod.uid:
            memo.terminating = (pod.uid, self._monotonic())
        return timedelta(seconds=self._monotonic() - memo.terminating[1])


def _gives_up(answer: NeedOrDecision) -> bool:
    """Whether a job with a granted slot does something other than claiming its start."""
    if isinstance(answer, Decision):
        return not isinstance(answer.action, Claim)
    return isinstance(answer, needs.Slot)
