"""Reads the agent's repository: the commit of HEAD, and objects. Git never runs in it.

The agent may have written anything there. So files are opened one by one, never through links and only if they are
regular files, and only names of objects and packs are passed on: no alternates, no commit graph, no pack index, no
partial clone.
"""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

COMMIT: Final = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Opening a FIFO would block.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAX_REF_BYTES: Final = 4096
_MAX_PACKED_REFS_BYTES: Final = 64 * 1024 * 1024
_MAX_LINKS: Final = 2_000_000
_FAN: Final = re.compile(r"[0-9a-f]{2}")
_LOOSE: Final = re.compile(r"[0-9a-f]{38}(?:[0-9a-f]{24})?")
_PACK: Final = re.compile(r"pack-(?:[0-9a-f]{40}|[0-9a-f]{64})\.(?:pack|idx)")
_UNFINISHED: Final = {
    "MERGE_HEAD": "a merge",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
}


def head_of(tree: Path) -> str | None:
    """Return the commit of the agent's HEAD; None if there is none."""
    with _opened(tree, ".git") as folder:
        if folder is None:
            return None
        content = _content(folder, ("HEAD",), _MAX_REF_BYTES)
        for _ in range(5):  # nested symbolic refs, as deep as Git follows them
            if content is None:
                return None
            if not content.startswith(b"ref:"):
                found = COMMIT.fullmatch(content.strip())
                return found[0].decode() if found else None
            content = _ref(folder, content.removeprefix(b"ref:").strip())
        return None


def unfinished(tree: Path) -> str | None:
    """Return the agent's unfinished operation, such as a merge: its files are in an intermediate state."""
    with _opened(tree, ".git") as folder:
        for name, what in _UNFINISHED.items() if folder is not None else ():
            with suppress(OSError):
                os.stat(name, dir_fd=folder, follow_symlinks=False)
                return what
    return None


def is_sparse(tree: Path) -> bool:
    """Whether missing files may only have been left out of the checkout."""
    with _opened(tree, ".git", "info") as folder:
        if folder is None:
            return False
        with suppress(OSError):
            os.stat("sparse-checkout", dir_fd=folder, follow_symlinks=False)
            return True
    return False


def link_objects(tree: Path, store: Path) -> bool:
    """Fill the new folder `store` with links to the objects of the agent's repository.

    Returns:
        Whether there are any.
    """
    store.mkdir()
    count = 0
    for place, names in _object_files(tree):
        (store / place).mkdir(parents=True, exist_ok=True)
        for name in names:
            (store / place / name).symlink_to(tree / ".git" / "objects" / place / name)
            count += 1
        if count > _MAX_LINKS:
            return False
    return count > 0


def _object_files(tree: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield folders of the store, each with the names of its files that may be objects or packs."""
    with _opened(tree, ".git", "objects") as objects:
        if objects is None:
            return
        for place in _names(objects):
            if not (_FAN.fullmatch(place) or place == "pack"):
                continue
            with _opened(tree, ".git", "objects", place) as folder:
                if folder is None:
                    continue
                shape = _PACK if place == "pack" else _LOOSE
                yield place, [name for name in _names(folder) if shape.fullmatch(name) and _is_file(folder, name)]


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries)


def _is_file(folder: int, name: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _ref(folder: int, name: bytes) -> bytes | None:
    """Return the content of a ref, from its own file or from the packed ones."""
    parts = name.split(b"/")
    if parts[0] != b"refs" or len(parts) < 3 or any(part in (b"", b".", b"..") or b"\0" in part for part in parts):
        return None
    content = _content(folder, [os.fsdecode(part) for part in parts], _MAX_REF_BYTES)
    if content is not None:
        return content
    for line in (_content(folder, ("packed-refs",), _MAX_PACKED_REFS_BYTES) or b"").splitlines():
        commit, _, of = line.partition(b" ")
        if of == name:
            return commit
    return None


@contextmanager
def _opened(tree: Path, *parts: str) -> Iterator[int | None]:
    """Open a folder below the tree without following links; None if it does not exist."""
    descriptor: int | None = None
    try:
        with suppress(OSError):
            descriptor = os.open(tree, _FOLDER)
            for part in parts:
                above, descriptor = descriptor, None
                try:
                    descriptor = os.open(part, _FOLDER, dir_fd=above)
                finally:
                    os.close(above)
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _content(folder: int, parts: Sequence[str], limit: int) -> bytes | None:
    """Return the content of a small regular file below an open folder; None if there is none."""
    above = os.dup(folder)
    try:
        for part in parts[:-1]:
            below = os.open(part, _FOLDER, dir_fd=above)
            os.close(above)
            above = below
        with os.fdopen(os.open(parts[-1], _FILE, dir_fd=above), "rb") as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                return None
            content = opened.read(limit + 1)
            return content if len(content) <= limit else None
    except OSError:
        return None
    finally:
        os.close(above)
