"""What a git that was killed leaves behind: lock files, and packs that were under way."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_UNDER_WAY: Final = ("tmp_pack_", "tmp_idx_", "tmp_rev_", "tmp_obj_", ".tmp-", "packed-refs.new")


def remove_stale(repository: Path) -> None:
    """Remove lock files and unfinished objects from a repository that no git uses. Follows no link.

    No ref of Git ends in `.lock`, and loose objects are named by digits. Folders that cannot be read, or are deeper
    than a path may be, are passed over.
    """
    waiting = [repository]
    while waiting:
        folder = waiting.pop()
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    # Loose objects: too many to look through for nothing.
                    if folder.name != "objects" or len(entry.name) != 2:
                        waiting.append(folder / entry.name)
                elif entry.name.endswith(".lock") or entry.name.startswith(_UNDER_WAY):
                    with suppress(OSError):
                        (folder / entry.name).unlink()
