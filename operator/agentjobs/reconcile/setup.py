"""The dependencies of the reconcilers of all kinds."""

from dataclasses import dataclass
from typing import Final

from agentjobs.core.pods.defaults import PodDefaults
from agentjobs.models.config import Models
from agentjobs.reconcile.job.dry_run import DryRun
from agentjobs.reconcile.ports import Ports
from agentjobs.reconcile.state import State

RETRY_SECONDS: Final = 2.0
"""When to retry a request to PostgreSQL or the API server that failed or had no result yet."""

FOLLOW_UP_DEPTH: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """The ports, the state, and the installation's pod defaults."""

    ports: Ports
    state: State
    pods: PodDefaults
    models: Models
    """The installation's models."""
    sinks: frozenset[str]
    """Names of the sinks that jobs may notify."""
    dry_run: DryRun
    """Shared by jobs and schedules, so that a pod's shape is tried only once."""
    follow_up_depth: int = FOLLOW_UP_DEPTH
    """Maximum number of jobs before one in a chain of follow-ups."""
