"""Changes of an agent's files, kept for later starts of the run.

Differences are committed to our own repository next to the tree, whose index, hooks and configuration belong to the
agent. New objects are kept as packs, each on top of earlier ones and the base. An incomplete pack, of a start that
died, belongs to a step that was not recorded, so later starts ignore it.
"""

import json
import os
import re
import shutil
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agentjobs.contract import MAX_KEPT_BYTES
from agentjobs.errors import Invalid
from agentjobs_runner.kept import Kept
from agentjobs_runner.workspace.failures import GitFailed
from agentjobs_runner.workspace.git import Git
from agentjobs_runner.workspace.settings import BASE_FILE, Base, Place, is_branch, is_commit

UNKEPT_FILE: Final = "workspace/unkept"
"""A kept file that marks that the files of this run could not be kept, and why."""
# An engine's session is kept in the same space.
MAX_PACKS_BYTES: Final = MAX_KEPT_BYTES - 64 * 1024 * 1024
# More packs are joined, which occasionally costs a large pack.
_MOST_PACKS: Final = 64
_MOST_BRANCHES: Final = 200
_LONGEST_SECONDS: Final = 300.0
_PACK: Final = re.compile(
    r"workspace/(?P<start>\d{1,9})-(?P<number>\d{1,9})-(?P<commit>[0-9a-f]{40,64})-(?P<bytes>\d{1,12})"
    r"(?P<whole>-whole)?\.pack"
)
# Files are kept byte by byte, whatever the repository's attributes.
_ATTRIBUTES: Final = "* -text !eol -ident !filter !working-tree-encoding\n"
# Nested repositories.
_DEEPEST: Final = 8
# Git skips unreadable folders and too long paths, and their files would be lost.
_UNREAD: Final = b"could not open directory"
# Total size of changed files: more takes minutes to pack, and space that the agent needs.
_MOST_BYTES: Final = 4 * MAX_KEPT_BYTES
_REF: Final = "refs/saved"
_PART_BYTES: Final = 8 * 1024 * 1024
_SET: Final = ("read-tree", "--reset", "-u")
_IDENTITY: Final = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "agentjobs"), ("EMAIL", "agentjobs@invalid"))
}


