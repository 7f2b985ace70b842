"""The pod of one start, as a plain dict built from parts.

Built from the accepted spec, never from the current object. Fulfils the Restricted Pod Security Standard; no text by a
user or a model becomes a command, an image path of ours, or a service account.
"""

import json
from typing import Any

from agentjobs.api.job.runtime import Runtime
from agentjobs.api.job.spec import AgentJobSpec, SessionKey, Timeouts
from agentjobs.contract import (
    ANNOTATION_BUDGET,
    ANNOTATION_GATEWAY_CA,
    ANNOTATION_SESSION,
    ANNOTATION_WORKTREE,
    FINALIZER,
    GATEWAY_CA_FILE,
    LABEL_ATTEMPT,
    LABEL_JOB,
    LABEL_LOCAL_QUEUE,
    LABEL_QUEUE,
    LABEL_TEMPLATE,
    MANAGED_BY,
    RUNNER_CONTAINER,
    TOKEN_AUDIENCE,
    TOKEN_MOUNT,
    owner_reference,
    pod_name,
)
from agentjobs.core.pods.container import dumped, runner_container, start_variables
from agentjobs.core.pods.defaults import PodDefaults
from agentjobs.core.pods.volume_claims import worktree_claim
from agentjobs.core.pods.workspace import with_workspace, workspace_volumes
from agentjobs.models.budget import Limits

# The token outlives the longest start: its time-out, its grace period, and ten minutes for the last result.
TOKEN_SLACK_SECONDS = 600
# Bounds of the API server on expirationSeconds of a projected token.
TOKEN_SECONDS = (600, 2**32 - 1)
# Seconds until a pod of an unreachable node is evicted, in addition to the node monitor's 50.
NODE_TOLERATION_SECONDS = 10
UNLIMITED = Limits()
ANNOTATION_LOGS = "kubectl.kubernetes.io/default-container"
"""kubectl's annotation for the default container of `kubectl logs`."""


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
    limits: Limits = UNLIMITED,
    template: str = "",
    local_queue: str = "",
) -> dict[str, Any]:
    """Return the pod `<job>-<start>`, owned by the job and with our finalizer.

    `ran` is the running time of earlier starts in seconds, for `timeouts.running`. `limits` is the job's current
    budget; gateway and model proxy read it from the pod's object, which the pod itself cannot change. `local_queue` is
    Kueue's, empty for none.
    """
    runtime, deadline = spec.runtime, _deadline(spec.timeouts, ran)
    place = start_variables(namespace, job, start)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": namespace,
            "name": pod_name(job, start),
            "finalizers": [FINALIZER],
            "annotations": _annotations(spec, spec.session_key(name=job, uid=uid), defaults, limits),
            "labels": _labels(job, attempt, spec, template=template, local_queue=local_queue),
            "ownerReferences": [owner_reference("AgentJob", job, uid)],
        },
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": deadline,
            "terminationGracePeriodSeconds": runtime.termination_grace_period_seconds,
            "automountServiceAccountToken": runtime.automount_service_account_token,
            "enableServiceLinks": False,
            "securityContext": _pod_security(runtime),
            "tolerations": _tolerations(runtime, defaults),
            **with_workspace(runner_container(place, spec, defaults), place, spec, defaults),
            "volumes": _volumes(spec, defaults, deadline),
            **_scheduling(runtime, defaults),
        },
    }


def _deadline(timeouts: Timeouts, ran: int) -> int:
    """Return the seconds after which the kubelet ends the pod."""
    limits = [timeouts.attempt.total_seconds()]
    if timeouts.running is not None:
        limits.append(timeouts.running.total_seconds() - ran)
    return max(1, int(min(limits)))


def _annotations(spec: AgentJobSpec, session: SessionKey, defaults: PodDefaults, limits: Limits) -> dict[str, str]:
    ca_bundle = {ANNOTATION_GATEWAY_CA: defaults.gateway_ca_bundle} if defaults.gateway_ca_bundle else {}
    budget = {ANNOTATION_BUDGET: json.dumps(fields, separators=(",", ":"))} if (fields := limits.dump()) else {}
    logs = {} if spec.workspace is None else {ANNOTATION_LOGS: RUNNER_CONTAINER}
    worktree = {ANNOTATION_WORKTREE: claim} if (claim := worktree_claim(spec.workspace)) else {}
    ours = {ANNOTATION_SESSION: json.dumps(session), **budget, **ca_bundle, **worktree}
    return {**logs, **spec.runtime.annotations, **ours}


def _labels(job: str, attempt: int, spec: AgentJobSpec, *, template: str, local_queue: str) -> dict[str, str]:
    named = {LABEL_TEMPLATE: template, LABEL_LOCAL_QUEUE: local_queue}
    return {
        **spec.runtime.labels,
        **{label: value for label, value in named.items() if value},
        LABEL_JOB: job,
        LABEL_ATTEMPT: str(attempt),
        LABEL_QUEUE: spec.queue,
        "app.kubernetes.io/name": "agentjobs-runner",
        "app.kubernetes.io/instance": job,
        "app.kubernetes.io/component": "runner",
        "app.kubernetes.io/managed-by": MANAGED_BY,
    }


def _pod_security(runtime: Runtime) -> dict[str, Any]:
    return {
        # Root is only possible with the profile Baseline.
        "runAsNonRoot": runtime.run_as_user != 0,
        "runAsUser": runtime.run_as_user,
        "runAsGroup": runtime.run_as_user,
        "fsGroup": runtime.fs_group,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _tolerations(runtime: Runtime, defaults: PodDefaults) -> list[dict[str, Any]]:
    """Return tolerations that give up a lost node early; Kubernetes' default is five minutes."""
    ours = [
        {
            "key": f"node.kubernetes.io/{state}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": NODE_TOLERATION_SECONDS,
        }
        for state in ("not-ready", "unreachable")
    ]
    return ours + dumped([*defaults.tolerations, *runtime.tolerations])


def _volumes(spec: AgentJobSpec, defaults: PodDefaults, deadline: int) -> list[dict[str, Any]]:
    token = _token(deadline + spec.runtime.termination_grace_period_seconds)
    return [
        {"name": "tmp", "emptyDir": {}},
        {"name": "token", "projected": {"sources": [token, *_ca_bundle(defaults)]}},
        *workspace_volumes(spec.workspace, defaults),
        *spec.runtime.volumes,
    ]


def _scheduling(runtime: Runtime, defaults: PodDefaults) -> dict[str, Any]:
    """Return the scheduling and account fields that job and installation set."""
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


def _token(lifetime: int) -> dict[str, Any]:
    low, high = TOKEN_SECONDS
    seconds = min(max(lifetime + TOKEN_SLACK_SECONDS, low), high)
    return {"serviceAccountToken": {"audience": TOKEN_AUDIENCE, "expirationSeconds": seconds, "path": "token"}}


def _ca_bundle(defaults: PodDefaults) -> list[dict[str, Any]]:
    """Return a volume with the CA certificates from the pod's annotation, because we may not create ConfigMaps for
    users.
    """
    if not defaults.gateway_ca_bundle:
        return []
    path = f"metadata.annotations['{ANNOTATION_GATEWAY_CA}']"
    name = GATEWAY_CA_FILE.removeprefix(f"{TOKEN_MOUNT}/")
    return [{"downwardAPI": {"items": [{"path": name, "fieldRef": {"fieldPath": path}}]}}]
