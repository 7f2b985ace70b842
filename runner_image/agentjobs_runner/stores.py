"""Data that outlives a job in addition to its steps: its session, artifacts and memory. The engines' interface.

No method takes a session, an app or a user: all is the job's own. The methods block, so engines call them in a thread
(`threads.in_thread`). They raise `errors.Invalid` for a rejected request; while the gateway is unavailable they do not
return, and the supervisor ends the start after all retries.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from agentjobs.contract import ArtifactSave, ArtifactVersion, MemoryHit, Turn
from agentjobs_runner.kept import Kept


@dataclass(frozen=True, slots=True)
class Earlier:
    """The job's session before the job."""

    events: list[Any] = field(default_factory=list)
    """The engine's events, unchanged."""
    state: Mapping[str, Any] = field(default_factory=dict)
    user: Mapping[str, Any] = field(default_factory=dict)
    """The state of the app's user, by names without `user:`."""
    app: Mapping[str, Any] = field(default_factory=dict)
    """The state of the app, by names without `app:`."""


class Stores(Protocol):
    """The session, the artifacts and the memory of one job. Thread-safe."""

    @property
    def kept(self) -> Kept:
        """The files that starts of the job's run keep for later ones."""
        ...

    def session(self) -> Earlier:
        """Return the session before the job."""
        ...

    def put_turn(self, turn: Turn) -> None:
        """Store what the job added to its session; repeating it changes nothing."""
        ...

    def artifact_names(self) -> list[str]:
        """Return the names of the artifacts of the session and of its user."""
        ...

    def save_artifact(self, save: ArtifactSave, content: bytes) -> int:
        """Store a version and return its number; for a key that was saved before, that version's number."""
        ...

    def artifact(self, name: str, version: int | None) -> tuple[ArtifactVersion, bytes] | None:
        """Return a version of an artifact, the newest without a number; None if it does not exist."""
        ...

    def artifact_versions(self, name: str) -> list[ArtifactVersion]:
        """Return the versions of an artifact, oldest first."""
        ...

    def delete_artifact(self, name: str) -> None:
        """Delete all versions of an artifact."""
        ...

    def search_memory(self, query: str, limit: int) -> list[MemoryHit]:
        """Return texts of other sessions of the job's app and user that contain a word of `query`, best first."""
        ...
