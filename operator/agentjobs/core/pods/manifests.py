"""The pod of one start and the network policy of a job, as plain dicts.

Built from the spec that was accepted, never from what the object says now. Everything a Restricted namespace demands is
set; nothing a user or a model wrote becomes a command, an image path of ours, or a service account.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from agentjobs.api.job.agent import Agent
from agentjobs.api.job.isolation import EgressRule
from agentjobs.api.job.runtime import Runtime, Toleration
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.contract import (
    ANNOTATION_GATEWAY_CA,
    ANNOTATION_SESSION,
    ENGINE_ADK,
    ENV_ENGINE,
    ENV_GATEWAY_CA,
    ENV_GATEWAY_URL,
    ENV_GRACE_SECONDS,
    ENV_JOB,
    ENV_NAMESPACE,
    ENV_START,
    ENV_TERMINATION_FILE,
    ENV_TOKEN_FILE,
    FINALIZER,
    GATEWAY_CA_FILE,
    GROUP,
    LABEL_ATTEMPT,
    LABEL_JOB,
    LABEL_QUEUE,
    MANAGED_BY,
    RUNNER_COMMAND,
    RUNNER_CONTAINER,
    TERMINATION_FILE,
    TOKEN_AUDIENCE,
    TOKEN_MOUNT,
    VERSION,
    mcp_header_variable,
    pod_name,
    policy_name,
)

if TYPE_CHECKING:
    from agentjobs.settings import OperatorSettings

# The token outlives the longest start: its time-out, its grace period, and ten minutes for a last result.
TOKEN_SLACK_SECONDS = 600
# Bounds of the API server on expirationSeconds of a projected token.
TOKEN_SECONDS = (600, 2**32 - 1)
# Seconds a pod outlives its node's silence, on top of the node monitor's 50.
NODE_TOLERATION_SECONDS = 10


@dataclass(frozen=True, slots=True)
class PodDefaults:
    """What the installation, not the job, says about every pod."""

    gateway_url: str
    image: str
    image_pull_policy: str | None = None
    gateway_ca: str | None = None
    """Path in the runner's container of the PEM file that the gateway's certificate is checked against."""
    gateway_authorities: str | None = None
    """The PEM certificates themselves: each pod gets them as a file, and `gateway_ca` does not count."""
    resources: Mapping[str, Any] = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    """Labels of the nodes for every pod; a job's own win."""
    tolerations: Sequence[Toleration] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables of every runner container; a job's own win."""
    image_pull_secrets: Sequence[str] = ()
    """Secrets, in the job's namespace, that the images of every pod may be pulled with, beside the job's own."""
    service_accounts: frozenset[str] = frozenset()
    """Service accounts that jobs may name."""
    gateway_egress: tuple[EgressRule, ...] = ()
    """How pods reach the gateway, for network policies; without any, no job can be restricted."""
    dns_egress: tuple[EgressRule, ...] = ()
    """How pods reach DNS."""
    images: Sequence[str] = ()
    """Images that jobs may name, a `*` at the end meaning all that begin so; none: any."""

    @classmethod
    def of(cls, settings: "OperatorSettings", *, gateway_authorities: str | None) -> "PodDefaults":
        """Take from the operator's settings what they say about pods."""
        return cls(
            gateway_url=settings.gateway_url,
            gateway_ca=settings.gateway_ca,
            gateway_authorities=gateway_authorities,
            image=settings.runner_image,
            image_pull_policy=settings.runner_image_pull_policy,
            resources=settings.runner_resources,
            node_selector=settings.runner_node_selector,
            tolerations=settings.runner_tolerations,
            service_accounts=frozenset({"default", *settings.service_accounts}),
            gateway_egress=settings.gateway_egress,
            dns_egress=settings.dns_egress,
            images=settings.images,
            image_pull_secrets=settings.runner_image_pull_secrets,
            env=settings.runner_env,
        )


