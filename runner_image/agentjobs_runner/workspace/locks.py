"""What a git that was killed leaves behind: lock files, and packs that were under way."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_UNDER_WAY: Final = ("tmp_pack_", "tmp_idx_", "tmp_rev_", "tmp_obj_", ".tmp-")


def remove_stale(repository: Path) -> None:
    """Remove lock files and unfinished objects from a repository that no git uses. Follows no link.

    No ref of Git ends in `.lock`, and loose objects are named by digits.
    """
    with suppress(OSError):
        for _, folders, files, descriptor in os.fwalk(repository, follow_symlinks=False):
            # Loose objects: too many to look through for nothing.
            folders[:] = [name for name in folders if len(name) != 2]
            for name in files:
                if name.endswith(".lock") or name.startswith(_UNDER_WAY):
                    with suppress(OSError):
                        os.unlink(name, dir_fd=descriptor)
