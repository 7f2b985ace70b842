"""A cache of repositories that outlives pods.

Only cloning containers see the folder. It contains what any credentials of the namespace have fetched, so a commit is
only read after the remote has shown it for these credentials.
"""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from agentjobs_runner.workspace.failures import GitFailed, Kind
from agentjobs_runner.workspace.git import Git
from agentjobs_runner.workspace.locks import remove_stale
from agentjobs_runner.workspace.remote import Remote, make

# Another pod may be fetching a large repository; after this time, fetch it without the cache.
WAIT_SECONDS: Final = 900.0
_PAUSE_SECONDS: Final = 0.1
# Every fetch adds a pack.
_MOST_PACKS: Final = 20
_PACK_FILES: Final = (".pack", ".idx", ".rev")


class Cache:
    """One repository, fetched to one depth."""

    def __init__(self, folder: Path, git: Git, url: str, depth: int) -> None:
        name = hashlib.sha256(f"{url}\n{depth}".encode()).hexdigest()[:32]
        self._repository = folder / f"{name}.git"
        self._lock = folder / f"{name}.lock"
        self._git = git
        self._depth = depth

    def give(self, remote: Remote, commit: str, ref: str, into: Path) -> None:
        """Copy the objects of `commit` into an empty repository, after fetching missing ones.

        Args:
            ref: the ref whose tip the commit is; the newest of each ref is kept.

        Raises:
            GitFailed: the remote's error; Broken if the cached copy is damaged.
            OSError: the cache cannot be read or written.
            TimeoutError: another pod fetches for longer than `WAIT_SECONDS`.
        """
        with self._locked() as share:
            self._fetch(remote, commit, ref)
            share()
            self._copy(into)
        # A damaged copy is noticed when it is used; here only whether it exists.
        self._git.run(f"--git-dir={into}", "cat-file", "-e", f"{commit}^{{tree}}")

    def drop(self) -> None:
        """Delete the cached repository: it is damaged."""
        with suppress(OSError), self._locked():
            shutil.rmtree(self._repository, ignore_errors=True)

    def _fetch(self, remote: Remote, commit: str, ref: str) -> None:
        here = f"--git-dir={self._repository}"
        kept = f"refs/kept/{hashlib.sha256(ref.encode()).hexdigest()[:32]}"
        if not (self._repository / "HEAD").is_file():
            make(self._git, self._repository, commit)
        remove_stale(self._repository)
        if self._has(commit):
            self._git.run(here, "update-ref", kept, commit)
            return
        if len(list((self._repository / "objects/pack").glob("*.pack"))) > _MOST_PACKS:
            self._git.run(here, "repack", "-a", "-d", "-q")
        remote.fetch(self._repository, commit, self._depth, tags=self._depth == 0)
        self._git.run(here, "update-ref", kept, commit)

    def _has(self, commit: str) -> bool:
        """Whether the commit is here; then all of it is, because packs are complete."""
        try:
            self._git.run(f"--git-dir={self._repository}", "cat-file", "-e", f"{commit}^{{commit}}")
        except GitFailed as error:
            if error.kind is Kind.ABSENT:
                raise
            return False
        return True

    def _copy(self, into: Path) -> None:
        packs = into / "objects/pack"
        packs.mkdir(parents=True, exist_ok=True)
        for file in (self._repository / "objects/pack").iterdir():
            if file.suffix in _PACK_FILES:
                # Never a link: the agent could write through it.
                shutil.copyfile(file, packs / file.name)
        with suppress(FileNotFoundError):
            shutil.copyfile(self._repository / "shallow", into / "shallow")
        self._copy_tags(into)

    def _copy_tags(self, into: Path) -> None:
        here = f"--git-dir={self._repository}"
        tags = self._git.run(here, "for-each-ref", "--format=create %(refname) %(objectname)", "refs/tags")
        if tags:
            self._git.run(f"--git-dir={into}", "update-ref", "--stdin", input=tags)

    @contextmanager
    def _locked(self) -> Iterator[Callable[[], None]]:
        """Lock the repository exclusively; calling the yielded function downgrades to a shared lock."""
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            until = time.monotonic() + WAIT_SECONDS
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise TimeoutError(
                            f"another pod has been fetching for longer than {WAIT_SECONDS:g} s"
                        ) from None
                    time.sleep(_PAUSE_SECONDS)
            yield lambda: fcntl.flock(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)
