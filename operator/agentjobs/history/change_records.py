"""Changes of a cluster's jobs since an earlier query, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

MAX_CHANGED: Final = 1000
"""Maximum jobs of one result; a flag reports whether there are more."""


@dataclass(frozen=True, slots=True)
class ChangedJob:
    """A job that changed."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes since a mark."""

    mark: str
    """The mark for the next query."""
    jobs: tuple[ChangedJob, ...] = ()
    """Newest change first."""
    more: bool = False
    """Whether more jobs have changed."""
    progress: Mapping[str, str] = field(default_factory=dict)
    """Progress of the watched jobs by uid: a text that changes with each step."""
