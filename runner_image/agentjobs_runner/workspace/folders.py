"""Folders that an agent may have filled, and notes in them: however deep they are, and whatever may be done in them."""

import json
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

_MAX_NOTE_BYTES: Final = 8192


def is_folder(path: Path) -> bool:
    """Whether a path is a folder itself, and no link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def note_of(file: Path) -> Any:
    """Return the JSON of a small file, whatever somebody put in its place; None where there is none."""
    try:
        # A pipe would be waited for.
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as opened:
            return json.loads(opened.read(_MAX_NOTE_BYTES))
    except (OSError, ValueError, RecursionError):
        return None


def remove(path: Path) -> None:
    """Remove what is there: a folder with all that is in it. No link is followed.

    A folder in a folder comes up to the first before it is emptied: so no path gets long, and no stack deep. What its
    owner may not write to, as the modules that Go keeps, is opened first.

    Raises:
        OSError: something cannot be removed, because another user owns it.
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
    """Remove all but folders, which are returned; moved to `above` where that is given."""
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
    # Of another user: then the group may do, or the removal says it.
    with suppress(PermissionError):
        folder.chmod(0o700)
