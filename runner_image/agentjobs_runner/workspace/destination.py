"""The repository at the host, asked and changed with the credentials to write, and our own repository beside it.

Our repository holds what the remote gave, and what was made or checked here. The agent's objects are never in it, but
for commands that are told their place (`Repository.beside`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agentjobs_runner.workspace.failures import GitFailed, Kind
from agentjobs_runner.workspace.git import Git
from agentjobs_runner.workspace.refusals import of_git, refused
from agentjobs_runner.workspace.settings import is_branch

BASE: Final = "refs/agentjobs/base"
"""In our repository: the commit that the agent began with."""
_THERE: Final = "refs/agentjobs/there"
_HEADS: Final = "refs/heads/"
_TAGS: Final = "refs/tags/"
# What a hostile store may hold beside objects is not asked; big files are streamed; what is there is sent as it is.
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
    """What the remote has."""

    tips: dict[str, str]
    """Commits or tags by the names of refs."""
    default: str | None
    """The name of the default branch, where the host tells it."""

    def branch(self, name: str) -> str | None:
        """Return the commit of a branch."""
        return self.tips.get(_HEADS + name)

    def is_branch(self, name: str) -> bool:
        """Whether there is such a branch."""
        return _HEADS + name in self.tips

    def commit_of(self, ref: str | None) -> str | None:
        """Return the commit that `git.ref` stands for now: a branch or a tag; the default branch for None."""
        if ref is None:
            return self.tips.get("HEAD")
        for name in (_HEADS + ref, f"{_TAGS}{ref}^{{}}", _TAGS + ref, f"{ref}^{{}}", ref):
            if name in self.tips:
                return self.tips[name]
        return None


@dataclass(frozen=True, slots=True)
class Repository:
    """Our own bare repository, and how to run Git in it."""

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
    """Make our repository, whose only remote is `url`; how its objects are named is the remote's to say.

    Raises:
        StartEnded: there is no git, or no room.
    """
    try:
        git.run("init", "--quiet", "--bare", "--template=", f"--object-format={object_format}", "--", folder)
        git.run(f"--git-dir={folder}", "config", "remote.origin.url", url)
    except GitFailed as error:
        raise of_git(error, "making a repository to publish from") from error
    return Repository(git, folder)


def refs_of(repository: Repository) -> Refs:
    """Ask the remote what it has.

    Raises:
        StartEnded: it does not answer, or refuses the credentials.
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
    """Fetch the commit that the agent began with: only then is it one of the remote's.

    Files are left out where the remote can do so and will know the commit when we push: they are not needed, since
    what it has is not sent.

    Args:
        commit: hexadecimal.
        depth: how many commits of the past were fetched for the agent; 0 for all.

    Returns:
        Whether the remote has it.

    Raises:
        StartEnded: the remote cannot be reached, or refuses.
    """
    options = ["--filter=blob:none"] if commit in refs.tips.values() else []
    options += [f"--depth={depth}"] if depth > 0 else []
    doing = f"fetching the commit {commit[:12]}, with which the job began"
    return _fetched(repository, doing, *options, "--", "origin", f"+{commit}:{BASE}") and repository.has(BASE)


def fetch_tip(repository: Repository, commit: str) -> bool:
    """Fetch one commit of a branch with its folders; whether that could be done."""
    what = ("--filter=blob:none", "--depth=1", "--", "origin", f"+{commit}:{_THERE}")
    return _fetched(repository, "fetching what the branch has", *what) and repository.has(commit)


def goes_on(repository: Repository, commit: str, head: str) -> bool:
    """Whether `head` goes on from a commit of the remote, for which the past is fetched, without files.

    Raises:
        StartEnded: the remote cannot be reached, or refuses.
    """
    doing, base = "fetching the past of the branch", repository.words("rev-parse", BASE)
    whole = ["--unshallow"] if (repository.folder / "shallow").exists() else []
    what = ("--filter=tree:0", *whole, "--", "origin", f"+{base}:{BASE}", f"+{commit}:{_THERE}")
    return _fetched(repository, doing, *what) and _done(repository, doing, "merge-base", "--is-ancestor", commit, head)


def _fetched(repository: Repository, doing: str, *what: str) -> bool:
    """Fetch, and say whether that could be done.

    Raises:
        StartEnded: the remote cannot be reached, or refuses.
    """
    config = repository.folder / "config"
    before = config.read_bytes()
    options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
    try:
        return _done(repository, doing, "fetch", *options, *what)
    finally:
        # A filter makes the remote one that is asked for whatever is missing.
        config.write_bytes(before)


def _done(repository: Repository, doing: str, *order: str) -> bool:
    try:
        repository.run(*order)
    except GitFailed as error:
        # Hosts say in several ways that they have no such commit, and none of them helps another start.
        if error.kind in (Kind.MISSING, Kind.BROKEN):
            return False
        raise of_git(error, doing) from error
    return True


def check_branch(repository: Repository, branch: str) -> None:
    """Refuse a branch that Git cannot name, or would take for something else.

    Raises:
        StartEnded: it cannot.
    """
    try:
        repository.run("check-ref-format", _HEADS + branch)
        fits = is_branch(branch)
    except GitFailed as error:
        if error.kind is Kind.ABSENT:
            raise of_git(error, "checking publish.branch") from error
        fits = False
    if not fits:
        raise refused(f"publish.branch {branch!r:.120} cannot be the name of a branch")


def push(repository: Repository, commit: str, branch: str) -> None:
    """Move a branch forward to `commit`, or make it.

    Raises:
        GitFailed: it was not taken.
    """
    repository.run("push", "--quiet", "--no-verify", "--no-thin", "--", "origin", f"{commit}:{_HEADS}{branch}")
