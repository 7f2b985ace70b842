"""Creates prerequisites before the pod of a job, and keeps those that it owns until its last pod is gone.

Claims of volumes have no owner and are never deleted. The job owns its network policy, and each pod becomes an owner
too, because the garbage collector deletes an object with its last owner: a pod in its grace period outlives its job,
and must not lose its network policy. Foreground deletion deletes dependents first, so a policy may be deleted before
its pod. Then it is created again.
"""

from typing import Any, Final

from agentjobs.api.conditions import PodStartedReason
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api_resource import Resource
from agentjobs.contract import controller_of, cut
from agentjobs.core.job.observation import Job, Obstacle
from agentjobs.core.pods.defaults import PodDefaults
from agentjobs.core.pods.pod import Pod
from agentjobs.core.pods.prerequisites import Prerequisite, prerequisites
from agentjobs.core.pods.volume_claims import unusable
from agentjobs.errors import AlreadyExists, Denied, Invalid, NotFound
from agentjobs.kube.resources import NETWORKPOLICIES, PERSISTENTVOLUMECLAIMS
from agentjobs.reconcile.ports import Ports

RESOURCES: Final[dict[str, Resource]] = {
    resource.kind: resource for resource in (PERSISTENTVOLUMECLAIMS, NETWORKPOLICIES)
}


class Prerequisites:
    """Creates prerequisites and adds pods as their owners."""

    def __init__(self, ports: Ports, defaults: PodDefaults) -> None:
        self._cluster = ports.cluster
        self._defaults = defaults

    async def make(self, job: Job, spec: AgentJobSpec) -> Obstacle | None:
        """Create each, or update it for the current spec if the job owns it; return the first obstacle."""
        for prerequisite in self._of(job, spec):
            if (obstacle := await self._make(job, prerequisite)) is not None:
                return obstacle
        return None

    async def hand_over(self, job: Job, spec: AgentJobSpec, pod: Pod) -> None:
        """Add a pod as an owner of the prerequisites that its job owns."""
        for prerequisite in self.owned(job, spec):
            await self._hand_over(job, prerequisite, pod)

    def owned(self, job: Job, spec: AgentJobSpec) -> tuple[Prerequisite, ...]:
        """Return the prerequisites that the job and its pods own."""
        return tuple(prerequisite for prerequisite in self._of(job, spec) if prerequisite.is_owned)

    def _of(self, job: Job, spec: AgentJobSpec) -> tuple[Prerequisite, ...]:
        return prerequisites(namespace=job.namespace, job=job.name, uid=job.uid, spec=spec, defaults=self._defaults)

    async def _make(self, job: Job, prerequisite: Prerequisite) -> Obstacle | None:
        resource = RESOURCES[prerequisite.kind]
        try:
            await self._cluster.create(resource, job.namespace, prerequisite.body)
        except AlreadyExists:
            found = await self._cluster.get(resource, job.namespace, prerequisite.name)
            why = _name_taken(found, prerequisite, job) if prerequisite.is_owned else unusable(found, prerequisite.body)
            if why:
                return Obstacle(prerequisite.unusable, why)
            if prerequisite.is_owned:
                # Created by an earlier start or an aborted try: it may have been edited, or defaults may have changed.
                metadata = prerequisite.body["metadata"] | {"ownerReferences": _owners(found)}
                await self._replace(resource, {**prerequisite.body, "metadata": metadata}, found)
        except (Denied, Invalid) as error:
            message = cut(f"{prerequisite.kind} {prerequisite.name}: {error}", 900)
            return Obstacle(PodStartedReason.POD_REFUSED, message, final=isinstance(error, Invalid))
        return None

    async def _hand_over(self, job: Job, prerequisite: Prerequisite, pod: Pod) -> None:
        """Add the owner; create it again if it is gone, because the job is being deleted and the pod has not stopped
        yet.
        """
        resource = RESOURCES[prerequisite.kind]
        try:
            found = await self._cluster.get(resource, job.namespace, prerequisite.name)
        except NotFound:
            metadata = prerequisite.body["metadata"]
            owners = [] if job.deleting else metadata["ownerReferences"]
            body = {**prerequisite.body, "metadata": metadata | {"ownerReferences": [*owners, _reference(pod)]}}
            await self._cluster.create(resource, job.namespace, body)
            return
        owners = _owners(found)
        if _owner(found) == job.uid and all(owner["uid"] != pod.uid for owner in owners):
            shared = found["metadata"] | {"ownerReferences": [*owners, _reference(pod)]}
            await self._replace(resource, {**found, "metadata": shared}, found)

    async def _replace(self, resource: Resource, body: dict[str, Any], found: dict[str, Any]) -> None:
        """Replace the object with `body`, if it has not changed since it was read."""
        metadata = body["metadata"] | {key: found["metadata"][key] for key in ("uid", "resourceVersion")}
        body = {**body, "metadata": metadata}
        await self._cluster.replace(resource, metadata["namespace"], metadata["name"], body)


def _name_taken(found: dict[str, Any], prerequisite: Prerequisite, job: Job) -> str:
    """Return that an existing object does not belong to the job, with the cure; empty if it does."""
    if _owner(found) == job.uid:
        return ""
    return (
        f"a {prerequisite.kind} {prerequisite.name} exists that does not belong to this job; delete it, or wait if it "
        f"belongs to an earlier job {job.name}: then it is deleted with that job's last pod"
    )


def _owner(found: dict[str, Any]) -> str | None:
    owner = controller_of(found["metadata"], "AgentJob")
    return None if owner is None else owner.uid


def _owners(found: dict[str, Any]) -> list[Any]:
    return list(found["metadata"].get("ownerReferences") or ())


def _reference(pod: Pod) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid}