def runner_pod(
    *,
    namespace: str,
    job: str,
    uid: str,
    start: int,
    attempt: int,
    ran: int,
    spec: AgentJobSpec,
    defaults: PodDefaults,
) -> dict[str, Any]:
    """Return the pod `<job>-<start>`, owned by the job and held by our finalizer.

    `ran` is the running time of earlier starts in seconds, which `timeouts.running` counts.
    """
    runtime = spec.runtime
    grace = runtime.termination_grace_period_seconds
    limits = [spec.timeouts.attempt.total_seconds()]
    if spec.timeouts.running is not None:
        limits.append(spec.timeouts.running.total_seconds() - ran)
    deadline = max(1, int(min(limits)))
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": namespace,
            "name": pod_name(job, start),
            "finalizers": [FINALIZER],
            "annotations": {
                **runtime.annotations,
                ANNOTATION_SESSION: json.dumps(spec.session_key(name=job, uid=uid)),
                **({ANNOTATION_GATEWAY_CA: defaults.gateway_authorities} if defaults.gateway_authorities else {}),
            },
            "labels": {
                **runtime.labels,
                LABEL_JOB: job,
                LABEL_ATTEMPT: str(attempt),
                LABEL_QUEUE: spec.queue,
                "app.kubernetes.io/name": "agentjobs-runner",
                "app.kubernetes.io/instance": job,
                "app.kubernetes.io/component": "runner",
                "app.kubernetes.io/managed-by": MANAGED_BY,
            },
            "ownerReferences": [_owner(job, uid)],
        },
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": deadline,
            "terminationGracePeriodSeconds": grace,
            "automountServiceAccountToken": runtime.automount_service_account_token,
            "enableServiceLinks": False,
            "securityContext": {
                # Root is asked for by name, with the profile Baseline only.
                "runAsNonRoot": runtime.run_as_user != 0,
                "runAsUser": runtime.run_as_user,
                "runAsGroup": runtime.run_as_user,
                "fsGroup": runtime.fs_group,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "tolerations": [
                {
                    "key": f"node.kubernetes.io/{state}",
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": NODE_TOLERATION_SECONDS,
                }
                for state in ("not-ready", "unreachable")
            ]
            + _dumped([*defaults.tolerations, *runtime.tolerations]),
            "containers": [_container(namespace, job, start, spec, defaults, grace)],
            "volumes": [
                {"name": "tmp", "emptyDir": {}},
                {"name": "token", "projected": {"sources": [_token(deadline + grace), *_authorities(defaults)]}},
                *runtime.volumes,
            ],
            **_placement(runtime, defaults),
        },
    }


def egress_policy(*, namespace: str, job: str, uid: str, spec: AgentJobSpec, defaults: PodDefaults) -> dict[str, Any]:
    """Return the NetworkPolicy of a job whose egress is restricted: DNS, the gateway, and what the job allows."""
    rules = (*defaults.dns_egress, *defaults.gateway_egress, *spec.isolation.egress.allow)
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
            "ownerReferences": [_owner(job, uid)],
        },
        "spec": {
            "podSelector": {"matchLabels": {LABEL_JOB: job}},
            "policyTypes": ["Egress"],
            "egress": [rule.dump() for rule in rules],
        },
    }


def _owner(job: str, uid: str) -> dict[str, Any]:
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "AgentJob",
        "name": job,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _container_security(spec: AgentJobSpec) -> dict[str, Any]:
    if spec.isolation.profile == "Baseline":
        return {"allowPrivilegeEscalation": True, "readOnlyRootFilesystem": False}
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def _placement(runtime: Runtime, defaults: PodDefaults) -> dict[str, Any]:
    """Where and as whom the pod runs, as far as job and installation say so."""
    wishes = {
        "serviceAccountName": runtime.service_account_name,
        "nodeSelector": {**defaults.node_selector, **runtime.node_selector},
        "affinity": runtime.affinity,
        "topologySpreadConstraints": list(runtime.topology_spread_constraints),
        "priorityClassName": runtime.priority_class_name,
        "runtimeClassName": runtime.runtime_class_name,
        "imagePullSecrets": _pull_secrets(runtime, defaults),
    }
    return {name: wish for name, wish in wishes.items() if wish}


