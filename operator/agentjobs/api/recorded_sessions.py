"""Sessions and artifacts as the gateway returns them from history."""

from datetime import datetime
from typing import Any

from agentjobs.api.recorded import Recorded


class RecordedSession(Recorded):
    """A session that jobs share. Sizes are in bytes."""

    app: str
    """`spec.session.appName` of its jobs."""
    user: str
    """`spec.session.userId` of its jobs."""
    session: str
    """`spec.session.sessionId` of its jobs."""
    created: datetime
    used: datetime
    """When a job last began with it or stored something in it. Retention counts from this time."""
    turns: int
    """The number of its turns."""
    events: int
    """The number of events in its turns."""
    bytes: int
    """The size of its turns."""
    artifacts: int
    """The number of versions of its artifacts, without those of the user."""
    artifact_bytes: int
    """The size of these versions."""


class RecordedSessions(Recorded):
    """A page of sessions, the most recently used first."""

    items: list[RecordedSession]
    cursor: str | None


class RecordedTurn(Recorded):
    """The part of a session that one job added."""

    number: int
    """Its position in the session, from 1."""
    uid: str
    """The uid of the job."""
    job: str
    """The name of the job."""
    mode: str
    """`session.mode` of the job; `New` began the session again."""
    start: int
    """The start of the job that added it."""
    stored: datetime
    """When it was stored."""
    events: int
    """The number of its events."""
    bytes: int
    """The size of its events."""


class SessionHistory(Recorded):
    """A session with its newest 500 turns, oldest first, and the state that its next job would see."""

    session: RecordedSession
    turns: list[RecordedTurn]
    """Its turns, oldest first."""
    state: dict[str, Any]
    """The state of the session."""
    user_state: dict[str, Any]
    """The state of the user, which all sessions of the user share."""
    app_state: dict[str, Any]
    """The state of the app, which all sessions of the app share."""


class SessionEvent(Recorded):
    """An event of ADK in a session, as the runner stored it."""

    turn: int
    """The position of its turn in the session, from 1."""
    job: str
    """The name of the job."""
    n: int
    """Its position in the turn, from 0."""
    event: dict[str, Any]
    """The event as ADK writes it."""


class SessionEvents(Recorded):
    """A page of a session's events, oldest first."""

    items: list[SessionEvent]
    cursor: str | None


class RecordedArtifact(Recorded):
    """One version of an artifact."""

    name: str
    """The file name. If it begins with `user:`, all sessions of the user in the app share it."""
    version: int
    """The version, from 0."""
    kind: str
    """`data`, `text`, or `file` for a reference, whose content is its URI."""
    mime: str
    """The media type."""
    bytes: int
    """The size of the content."""
    stored: datetime
    """When it was saved."""
    job: str
    """The uid of the job that saved it."""
    metadata: dict[str, Any]
    """The metadata that the agent saved with it."""


class RecordedArtifacts(Recorded):
    """A page of versions, ordered by name and version."""

    items: list[RecordedArtifact]
    cursor: str | None


class Deleted(Recorded):
    """What was deleted. Deleted turns are removed from memory, too."""

    sessions: int = 0
    """The number of sessions."""
    turns: int = 0
    """The number of turns."""
    artifacts: int = 0
    """The number of versions of artifacts."""
    states: int = 0
    """The number of keys of the user's state."""
