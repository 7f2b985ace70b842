"""The outbox for users: notifications, their sinks, and whether and why sending failed.

Created from rows by history, read by `agentjobs.client`.
"""

from datetime import datetime
from typing import Literal

from agentjobs.api.recorded import Recorded

NotificationState = Literal["Waiting", "Retrying", "Sent", "GivenUp"]


class RecordedNotification(Recorded):
    """One event of a job for one sink. Events of the same job and sink are sent in order."""

    uid: str
    namespace: str
    name: str
    """Uid of the job."""
    sink: str
    transition: int
    event: str
    time: datetime
    """Phase of the event."""
    state: NotificationState
    since: datetime
    """When it was created."""
    tries: int
    due: datetime | None
    """Earliest time of the next try; null once it was sent or given up."""
    ended: datetime | None
    """When it was sent or given up."""
    error: str
    """Why the last try failed, empty if none did."""


class RecordedNotifications(Recorded):
    """A page of notifications, newest first; `cursor` is null on the last page."""

    items: list[RecordedNotification]
    cursor: str | None


class Retried(Recorded):
    """How many notifications will be retried."""

    retried: int
