"""Finds the agent's files as Git would add them, and those left out, with reasons. Git does not scan folders.

`git add` and `git status` look into nested repositories and start processes there, with their configuration. So the
folders are walked here, and Git gets single files.
"""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

MAX_FILES: Final = 1_000_000
_MAX_LEFT_OUT: Final = 100
# Names that Git opens without checking the file type.
_READ: Final = (b".gitignore", b".gitattributes")
# Characters that HFS+ ignores in names, so that `.g\u200cit` would be `.git` there.
_UNSEEN: Final = dict.fromkeys([*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF])


@dataclass(slots=True)
class Found:
    """The paths of files and links below the tree, and of what is not published."""

    paths: list[bytes] = field(default_factory=list)
    left_out: list[bytes] = field(default_factory=list)
    """The first hundred nested repositories, names that Git rejects, devices, sockets and pipes."""

    def leave(self, path: bytes) -> None:
        """Record a path that is left out."""
        if len(self.left_out) < _MAX_LEFT_OUT:
            self.left_out.append(path)


class TooMany(Exception):
    """There are more files than `MAX_FILES`."""


class Waits(Exception):
    """A pipe replaces a file that Git reads itself."""

    def __init__(self, path: bytes) -> None:
        super().__init__(path)
        self.path = path


def files_of(tree: Path, tracked: Iterable[bytes], submodules: frozenset[bytes]) -> Found:
    """Return the files below `tree`, which must be a folder.

    Args:
        tree: the checkout.
        tracked: the paths of files in the agent's base commit.
        submodules: the paths of that commit's submodules; their folders are skipped.

    Raises:
        TooMany: there are more than `MAX_FILES`.
        Waits: Git would wait forever.
        OSError: a folder cannot be read.
    """
    known = {parent for path in tracked for parent in _parents(path)}
    root = os.fsencode(tree)
    found, waiting = Found(), [b""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(b"/".join((root, folder))) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                path = folder + b"/" + name if folder else name
                if path in submodules:
                    continue
                if is_refused(name):
                    if name != b".git":
                        found.leave(path)
                    continue
                mode = entry.stat(follow_symlinks=False).st_mode
                if name in _READ and stat.S_ISFIFO(mode):
                    raise Waits(path)
                if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
                    found.paths.append(path)
                elif not stat.S_ISDIR(mode) or (path not in known and _is_repository(b"/".join((root, path)))):
                    found.leave(path)
                else:
                    waiting.append(path)
        if len(found.paths) + len(waiting) > MAX_FILES:
            raise TooMany
    return found


def is_refused(name: bytes) -> bool:
    """Whether Git rejects a name because some file system would treat it as `.git`."""
    plain = name.decode("utf-8", "replace").translate(_UNSEEN).lower()
    # NTFS: streams after a colon; trailing spaces and dots are dropped.
    plain = plain.partition(":")[0].rstrip(" .")
    return plain in (".git", "git~1")


def _is_repository(path: bytes) -> bool:
    """Whether a folder is a repository; a link or a file instead of `.git` counts, too."""
    return os.path.lexists(path + b"/.git")


def _parents(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[:count]) for count in range(1, len(parts))]
