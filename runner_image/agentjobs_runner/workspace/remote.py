"""The repository of a workspace: the current commit of its ref, and its commits."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agentjobs_runner.workspace.failures import GitFailed, Kind
from agentjobs_runner.workspace.git import Git
from agentjobs_runner.workspace.settings import is_branch, is_commit

_HEADS: Final = "refs/heads/"
_TAGS: Final = "refs/tags/"
_SHORT: Final = 7


@dataclass(frozen=True, slots=True)
class Tip:
    """The target of a ref."""

    commit: str
    branch: str
    """Empty if the ref is a tag or a commit."""
    shown: bool
    """Whether the repository listed the commit itself; a commit named by a job may not belong to it."""


class Remote:
    """One repository, accessed with one pair of credentials."""

    def __init__(self, git: Git, url: str) -> None:
        self._git = git
        self.url = url

    def tip(self, ref: str | None) -> Tip:
        """Return the current target of `ref`: a branch before a tag of the same name, then a commit. None is HEAD.

        Raises:
            GitFailed: Missing if none exists; or any failure of the request.
        """
        names = ["HEAD"] if ref is None else _names(ref)
        listed, head = self._listed(names)
        if ref is None:
            if "HEAD" not in listed:
                raise GitFailed(Kind.MISSING, "the repository has no commit yet, or its address is that of a page")
            branch = head.removeprefix(_HEADS) if head.startswith(_HEADS) else ""
            return Tip(listed["HEAD"], branch if is_branch(branch) else "", shown=True)
        for name in names:
            if name in listed:
                # An annotated tag is an object itself; its commit is listed with it.
                commit = listed.get(f"{name}^{{}}", listed[name])
                branch = name.removeprefix(_HEADS) if name.startswith(_HEADS) else ""
                return Tip(commit, branch if is_branch(branch) else "", shown=True)
        if is_commit(ref.lower()):
            return Tip(ref.lower(), "", shown=False)
        raise GitFailed(Kind.MISSING, f"the repository has no branch or tag {ref!r:.260}{_cure(ref)}")

    def prove(self, commit: str, scratch: Path) -> None:
        """Return if the repository gives these credentials this commit; fetches little else.

        Raises:
            GitFailed: Missing if it does not; or any failure of the request.
        """
        make(self._git, scratch, commit)
        try:
            self._git.run(*_in(scratch), *_FETCH, "--depth=1", "--filter=tree:0", self.url, commit)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def fetch(
        self, repository: Path, commit: str, depth: int, variables: Mapping[str, str] | None = None, *, tags: bool
    ) -> None:
        """Fetch a commit with `depth` commits of history (0 for all) into one of our repositories.

        Args:
            variables: additional environment for Git.
            tags: whether to fetch the tags of fetched commits.

        Raises:
            GitFailed: Missing if the repository does not have it; or any failure of the request.
        """
        deep = [f"--depth={depth}"] if depth else []
        # Tags are only fetched for objects stored under a name.
        what = f"+{commit}:refs/agentjobs/fetched" if tags else commit
        follow = [] if tags else ["--no-tags"]
        self._git.run(*_in(repository), *_FETCH, *follow, *deep, self.url, what, variables=variables)

    def _listed(self, names: list[str]) -> tuple[dict[str, str], str]:
        """Return the objects of the refs with these names, and the target of HEAD."""
        patterns = [pattern for name in names for pattern in (name, f"{name}^{{}}")]
        printed = self._git.run("ls-remote", "--symref", "--", self.url, *patterns).decode("utf-8", "replace")
        listed, head = dict[str, str](), ""
        for line in printed.splitlines():
            what, _, name = line.partition("\t")
            if what.startswith("ref: "):
                head = what.removeprefix("ref: ") if name == "HEAD" else head
            elif is_commit(what):
                # A pattern also matches the end of longer names.
                listed[name] = what
        return listed, head


_FETCH: Final = ("fetch", "-q", "--no-write-fetch-head", "--no-recurse-submodules")


def make(git: Git, repository: Path, commit: str, *, bare: bool = True) -> None:
    """Create an empty repository with the object format of `commit`."""
    shutil.rmtree(repository, ignore_errors=True)
    kind = "sha256" if len(commit) == 64 else "sha1"
    git.run("init", "-q", "--template=", f"--object-format={kind}", *(["--bare"] if bare else []), repository)


def _in(repository: Path) -> tuple[str, ...]:
    return (f"--git-dir={repository}",)


def _names(ref: str) -> list[str]:
    return [ref] if ref.startswith("refs/") else [_HEADS + ref, _TAGS + ref]


def _cure(ref: str) -> str:
    digits = all(letter in "0123456789abcdef" for letter in ref.lower())
    return "; a commit needs its whole name" if digits and len(ref) >= _SHORT else ""
