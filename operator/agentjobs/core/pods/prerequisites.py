"""What must exist before the pod of a job: objects that the job owns, and its pods with it."""

from dataclasses import dataclass
from typing import Any

from agentjobs.api.conditions import PodStartedReason
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.contract import LABEL_JOB, MANAGED_BY, policy_name
from agentjobs.core.pods.defaults import PodDefaults
from agentjobs.core.pods.manifests import owner_reference


@dataclass(frozen=True, slots=True)
class Prerequisite:
    """One object that is there before the pod, and as long as the pod."""

    body: dict[str, Any]
    field: str
    """The field of the spec that asks for it."""
    name_taken: PodStartedReason
    """What is reported when another object has its name."""

    @property
    def kind(self) -> str:
        return str(self.body["kind"])

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])


def prerequisites(
    *, namespace: str, job: str, uid: str, spec: AgentJobSpec, defaults: PodDefaults
) -> tuple[Prerequisite, ...]:
    """Return what the pods of a job need, in the order in which it is made."""
    if spec.isolation.egress.mode != "Restricted":
        return ()
    body = egress_policy(namespace=namespace, job=job, uid=uid, spec=spec, defaults=defaults)
    return (Prerequisite(body, "spec.isolation.egress", PodStartedReason.NETWORK_POLICY_NAME_TAKEN),)


def egress_policy(*, namespace: str, job: str, uid: str, spec: AgentJobSpec, defaults: PodDefaults) -> dict[str, Any]:
    """Return the NetworkPolicy of a job whose egress is restricted: DNS, gateway, models, and what the job allows."""
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
            "ownerReferences": [owner_reference(job, uid)],
        },
        "spec": {
            "podSelector": {"matchLabels": {LABEL_JOB: job}},
            "policyTypes": ["Egress"],
            "egress": [rule.dump() for rule in rules],
        },
    }
