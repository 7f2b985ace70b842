"""Names of the volumes that outlive pods: of Named worktrees, and of the cache of repositories.

Pure. A claim is what jobs take turns at: two pods that have the same one have the same files.
"""

import hashlib
from typing import Final

from agentjobs.api.job.workspace import Workspace

CACHE_CLAIM: Final = "agentjobs-git-cache"
"""Of a namespace's cache of repositories."""
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
