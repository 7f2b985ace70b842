"""The pod of one start, as a plain dict.

Built from the spec that was accepted, never from what the object says now. Everything a Restricted namespace demands is
set; nothing a user or a model wrote becomes a command, an image path of ours, or a service account.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentjobs.api.agentjob import AgentJobSpec
from agentjobs.contract import (
    ENV_GATEWAY_CA,
    ENV_GATEWAY_URL,
    ENV_GRACE_SECONDS,
    ENV_JOB,
    ENV_NAMESPACE,
    ENV_START,
    ENV_TERMINATION_FILE,
    ENV_TOKEN_FILE,
    FINALIZER,
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
    pod_name,
)

RUNNER_UID = 65532  # `nonroot` of the common minimal images
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
    resources: Mapping[str, Any] = field(default_factory=dict)


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
    grace = spec.runtime.termination_grace_period_seconds
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
            "labels": {
                LABEL_JOB: job,
                LABEL_ATTEMPT: str(attempt),
                LABEL_QUEUE: spec.queue,
                "app.kubernetes.io/name": "agentjobs-runner",
                "app.kubernetes.io/instance": job,
                "app.kubernetes.io/component": "runner",
                "app.kubernetes.io/managed-by": MANAGED_BY,
            },
            "ownerReferences": [
                {
                    "apiVersion": f"{GROUP}/{VERSION}",
                    "kind": "AgentJob",
                    "name": job,
                    "uid": uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": deadline,
            "terminationGracePeriodSeconds": grace,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": RUNNER_UID,
                "runAsGroup": RUNNER_UID,
                "fsGroup": RUNNER_UID,
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
            ],
            "containers": [_container(namespace, job, start, spec, defaults, grace)],
            "volumes": [
                {"name": "tmp", "emptyDir": {}},
                {"name": "token", "projected": {"sources": [_token(deadline + grace)]}},
            ],
        },
    }


def _container(
    namespace: str, job: str, start: int, spec: AgentJobSpec, defaults: PodDefaults, grace: int
) -> dict[str, Any]:
    runtime = spec.runtime
    ours = {
        ENV_GATEWAY_URL: defaults.gateway_url,
        ENV_TOKEN_FILE: f"{TOKEN_MOUNT}/token",
        ENV_NAMESPACE: namespace,
        ENV_JOB: job,
        ENV_START: str(start),
        ENV_TERMINATION_FILE: TERMINATION_FILE,
        ENV_GRACE_SECONDS: str(grace),
        **({ENV_GATEWAY_CA: defaults.gateway_ca} if defaults.gateway_ca else {}),
    }
    # The root is read-only, and libraries want a home for their caches.
    usual = {"HOME": "/tmp", "PYTHONUNBUFFERED": "1"}  # noqa: S108  the pod's own emptyDir
    theirs = [item.model_dump(by_alias=True, exclude_none=True) for item in runtime.env if item.name not in ours]
    names = {item["name"] for item in theirs}
    container: dict[str, Any] = {
        "name": RUNNER_CONTAINER,
        "image": runtime.image or defaults.image,
        "command": list(RUNNER_COMMAND),
        # Ours last: of two variables of one name the last counts.
        "env": [*_env({k: v for k, v in usual.items() if k not in names}), *theirs, *_env(ours)],
        "resources": runtime.resources.model_dump(by_alias=True, exclude_none=True)
        if runtime.resources
        else dict(defaults.resources),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePath": TERMINATION_FILE,
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  the pod's own emptyDir
            {"name": "token", "mountPath": TOKEN_MOUNT, "readOnly": True},
        ],
    }
    policy = runtime.image_pull_policy or (None if runtime.image else defaults.image_pull_policy)
    if policy:
        container["imagePullPolicy"] = policy
    return container


def _env(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _token(lifetime: int) -> dict[str, Any]:
    low, high = TOKEN_SECONDS
    seconds = min(max(lifetime + TOKEN_SLACK_SECONDS, low), high)
    return {"serviceAccountToken": {"audience": TOKEN_AUDIENCE, "expirationSeconds": seconds, "path": "token"}}
