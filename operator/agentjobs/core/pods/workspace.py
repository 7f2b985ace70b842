"""What a workspace adds to a pod: a container that clones before the agent, one that publishes after it, and volumes.

Both run our code in the installation's image, independent of the agent's image. Only they see Git credentials, each
its own. If the job publishes, the agent's container is an init container: the kubelet starts the publish container
when the agent's has exited with 0, including all processes that it started.
"""

from collections.abc import Mapping
from typing import Any, Final

from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.job.workspace import SecretRef, Workspace
from agentjobs.contract import (
    CLONE_COMMAND,
    CLONE_CONTAINER,
    ENV_GIT_CACHE,
    ENV_GIT_CREDENTIALS,
    ENV_WORKSPACE,
    GIT_CACHE_CLAIM,
    GIT_CACHE_MOUNT,
    GIT_CREDENTIALS_MOUNT,
    PUBLISH_COMMAND,
    PUBLISH_CONTAINER,
    TERMINATION_FILE,
    TOKEN_MOUNT,
    WORKSPACE_MOUNT,
    WORKSPACE_VOLUME,
    WORKSPACE_VOLUMES,
)
from agentjobs.core.pods.container import RESTRICTED, installation_environment, pull_policy, resources_of
from agentjobs.core.pods.defaults import PodDefaults
from agentjobs.core.pods.volume_claims import worktree_claim

# The last is /tmp of our containers. Never the agent's, because a copy of a key may remain in it.
_, READ_VOLUME, WRITE_VOLUME, CACHE_VOLUME, TMP_VOLUME = WORKSPACE_VOLUMES
SECRET_MODE: Final = 0o440
# Resources of our containers; devices are for the agent only.
_PLAIN: Final = ("cpu", "memory", "ephemeral-storage")


def with_workspace(
    agent: dict[str, Any], place: Mapping[str, str], spec: AgentJobSpec, defaults: PodDefaults
) -> dict[str, Any]:
    """Return `containers` and, if any, `initContainers` of a pod whose agent runs in `agent`.

    Args:
        place: the variables that identify the start.
    """
    workspace = spec.workspace
    if workspace is None:
        return {"containers": [agent]}
    clone = _clone(place, spec, workspace, defaults)
    if not workspace.publishes:
        return {"initContainers": [clone], "containers": [agent]}
    return {"initContainers": [clone, agent], "containers": [_publish(place, spec, workspace, defaults)]}


def workspace_volumes(workspace: Workspace | None, defaults: PodDefaults) -> list[dict[str, Any]]:
    """Return the volumes of a workspace: its files, our /tmp, credentials and cache."""
    if workspace is None:
        return []
    claim = worktree_claim(workspace)
    files = {"persistentVolumeClaim": {"claimName": claim}} if claim else {"emptyDir": {"sizeLimit": workspace.size}}
    # Room for a copy of the changes and the history they build on; bounded, so that an endless server cannot fill the
    # node.
    volumes = [{"name": WORKSPACE_VOLUME, **files}, {"name": TMP_VOLUME, "emptyDir": {"sizeLimit": workspace.size}}]
    volumes += _secret(READ_VOLUME, workspace.git.secret_ref)
    if workspace.publishes:
        volumes += _secret(WRITE_VOLUME, workspace.publish.secret_ref)
    if defaults.git_cache is not None:
        volumes.append({"name": CACHE_VOLUME, "persistentVolumeClaim": {"claimName": GIT_CACHE_CLAIM}})
    return volumes


def _secret(volume: str, secret: SecretRef | None) -> list[dict[str, Any]]:
    return (
        [] if secret is None else [{"name": volume, "secret": {"secretName": secret.name, "defaultMode": SECRET_MODE}}]
    )


def _clone(place: Mapping[str, str], spec: AgentJobSpec, workspace: Workspace, defaults: PodDefaults) -> dict[str, Any]:
    credentials = READ_VOLUME if workspace.git.secret_ref is not None else None
    clone = _container(CLONE_CONTAINER, CLONE_COMMAND, place, spec, defaults, credentials=credentials)
    if defaults.git_cache is not None:
        clone["env"].append({"name": ENV_GIT_CACHE, "value": GIT_CACHE_MOUNT})
        clone["volumeMounts"].append({"name": CACHE_VOLUME, "mountPath": GIT_CACHE_MOUNT})
    return clone


def _publish(
    place: Mapping[str, str], spec: AgentJobSpec, workspace: Workspace, defaults: PodDefaults
) -> dict[str, Any]:
    credentials = WRITE_VOLUME if workspace.publish.secret_ref is not None else None
    return _container(PUBLISH_CONTAINER, PUBLISH_COMMAND, place, spec, defaults, credentials=credentials)


def _container(
    name: str,
    command: tuple[str, ...],
    place: Mapping[str, str],
    spec: AgentJobSpec,
    defaults: PodDefaults,
    *,
    credentials: str | None,
) -> dict[str, Any]:
    """Return one of our containers. From `spec.runtime` it only takes resources and grace period."""
    ours = {**place, ENV_WORKSPACE: WORKSPACE_MOUNT}
    mounts: list[dict[str, Any]] = [
        {"name": TMP_VOLUME, "mountPath": "/tmp"},  # noqa: S108  the pod's own emptyDir
        {"name": "token", "mountPath": TOKEN_MOUNT, "readOnly": True},
        {"name": WORKSPACE_VOLUME, "mountPath": WORKSPACE_MOUNT},
    ]
    if credentials is not None:
        ours[ENV_GIT_CREDENTIALS] = GIT_CREDENTIALS_MOUNT
        mounts.append({"name": credentials, "mountPath": GIT_CREDENTIALS_MOUNT, "readOnly": True})
    return {
        "name": name,
        "image": defaults.image,
        "command": list(command),
        "env": installation_environment(ours, spec.runtime, defaults),
        "resources": _resources(spec, defaults),
        "securityContext": dict(RESTRICTED),
        "terminationMessagePath": TERMINATION_FILE,
        "terminationMessagePolicy": "File",
        "volumeMounts": mounts,
        **pull_policy(None, defaults),
    }


def _resources(spec: AgentJobSpec, defaults: PodDefaults) -> dict[str, Any]:
    """Return the agent container's resources, at no cost: sequential containers count as the largest one."""
    return {
        kind: {name: amount for name, amount in amounts.items() if name in _PLAIN}
        for kind, amounts in resources_of(spec.runtime, defaults).items()
        if isinstance(amounts, Mapping)
    }
