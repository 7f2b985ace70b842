"""The agent's files as Git would add them: which there are, what stays out, and why. Git is not asked about folders.

`git add` and `git status` look into repositories below the tree and start processes there, with what those say of
themselves. So the folders are walked here, and Git is told single files.
"""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

MAX_FILES: Final = 1_000_000
_MAX_LEFT_OUT: Final = 100
# What Git opens without looking first what it is.
_READ: Final = (b".gitignore", b".gitattributes")
# What HFS+ passes over in names, so that `.g\u200cit` would be `.git` there.
_UNSEEN: Final = dict.fromkeys([*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF])


@dataclass(slots=True)
class Found:
    """The files and links below the tree, by their paths in it, and what is not published though it is there."""

    paths: list[bytes] = field(default_factory=list)
    left_out: list[bytes] = field(default_factory=list)
    """The first hundred repositories of their own, names that Git refuses, devices, sockets and pipes."""

    def leave(self, path: bytes) -> None:
        """Note that something is left out."""
        if len(self.left_out) < _MAX_LEFT_OUT:
            self.left_out.append(path)


class TooMany(Exception):
    """There are more files than `MAX_FILES`."""


class Waits(Exception):
    """A pipe is in the place of a file that Git reads for itself."""

    def __init__(self, path: bytes) -> None:
        super().__init__(path)
        self.path = path


def files_of(tree: Path, tracked: Iterable[bytes], submodules: frozenset[bytes]) -> Found:
    """Return the files below `tree`, which is a folder itself.

    Args:
        tree: the checkout.
        tracked: the paths of files in the commit that the agent went on from.
        submodules: the paths of that commit's submodules; their folders are left alone.

    Raises:
        TooMany: there are too many.
        Waits: Git would not end.
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
    """Whether Git refuses a name because some system would take it for `.git`."""
    plain = name.decode("utf-8", "replace").translate(_UNSEEN).lower()
    # NTFS: streams behind a colon, and spaces and dots at the end, which it drops.
    plain = plain.partition(":")[0].rstrip(" .")
    return plain in (".git", "git~1")


def _is_repository(path: bytes) -> bool:
    """Whether a folder is a repository of its own; a link or a file in place of its `.git` makes it one too."""
    return os.path.lexists(path + b"/.git")


def _parents(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[:count]) for count in range(1, len(parts))]
