"""The operator's memory of a job between passes. Losing it costs a request, never correctness."""

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime

from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.problems import FieldProblem
from agentjobs.core.job.observation import EqualJobFound, Obstacle


@dataclass(frozen=True, slots=True)
class ClaimedSlot:
    """A slot that history granted to a start, until the job's status shows the start."""

    start: int
    time: datetime
    """When it was granted, by history's clock."""
    version: str
    """The job's resourceVersion on which the claim was based."""


@dataclass(slots=True)
class JobMemo:
    """The memory of one job, by its uid."""

    uid: str
    terminating: tuple[str, float] | None = None
    """Uid of a pod that was observed Terminating, and since when on our monotonic clock."""
    stopped: str | None = None
    """Uid of the pod that was stopped on request of the job or its queue."""
    active: tuple[int, float] | None = None
    """Number of the active start, and since when it is observed on our monotonic clock."""
    obstacle: Obstacle | None = None
    """Why the last attempt to create the active start's pod failed."""
    steered: tuple[int, str] | None = None
    """Its priority and queue, as history has them or was last sent them; None if unknown."""
    generation: int = 1
    """The last generation whose edits were checked."""
    dry_run: tuple[Hashable, tuple[FieldProblem, ...]] | None = None
    """The version of object and template whose pod was tried in a dry run, and the refusal."""
    claimed: ClaimedSlot | None = None
    equal_job: EqualJobFound | None = None
    """The job that prevents this one from starting; can be read from history again."""
    models: tuple[AgentJobSpec, frozenset[str]] | None = None
    """A spec, and the models that its names stand for."""
    listed_at: float | None = None
    """When jobs were last looked up by labels, on our monotonic clock."""
    policy_of: str | None = None
    """Uid of the pod that also owns the job's network policy."""
    written: str = ""
    """resourceVersion of the job in the response to our last write: the cached object is at least as new."""
