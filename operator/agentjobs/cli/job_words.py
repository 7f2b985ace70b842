"""A job's agent, workspace and published changes, in a few words. Pure."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agentjobs.cli.printing import published_words

if TYPE_CHECKING:
    from agentjobs.client.job import Job


def runs(spec: Mapping[str, Any]) -> str:
    """Return the agent as far as the job itself defines it, without its template."""
    agent = spec.get("agent") or {}
    if agent.get("claudeCode") is not None:
        mode = agent["claudeCode"].get("permissionMode") or ""
        return f"Claude Code, {mode}" if mode else "Claude Code"
    if agent.get("container") is not None:
        return f"container {(spec.get('runtime') or {}).get('image') or ''}".rstrip()
    if ref := (agent.get("module") or {}).get("ref"):
        return str(ref)
    return "inline agent" if "inline" in agent or "templateRef" not in spec else "the template's agent"


def works_in(workspace: Mapping[str, Any] | None) -> str:
    """Return the repository and the worktree of a job; empty if it has none."""
    git, worktree = ((workspace or {}).get(part) or {} for part in ("git", "worktree"))
    place = f"{git.get('url') or ''}{' at ' if git.get('ref') else ''}{git.get('ref') or ''}"
    return ", ".join(part for part in (place, worktree.get("name") and f"worktree {worktree['name']}") if part)


def published(job: "Job") -> str:
    """Return what was published of its workspace; empty for nothing."""
    workspace = job.status.result.workspace if job.status.result else None
    return published_words(workspace.branch, workspace.commit, workspace.pull_request) if workspace else ""
