"""Notifications as the gateway returns them: what was sent to which sink, and why not."""

from datetime import datetime
from typing import Literal

from agentjobs.api.recorded import Recorded

NotificationState = Literal["Waiting", "Retrying", "Sent", "GivenUp"]


class RecordedNotification(Recorded):
    """One event of a job for one sink. Notifications of one job to one sink are sent in order."""

    uid: str
    """The uid of the job."""
    namespace: str
    name: str
    """The name of the job."""
    sink: str
    """The name of the sink."""
    transition: int
    """The number of the job's transition that it reports."""
    event: str
    """The event that it reports, such as `Failed`."""
    time: datetime
    """When the event happened."""
    state: NotificationState
    since: datetime
    """When it was ready to be sent."""
    tries: int
    """The number of tries so far."""
    due: datetime | None
    """The earliest time of the next try; null once it is sent or given up."""
    ended: datetime | None
    """When it was sent or given up; null until then."""
    error: str
    """Why the last try failed; empty if none did."""


class RecordedNotifications(Recorded):
    """A page of notifications, newest first."""

    items: list[RecordedNotification]
    cursor: str | None


class Retried(Recorded):
    """The result of a request to try notifications again."""

    retried: int
    """The number of notifications that will be tried again."""
