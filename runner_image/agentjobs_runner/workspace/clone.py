"""The cloning container: makes the agent's checkout, at the commit from which all starts of its run begin.

Only this container has the credentials. So no git runs in a repository that an agent could have written: objects are
fetched into new ones, and a complete checkout is moved into place by one rename.
"""

import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from agentjobs_runner.kept import Kept
from agentjobs_runner.log import logger
from agentjobs_runner.workspace.cache import Cache
from agentjobs_runner.workspace.container import Ended, Task, done
from agentjobs_runner.workspace.credentials import Credentials, is_ssh
from agentjobs_runner.workspace.failures import GitFailed, Kind
from agentjobs_runner.workspace.folders import is_folder, note_of, remove
from agentjobs_runner.workspace.git import Git
from agentjobs_runner.workspace.locks import remove_stale
from agentjobs_runner.workspace.remote import Remote, Tip, make
from agentjobs_runner.workspace.settings import BASE_FILE, Base, Place, Settings

FETCHED_REF: Final = "refs/fetched/tip"
"""In `Place.fetched`: the objects for a Named worktree."""


def work(task: Task) -> Ended:
    """Check the workspace out; the container's work.

    Raises:
        GitFailed: the repository or git failed.
        OSError: the disk failed.
    """
    settings = Settings.of(task.attempt["resolved"]["spec"])
    if settings is None:
        return done("the job has no workspace")
    if task.attempt["result"] is not None and not settings.publishes:
        return done("the job already has its result")
    if task.credentials is not None:
        credentials = Credentials.read(task.credentials, settings.url)
    elif is_ssh(settings.url):
        raise GitFailed(Kind.REFUSED, "an address of ssh needs git.secretRef, with ssh-privatekey and known_hosts")
    else:
        credentials = None
    git = Git(credentials)
    cache = None if task.cache is None else Cache(task.cache, git, settings.url, settings.depth)
    Clone(settings, task.place, git, task.kept, cache).run()
    return done()


