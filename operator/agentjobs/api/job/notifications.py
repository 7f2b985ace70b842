"""AgentJob.spec.notifications: the sinks that are notified of a job's events."""

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import Field

from agentjobs.api.conditions import Phase
from agentjobs.api.fields import DNS_LABEL
from agentjobs.api.model import Model

MAX_NOTIFICATIONS: Final = 8

NotificationEvent = Literal["Started", "Retrying", "Suspended", "Succeeded", "Failed", "Cancelled"]

EVENTS: Final[Mapping[str, NotificationEvent]] = {
    Phase.RUNNING.value: "Started",
    Phase.RETRYING.value: "Retrying",
    Phase.SUSPENDED.value: "Suspended",
    Phase.SUCCEEDED.value: "Succeeded",
    Phase.FAILED.value: "Failed",
    Phase.CANCELLED.value: "Cancelled",
}
"""The phases that are events. Every start changes the phase to Running."""


class Notification(Model):
    """A sink of the installation that is notified of events of the job."""

    sink: str = Field(
        min_length=1, max_length=63, pattern=DNS_LABEL, description="Name of a sink; the installation defines them."
    )
    events: tuple[NotificationEvent, ...] = Field(
        min_length=1, max_length=8, description="Events to send: phases of the job, and each start."
    )
