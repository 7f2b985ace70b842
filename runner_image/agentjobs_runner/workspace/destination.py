"""The repository at the host, accessed with write credentials, and our own repository for the work.

Our repository has objects from the remote, and those made or checked here. It never contains the agent's objects,
except for commands that get their location in a variable (`GIT_ALTERNATE_OBJECT_DIRECTORIES`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agentjobs_runner.workspace.failures import GitFailed, Kind
from agentjobs_runner.workspace.git import Git
from agentjobs_runner.workspace.refusals import of_git, refused
from agentjobs_runner.workspace.settings import is_branch

BASE: Final = "refs/agentjobs/base"
"""In our repository: the agent's base commit."""
_THERE: Final = "refs/agentjobs/there"
_HEADS: Final = "refs/heads/"
_TAGS: Final = "refs/tags/"
# Other files in a hostile store are ignored; big files are streamed; objects are sent unchanged.
SETTINGS: Final = (
    ("core.commitGraph", "false"),
    ("core.multiPackIndex", "false"),
    ("core.bigFileThreshold", "16m"),
    ("core.packedGitWindowSize", "32m"),
    ("core.packedGitLimit", "256m"),
    ("core.protectHFS", "true"),
    ("core.protectNTFS", "true"),
    ("pack.readReverseIndex", "false"),
    ("pack.useBitmaps", "false"),
    ("pack.useSparse", "false"),
    ("pack.windowMemory", "64m"),
    ("push.negotiate", "true"),
    ("push.default", "nothing"),
)


@dataclass(frozen=True, slots=True)
class Refs:
    """The refs of the remote."""

    tips: dict[str, str]
    """Commits or tags by the names of refs."""
    default: str | None
    """The name of the default branch, if the host reports it."""

    def branch(self, name: str) -> str | None:
        """Return the commit of a branch."""
        return self.tips.get(_HEADS + name)

    def is_branch(self, name: str) -> bool:
        """Whether there is such a branch."""
        return _HEADS + name in self.tips

    def commit_of(self, ref: str | None) -> str | None:
        """Return the current commit of `git.ref`, a branch or a tag; the default branch for None."""
        if ref is None:
            return self.tips.get("HEAD")
        for name in (_HEADS + ref, f"{_TAGS}{ref}^{{}}", _TAGS + ref, f"{ref}^{{}}", ref):
            if name in self.tips:
                return self.tips[name]
        return None


@dataclass(frozen=True, slots=True)
class Repository:
    """Our own bare repository, with Git to use it."""

    git: Git
    folder: Path

    def run(self, *arguments: str | bytes | Path, **more: object) -> bytes:
        """Run Git in it, as `Git.run`."""
        return self.git.run(f"--git-dir={self.folder}", *arguments, **more)  # type: ignore[arg-type]

    def words(self, *arguments: str, **more: object) -> str:
        """Run Git and return its one line."""
        return self.run(*arguments, **more).decode("utf-8", "replace").strip()

    def has(self, name: str) -> bool:
        """Whether a commit is there."""
        try:
            self.run("cat-file", "-e", f"{name}^{{commit}}")
        except GitFailed as error:
            if error.kind in (Kind.FULL, Kind.ABSENT):
                raise
            return False
        return True


def create(git: Git, folder: Path, url: str, object_format: str = "sha1") -> Repository:
    """Create our repository, whose only remote is `url`; with the remote's object format.

    Raises:
        StartEnded: there is no git, or no space.
    """
    try:
        git.run("init", "--quiet", "--bare", "--template=", f"--object-format={object_format}", "--", folder)
        git.run(f"--git-dir={folder}", "config", "remote.origin.url", url)
    except GitFailed as error:
        raise of_git(error, "making a repository to publish from") from error
    return Repository(git, folder)


