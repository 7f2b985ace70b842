"""The NetworkPolicy of a job whose egress is restricted: there before its pod, and as long as its pod.

The job owns the policy while no pod does. Each pod becomes an owner as well once it is there, because the garbage
collector takes an object when its last owner is gone: a pod in its grace period outlives its job, and must not get the
whole network for that time. Foreground deletion takes dependents first, the policy before its pod: it is made again.
"""

from typing import Any

from agentjobs.api.conditions import PodStartedReason
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.contract import cut
from agentjobs.core.job.observation import Job, Obstacle
from agentjobs.core.pods.manifests import PodDefaults, egress_policy
from agentjobs.core.pods.pod import Pod, owner_of
from agentjobs.errors import AlreadyExists, Denied, Invalid, NotFound
from agentjobs.kube.resources import NETWORKPOLICIES
from agentjobs.reconcile.ports import Ports


class Egress:
    """Makes policies and hands them over to pods."""

    def __init__(self, ports: Ports, defaults: PodDefaults) -> None:
        self._cluster = ports.cluster
        self._defaults = defaults

    async def restrict(self, job: Job, spec: AgentJobSpec) -> Obstacle | None:
        """Make the job's network policy what the job says now; return what is in the way of that."""
        if not self._defaults.gateway_egress:
            cure = "this installation does not say where its gateway is: set AGENTJOBS_GATEWAY_EGRESS for the operator"
            return Obstacle(PodStartedReason.POD_REFUSED, f"spec.isolation.egress.mode is Restricted, but {cure}")
        body = self._policy(job, spec)
        name = body["metadata"]["name"]
        try:
            await self._cluster.create(NETWORKPOLICIES, job.namespace, body)
        except AlreadyExists:
            found = await self._cluster.get(NETWORKPOLICIES, job.namespace, name)
            if owner_of(found) != job.uid:
                cure = f"delete it, or wait if it is that of an earlier job {job.name}, which goes with its last pod"
                message = f"a NetworkPolicy {name} exists that is not this job's; {cure}"
                return Obstacle(PodStartedReason.NETWORK_POLICY_NAME_TAKEN, message)
            # Made by an earlier start, or by a try that died: it may have been edited, or the gateway moved.
            await self._replace({**body, "metadata": body["metadata"] | {"ownerReferences": _owners(found)}}, found)
        except (Denied, Invalid) as error:
            message = cut(f"NetworkPolicy {name}: {error}", 900)
            return Obstacle(PodStartedReason.POD_REFUSED, message, final=isinstance(error, Invalid))
        return None

    async def hand_over(self, job: Job, spec: AgentJobSpec, pod: Pod) -> None:
        """Make a pod an owner of its job's policy.

        A policy that is gone is made again: its job is being deleted, and the pod has yet to stop.
        """
        body = self._policy(job, spec)
        try:
            found = await self._cluster.get(NETWORKPOLICIES, job.namespace, body["metadata"]["name"])
        except NotFound:
            owners = [] if job.deleting else body["metadata"]["ownerReferences"]
            body["metadata"]["ownerReferences"] = [*owners, _reference(pod)]
            await self._cluster.create(NETWORKPOLICIES, job.namespace, body)
            return
        owners = _owners(found)
        if owner_of(found) == job.uid and all(owner["uid"] != pod.uid for owner in owners):
            shared = found["metadata"] | {"ownerReferences": [*owners, _reference(pod)]}
            await self._replace({**found, "metadata": shared}, found)

    def _policy(self, job: Job, spec: AgentJobSpec) -> dict[str, Any]:
        return egress_policy(namespace=job.namespace, job=job.name, uid=job.uid, spec=spec, defaults=self._defaults)

    async def _replace(self, body: dict[str, Any], found: dict[str, Any]) -> None:
        """Put `body` in place of what was found, on condition that nobody has written since."""
        metadata = body["metadata"] | {key: found["metadata"][key] for key in ("uid", "resourceVersion")}
        body = {**body, "metadata": metadata}
        await self._cluster.replace(NETWORKPOLICIES, metadata["namespace"], metadata["name"], body)


def _owners(found: dict[str, Any]) -> list[Any]:
    return list(found["metadata"].get("ownerReferences") or ())


def _reference(pod: Pod) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid}
