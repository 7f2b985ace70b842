"""Leftovers of a killed git: lock files and unfinished packs."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_UNDER_WAY: Final = ("tmp_pack_", "tmp_idx_", "tmp_rev_", "tmp_obj_", ".tmp-", "packed-refs.new")


def remove_stale(repository: Path) -> None:
    """Remove lock files and unfinished objects from a repository that no git uses. Does not follow links.

    No Git ref ends in `.lock`, and loose objects have hexadecimal names. Folders that are unreadable or too deep for a
    path are skipped.
    """
    waiting = [repository]
    while waiting:
        folder = waiting.pop()
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    # Loose objects: too many to search needlessly.
                    if folder.name != "objects" or len(entry.name) != 2:
                        waiting.append(folder / entry.name)
                elif entry.name.endswith(".lock") or entry.name.startswith(_UNDER_WAY):
                    with suppress(OSError):
                        (folder / entry.name).unlink()