def refs_of(repository: Repository) -> Refs:
    """Read the refs of the remote.

    Raises:
        StartEnded: it does not respond, or rejects the credentials.
    """
    try:
        lines = repository.run("ls-remote", "--symref", "--", "origin").decode("utf-8", "replace").splitlines()
    except GitFailed as error:
        raise of_git(error, "asking the repository what it has") from error
    tips, default = dict[str, str](), None
    for line in lines:
        value, _, name = line.partition("\t")
        if value.startswith("ref: ") and name == "HEAD":
            default = value.removeprefix("ref: ").removeprefix(_HEADS)
        elif not value.startswith("ref: "):
            tips[name] = value
    return Refs(tips, default)


def fetch_base(repository: Repository, commit: str, refs: Refs, depth: int) -> bool:
    """Fetch the agent's base commit: only then is it verified to be the remote's.

    Files are left out if the remote supports it and will know the commit when we push: they are not needed, because
    existing objects are not sent.

    Args:
        commit: hexadecimal.
        depth: the number of commits that were fetched for the agent; 0 for all.

    Returns:
        Whether the remote has it.

    Raises:
        StartEnded: the remote is unreachable, or rejects the credentials.
    """
    options = ["--filter=blob:none"] if commit in refs.tips.values() else []
    options += [f"--depth={depth}"] if depth > 0 else []
    doing = f"fetching the commit {commit[:12]}, with which the job began"
    return _fetched(repository, doing, *options, "--", "origin", f"+{commit}:{BASE}") and repository.has(BASE)


def fetch_tip(repository: Repository, commit: str) -> bool:
    """Fetch one commit of a branch with its trees; return whether that worked."""
    what = ("--filter=blob:none", "--depth=1", "--", "origin", f"+{commit}:{_THERE}")
    return _fetched(repository, "fetching what the branch has", *what) and repository.has(commit)


def goes_on(repository: Repository, commit: str, head: str) -> bool:
    """Return whether `head` continues from a commit of the remote, whose history is fetched without files.

    Raises:
        StartEnded: the remote cannot be reached, or refuses.
    """
    doing, base = "fetching the past of the branch", repository.words("rev-parse", BASE)
    whole = ["--unshallow"] if (repository.folder / "shallow").exists() else []
    what = ("--filter=tree:0", *whole, "--", "origin", f"+{base}:{BASE}", f"+{commit}:{_THERE}")
    return _fetched(repository, doing, *what) and _done(repository, doing, "merge-base", "--is-ancestor", commit, head)


def _fetched(repository: Repository, doing: str, *what: str) -> bool:
    """Fetch, and return whether that worked.

    Raises:
        StartEnded: the remote cannot be reached, or refuses.
    """
    config = repository.folder / "config"
    before = config.read_bytes()
    options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
    try:
        return _done(repository, doing, "fetch", *options, *what)
    finally:
        # A filter makes this a remote from which missing objects are fetched on demand.
        config.write_bytes(before)


def _done(repository: Repository, doing: str, *order: str) -> bool:
    try:
        repository.run(*order)
    except GitFailed as error:
        # Hosts have several messages for a missing commit, and a retry helps with none of them.
        if error.kind in (Kind.MISSING, Kind.BROKEN):
            return False
        raise of_git(error, doing) from error
    return True


def check_branch(repository: Repository, branch: str) -> None:
    """Reject a branch that Git cannot name, or would interpret otherwise.

    Raises:
        StartEnded: the name is invalid.
    """
    try:
        repository.run("check-ref-format", _HEADS + branch)
        fits = is_branch(branch)
    except GitFailed as error:
        if error.kind is Kind.ABSENT:
            raise of_git(error, "checking publish.branch") from error
        fits = False
    if not fits:
        raise refused(f"publish.branch {branch!r:.120} is not a valid branch name")


def push(repository: Repository, commit: str, branch: str) -> None:
    """Fast-forward a branch to `commit`, or create it.

    Raises:
        GitFailed: the push was rejected.
    """
    repository.run("push", "--quiet", "--no-verify", "--no-thin", "--", "origin", f"{commit}:{_HEADS}{branch}")
