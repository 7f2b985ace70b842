"""What outlives a job beside its steps: its session, artifacts and memory. Engines use it.

No method names a session, an app or a user: all is the job's own. The methods block until they are answered, so engines
call them in a thread of their own (`asyncio.to_thread`). They raise `errors.Invalid` where a request is refused; while
what keeps them is away they do not return, and the supervisor ends the start when patience has run out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from agentjobs.contract import ArtifactSave, ArtifactVersion, MemoryHit, Turn
from agentjobs_runner.kept import Kept


@dataclass(frozen=True, slots=True)
class Earlier:
    """The job's session as it stood before the job."""

    events: list[Any] = field(default_factory=list)
    """Of the engine, as it stored them."""
    state: Mapping[str, Any] = field(default_factory=dict)
    user: Mapping[str, Any] = field(default_factory=dict)
    """The state of the user of the app, by names without `user:`."""
    app: Mapping[str, Any] = field(default_factory=dict)
    """The state of the app, by names without `app:`."""


class Stores(Protocol):
    """The session, the artifacts and the memory of one job. Safe to use from any thread."""

    @property
    def kept(self) -> Kept:
        """The files that starts of the job's run keep for later ones."""
        ...

    def session(self) -> Earlier:
        """Return the session as it stood before the job."""
        ...

    def put_turn(self, turn: Turn) -> None:
        """Store what the job added to its session; the same again changes nothing."""
        ...

    def artifact_names(self) -> list[str]:
        """Return the names of the artifacts of the session and of its user."""
        ...

    def save_artifact(self, save: ArtifactSave, content: bytes) -> int:
        """Store a version and return its number; of a key that was saved before, the number of then."""
        ...

    def artifact(self, name: str, version: int | None) -> tuple[ArtifactVersion, bytes] | None:
        """Return a version of an artifact, the newest without a number; None where there is none."""
        ...

    def artifact_versions(self, name: str) -> list[ArtifactVersion]:
        """Return the versions of an artifact, oldest first."""
        ...

    def delete_artifact(self, name: str) -> None:
        """Delete all versions of an artifact."""
        ...

    def search_memory(self, query: str, limit: int) -> list[MemoryHit]:
        """Return what was said in other sessions of the job's app and user that has a word of `query`, best first."""
        ...