class Clone:
    """Makes one checkout."""

    def __init__(self, settings: Settings, place: Place, git: Git, kept: Kept, cache: Cache | None) -> None:
        self._settings = settings
        self._place = place
        self._git = git
        self._kept = kept
        self._cache = cache
        self._remote = Remote(git, settings.url)

    def run(self) -> Base:
        """Make the checkout, and return its base."""
        self._clean()
        pinned = Base.load(self._kept.read(BASE_FILE), self._settings)
        exists = self._exists()
        if exists:
            self._check_origin()
            remove_stale(self._place.tree / ".git")
            if pinned is not None:
                return pinned
        tip = self._remote.tip(self._settings.ref)
        base = self._pinned(pinned, tip, exists) or self._anew(pinned, tip, exists)
        if base != pinned:
            self._kept.write(BASE_FILE, base.dump())
        return base

    def _exists(self) -> bool:
        """Whether an earlier worktree exists.

        Raises:
            GitFailed: Missing if it is not a folder, which every job with it would find again.
        """
        tree = self._place.tree
        if not os.path.lexists(tree):
            return False
        if not self._settings.named:
            # Of this pod before its sandbox was recreated: later starts begin from the kept base, as this one does.
            remove(tree)
            return False
        if not is_folder(tree):
            raise GitFailed(Kind.MISSING, "the worktree is no longer a folder; delete its claim, or use another name")
        return True

    def _pinned(self, pinned: Base | None, tip: Tip, exists: bool) -> Base | None:
        """Check out the base of the run; None if there is none, or the repository no longer has it."""
        if pinned is None:
            return None
        again = Tip(pinned.commit, pinned.branch, shown=tip.shown and tip.commit == pinned.commit)
        try:
            self._make(again, exists)
        except GitFailed as error:
            if error.kind is not Kind.MISSING:
                raise
            logger.warning("workspace.base_lost", extra={"commit": pinned.commit, "detail": error.message})
            return None
        return pinned

    def _anew(self, pinned: Base | None, tip: Tip, exists: bool) -> Base:
        """Check out the current commit of the ref. Kept changes belong to another base: the start drops them."""
        self._make(tip, exists)
        lost = "" if pinned is None else pinned.commit
        return Base(self._settings.url, self._settings.ref, tip.branch, tip.commit, lost)

    def _make(self, tip: Tip, exists: bool) -> None:
        if exists:
            self._fetch_beside(tip)
            return
        try:
            self._check_out(tip, self._cache)
        except GitFailed as error:
            if self._cache is None or error.kind is not Kind.BROKEN:
                raise
            # The cached copy may be damaged: the next clone recreates it.
            logger.warning("workspace.cache_broken", extra={"detail": error.message})
            self._cache.drop()
            self._check_out(tip, None)

    def _check_out(self, tip: Tip, cache: Cache | None) -> None:
        begun, settings = self._place.begun, self._settings
        make(self._git, begun, tip.commit, bare=False)
        self._fetch(begun / ".git", tip, cache)
        for name, value in _configuration(settings.url, tip.branch):
            self._git.run("config", name, value, cwd=begun)
        if tip.branch:
            self._git.run("update-ref", f"refs/remotes/origin/{tip.branch}", tip.commit, cwd=begun)
            self._git.run("checkout", "-q", "--no-track", "-B", tip.branch, tip.commit, cwd=begun)
        else:
            self._git.run("checkout", "-q", "--detach", tip.commit, cwd=begun)
        if settings.submodules:
            deep = [f"--depth={settings.depth}"] if settings.depth else []
            self._git.run("submodule", "--quiet", "update", "--init", "--recursive", *deep, cwd=begun)
        self._git.run("update-ref", "-d", "refs/agentjobs/fetched", cwd=begun)
        if settings.named:
            self._place.origin.write_text(json.dumps({"url": settings.url}), encoding="utf-8")
        begun.rename(self._place.tree)

    def _fetch(self, repository: Path, tip: Tip, cache: Cache | None) -> None:
        self._get(repository, tip, cache)
        what = self._git.run(f"--git-dir={repository}", "cat-file", "-t", tip.commit).decode().strip()
        if what != "commit":
            ref = self._settings.ref or "HEAD"
            raise GitFailed(Kind.MISSING, f"{ref!r:.260} is not a commit of the repository but a {what}")

    def _get(self, repository: Path, tip: Tip, cache: Cache | None) -> None:
        depth = self._settings.depth
        if cache is not None:
            try:
                if not tip.shown:
                    self._remote.prove(tip.commit, self._place.ours / "proof.git")
                cache.give(self._remote, tip.commit, self._settings.ref or "HEAD", repository)
            except (OSError, TimeoutError) as error:
                logger.warning("workspace.cache_unusable", extra={"detail": str(error)})
            except GitFailed as error:
                if error.kind is not Kind.FULL:
                    raise
                logger.warning("workspace.cache_full", extra={"detail": error.message})
            else:
                return
            kind = repository.parent if repository.name == ".git" else repository
            make(self._git, kind, tip.commit, bare=kind is repository)
        self._remote.fetch(repository, tip.commit, depth, tags=depth == 0)

    def _fetch_beside(self, tip: Tip) -> None:
        """Fetch for an existing worktree, into a repository of ours; the agent's start reads it."""
        make(self._git, self._place.fetched, tip.commit)
        self._fetch(self._place.fetched, tip, self._cache)
        here = f"--git-dir={self._place.fetched}"
        self._git.run(here, "update-ref", FETCHED_REF, tip.commit)

    def _clean(self) -> None:
        """Create our own folder, replacing whatever an agent or a killed start left there."""
        ours = self._place.ours
        if not is_folder(ours):
            with suppress(FileNotFoundError):
                ours.unlink()
            ours.mkdir(parents=True)
        for entry in ours.iterdir():
            if entry in (self._place.origin, self._place.published) and stat.S_ISREG(entry.lstat().st_mode):
                continue
            remove(entry)

    def _check_origin(self) -> None:
        """Reject a worktree of another repository. Only this line of its configuration is read.

        Raises:
            GitFailed: Missing.
        """
        config = self._place.tree / ".git/config"
        if not is_folder(config.parent):
            raise GitFailed(
                Kind.MISSING, "the worktree is no longer a repository; delete its claim, or use another name"
            )
        url = _recorded_origin(self._place.origin)
        if url is None and config.is_file() and not config.is_symlink():
            command = ("config", "--no-includes", "--file", config, "--get", "remote.origin.url")
            with suppress(GitFailed):
                url = self._git.run(*command).decode("utf-8", "replace").strip()
        if url != self._settings.url:
            found = "no checkout of ours" if url is None else f"a checkout of {url!r:.200}"
            raise GitFailed(Kind.MISSING, f"the volume of the worktree has {found}; use another worktree.name")


def _recorded_origin(file: Path) -> str | None:
    note = note_of(file)
    return str(note["url"]) if isinstance(note, dict) and "url" in note else None


def _configuration(url: str, branch: str) -> list[tuple[str, str]]:
    found = [("remote.origin.url", url)]
    if branch:
        found += [
            ("remote.origin.fetch", f"+refs/heads/{branch}:refs/remotes/origin/{branch}"),
            (f"branch.{branch}.remote", "origin"),
            (f"branch.{branch}.merge", f"refs/heads/{branch}"),
        ]
    return found
