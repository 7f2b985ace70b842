"""Creates the PersistentVolumeClaims that the pods of a job mount, or uses existing ones."""

from agentjobs.api.conditions import PodStartedReason
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.contract import cut
from agentjobs.core.job.observation import Job, Obstacle
from agentjobs.core.pods.claims import claims, unusable
from agentjobs.core.pods.defaults import PodDefaults
from agentjobs.errors import AlreadyExists, Denied, Invalid
from agentjobs.kube.resources import PERSISTENTVOLUMECLAIMS
from agentjobs.reconcile.ports import Ports


class Claims:
    """Creates claims. No job owns them, and they are never deleted."""

    def __init__(self, ports: Ports, defaults: PodDefaults) -> None:
        self._cluster = ports.cluster
        self._defaults = defaults

    async def make(self, job: Job, spec: AgentJobSpec) -> Obstacle | None:
        """Create each missing claim; return the first obstacle."""
        for wanted in claims(namespace=job.namespace, spec=spec, defaults=self._defaults):
            name = wanted["metadata"]["name"]
            try:
                await self._cluster.create(PERSISTENTVOLUMECLAIMS, job.namespace, wanted)
            except AlreadyExists:
                found = await self._cluster.get(PERSISTENTVOLUMECLAIMS, job.namespace, name)
                if why := unusable(found, wanted):
                    return Obstacle(PodStartedReason.VOLUME_CLAIM_UNUSABLE, why)
            except (Denied, Invalid) as error:
                message = cut(f"PersistentVolumeClaim {name}: {error}", 900)
                return Obstacle(PodStartedReason.POD_REFUSED, message, final=isinstance(error, Invalid))
        return None
