"""Actions of people, as sentences. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agentjobs.api.fields import DNS_LABEL
from agentjobs.api.recorded_overview import RecordedAction
from agentjobs.dashboard.texts import link

_DID: Final = {
    ("AgentJob", "cancel"): "cancelled job",
    ("AgentJob", "suspend"): "suspended job",
    ("AgentJob", "resume"): "resumed job",
    ("AgentJob", "rerun"): "reran job",
    ("AgentJob", "retry-notifications"): "retried notifications of job",
    ("AgentQueue", "pause"): "paused queue",
    ("AgentQueue", "drain"): "drained queue",
    ("AgentQueue", "resume"): "resumed queue",
    ("AgentQueue", "scale"): "changed the limit of queue",
    ("AgentSchedule", "trigger"): "triggered schedule",
    ("AgentSchedule", "suspend"): "suspended schedule",
    ("AgentSchedule", "resume"): "resumed schedule",
    ("AgentTemplate", "run"): "ran template",
    ("Session", "delete"): "deleted session",
    ("User", "delete"): "deleted all sessions of user",
}
_PAGES: Final = {"AgentQueue": "queues", "AgentSchedule": "schedules", "AgentTemplate": "templates"}
_MAKING: Final = ("rerun", "run", "trigger")
"""Actions whose message is the name of the job that they created."""
_NOTHING_DONE: Final = 400


@dataclass(frozen=True, slots=True)
class Did:
    """One action, which may have been refused."""

    time: datetime
    user: str
    impersonated_by: str
    what: str
    """`paused queue`; the object's name follows."""
    namespace: str
    name: str
    address: str
    """Address of the object's page; empty without one."""
    refused: bool
    status: int
    message: str
    job: str
    """Name of the job that it created; empty for none."""


def did(actions: Sequence[RecordedAction]) -> list[Did]:
    """Return the actions in the order of REST."""
    return [_did(action) for action in actions]


def _did(action: RecordedAction) -> Did:
    return Did(
        time=action.time,
        user=action.user,
        impersonated_by=action.impersonated_by or "",
        what=_DID.get((action.kind, action.action), f"{action.action} {action.kind}"),
        namespace=action.namespace,
        name=action.name,
        address=_address(action),
        refused=action.status >= _NOTHING_DONE,
        status=action.status,
        message=action.message,
        job=_made(action),
    )


def _made(action: RecordedAction) -> str:
    is_name = re.fullmatch(DNS_LABEL, action.message) is not None
    return action.message if action.action in _MAKING and action.status < _NOTHING_DONE and is_name else ""


def _address(action: RecordedAction) -> str:
    if action.kind == "AgentJob":
        return link("jobs", action.namespace, action.uid or action.name)
    plural = _PAGES.get(action.kind)
    return link(plural, action.namespace, action.name) if plural else ""