def _bytes_of(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:  # deleted
        return 0


class NotKept(Exception):
    """The files could not be kept; the message has the reason."""


@dataclass(frozen=True, slots=True, order=True)
class Pack:
    """A kept file with objects."""

    start: int
    number: int
    commit: str
    size: int
    whole: bool
    """Whether it only depends on the base."""

    @property
    def name(self) -> str:
        """The name of its file."""
        whole = "-whole" if self.whole else ""
        return f"workspace/{self.start}-{self.number}-{self.commit}-{self.size}{whole}.pack"


def packs_of(files: Iterable[tuple[str, int]]) -> list[Pack]:
    """Return the packs that lead to the newest files, in order, from kept files with their sizes."""
    found = list[Pack]()
    for name, size in files:
        match = _PACK.fullmatch(name)
        if match is not None and int(match["bytes"]) == size:
            pack = Pack(int(match["start"]), int(match["number"]), match["commit"], size, match["whole"] is not None)
            found.append(pack)
    found.sort()
    whole = max((at for at, pack in enumerate(found) if pack.whole), default=0)
    return found[whole:]


@dataclass(frozen=True, slots=True)
class State:
    """The content of a save: the files as a Git tree, and the state of the agent's repository."""

    tree: str
    head: str
    """The content of `HEAD`."""
    branches: tuple[tuple[str, str], ...]

    def message(self) -> bytes:
        """Return the text that is stored in the commit."""
        return json.dumps({"head": self.head, "branches": dict(self.branches)}).encode()


class Saved:
    """The saved changes of one start. Safe to use from any thread.

    Args:
        git: without credentials, only for local repositories.
        start: the start's number.
    """

    def __init__(self, place: Place, git: Git, kept: Kept, base: Base, start: int) -> None:
        self._place = place
        self._git = git
        self._kept = kept
        self._base = base
        self._start = start
        self._lock = threading.Lock()
        self._last: tuple[str, State | None] = ("", None)
        """The commit of the newest save, and its content."""
        self._first: State | None = None
        """The run's base."""
        self._indexed = ""
        """The files in our index; empty while unknown."""
        self._packs: list[Pack] = []
        self._begun = 0
        self._unkept = False
        self._work = f"--work-tree={place.tree}"
        self._dir = f"--git-dir={place.saved}"
        self._tree_dir = f"--git-dir={place.tree / '.git'}"
        self._index = {"GIT_INDEX_FILE": str(place.ours / "saved.index")}

    def prepare(self) -> None:
        """Create the repository of saves, before the agent has touched its own."""
        shutil.rmtree(self._place.saved, ignore_errors=True)
        self._git.run("init", "-q", "--bare", "--template=", *self._format(), self._place.saved)
        info = self._place.saved / "objects/info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "alternates").write_text("../../../tree/.git/objects\n", encoding="utf-8")
        (self._place.saved / "info").mkdir(exist_ok=True)
        (self._place.saved / "info/attributes").write_text(_ATTRIBUTES, encoding="utf-8")
        self._follow_depth()
        # It records the file times of the checkout, so that the first save reads only changed files.
        shutil.copyfile(self._place.tree / ".git/index", self._index["GIT_INDEX_FILE"])
        self._open_submodules()
        self._first = self._now()
        self._last = ("", self._first)

    def restore(self) -> list[str]:
        """Restore files and branches of the newest save; call it after `prepare`.

        Returns:
            What could not be restored, in words.

        Raises:
            NotKept: a pack is damaged, or does not match the checkout.
        """
        known = self._kept.files()
        packs = packs_of(known.items())
        # Incomplete or joined packs only take space.
        self._forget(known, {pack.name for pack in packs})
        if not packs:
            return []
        commit = packs[-1].commit
        self._last, self._indexed = ("", None), ""
        try:
            for pack in packs:
                content = self._kept.read(pack.name) or b""
                self._git.run(self._tree_dir, "index-pack", "--stdin", "--fix-thin", input=content)
            message = self._message_of(commit)
            self._git.run(self._dir, self._work, *_SET, commit, cwd=self._place.tree, variables=self._index)
            problems = self._set_branches(message)
            self._git.run(self._tree_dir, self._work, "reset", "-q", cwd=self._place.tree)
        except GitFailed as error:
            raise NotKept(f"the files of the previous start cannot be restored: {error.message}") from error
        self._packs = packs
        self._indexed = self._output("rev-parse", f"{commit}^{{tree}}")
        self._last = (commit, self._state(self._indexed))
        return problems

    def undo(self) -> None:
        """Reset files and branches to the run's base.

        Raises:
            GitFailed: the disk or the checkout failed.
        """
        with self._lock:
            first = self._first
            if first is None or self._last == ("", first):
                return
            self._git.run(self._dir, self._work, *_SET, first.tree, cwd=self._place.tree, variables=self._index)
            self._set_branches({"head": first.head, "branches": dict(first.branches)})
            self._git.run(self._tree_dir, self._work, "reset", "-q", cwd=self._place.tree)
            self._packs, self._last, self._indexed = [], ("", first), first.tree

    def save(self) -> bool:
        """Keep changes since the last save; return whether there were any.

        Raises:
            NotKept: it failed. Later starts of the run then begin again, until a save succeeds.
        """
        with self._lock:
            try:
                return self._save()
            except (GitFailed, OSError, Invalid) as error:
                why = error.message if isinstance(error, GitFailed) else str(error)
                self._mark_unkept(why)
                raise NotKept(why) from error
            except NotKept as error:
                self._mark_unkept(str(error))
                raise

    def secure(self) -> None:
        """Keep the run's base, after the journal has begun: a run that begins again has nothing kept."""
        with self._lock:
            if BASE_FILE not in self._kept.files():
                self._keep_base()

    def _save(self) -> bool:
        state = self._now()
        commit, last = self._last
        if state == last and not self._unkept:
            return False
        known = self._kept.files()
        # A run that begins again during a start has other files.
        begins = BASE_FILE not in known or not all(pack.name in known for pack in self._packs)
        if BASE_FILE not in known:
            self._keep_base()
        whole = begins or self._unkept or not commit or len(self._packs) >= _MOST_PACKS
        new = self._commit(state, "" if whole else commit)
        self._keep_pack(new, commit, known, whole=whole)
        self._git.run(self._dir, "update-ref", _REF, new)
        self._last = (new, state)
        if self._unkept:
            self._kept.delete(UNKEPT_FILE)
            self._unkept = False
        return True

    def _now(self) -> State:
        """The current state of files and branches."""
        self._follow_depth()
        changed = self._changed()
        if not changed and self._indexed:
            return self._state(self._indexed)
        self._indexed = ""
        size = sum(_bytes_of(self._place.tree / os.fsdecode(path)) for path in changed)
        if size > _MOST_BYTES:
            raise NotKept(f"{size >> 20} MiB have changed in files that Git does not ignore, which exceeds the limit")
        add = (self._dir, self._work, "add", "--all", "--", ".")
        try:
            self._git.run(*add, cwd=self._place.tree, variables=self._index, seconds=_LONGEST_SECONDS)
        except GitFailed:
            # A file that is being written cannot be read consistently; it may work later.
            Path(f"{self._index['GIT_INDEX_FILE']}.lock").unlink(missing_ok=True)
            self._git.run(*add, cwd=self._place.tree, variables=self._index, seconds=_LONGEST_SECONDS)
        self._indexed = self._output("write-tree")
        return self._state(self._indexed)

    def _changed(self) -> list[bytes]:
        """The paths that have changed since the last save.

        Nested repositories count as folders, whose files are kept like others: Git treats a folder as part of its own
        repository if it has a file in it, so the index gets one that does not exist.
        """
        listing = (self._dir, self._work, "ls-files", "-z", "--others", "--modified", "--deleted", "--exclude-standard")
        for _ in range(_DEEPEST):
            listed = self._git.run(
                *listing, cwd=self._place.tree, variables=self._index, seconds=_LONGEST_SECONDS, unless=_UNREAD
            )
            paths = listed.split(b"\0")[:-1]
            if not (nested := [path for path in paths if path.endswith(b"/")]):
                return paths
            some = b"1" * len(self._base.commit)
            self._order_index(b"".join(b"100644 %s\t%s.agentjobs\0" % (some, path) for path in nested))
        raise NotKept(f"there are repositories in more than {_DEEPEST} others")

    def _open_submodules(self) -> None:
        """Treat checked-out submodules as folders, too."""
        listed = self._git.run(self._dir, "ls-files", "-z", "--stage", variables=self._index).split(b"\0")
        links = [path for entry in listed if entry.startswith(b"160000 ") for path in [entry.partition(b"\t")[2]]]
        here = [path for path in links if (self._place.tree / os.fsdecode(path) / ".git").exists()]
        if here:
            self._order_index(b"".join(b"0 %s\t%s\0" % (b"0" * len(self._base.commit), path) for path in here))

    def _order_index(self, orders: bytes) -> None:
        self._git.run(self._dir, "update-index", "-z", "--index-info", input=orders, variables=self._index)

    def _state(self, tree: str) -> State:
        listed = self._git.run(self._tree_dir, "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads")
        branches = list[tuple[str, str]]()
        for line in listed.decode("utf-8", "surrogateescape").splitlines():
            commit, _, name = line.partition(" ")
            branches.append((name.removeprefix("refs/heads/"), commit))
        if len(branches) > _MOST_BRANCHES:
            raise NotKept(f"there are {len(branches)} branches, and at most {_MOST_BRANCHES} are kept")
        return State(tree, self._head(), tuple(branches))

    def _head(self) -> str:
        with (self._place.tree / ".git/HEAD").open("rb") as file:
            return file.read(1024).decode("utf-8", "surrogateescape").strip()

    def _commit(self, state: State, last: str) -> str:
        heads = {commit for _, commit in state.branches}
        if is_commit(state.head):
            heads.add(state.head)
        parents = [last or self._base.commit, *sorted(heads - {self._base.commit, last})]
        arguments = [part for parent in parents for part in ("-p", parent)]
        return self._output("commit-tree", state.tree, *arguments, input=state.message(), variables=_IDENTITY)

    def _keep_pack(self, commit: str, last: str, known: dict[str, int], *, whole: bool) -> None:
        """Keep the new objects, or all since the base if earlier packs must not be used."""
        file = self._place.ours / "save.pack"
        wanted = [commit, f"^{self._base.commit}", *([] if whole else [f"^{last}"])]
        with file.open("wb") as output:
            self._git.run(
                *(self._dir, "pack-objects", "-q", "--revs", "--thin", "--delta-base-offset", "--stdout"),
                input="".join(f"{line}\n" for line in wanted).encode(),
                output=output,
                seconds=_LONGEST_SECONDS,
            )
        size = file.stat().st_size
        taken = sum(known.get(pack.name, 0) for pack in self._packs)
        if size + (0 if whole else taken) > MAX_PACKS_BYTES:
            raise NotKept(f"the changes are larger than {MAX_PACKS_BYTES >> 20} MiB, the limit")
        if whole and taken + size > MAX_PACKS_BYTES:
            self._mark_unkept("the changes are being kept again")
            self._forget(known, set())
        self._begun += 1
        pack = Pack(self._start, self._begun, commit, size, whole)
        with file.open("rb") as packed:
            # Streamed, because memory belongs to the agent.
            while part := packed.read(_PART_BYTES):
                self._kept.write(pack.name, part, offset=packed.tell() - len(part))
        file.unlink()
        if whole:
            self._forget(known, {pack.name})
        self._packs = [pack] if whole else [*self._packs, pack]

    def _forget(self, known: dict[str, int], but: set[str]) -> None:
        for name in known:
            if _PACK.fullmatch(name) and name not in but:
                self._kept.delete(name)

    def _keep_base(self) -> None:
        base = self._base
        self._kept.write(BASE_FILE, Base(base.url, base.ref, base.branch, base.commit).dump())

    def _mark_unkept(self, why: str) -> None:
        if not self._unkept:
            self._unkept = True
            content = why.encode("utf-8", "replace")[:1024]
            try:
                self._kept.write(UNKEPT_FILE, content)
            except Invalid:
                # If there is no space, unused packs are removed.
                self._forget(self._kept.files(), set())
                self._kept.write(UNKEPT_FILE, content)

    def _message_of(self, commit: str) -> dict[str, Any]:
        """Parse the message of a save."""
        raw = self._git.run(self._dir, "cat-file", "commit", commit)
        try:
            message = json.loads(raw.partition(b"\n\n")[2])
            return {"head": str(message["head"]), "branches": {str(a): str(b) for a, b in message["branches"].items()}}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise NotKept("the kept file is not a save") from error

    def _set_branches(self, message: dict[str, Any]) -> list[str]:
        problems, updates, deletions = list[str](), list[bytes](), list[bytes]()
        wanted: dict[str, str] = message["branches"]
        for name, commit in wanted.items():
            if not is_branch(name) or not is_commit(commit) or not self._has(commit):
                problems.append(f"the branch {name!r:.100} cannot be restored: its commit is not in the checkout")
                continue
            updates.append(b"update refs/heads/%s\0%s\0\0" % (os.fsencode(name), commit.encode()))
        for name, _ in self._state("").branches:
            if name not in wanted:
                deletions.append(b"delete refs/heads/%s\0\0" % os.fsencode(name))
        # HEAD first: deleting the current branch would otherwise move it.
        head: str = message["head"]
        if is_commit(head):
            self._git.run(self._tree_dir, "update-ref", "--no-deref", "HEAD", head)
        elif head.startswith("ref: refs/heads/") and is_branch(head.removeprefix("ref: refs/heads/")):
            self._git.run(self._tree_dir, "symbolic-ref", "HEAD", os.fsencode(head.removeprefix("ref: ")))
        else:
            problems.append("the checked-out ref cannot be restored")
        if deletions:
            self._git.run(self._tree_dir, "update-ref", "--stdin", "-z", input=b"".join(deletions))
        if updates:
            self._git.run(self._tree_dir, "update-ref", "--stdin", "-z", input=b"".join(updates))
        return problems

    def _has(self, commit: str) -> bool:
        with suppress(GitFailed):
            self._git.run(self._tree_dir, "cat-file", "-e", f"{commit}^{{commit}}")
            return True
        return False

    def _follow_depth(self) -> None:
        """Record where the history of the agent's repository ends."""
        ours = self._place.saved / "shallow"
        try:
            shutil.copyfile(self._place.tree / ".git/shallow", ours)
        except FileNotFoundError:
            ours.unlink(missing_ok=True)

    def _format(self) -> list[str]:
        return ["--object-format=sha256"] if len(self._base.commit) == 64 else []

    def _output(self, *arguments: str, input: bytes | None = None, variables: dict[str, str] | None = None) -> str:  # noqa: A002  as subprocess calls it
        environment = {**self._index, **(variables or {})}
        return self._git.run(self._dir, *arguments, input=input, variables=environment).decode().strip()
