"""What the reconcilers of all kinds are made from."""

from dataclasses import dataclass
from typing import Final

from agentjobs.core.pods.defaults import PodDefaults
from agentjobs.models.config import Models
from agentjobs.reconcile.job.trial import Trial
from agentjobs.reconcile.ports import Ports
from agentjobs.reconcile.state import State

ASK_AGAIN_SECONDS: Final = 2.0
"""When to ask PostgreSQL or the API server again for what either did not answer, or did not have yet."""

FOLLOW_UP_DEPTH: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """The surroundings, the state, and what the installation says about pods."""

    ports: Ports
    state: State
    pods: PodDefaults
    models: Models
    """What the installation knows of models."""
    sinks: frozenset[str]
    """Names of the sinks that jobs may notify."""
    trial: Trial
    """Shared by jobs and schedules: a pod that the API server would take for one needs no second question."""
    follow_up_depth: int = FOLLOW_UP_DEPTH
    """How many jobs may come before one in a chain of follow-ups."""
