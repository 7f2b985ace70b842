"""Makes what the pods of a job need before the first of them, and keeps it as long as the last of them.

The job owns a prerequisite while no pod does. Each pod becomes an owner as well once it is there, because the garbage
collector deletes an object when its last owner is gone: a pod in its grace period outlives its job, and must not lose
its network policy in that time. Foreground deletion takes dependents first, so a policy may go before its pod. It is
made again then.
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
from agentjobs.errors import AlreadyExists, Denied, Invalid, NotFound
from agentjobs.kube.resources import NETWORKPOLICIES
from agentjobs.reconcile.ports import Ports

RESOURCES: Final[dict[str, Resource]] = {one.kind: one for one in (NETWORKPOLICIES,)}


class Prerequisites:
    """Makes prerequisites and hands them over to pods."""

    def __init__(self, ports: Ports, defaults: PodDefaults) -> None:
        self._cluster = ports.cluster
        self._defaults = defaults

    async def make(self, job: Job, spec: AgentJobSpec) -> Obstacle | None:
        """Make each what the job says now; return the first obstacle."""
        for one in self.of(job, spec):
            if (obstacle := await self._make(job, one)) is not None:
                return obstacle
        return None

    async def hand_over(self, job: Job, spec: AgentJobSpec, pod: Pod) -> None:
        """Make a pod an owner of its job's prerequisites."""
        for one in self.of(job, spec):
            await self._hand_over(job, one, pod)

    def of(self, job: Job, spec: AgentJobSpec) -> tuple[Prerequisite, ...]:
        """Return what the pods of a job need."""
        return prerequisites(namespace=job.namespace, job=job.name, uid=job.uid, spec=spec, defaults=self._defaults)

    async def _make(self, job: Job, one: Prerequisite) -> Obstacle | None:
        resource = RESOURCES[one.kind]
        try:
            await self._cluster.create(resource, job.namespace, one.body)
        except AlreadyExists:
            found = await self._cluster.get(resource, job.namespace, one.name)
            if _owner(found) != job.uid:
                cure = f"delete it, or wait if it is that of an earlier job {job.name}, which goes with its last pod"
                message = f"a {one.kind} {one.name} exists that is not this job's; {cure}"
                return Obstacle(one.name_taken, message)
            # Made by an earlier start, or by a try that died: it may have been edited, or the defaults may differ.
            metadata = one.body["metadata"] | {"ownerReferences": _owners(found)}
            await self._replace(resource, {**one.body, "metadata": metadata}, found)
        except (Denied, Invalid) as error:
            message = cut(f"{one.kind} {one.name}: {error}", 900)
            return Obstacle(PodStartedReason.POD_REFUSED, message, final=isinstance(error, Invalid))
        return None

    async def _hand_over(self, job: Job, one: Prerequisite, pod: Pod) -> None:
        """One that is gone is made again: its job is being deleted, and the pod has not stopped yet."""
        resource = RESOURCES[one.kind]
        try:
            found = await self._cluster.get(resource, job.namespace, one.name)
        except NotFound:
            metadata = one.body["metadata"]
            owners = [] if job.deleting else metadata["ownerReferences"]
            body = {**one.body, "metadata": metadata | {"ownerReferences": [*owners, _reference(pod)]}}
            await self._cluster.create(resource, job.namespace, body)
            return
        owners = _owners(found)
        if _owner(found) == job.uid and all(owner["uid"] != pod.uid for owner in owners):
            shared = found["metadata"] | {"ownerReferences": [*owners, _reference(pod)]}
            await self._replace(resource, {**found, "metadata": shared}, found)

    async def _replace(self, resource: Resource, body: dict[str, Any], found: dict[str, Any]) -> None:
        """Replace what was found by `body`, on condition that it has not been written since."""
        metadata = body["metadata"] | {key: found["metadata"][key] for key in ("uid", "resourceVersion")}
        body = {**body, "metadata": metadata}
        await self._cluster.replace(resource, metadata["namespace"], metadata["name"], body)


def _owner(found: dict[str, Any]) -> str | None:
    owner = controller_of(found["metadata"], "AgentJob")
    return None if owner is None else owner.uid


def _owners(found: dict[str, Any]) -> list[Any]:
    return list(found["metadata"].get("ownerReferences") or ())


def _reference(pod: Pod) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid}
