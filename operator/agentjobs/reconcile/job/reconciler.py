"""One job's loop: observe what is known, ask `decide`, carry out its one verdict, and look again until it says Keep.

Run by the engine's workers, one worker a key. Every write carries a precondition (resourceVersion, uid, or a name that
can exist once), so that two of us, or one of us twice, do no harm. What a crash leaves half done is finished by whoever
looks next.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from agentjobs.api.job.resolve import config_map_keys
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.problems import Problem
from agentjobs.core.job.decide import decide
from agentjobs.core.job.observation import Job, Observation
from agentjobs.core.pods.manifests import PodDefaults
from agentjobs.core.pods.pod import Pod
from agentjobs.core.queues.admission import JobName
from agentjobs.reconcile.job.acceptance import Acceptance
from agentjobs.reconcile.job.actions import Actions
from agentjobs.reconcile.job.story import ScheduleStory, Story
from agentjobs.reconcile.job.trial import Trial
from agentjobs.reconcile.ports import Ports
from agentjobs.reconcile.schedule.reconciler import Schedules
from agentjobs.reconcile.state import Answers, Key, Memory, State

# A job's longest chain is claim, pod, end, finalizer and a few questions; more than this is two verdicts chasing
# each other, which must show as an error rather than spin.
MAX_STEPS: Final = 24


class Reconciler:
    """Observe, decide, apply for all jobs of the watched namespaces. `state` is fed by the watches."""

    def __init__(
        self,
        ports: Ports,
        *,
        pods: PodDefaults,
        queues: Mapping[str, int],
    ) -> None:
        """`queues` maps the implicit queues, which every namespace has, to their slots."""
        self.state = State(writer=ports.writer, limits=queues, now=ports.now)
        self._story = Story(ports)
        self._acceptance = Acceptance(ports, self.state)
        self._trial = Trial(ports, pods)
        self._actions = Actions(ports, state=self.state, acceptance=self._acceptance, story=self._story, pods=pods)
        self._schedules = Schedules(ports, state=self.state, story=ScheduleStory(ports), trial=self._trial)
        self._now = ports.now
        self._monotonic = ports.monotonic

    async def reconcile(self, key: Key) -> float | None:
        """Work on one key. Returns the seconds after which to look again even if nothing happens."""
        kind, namespace, name = key
        if kind == "queue":
            return self._seconds_to(self.state.admit((namespace, name)).again)
        if kind == "schedule":
            return await self._schedules.reconcile((namespace, name))
        try:
            return await self._reconcile_job((namespace, name))
        finally:
            self.state.settle((namespace, name))

    def _seconds_to(self, moment: datetime | None) -> float | None:
        return None if moment is None else max(0.0, (moment - self._now()).total_seconds())

    def history_is_back(self) -> None:
        """Postgres answers again: look at all that may have waited for it."""
        self.state.wake_schedules()
        for job in self.state.jobs.values():
            if not job.rests:
                self.state.queue.add(("job", *job.key))

    async def _reconcile_job(self, name: JobName) -> float | None:
        job = self.state.jobs.get(name)
        await self._actions.release_orphans(name, job)
        answers = Answers()
        for _ in range(MAX_STEPS):
            job = self.state.jobs.get(name)
            if job is None:
                if (memory := self.state.forget(name)) is not None:
                    self._story.gone(name, memory.uid)
                return None
            memory = self.state.remember(job)
            seen = await self._observe(job, memory, answers)
            await self._actions.hand_over_policy(seen, memory)
            self._actions.warn_of_edits(job, memory)
            now = self._now()
            decision = decide(seen, now)
            if not await self._actions.carry_out(seen, decision, memory, answers):
                return self._seconds_to(decision.again)
        raise RuntimeError(f"job {name[0]}/{name[1]}: {MAX_STEPS} verdicts in a row without rest")

    async def _observe(self, job: Job, memory: Memory, answers: Answers) -> Observation:
        pods = tuple(pod for pod in self.state.pods.by("job", job.key) if pod.owner_uid == job.uid)
        outage = self._acceptance.away(answers)
        if job.finished or job.deleting or job.active:
            self.state.leave(job)  # it needs no slot, or holds one by its claim
        if job.finished:
            # Most jobs of a cluster: what still counts of their specs is read raw.
            recorded = answers.end_recorded
            return Observation(job=job, spec=None, pods=pods, history_available=not outage, end_recorded=recorded)
        own = self.state.specs.own(job)
        if job.accepted:
            await self._acceptance.recall(job, answers)
            outage = self._acceptance.away(answers)
        spec = self.state.specs.in_force(job)
        active_for = self._active_for(job, memory)
        return Observation(
            job=job,
            spec=spec,
            unreadable=self.state.specs.unreadable(job),
            problems=own.problems or await self._try_pod(job, own.spec, memory),
            pods=pods,
            queue_known=spec is None or spec.queue in self.state.limits,
            references=frozenset(config_map_keys(spec)) if spec and not job.accepted else frozenset(),
            missing=answers.missing,
            slot=self.state.slots.answer(job, spec.queue) if spec else None,
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
