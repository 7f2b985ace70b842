"""What people see of the outbox: which sink is told what, whether it took it, and why not.

Made from rows by history, read by `agentjobs.client`.
"""

from datetime import datetime
from typing import Literal

from agentjobs.api.recorded import Recorded

NotificationState = Literal["Waiting", "Retrying", "Sent", "GivenUp"]


class RecordedNotification(Recorded):
    """One event of a job for one sink. It waits behind those before it of the same job and sink."""

    uid: str
    namespace: str
    name: str
    """Of the job."""
    sink: str
    transition: int
    event: str
    time: datetime
    """Of the event."""
    state: NotificationState
    since: datetime
    """Since when it waits, or waited."""
    tries: int
    due: datetime | None
    """When it is tried next, at the earliest; null once it is sent or given up."""
    ended: datetime | None
    """When it was sent or given up."""
    error: str
    """Why the last try failed, empty where none did."""


class RecordedNotifications(Recorded):
    """A page of notifications, newest first; `cursor` is null on the last one."""

    items: list[RecordedNotification]
    cursor: str | None


class Retried(Recorded):
    """How many notifications are tried again."""

    retried: int
