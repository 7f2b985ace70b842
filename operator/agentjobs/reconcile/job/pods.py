"""Creates the pod of a claimed start, or adopts an existing one."""

from agentjobs.api.conditions import PodStartedReason
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.contract import LABEL_JOB, LABEL_RELEASED, cut, pod_name
from agentjobs.core.job.actions import MakePod
from agentjobs.core.job.observation import Job, Obstacle
from agentjobs.core.pods.defaults import PodDefaults
from agentjobs.core.pods.manifests import runner_pod
from agentjobs.core.pods.pod import parse_pod
from agentjobs.core.pods.policy import obstacle_of
from agentjobs.errors import AlreadyExists, Denied, Invalid
from agentjobs.kube.resources import PODS
from agentjobs.models.budget import Limits
from agentjobs.reconcile.job.prerequisites import Prerequisites
from agentjobs.reconcile.ports import Ports
from agentjobs.reconcile.state import State


class PodMaker:
    """Creates pods, each after its prerequisites."""

    def __init__(self, ports: Ports, state: State, prerequisites: Prerequisites, defaults: PodDefaults) -> None:
        self._state = state
        self._cluster = ports.cluster
        self._prerequisites = prerequisites
        self._defaults = defaults

    async def make(self, job: Job, action: MakePod, spec: AgentJobSpec, limits: Limits) -> Obstacle | None:
        """Create the pod of a start from the accepted spec, with the current budget; return the obstacle, if any."""
        return (
            obstacle_of(spec, self._defaults)
            # Before the pod, which must never run without its network policy.
            or await self._prerequisites.make(job, spec)
            or await self._make(job, action, spec, limits)
        )

    async def _make(self, job: Job, action: MakePod, spec: AgentJobSpec, limits: Limits) -> Obstacle | None:
        body = runner_pod(
            namespace=job.namespace,
            job=job.name,
            uid=job.uid,
            start=action.start,
            attempt=action.attempt,
            ran=job.status.running_seconds,
            spec=spec,
            defaults=self._defaults,
            limits=limits,
            template=(job.status.resolved.template if job.status.resolved else None) or "",
            local_queue=self._state.policies.local_queue((job.namespace, spec.queue)),
        )
        try:
            self._state.observe(PODS, None, await self._cluster.create(PODS, job.namespace, body, strict=True))
        except AlreadyExists:
            return await self._adopt(job, pod_name(job.name, action.start))
        except (Denied, Invalid) as error:
            # 403 is a quota, a policy or a namespace that is being deleted, and may be temporary; 422 is an invalid
            # pod.
            return Obstacle(PodStartedReason.POD_REFUSED, cut(str(error), 900), final=isinstance(error, Invalid))
        return None

    async def _adopt(self, job: Job, name: str) -> Obstacle | None:
        """Adopt the existing pod with this start's name, if the job owns it."""
        found = await self._cluster.get(PODS, job.namespace, name)
        pod = parse_pod(found)
        if pod.owner_uid != job.uid:
            message = f"a pod {name} exists that does not belong to this job; delete it and the job continues"
            return Obstacle(PodStartedReason.POD_NAME_TAKEN, message)
        if pod.label != job.name:
            # Its labels were edited; pods are watched by labels.
            labels = {LABEL_JOB: job.name, LABEL_RELEASED: None}
            meta = {"uid": pod.uid, "resourceVersion": pod.resource_version, "labels": labels}
            found = await self._cluster.patch(PODS, job.namespace, name, {"metadata": meta})
        self._state.observe(PODS, None, found)
        return None
