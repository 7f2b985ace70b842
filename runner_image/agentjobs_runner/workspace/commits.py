"""The commits to publish: the agent's if they continue from the base, plus one for its uncommitted files.

Made in our own repository (`destination`). The agent's object store is readable while commits are made; then all new
objects are copied, which checks and renames them by content, and the store is not used again. If an object is
unreadable or missing, only the files are published, as one commit.
"""

import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agentjobs_runner.log import logger
from agentjobs_runner.workspace import agent_store
from agentjobs_runner.workspace.agent_files import Found, TooMany, Waits, files_of
from agentjobs_runner.workspace.destination import BASE, Repository
from agentjobs_runner.workspace.failures import GitFailed, Kind
from agentjobs_runner.workspace.folders import is_folder
from agentjobs_runner.workspace.refusals import of_git, refused

AUTHOR: Final = "AgentJobs"
EMAIL: Final = "noreply@agentjobs.dev"
_GITLINK: Final = b"160000"
# Ignored by our own rule, or matched by the agent's: with one match the command does not fail.
_SENTINEL: Final = b".agentjobs-ignored"


@dataclass(frozen=True, slots=True)
class Change:
    """A change to publish."""

    head: str
    """The last commit, hexadecimal."""
    tree: str
    """The object of its files."""
    parent: str
    """The parent of the commit of uncommitted files; without one, `head` itself."""
    kept: bool
    """Whether it includes the agent's commits, or there are none."""
    objects: tuple[tuple[str, bytes], ...]
    """All objects that the remote's base does not have, each with a path if it has one."""
    left_out: tuple[bytes, ...]
    """Existing paths that are neither published nor ignored."""


def changes(repository: Repository, tree: Path, message: str, *, strict: bool = False) -> Change | None:
    """Make the commits for the agent's files in `tree`, on the base; None without changes.

    Args:
        repository: ours, with the base fetched.
        tree: the checkout, as the agent left it.
        message: of the last commit.
        strict: whether files on another commit than the base may be other changes. Then the agent's commits must
            continue from the base: as one commit, such files would revert other people's changes.

    Raises:
        StartEnded: it cannot be published.
    """
    if not is_folder(tree):
        raise refused("the checkout is missing: it is not a folder")
    if (what := agent_store.unfinished(tree)) is not None:
        raise refused(f"the agent left {what} unfinished, so its files are not what it meant; nothing was published")
    store = repository.folder / "agent-objects"
    linked = agent_store.link_objects(tree, store)
    base = repository.words("rev-parse", "--verify", f"{BASE}^{{commit}}")
    claimed = agent_store.head_of(tree)
    candidates = _candidates(store if linked else None, base, claimed, strict=strict)
    for beside, on in candidates:
        try:
            found = _made(repository, tree, beside, base, on, message)
        except GitFailed as error:
            if error.kind in (Kind.FULL, Kind.ABSENT) or (beside, on) == candidates[-1]:
                raise of_git(error, "making a commit of the agent's files") from error
            fields = {"commit": on, "detail": error.message}
            logger.warning("publish.commits_not_kept" if on != base else "publish.objects_not_read", extra=fields)
            continue
        before = [value for name, value in _head_of_commit(repository, base, {}) if name == "parent"]
        kept = on == claimed or claimed in (None, base, *before)
        return None if found is None else Change(*found[:3], kept, *found[3:])
    raise AssertionError("the last attempt returns or raises")


def _candidates(store: Path | None, base: str, claimed: str | None, *, strict: bool) -> list[tuple[Path | None, str]]:
    """Return the object stores to read, and the commits to continue from, in the order in which they are tried."""
    candidates: list[tuple[Path | None, str]] = [(None, base)]
    if store is not None:
        candidates.insert(0, (store, base))
        if claimed not in (None, base):
            candidates.insert(0, (store, str(claimed)))
    if strict and claimed != base:
        candidates = [candidate for candidate in candidates if candidate[1] == claimed]
        if not candidates:
            raise refused("the base of the files is unknown: the checkout has no commit to continue from")
    return candidates


