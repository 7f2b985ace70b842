"""Asks the API server, before a job is accepted or a schedule makes it, whether it would take the job's pod.

Affinity, volumes and the like are handed on as they stand; only the API server can say that a field of theirs is
misspelt. A dry run costs one request, so it is made only for jobs that say something about their pod, and a shape that
was good once is not asked again. What may heal by itself (a quota, a webhook) is not the fault of the job.
"""

import hashlib
import json
from typing import Any, Final

from agentjobs.api.job.runtime import Runtime
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.problems import Problem
from agentjobs.api_resource import Resource
from agentjobs.bounded import Bounded
from agentjobs.contract import cut
from agentjobs.core.job.observation import Job
from agentjobs.core.pods.claims import claims
from agentjobs.core.pods.defaults import PodDefaults
from agentjobs.core.pods.manifests import runner_pod
from agentjobs.core.pods.prerequisites import prerequisites
from agentjobs.core.pods.problems import in_words_of_the_job
from agentjobs.core.pods.workspace import workspace_volumes
from agentjobs.core.schedule.model import Schedule
from agentjobs.errors import AgentJobsError, AlreadyExists, Invalid
from agentjobs.kube.resources import PERSISTENTVOLUMECLAIMS, PODS
from agentjobs.reconcile.job.prerequisites import RESOURCES
from agentjobs.reconcile.ports import Ports

# Shapes of pods that one operator remembers; a shape is 64 bytes.
SHAPES: Final = 4096
MAX_WORDS: Final = 700
_UNJUDGED: Final = frozenset({"image", "image_pull_policy", "termination_grace_period_seconds", "pod_retention"})


class Trial:
    """Dry runs of pods, and the shapes that passed."""

    def __init__(self, ports: Ports, defaults: PodDefaults) -> None:
        self._cluster = ports.cluster
        self._defaults = defaults
        self._good: Bounded[str, None] = Bounded(SHAPES)

    async def problems(self, owner: Job | Schedule, spec: AgentJobSpec) -> tuple[Problem, ...]:
        """Return what the API server has against the pod or the network policy of a job that it would never take.

        `owner` is the job, or the schedule that makes jobs of this spec.
        """
        if self.is_passed(owner, spec):
            return ()
        try:
            found = await self._of_pod(owner, spec) or await self._of_prerequisites(owner, spec)
        except AgentJobsError:
            return ()
        if found is not None:
            return (found,)
        self._good.put(self._shape(owner.namespace, spec), None)
        return ()

    def is_passed(self, owner: Job | Schedule, spec: AgentJobSpec) -> bool:
        """Whether no dry run is needed: the spec says nothing about its pod, or a pod of its shape was taken before."""
        restricted = spec.isolation.egress.mode == "Restricted"
        says = _says_something(spec.runtime) or restricted or spec.workspace is not None
        return not says or self._shape(owner.namespace, spec) in self._good

    async def _of_pod(self, owner: Job | Schedule, spec: AgentJobSpec) -> Problem | None:
        pod = runner_pod(
            namespace=owner.namespace,
            job=owner.name,
            uid=owner.uid,
            start=1,
            attempt=1,
            ran=0,
            spec=spec,
            defaults=self._defaults,
        )
        refusal = await self._refusal(PODS, owner.namespace, pod)
        if refusal is None:
            return None
        field, words = in_words_of_the_job(refusal, pod, spec.runtime)
        return Problem(field, "", f"the API server refuses it: {cut(words, MAX_WORDS)}")

    async def _of_prerequisites(self, owner: Job | Schedule, spec: AgentJobSpec) -> Problem | None:
        needed = prerequisites(
            namespace=owner.namespace, job=owner.name, uid=owner.uid, spec=spec, defaults=self._defaults
        )
        for one in needed:
            refusal = await self._refusal(RESOURCES[one.kind], owner.namespace, one.body)
            if refusal is not None:
                return Problem(one.field, "", f"the API server refuses its {one.kind}: {cut(refusal, MAX_WORDS)}")
        for claim in claims(namespace=owner.namespace, spec=spec, defaults=self._defaults):
            if "$(" in claim["metadata"]["name"]:
                continue  # names of parameters have their values later
            refusal = await self._refusal(PERSISTENTVOLUMECLAIMS, owner.namespace, claim)
            if refusal is not None:
                words = f"the API server refuses its PersistentVolumeClaim: {cut(refusal, MAX_WORDS)}"
                return Problem("spec.workspace", "", words)
        return None

    def _shape(self, namespace: str, spec: AgentJobSpec) -> str:
        """Return what the form of a pod depends on. Values of variables do not change it, nor do the address, the ref
        and the branch of a workspace, which differ from job to job."""
        runtime = spec.runtime.model_dump(mode="json", by_alias=True, exclude_none=True)
        runtime["env"] = [{**one, "value": ""} if "value" in one else one for one in runtime.get("env", ())]
        isolation = spec.isolation.model_dump(mode="json", by_alias=True, exclude_none=True)
        workspace = None
        if spec.workspace is not None:
            volumes = workspace_volumes(spec.workspace, self._defaults)
            workspace = [volumes, spec.workspace.size, spec.workspace.publishes]
        own = spec.agent.container is not None
        text = json.dumps([namespace, runtime, isolation, workspace, own], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    async def _refusal(self, resource: Resource, namespace: str, body: dict[str, Any]) -> str | None:
        """Return why the API server would never take an object; None when it would.

        Raises:
            AgentJobsError: that cannot be said now.
        """
        try:
            await self._cluster.create(resource, namespace, body, strict=True, dry_run=True)
        except AlreadyExists:
            return None
        except Invalid as error:
            return str(error)
        return None


def _says_something(runtime: Runtime) -> bool:
    return bool(runtime.model_fields_set - _UNJUDGED)
