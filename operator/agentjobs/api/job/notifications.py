"""Whom a job tells what happens to it."""

from typing import Final, Literal

from pydantic import Field

from agentjobs.api.fields import DNS_LABEL
from agentjobs.api.model import Model

MAX_NOTIFICATIONS: Final = 8

NotificationEvent = Literal["Started", "Retrying", "Suspended", "Succeeded", "Failed", "Cancelled"]


class Notification(Model):
    """A sink of the installation that is told of some events of the job."""

    sink: str = Field(
        min_length=1, max_length=63, pattern=DNS_LABEL, description="Name of a sink; the installation defines them."
    )
    events: tuple[NotificationEvent, ...] = Field(
        min_length=1, max_length=8, description="What is told: the phases of the job, and each start."
    )
