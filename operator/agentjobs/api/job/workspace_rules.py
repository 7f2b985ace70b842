"""Rules of `workspace` over several fields. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from agentjobs.api.fields import DNS_LABEL
from agentjobs.api.job.team import as_object
from agentjobs.api.job.workspace import GIT_REF, PUBLISHING, PULL_REQUESTS, host_of
from agentjobs.api.problems import FieldProblem, Path, field_name, problem_at
from agentjobs.contract import GIT_CACHE_CLAIM, GIT_PROVIDERS


def workspace_problems(spec: Mapping[str, Any]) -> Iterator[FieldProblem]:
    """Yield the problems of a workspace. Values of wrong types are skipped: the models report them."""
    workspace = spec.get("workspace")
    if not isinstance(workspace, Mapping):
        return
    git, worktree, publish = (as_object(workspace.get(name)) for name in ("git", "worktree", "publish"))
    yield from _named_problems(workspace, worktree)
    yield from _publish_problems(git, publish)
    yield from _unreachable(spec)
    for path, text, pattern, cure in (
        (("workspace", "git", "ref"), git.get("ref"), GIT_REF, "is not a Git ref; use a branch, tag or commit"),
        (
            ("workspace", "worktree", "name"),
            worktree.get("name"),
            DNS_LABEL,
            "is not a name; use lower case letters, digits and -",
        ),
        (("workspace", "publish", "branch"), publish.get("branch"), GIT_REF, "is not a branch name"),
    ):
        # Parameters are replaced later; the rule is then checked again.
        if isinstance(text, str) and "$(" not in text and not _fits(text, pattern):
            yield problem_at(path, text, cure)


def _fits(text: str, pattern: str) -> bool:
    # Printable, because characters that change the writing direction would disguise a name.
    if re.search(pattern, text, re.ASCII) is None or not text.isprintable():
        return False
    if pattern == DNS_LABEL:
        return len(text) <= 63
    bad = ("..", "//", "@{", "/.", ".lock/")
    return not (any(part in text for part in bad) or text.startswith(("/", ".")) or text.endswith(("/", ".", ".lock")))


def _named_problems(workspace: Mapping[str, Any], worktree: Mapping[str, Any]) -> Iterator[FieldProblem]:
    named = worktree.get("mode") == "Named"
    if named and worktree.get("name") is None:
        yield FieldProblem(field_name(("workspace", "worktree")), "", "a Named worktree needs a name", lacking=True)
    if worktree.get("name") is not None and not named:
        cure = "needs mode Named; set it, or remove this"
        yield problem_at(
            ("workspace", "worktree", "name"), worktree["name"], cure, lacking=worktree.get("mode") is None
        )
    if workspace.get("claimName") is not None and not named:
        cure = "needs a Named worktree; set worktree.mode and worktree.name, or remove this"
        yield problem_at(("workspace", "claimName"), workspace["claimName"], cure, lacking=worktree.get("mode") is None)
    elif workspace.get("claimName") == GIT_CACHE_CLAIM:
        cure = "holds repositories of other jobs; agents must not mount it"
        yield problem_at(("workspace", "claimName"), GIT_CACHE_CLAIM, cure)


def _unreachable(spec: Mapping[str, Any]) -> Iterator[FieldProblem]:
    """Check that the Git host is reachable: a policy applies to the whole pod, also to the containers that clone and
    publish.
    """
    egress = as_object(as_object(spec.get("isolation")).get("egress"))
    if egress.get("mode") == "Restricted" and not egress.get("allow"):
        cure = "is empty, so the host of workspace.git.url cannot be reached; add a rule for its addresses and port"
        yield FieldProblem(field_name(("isolation", "egress", "allow")), "", cure, lacking=True)


def _publish_problems(git: Mapping[str, Any], publish: Mapping[str, Any]) -> Iterator[FieldProblem]:
    here: Path = ("workspace", "publish")
    mode = publish.get("mode")
    if mode not in PUBLISHING:
        return
    if publish.get("branch") is None:
        yield FieldProblem(field_name(here), "", f"mode {mode} needs branch, e.g. agents/$(job.name)", lacking=True)
    if publish.get("secretRef") is None:
        yield FieldProblem(field_name(here), "", f"mode {mode} needs secretRef: credentials to write", lacking=True)
    url = git.get("url")
    if mode in PULL_REQUESTS and publish.get("provider") is None and isinstance(url, str):
        host = host_of(url)
        if host and host not in GIT_PROVIDERS:
            cure = f"is required, because the API of {host[:80]} is unknown; set GitHub, GitLab or Gitea"
            yield FieldProblem(field_name((*here, "provider")), "", cure, lacking=True)
    if publish.get("branch") == "HEAD":
        yield problem_at((*here, "branch"), "HEAD", "is Git's name for the current branch; use another")
    if mode in PULL_REQUESTS and publish.get("branch") is not None and publish["branch"] == git.get("ref"):
        yield problem_at((*here, "branch"), publish["branch"], "is git.ref, the target of the merge; use another")
