"""Dry runs of a job's pod, before a job is accepted or a schedule creates it.

Affinity, volumes and the like are passed on unchanged; only the API server can find a misspelt field in them. A dry run
costs one request, so it is only done for jobs that configure their pod, and not repeated for a pod of the same shape.
Temporary refusals (a quota, a webhook) are not problems of the job.
"""

import hashlib
import json
from typing import Any, Final

from agentjobs.api.job.runtime import Runtime
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.problems import FieldProblem
from agentjobs.api_resource import Resource
from agentjobs.bounded import Bounded
from agentjobs.contract import cut
from agentjobs.core.job.observation import Job
from agentjobs.core.pods.defaults import PodDefaults
from agentjobs.core.pods.manifests import runner_pod
from agentjobs.core.pods.prerequisites import prerequisites
from agentjobs.core.pods.problems import in_words_of_the_job
from agentjobs.core.pods.workspace import workspace_volumes
from agentjobs.core.schedule.model import Schedule
from agentjobs.errors import AgentJobsError, AlreadyExists, Invalid
from agentjobs.kube.resources import PODS
from agentjobs.reconcile.job.prerequisites import RESOURCES
from agentjobs.reconcile.ports import Ports

# Maximum cached shapes of pods; a shape has 64 bytes.
SHAPES: Final = 4096
MAX_WORDS: Final = 700
_UNJUDGED: Final = frozenset({"image", "image_pull_policy", "termination_grace_period_seconds", "pod_retention"})


class DryRun:
    """Dry runs of pods, and the shapes that passed."""

    def __init__(self, ports: Ports, defaults: PodDefaults) -> None:
        self._cluster = ports.cluster
        self._defaults = defaults
        self._good: Bounded[str, None] = Bounded(SHAPES)

    async def problems(self, owner: Job | Schedule, spec: AgentJobSpec) -> tuple[FieldProblem, ...]:
        """Return why the API server would permanently reject the pod of a job, or a prerequisite.

        `owner` is the job, or the schedule that creates jobs with this spec.
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
        """Whether no dry run is needed: the spec does not configure its pod, or a pod of its shape was accepted
        before.
        """
        restricted = spec.isolation.egress.mode == "Restricted"
        configured = _configures_pod(spec.runtime) or restricted or spec.workspace is not None
        return not configured or self._shape(owner.namespace, spec) in self._good

    async def _of_pod(self, owner: Job | Schedule, spec: AgentJobSpec) -> FieldProblem | None:
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
        return FieldProblem(field, "", f"the API server rejects it: {cut(words, MAX_WORDS)}")

    async def _of_prerequisites(self, owner: Job | Schedule, spec: AgentJobSpec) -> FieldProblem | None:
        needed = prerequisites(
            namespace=owner.namespace, job=owner.name, uid=owner.uid, spec=spec, defaults=self._defaults
        )
        for prerequisite in needed:
            if "$(" in prerequisite.name:
                continue  # parameters are replaced later
            refusal = await self._refusal(RESOURCES[prerequisite.kind], owner.namespace, prerequisite.body)
            if refusal is not None:
                return FieldProblem(
                    prerequisite.field, "", f"the API server rejects its {prerequisite.kind}: {cut(refusal, MAX_WORDS)}"
                )
        return None

    def _shape(self, namespace: str, spec: AgentJobSpec) -> str:
        """Return what the validity of a pod depends on: not values of variables, nor a workspace's address, ref and
        branch, which differ between jobs."""
        runtime = spec.runtime.model_dump(mode="json", by_alias=True, exclude_none=True)
        runtime["env"] = [
            {**variable, "value": ""} if "value" in variable else variable for variable in runtime.get("env", ())
        ]
        isolation = spec.isolation.model_dump(mode="json", by_alias=True, exclude_none=True)
        workspace = None
        if spec.workspace is not None:
            volumes = workspace_volumes(spec.workspace, self._defaults)
            workspace = [volumes, spec.workspace.size, spec.workspace.publishes]
        own = spec.agent.container is not None
        text = json.dumps([namespace, runtime, isolation, workspace, own], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    async def _refusal(self, resource: Resource, namespace: str, body: dict[str, Any]) -> str | None:
        """Return why the API server would permanently reject an object; None if it would not.

        Raises:
            AgentJobsError: it cannot be determined now.
        """
        try:
            await self._cluster.create(resource, namespace, body, strict=True, dry_run=True)
        except AlreadyExists:
            return None
        except Invalid as error:
            return str(error)
        return None


def _configures_pod(runtime: Runtime) -> bool:
    return bool(runtime.model_fields_set - _UNJUDGED)
