"""What the operator remembers of a job between two passes. Losing it costs a question, never correctness."""

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime

from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.problems import Problem
from agentjobs.core.job.observation import Obstacle, TwinFound


@dataclass(frozen=True, slots=True)
class ClaimedSlot:
    """A slot that history gave a start, until the job's status shows the start."""

    start: int
    time: datetime
    """When, by history's clock."""
    version: str
    """The resourceVersion of the job on which the claim was based."""


@dataclass(slots=True)
class JobMemo:
    """The memory of one job, by its uid."""

    uid: str
    terminating: tuple[str, float] | None = None
    """Uid of a pod that was seen Terminating, and since when on our monotonic clock."""
    stopped: str | None = None
    """Uid of the pod that was told to stop because the job, or its queue, asked for it."""
    active: tuple[int, float] | None = None
    """Number of the active start, and since when it is known on our monotonic clock."""
    obstacle: Obstacle | None = None
    """Why the active start's pod could not be made when that was tried last."""
    generation: int = 1
    """The last generation whose edits were checked."""
    trial: tuple[Hashable, tuple[Problem, ...]] | None = None
    """The version of object and template whose pod the API server was asked about, and what it would refuse."""
    claimed: ClaimedSlot | None = None
    twin: TwinFound | None = None
    """Because of whom the job is not to start; history says the same again."""
    models: tuple[AgentJobSpec, frozenset[str]] | None = None
    """A spec, and the models that its names stand for."""
    listed_at: float | None = None
    """When jobs were looked for by their labels last, on our monotonic clock."""
    policy_of: str | None = None
    """Uid of the pod that owns the job's network policy beside the job."""
    written: str = ""
    """resourceVersion of the job in the answer to our last write: what the cache has of it is no older."""
