"""Folders that an agent may have filled, and small files in them: safe for any depth and any content."""

import json
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

_MAX_NOTE_BYTES: Final = 8192


def is_folder(path: Path) -> bool:
    """Whether a path is a folder itself, not a link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def note_of(file: Path) -> Any:
    """Return the JSON of a small file, whatever is there instead; None if there is none."""
    try:
        # Opening a pipe would block.
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as opened:
            return json.loads(opened.read(_MAX_NOTE_BYTES))
    except (OSError, ValueError, RecursionError):
        return None


def remove(path: Path) -> None:
    """Remove a path; a folder with its contents. Links are not followed.

    A nested folder is moved up to the first one before it is emptied, so that neither paths nor the stack get too long.
    Folders that their owner may not write to, such as Go's modules, are made writable first.

    Raises:
        OSError: something belongs to another user and cannot be removed.
    """
    if not is_folder(path):
        path.unlink()
        return
    _open(path)
    while below := _emptied(path, None):
        for inner in below:
            _emptied(inner, path)
            inner.rmdir()
    path.rmdir()


def _emptied(folder: Path, above: Path | None) -> list[Path]:
    """Remove everything except folders, which are returned; moved to `above` if given."""
    found = list[Path]()
    with os.scandir(folder) as entries:
        for entry in list(entries):
            path = Path(entry.path)
            if not entry.is_dir(follow_symlinks=False):
                path.unlink()
                continue
            _open(path)
            found.append(path if above is None else path.rename(above / f"removed-{secrets.token_hex(16)}"))
    return found


def _open(folder: Path) -> None:
    # Another user's: the group may be allowed to, or the removal fails.
    with suppress(PermissionError):
        folder.chmod(0o700)