_Made = tuple[str, str, str, tuple[tuple[str, bytes], ...], tuple[bytes, ...]]


def _made(repository: Repository, tree: Path, beside: Path | None, base: str, on: str, message: str) -> _Made | None:
    """Commit the files on the commit `on`, copy new objects, and return the change; None without one.

    Raises:
        GitFailed: `on` does not continue from the base, or an object is missing or damaged.
    """
    variables = {} if beside is None else {"GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(beside)}
    if on != base:
        repository.run("merge-base", "--is-ancestor", base, on, variables=variables)
    files, left_out = _tree_of(repository, tree, on, variables)
    head = on
    if files != repository.words("rev-parse", "--verify", f"{on}^{{tree}}", variables=variables):
        head = repository.words("commit-tree", files, "-p", on, input=message.encode(), variables=variables | _author())
    if head == base:
        return None
    _take_over(repository, base, head, variables)
    # From here on without the agent's store: listed objects are present, complete, and will be sent.
    listed = repository.run("rev-list", "--objects", head, "--not", base)
    objects = tuple((line.partition(b" ")[0].decode(), line.partition(b" ")[2]) for line in listed.split(b"\n") if line)
    return head, files, on, objects, left_out


def _tree_of(
    repository: Repository, tree: Path, on: str, variables: Mapping[str, str]
) -> tuple[str, tuple[bytes, ...]]:
    """Write the agent's files as a tree on `on`; return the tree, and what was left out."""
    index = repository.folder / "index-of-files"
    for left in (index, index.with_suffix(".lock")):  # left by a git that was killed
        left.unlink(missing_ok=True)
    places = {**variables, "GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(tree)}
    repository.run("read-tree", on, variables=places)
    listed = repository.run("ls-files", "--stage", "-z", variables=places).split(b"\0")
    tracked = {line.partition(b"\t")[2]: line[:6] for line in listed if line}
    submodules = frozenset(path for path, mode in tracked.items() if mode == _GITLINK)
    found = _walked(tree, tracked, submodules)
    ignored = _ignored(repository, [*found.paths, *found.left_out], tracked, tree, places)
    present = frozenset(found.paths) - ignored
    deleted = [path for path in tracked if path not in present and path not in submodules]
    if deleted and agent_store.is_sparse(tree):
        raise refused("the agent made the checkout sparse, so files that are missing may be deleted or not; undo that")
    if deleted:
        lines = b"".join(b"0 %s\t%s\0" % (b"0" * len(on), path) for path in deleted)
        repository.run("update-index", "-z", "--index-info", input=lines, variables=places, cwd=tree)
    settings = () if _keeps_modes(tree.parent) else ("-c", "core.fileMode=false")
    repository.git.run(
        *(f"--git-dir={repository.folder}", *settings, "update-index", "-z", "--add", "--replace", "--stdin"),
        input=b"".join(path + b"\0" for path in sorted(present)),
        variables=places,
        cwd=tree,
    )
    return repository.words("write-tree", variables=places), tuple(p for p in found.left_out if p not in ignored)


def _walked(tree: Path, tracked: Mapping[bytes, bytes], submodules: frozenset[bytes]) -> Found:
    try:
        return files_of(tree, tracked, submodules)
    except TooMany as error:
        raise refused("the checkout has more than a million files; nothing was published") from error
    except Waits as error:
        raise refused(f"{os.fsdecode(error.path)!r:.200} is a pipe, for which git would wait") from error
    except OSError as error:
        name = os.fsdecode(error.filename or b"").removeprefix(f"{tree}/")
        raise refused(f"a folder of the checkout cannot be read: {name!r:.200}: {error.strerror}") from error


def _ignored(
    repository: Repository,
    paths: list[bytes],
    tracked: Mapping[bytes, bytes],
    tree: Path,
    places: Mapping[str, str],
) -> frozenset[bytes]:
    """Return the untracked paths that the checkout's `.gitignore` files exclude."""
    exclude = repository.folder / "info" / "exclude"
    exclude.parent.mkdir(exist_ok=True)
    exclude.write_bytes(b"/" + _SENTINEL + b"\n")
    # A name may begin with a colon, which is special in paths, but not for this command with `./`.
    queried = b"".join(b"./" + path + b"\0" for path in [_SENTINEL, *(path for path in paths if path not in tracked)])
    variables = {**places, "GIT_LITERAL_PATHSPECS": "0"}
    fields = repository.run("check-ignore", "-z", "-v", "--stdin", input=queried, variables=variables, cwd=tree).split(
        b"\0"
    )
    matches = zip(fields[2::4], fields[3::4], strict=False)
    return frozenset(path[2:] for rule, path in matches if not rule.startswith(b"!"))


def _take_over(repository: Repository, base: str, head: str, variables: Mapping[str, str]) -> None:
    """Copy the new objects of `head` into our repository; each is checked and named by its content."""
    pack = repository.folder / "objects" / "pack"
    pack.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=repository.folder) as folder:
        incoming = Path(folder) / "incoming.pack"
        with incoming.open("wb") as opened:
            revisions = f"{head}\n^{base}\n".encode()
            repository.run(
                "pack-objects", "--revs", "--stdout", "--quiet", input=revisions, output=opened, variables=variables
            )
        name = repository.words("index-pack", "--fsck-objects", str(incoming)).split()[-1]
        for suffix in ("pack", "idx"):  # the index last: it makes the pack visible
            incoming.with_suffix(f".{suffix}").replace(pack / f"pack-{name}.{suffix}")


def _author() -> dict[str, str]:
    return {
        f"GIT_{role}_{what}": text
        for role in ("AUTHOR", "COMMITTER")
        for what, text in (("NAME", AUTHOR), ("EMAIL", EMAIL))
    }


def _quoted(path: Path) -> str:
    """A path in Git's format for lists separated by colons."""
    plain = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{plain}"'


def _keeps_modes(folder: Path) -> bool:
    """Whether the volume stores executable bits; some network file systems set them on all files."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder) as probe:
            os.fchmod(probe.fileno(), 0o600)
            plain = os.fstat(probe.fileno()).st_mode
            os.fchmod(probe.fileno(), 0o700)
            return bool((plain ^ os.fstat(probe.fileno()).st_mode) & stat.S_IXUSR)
    except OSError:
        return True  # unknown; most volumes do


def line_of(repository: Repository, tree: Path, most: int) -> list[str]:
    """Return the agent's HEAD and its first ancestors, from the agent's store; not verified."""
    found: list[str] = []
    with tempfile.TemporaryDirectory(dir=repository.folder) as folder:
        store = Path(folder) / "objects"
        if not is_folder(tree) or not agent_store.link_objects(tree, store):
            return found
        commit = agent_store.head_of(tree)
        while commit is not None and len(found) < most and commit not in found:
            found.append(commit)
            try:
                head = _head_of_commit(repository, commit, {"GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(store)})
            except GitFailed:
                break
            commit = next((value for name, value in head if name == "parent"), None)
    return found


def is_published(repository: Repository, change: Change, commit: str) -> bool:
    """Whether a commit of the branch is this change, pushed by a start that died before its report.

    Raises:
        StartEnded: it cannot be read.
    """
    if change.head == change.parent:
        return False  # otherwise the same commit would be there
    try:
        head = _head_of_commit(repository, commit, {})
    except GitFailed as error:
        raise of_git(error, f"reading the commit {commit[:12]} of the branch") from error
    named = [(name, value) for name, value in head if name in ("tree", "parent")]
    return named == [("tree", change.tree), ("parent", change.parent)]


def _head_of_commit(repository: Repository, commit: str, variables: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the header fields of a commit."""
    content = repository.run("cat-file", "commit", commit, variables=variables)
    lines = content.partition(b"\n\n")[0].decode("utf-8", "replace").split("\n")
    return [(name, value) for name, _, value in (line.partition(" ") for line in lines)]
