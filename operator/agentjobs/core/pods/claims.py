"""The volumes that outlive pods: of Named worktrees, and of the cache of repositories.

A worktree's claim is what jobs take turns at: two pods that have the same one have the same files. We make claims and
delete none; what is in them is people's. Pure.
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
"""Characters of a worktree's name in the name of its claim; what tells claims apart follows them."""


def worktree_claim(workspace: Workspace | None) -> str:
    """Return the name of the PersistentVolumeClaim of a Named worktree, empty for a job that has none.

    `$(…)` of the worktree's name must have their values. Worktrees of one name are different ones where their
    repositories are.
    """
    if workspace is None or workspace.worktree.mode != "Named":
        return ""
    if workspace.claim_name is not None:
        return workspace.claim_name
    name = workspace.worktree.name or ""
    digest = hashlib.sha256(f"{workspace.git.url}\n{name}".encode()).hexdigest()[:8]
    return f"worktree-{name[:MAX_READABLE]}-{digest}"


def claims(*, namespace: str, spec: AgentJobSpec, defaults: PodDefaults) -> tuple[dict[str, Any], ...]:
    """Return the PersistentVolumeClaims that we make for the pods of a job, unless they are there.

    One that the job names itself is its owner's to make.
    """
    workspace, wanted = spec.workspace, []
    if workspace is None:
        return ()
    if workspace.worktree.mode == "Named" and workspace.claim_name is None:
        told = {ANNOTATION_REPOSITORY: workspace.git.url, ANNOTATION_WORKTREE_NAME: workspace.worktree.name}
        storage = Storage(workspace.size, defaults.worktrees.class_name, defaults.worktrees.access_modes)
        wanted.append(_claim(namespace, worktree_claim(workspace), "worktree", storage, annotations=told))
    if defaults.git_cache is not None:
        wanted.append(_claim(namespace, GIT_CACHE_CLAIM, "git-cache", defaults.git_cache, annotations={}))
    return tuple(wanted)


def unusable(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Return why a claim of that name that is there already cannot be used, and what to do; empty when it can."""
    meta, name = found["metadata"], found["metadata"]["name"]
    if (meta.get("labels") or {}).get(LABEL_MANAGED_BY) != MANAGED_BY:
        return f"a PersistentVolumeClaim {name} exists that is not ours; delete it, or name it in workspace.claimName"
    if meta.get("deletionTimestamp"):
        return f"PersistentVolumeClaim {name} is being deleted; a new one is made once it is gone"
    modes = [str(mode) for mode in found["spec"].get("accessModes") or ()]
    if modes == ["ReadOnlyMany"]:
        return f"PersistentVolumeClaim {name} has access mode ReadOnlyMany; it must be one that can be written to"
    has, asked = _size(found), _size(wanted)
    # A cache that is smaller than the settings say by now serves as well.
    if name == GIT_CACHE_CLAIM or not has or amount_of(has) >= amount_of(asked):
        return ""
    return (
        f"PersistentVolumeClaim {name} has {has}, and workspace.size is {asked}; enlarge the claim, or lower the size"
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
    """What a claim has, or asks for while it has nothing; empty when that cannot be read."""
    capacity = (claim.get("status") or {}).get("capacity") or {}
    asked = (claim["spec"].get("resources") or {}).get("requests") or {}
    size = str(capacity.get("storage") or asked.get("storage") or "")
    try:
        amount_of(size)
    except ValueError:
        return ""
    return size
