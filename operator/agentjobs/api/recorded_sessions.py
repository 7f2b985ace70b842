"""What history tells users of sessions and artifacts, as the gateway answers and clients read; beside `recorded`."""

from datetime import datetime
from typing import Any

from agentjobs.api.recorded import Recorded


class RecordedSession(Recorded):
    """A session: what its jobs left of it. Sizes are in bytes."""

    app: str
    user: str
    session: str
    created: datetime
    used: datetime
    """When a job began with it, or stored something in it; its keep time begins anew by that."""
    turns: int
    events: int
    bytes: int
    """Of its turns."""
    artifacts: int
    """Versions of all its artifacts, without those of the user."""
    artifact_bytes: int


class RecordedSessions(Recorded):
    """A page of sessions, the last used first; `cursor` is null on the last one."""

    items: list[RecordedSession]
    cursor: str | None


class RecordedTurn(Recorded):
    """What one job added to a session."""

    number: int
    """Its place in the session, from 1."""
    uid: str
    """The job's."""
    job: str
    mode: str
    """`session.mode` of the job: with `New` the session began anew."""
    start: int
    stored: datetime
    events: int
    bytes: int


class SessionStory(Recorded):
    """A session with the newest 500 of its turns, oldest first, and with the states that its next job would see."""

    session: RecordedSession
    turns: list[RecordedTurn]
    state: dict[str, Any]
    user_state: dict[str, Any]
    app_state: dict[str, Any]


class SessionEvent(Recorded):
    """One of ADK's Events, as the runner stored it."""

    turn: int
    job: str
    n: int
    """Its place in the turn, from 0."""
    event: dict[str, Any]


class SessionEvents(Recorded):
    """A page of a session's events, oldest first; `cursor` is null on the last one."""

    items: list[SessionEvent]
    cursor: str | None


class RecordedArtifact(Recorded):
    """One version of an artifact. A name that begins with `user:` is the user's, in all sessions of the app."""

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
    """A page of versions by name, oldest version first; `cursor` is null on the last one."""

    items: list[RecordedArtifact]
    cursor: str | None


class Deleted(Recorded):
    """How much of what was deleted. Turns are gone from memory, too."""

    sessions: int = 0
    turns: int = 0
    artifacts: int = 0
    """Versions."""
    states: int = 0
    """Keys of the user's state."""
