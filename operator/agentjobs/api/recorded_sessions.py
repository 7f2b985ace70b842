"""Sessions and artifacts for users, as the gateway returns them and clients read them. See also `recorded`."""

from datetime import datetime
from typing import Any

from agentjobs.api.recorded import Recorded


class RecordedSession(Recorded):
    """A stored session. Sizes are in bytes."""

    app: str
    user: str
    session: str
    created: datetime
    used: datetime
    """When a job last began with it or stored something in it, which restarts its retention period."""
    turns: int
    events: int
    bytes: int
    """Size of its turns."""
    artifacts: int
    """Size of all versions of its artifacts, without the user's."""
    artifact_bytes: int


class RecordedSessions(Recorded):
    """A page of sessions, most recently used first; `cursor` is null on the last page."""

    items: list[RecordedSession]
    cursor: str | None


class RecordedTurn(Recorded):
    """What one job added to a session."""

    number: int
    """Its position in the session, from 1."""
    uid: str
    """The job's."""
    job: str
    mode: str
    """`session.mode` of the job: `New` began the session again."""
    start: int
    stored: datetime
    events: int
    bytes: int


class SessionStory(Recorded):
    """A session with its newest 500 turns, oldest first, and the states that its next job would have."""

    session: RecordedSession
    turns: list[RecordedTurn]
    state: dict[str, Any]
    user_state: dict[str, Any]
    app_state: dict[str, Any]


class SessionEvent(Recorded):
    """An ADK event, as the runner stored it."""

    turn: int
    job: str
    n: int
    """Its position in the turn, from 0."""
    event: dict[str, Any]


class SessionEvents(Recorded):
    """A page of a session's events, oldest first; `cursor` is null on the last page."""

    items: list[SessionEvent]
    cursor: str | None


class RecordedArtifact(Recorded):
    """One version of an artifact. A name that begins with `user:` belongs to the user, in all sessions of the app."""

    name: str
    version: int
    kind: str
    """`data`, `text`, or `file` for a reference, whose bytes are its URI."""
    mime: str
    bytes: int
    stored: datetime
    job: str
    """The uid of the job that saved it."""
    metadata: dict[str, Any]


class RecordedArtifacts(Recorded):
    """A page of versions by name, oldest version first; `cursor` is null on the last page."""

    items: list[RecordedArtifact]
    cursor: str | None


class Deleted(Recorded):
    """How much was deleted. Turns are also removed from memory."""

    sessions: int = 0
    turns: int = 0
    artifacts: int = 0
    """Versions."""
    states: int = 0
    """Keys of the user's state."""
