"""What has changed of a cluster's jobs since somebody asked before, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

MAX_CHANGED: Final = 1000
"""Jobs that one answer names; where more have changed it says so."""


@dataclass(frozen=True, slots=True)
class ChangedJob:
    """A job that was written."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What has changed since a mark."""

    mark: str
    """Where the next question begins."""
    jobs: tuple[ChangedJob, ...] = ()
    """Those written last come first."""
    more: bool = False
    """Whether others have changed, too."""
    progress: Mapping[str, str] = field(default_factory=dict)
    """How far the jobs are that were asked about, by uid: a word that differs when they got further."""