def _pull_secrets(runtime: Runtime, defaults: PodDefaults) -> list[dict[str, Any]]:
    names = [*(secret.name for secret in runtime.image_pull_secrets), *defaults.image_pull_secrets]
    return [{"name": name} for name in dict.fromkeys(names)]


def _dumped(models: Sequence[BaseModel]) -> list[dict[str, Any]]:
    return [model.model_dump(by_alias=True, exclude_none=True) for model in models]


def _container(
    namespace: str, job: str, start: int, spec: AgentJobSpec, defaults: PodDefaults, grace: int
) -> dict[str, Any]:
    runtime = spec.runtime
    authorities = GATEWAY_CA_FILE if defaults.gateway_authorities else defaults.gateway_ca
    ours = {
        ENV_GATEWAY_URL: defaults.gateway_url,
        ENV_TOKEN_FILE: f"{TOKEN_MOUNT}/token",
        ENV_NAMESPACE: namespace,
        ENV_JOB: job,
        ENV_START: str(start),
        ENV_ENGINE: ENGINE_ADK,
        ENV_TERMINATION_FILE: TERMINATION_FILE,
        ENV_GRACE_SECONDS: str(grace),
        **({ENV_GATEWAY_CA: authorities} if authorities else {}),
    }
    # The root is read-only, and libraries want a home for their caches.
    usual = {"HOME": "/tmp", "PYTHONUNBUFFERED": "1", **defaults.env}  # noqa: S108  the pod's own emptyDir
    theirs = [item.model_dump(by_alias=True, exclude_none=True) for item in runtime.env if item.name not in ours]
    names = {item["name"] for item in theirs}
    container: dict[str, Any] = {
        "name": RUNNER_CONTAINER,
        "image": runtime.image or defaults.image,
        "command": list(RUNNER_COMMAND),
        # Ours last: of two variables of one name the last counts.
        "env": [
            *_env({k: v for k, v in usual.items() if k not in names and k not in ours}),
            *theirs,
            *_mcp_headers(spec.agent),
            *_env(ours),
        ],
        "resources": runtime.resources.model_dump(by_alias=True, exclude_none=True)
        if runtime.resources
        else dict(defaults.resources),
        "securityContext": _container_security(spec),
        "terminationMessagePath": TERMINATION_FILE,
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  the pod's own emptyDir
            {"name": "token", "mountPath": TOKEN_MOUNT, "readOnly": True},
            *_dumped(runtime.volume_mounts),
        ],
        "envFrom": _dumped(runtime.env_from),
    }
    policy = runtime.image_pull_policy or (None if runtime.image else defaults.image_pull_policy)
    if policy:
        container["imagePullPolicy"] = policy
    return container


def _mcp_headers(agent: Agent) -> list[dict[str, Any]]:
    """The secret headers of tool servers, for the kubelet to fill in."""
    members = () if agent.inline is None else (agent.inline, *agent.inline.agents)
    return [
        {
            "name": mcp_header_variable(place, server_place, header_place),
            "valueFrom": {"secretKeyRef": header.secret_key_ref.model_dump()},
        }
        for place, member in enumerate(members)
        for server_place, server in enumerate(member.mcp_servers)
        for header_place, header in enumerate(server.headers_from)
    ]


def _env(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _token(lifetime: int) -> dict[str, Any]:
    low, high = TOKEN_SECONDS
    seconds = min(max(lifetime + TOKEN_SLACK_SECONDS, low), high)
    return {"serviceAccountToken": {"audience": TOKEN_AUDIENCE, "expirationSeconds": seconds, "path": "token"}}


def _authorities(defaults: PodDefaults) -> list[dict[str, Any]]:
    """Through the pod's own annotation, because we may write no ConfigMap into a user's namespace."""
    if not defaults.gateway_authorities:
        return []
    path = f"metadata.annotations['{ANNOTATION_GATEWAY_CA}']"
    name = GATEWAY_CA_FILE.removeprefix(f"{TOKEN_MOUNT}/")
    return [{"downwardAPI": {"items": [{"path": name, "fieldRef": {"fieldPath": path}}]}}]
