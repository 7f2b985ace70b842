"""One job's loop: observe what is known, ask `decide`, carry out its one verdict, and look again until it says Keep.

Run by the engine's workers, one worker a key. Every write carries a precondition (resourceVersion, uid, or a name that
can exist once), so that two of us, or one of us twice, do no harm. What a crash leaves half done is finished by whoever
looks next.
"""

from datetime import datetime, timedelta
from typing import Final

from agentjobs.api.job.resolve import config_map_keys
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.problems import Problem
from agentjobs.core.job.decide import decide
from agentjobs.core.job.ended import EndedJob
from agentjobs.core.job.observation import Job, Observation
from agentjobs.core.job.verdicts import Keep
from agentjobs.core.pods.pod import Pod
from agentjobs.core.queues.admission import JobName
from agentjobs.reconcile.job.acceptance import OUTAGE_SECONDS, Acceptance
from agentjobs.reconcile.job.actions import Actions
from agentjobs.reconcile.job.story import Story
from agentjobs.reconcile.setup import Setup
from agentjobs.reconcile.state import Answers, Memory

# A job's longest chain is claim, pod, end, finalizer and a few questions; more than this is two verdicts chasing
# each other, which must show as an error rather than spin.
MAX_STEPS: Final = 24


class Jobs:
    """Observe, decide, apply for all jobs of the watched namespaces."""

    def __init__(self, setup: Setup) -> None:
        ports, self._state = setup.ports, setup.state
        self._story = Story(ports)
        self._acceptance = Acceptance(ports, self._state)
        self._trial = setup.trial
        self._actions = Actions(
            ports, state=self._state, acceptance=self._acceptance, story=self._story, pods=setup.pods
        )
        self._now = ports.now
        self._monotonic = ports.monotonic

    async def reconcile(self, name: JobName) -> datetime | None:
        """Work on one job. Returns when to look again even if nothing happens."""
        try:
            return await self._reconcile(name)
        finally:
            self._state.mark_seen(name)

    async def _reconcile(self, name: JobName) -> datetime | None:
        job = self._state.jobs.get(name)
        await self._actions.release_orphans(name, job)
        answers = Answers()
        for _ in range(MAX_STEPS):
            job = self._state.jobs.get(name)
            if job is None:
                if (uid := self._state.forget(name)) is not None:
                    self._story.gone(name, uid)
                return None
            if isinstance(job, EndedJob):
                if not self._state.is_due(job):
                    return None
                if not await self._actions.read_again(job):
                    return self._now() + timedelta(seconds=OUTAGE_SECONDS)
                continue
            memory = self._state.remember(job)
            seen = await self._observe(job, memory, answers)
            await self._actions.hand_over_policy(seen, memory)
            self._actions.warn_of_edits(job, memory)
            decision = decide(seen, self._now())
            if not await self._actions.carry_out(seen, decision, memory, answers):
                idle = isinstance(decision.verdict, Keep) and self._state.reduce(job)
                return None if idle else decision.again
        raise RuntimeError(f"job {name[0]}/{name[1]}: {MAX_STEPS} verdicts in a row without rest")

    async def _observe(self, job: Job, memory: Memory, answers: Answers) -> Observation:
        pods = tuple(pod for pod in self._state.pods.by("job", job.key) if pod.owner_uid == job.uid)
        outage = self._acceptance.away(answers)
        if job.finished or job.deleting or job.active:
            self._state.leave(job)  # it needs no slot, or holds one by its claim
        if job.finished:
            # Most jobs of a cluster: what still counts of their specs is read raw.
            recorded = answers.end_recorded
            return Observation(job=job, spec=None, pods=pods, history_available=not outage, end_recorded=recorded)
        own = self._state.specs.own(job)
        if job.accepted:
            await self._acceptance.recall(job, answers)
            outage = self._acceptance.away(answers)
        spec = self._state.specs.in_force(job)
        active_for = self._active_for(job, memory)
        return Observation(
            job=job,
            spec=spec,
            unreadable=self._state.specs.unreadable(job),
            problems=own.problems or await self._try_pod(job, own.spec, memory),
            pods=pods,
            queue_known=spec is None or spec.queue in self._state.limits,
            references=frozenset(config_map_keys(spec)) if spec and not job.accepted else frozenset(),
            missing=answers.missing,
            slot=self._state.slots.answer(job, spec.queue) if spec else None,
            history_available=not outage,
            obstacle=memory.obstacle,
            heartbeat=answers.heartbeat,
            active_for=active_for,
            deleting_for=self._deleting_for(job, pods, memory),
        )

    async def _try_pod(self, job: Job, spec: AgentJobSpec | None, memory: Memory) -> tuple[Problem, ...]:
        """What the API server has against the pod of a job that is not accepted yet; asked once a generation."""
        if spec is None or job.accepted or job.deleting:
            return ()
        if memory.trial is None or memory.trial[0] != job.generation:
            memory.trial = job.generation, await self._trial.problems(job, spec)
        return memory.trial[1]

    def _active_for(self, job: Job, memory: Memory) -> timedelta:
        if job.active is None:
            memory.active = None
            return timedelta(0)
        if memory.active is None or memory.active[0] != job.active.start:
            memory.active = (job.active.start, self._monotonic())
            memory.obstacle = None  # it was another pod's
        return timedelta(seconds=self._monotonic() - memory.active[1])

    def _deleting_for(self, job: Job, pods: tuple[Pod, ...], memory: Memory) -> timedelta:
        active = job.active
        pod = next((pod for pod in pods if active and pod.start == active.start and pod.deletion), None)
        if pod is None:
            memory.terminating = None
            return timedelta(0)
        if memory.terminating is None or memory.terminating[0] != pod.uid:
            memory.terminating = (pod.uid, self._monotonic())
        return timedelta(seconds=self._monotonic() - memory.terminating[1])
