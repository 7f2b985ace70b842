"""Owners of sessions, state and artifacts: an app in a namespace, a user of it, a session of that user. Pure.

Each is one row of the table of scopes. Its id is derived from its names, so that every writer creates the same row, and
no names have to be looked up before a write.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from agentjobs.contract import USER_PREFIX


@dataclass(frozen=True, slots=True)
class Scope:
    """One owner. Without `session` it is the user of the app, without `user` the app."""

    cluster: str
    namespace: str
    app: str
    user: str = ""
    session: str = ""

    @property
    def id(self) -> UUID:
        """The row's id."""
        names = [self.cluster, self.namespace, self.app, self.user, self.session]
        return UUID(bytes=hashlib.sha256(json.dumps(names).encode()).digest()[:16])

    def row(self) -> dict[str, Any]:
        """Return the row, as JSON takes it."""
        return {
            "id": str(self.id),
            "cluster": self.cluster,
            "namespace": self.namespace,
            "app": self.app,
            "user_id": self.user,
            "session_id": self.session,
        }

    def place(self) -> dict[str, Any]:
        """Return the names, as parameters of a statement."""
        return {name: value for name, value in self.row().items() if name != "id"}

    @property
    def of_app(self) -> "Scope":
        """The app of this session or user."""
        return Scope(self.cluster, self.namespace, self.app)

    @property
    def of_user(self) -> "Scope":
        """The user of this session."""
        return Scope(self.cluster, self.namespace, self.app, self.user)

    def of_artifact(self, name: str) -> "Scope":
        """The owner of an artifact of this session's jobs, by ADK's naming rule."""
        return self.of_user if name.startswith(USER_PREFIX) else self


@dataclass(frozen=True, slots=True)
class JobSession:
    """The session of a job, fixed when the job was accepted."""

    scope: Scope
    job: str
    """The job's name."""
    run: int
    """Which starts of the job share their steps with this one: the number of the first of them."""
    mode: str
    """`New`, or `Continue` for a job that continues where the previous job of this session ended."""

    @property
    def continues(self) -> bool:
        """Whether the job begins with the existing session."""
        return self.mode == CONTINUE


NEW = "New"
CONTINUE = "Continue"
