"""Objects that must exist before the pod of a job: claims of volumes, and its NetworkPolicy. Pure."""

from dataclasses import dataclass
from typing import Any

from agentjobs.api.conditions import PodStartedReason
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.contract import LABEL_JOB, MANAGED_BY, owner_reference, policy_name
from agentjobs.core.pods.defaults import PodDefaults
from agentjobs.core.pods.volume_claims import volume_claims


@dataclass(frozen=True, slots=True)
class Prerequisite:
    """One object that is created before the pod."""

    body: dict[str, Any]
    field: str
    """The field of the spec that requires it."""
    unusable: PodStartedReason
    """The reason to report if an existing object of its name cannot be used."""
    is_owned: bool = True
    """Whether job and pods own it, so that it is deleted with the last of them. Else it is shared, and stays."""

    @property
    def kind(self) -> str:
        return str(self.body["kind"])

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])


def prerequisites(
    *, namespace: str, job: str, uid: str, spec: AgentJobSpec, defaults: PodDefaults
) -> tuple[Prerequisite, ...]:
    """Return the prerequisites of a job's pods, in the order of creation."""
    needed = [
        Prerequisite(claim, "spec.workspace", PodStartedReason.VOLUME_CLAIM_UNUSABLE, is_owned=False)
        for claim in volume_claims(namespace=namespace, spec=spec, defaults=defaults)
    ]
    if spec.isolation.egress.mode == "Restricted":
        body = egress_policy(namespace=namespace, job=job, uid=uid, spec=spec, defaults=defaults)
        needed.append(Prerequisite(body, "spec.isolation.egress", PodStartedReason.NETWORK_POLICY_NAME_TAKEN))
    return tuple(needed)


def egress_policy(*, namespace: str, job: str, uid: str, spec: AgentJobSpec, defaults: PodDefaults) -> dict[str, Any]:
    """Return the NetworkPolicy of a job with restricted egress: DNS, gateway, models, and what the job allows."""
    ours = (*defaults.dns_egress, *defaults.gateway_egress, *defaults.models_egress)
    rules = (*ours, *spec.isolation.egress.allow)
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "namespace": namespace,
            "name": policy_name(job),
            "labels": {
                LABEL_JOB: job,
                "app.kubernetes.io/name": "agentjobs-runner",
                "app.kubernetes.io/instance": job,
                "app.kubernetes.io/managed-by": MANAGED_BY,
            },
            "ownerReferences": [owner_reference("AgentJob", job, uid)],
        },
        "spec": {
            "podSelector": {"matchLabels": {LABEL_JOB: job}},
            "policyTypes": ["Egress"],
            "egress": [rule.dump() for rule in rules],
        },
    }
