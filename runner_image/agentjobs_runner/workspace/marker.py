"""The last published commit of a Named worktree, stored next to its checkout for later jobs.

A commit made by publishing is not in the worktree. Without this note, a second job could only publish to another
branch. An agent can write it, too: so it only counts if the branch has that very commit, and then allows no more than
changing files does.
"""

import json
import os
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from agentjobs_runner.log import logger
from agentjobs_runner.workspace.folders import is_folder, note_of
from agentjobs_runner.workspace.settings import Place, is_commit


@dataclass(frozen=True, slots=True)
class Marker:
    """A commit pushed to a branch of a repository."""

    url: str
    branch: str
    commit: str

    @classmethod
    def read(cls, place: Place) -> Self | None:
        """Read the note; None if it is missing or invalid."""
        note = note_of(place.published)
        try:
            found = cls(*(note[name] for name in ("url", "branch", "commit")))
        except (KeyError, TypeError):
            return None
        texts = all(isinstance(text, str) for text in (found.url, found.branch, found.commit))
        return found if texts and is_commit(found.commit) else None

    def write(self, place: Place) -> None:
        """Write the note. Without it nothing is lost: the next job must use another branch."""
        try:
            if not is_folder(place.ours):
                return
            # A new file replaces it, whatever an agent put there.
            descriptor, name = tempfile.mkstemp(dir=place.ours)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
                    json.dump(asdict(self), opened)
                Path(name).replace(place.published)
            except OSError:
                with suppress(OSError):
                    Path(name).unlink()
                raise
        except OSError as error:
            logger.warning("publish.note_not_written", extra={"error": error.strerror})
