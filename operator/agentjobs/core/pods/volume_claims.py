"""The volumes that outlive pods: those of Named worktrees, and the cache of repositories.

Jobs that share a worktree's claim take turns, because they share the files. The operator creates claims but never
deletes them: their contents belong to users. Pure.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from agentjobs.api.fields import amount_of
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.job.workspace import Workspace
from agentjobs.contract import GIT_CACHE_CLAIM, GROUP, MANAGED_BY
from agentjobs.core.pods.defaults import PodDefaults, Storage

LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
ANNOTATION_REPOSITORY: Final = f"{GROUP}/repository"
ANNOTATION_WORKTREE_NAME: Final = f"{GROUP}/worktree-name"
MAX_READABLE: Final = 40
"""Characters of a worktree's name in the name of its claim; a hash follows."""


def worktree_claim(workspace: Workspace | None) -> str:
    """Return the name of the PersistentVolumeClaim of a Named worktree; empty if the job has none.

    `$(…)` in the worktree's name must be replaced before. Worktrees with the same name but different repositories are
    different.
    """
    if workspace is None or workspace.worktree.mode != "Named":
        return ""
    if workspace.claim_name is not None:
        return workspace.claim_name
    name = workspace.worktree.name or ""
    digest = hashlib.sha256(f"{workspace.git.url}\n{name}".encode()).hexdigest()[:8]
    return f"worktree-{name[:MAX_READABLE]}-{digest}"


def volume_claims(*, namespace: str, spec: AgentJobSpec, defaults: PodDefaults) -> tuple[dict[str, Any], ...]:
    """Return the PersistentVolumeClaims to create for the pods of a job, if they do not exist.

    A claim that the job names must be created by its owner.
    """
    workspace, wanted = spec.workspace, []
    if workspace is None:
        return ()
    if workspace.worktree.mode == "Named" and workspace.claim_name is None:
        annotations = {ANNOTATION_REPOSITORY: workspace.git.url, ANNOTATION_WORKTREE_NAME: workspace.worktree.name}
        storage = Storage(workspace.size, defaults.worktrees.class_name, defaults.worktrees.access_modes)
        wanted.append(_claim(namespace, worktree_claim(workspace), "worktree", storage, annotations=annotations))
    if defaults.git_cache is not None:
        wanted.append(_claim(namespace, GIT_CACHE_CLAIM, "git-cache", defaults.git_cache, annotations={}))
    return tuple(wanted)


def unusable(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Return why an existing claim of that name cannot be used, with the cure; empty if it can."""
    meta, name = found["metadata"], found["metadata"]["name"]
    if (meta.get("labels") or {}).get(LABEL_MANAGED_BY) != MANAGED_BY:
        return (
            f"PersistentVolumeClaim {name} was not created by AgentJobs; delete it, or name it in workspace.claimName"
        )
    if meta.get("deletionTimestamp"):
        return f"PersistentVolumeClaim {name} is being deleted; a new one will be created afterwards"
    modes = [str(mode) for mode in found["spec"].get("accessModes") or ()]
    if modes == ["ReadOnlyMany"]:
        return f"PersistentVolumeClaim {name} has access mode ReadOnlyMany; use a writable access mode"
    has, requested = _size(found), _size(wanted)
    # A cache may be smaller than the current setting.
    if name == GIT_CACHE_CLAIM or not has or amount_of(has) >= amount_of(requested):
        return ""
    return (
        f"PersistentVolumeClaim {name} has {has}, but workspace.size is {requested}; enlarge the claim, or lower the "
        "size"
    )


def _claim(
    namespace: str, name: str, component: str, storage: Storage, *, annotations: Mapping[str, Any]
) -> dict[str, Any]:
    chosen = {} if storage.class_name is None else {"storageClassName": storage.class_name}
    labels = {"app.kubernetes.io/name": "agentjobs", "app.kubernetes.io/component": component}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "namespace": namespace,
            "name": name,
            "labels": {**labels, LABEL_MANAGED_BY: MANAGED_BY},
            "annotations": dict(annotations),
        },
        "spec": {
            "accessModes": list(storage.access_modes),
            "resources": {"requests": {"storage": storage.size}},
            **chosen,
        },
    }


def _size(claim: Mapping[str, Any]) -> str:
    """Return the capacity of a claim, or its request while it has none; empty if unreadable."""
    capacity = (claim.get("status") or {}).get("capacity") or {}
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    size = str(capacity.get("storage") or requests.get("storage") or "")
    try:
        amount_of(size)
    except ValueError:
        return ""
    return size
