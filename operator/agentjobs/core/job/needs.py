"""What `decide` may have to know before it can decide: one closed union. `reconcile.job.facts` answers each need.

The answer is in the next observation of the same job.
"""

from dataclasses import dataclass
from typing import TypeAlias

from agentjobs.api.job.spec import SessionKey


@dataclass(frozen=True, slots=True)
class AcceptedSpec:
    """What was accepted of a job whose object may say something else: it was edited, or is illegal."""


@dataclass(frozen=True, slots=True)
class PodTrial:
    """Whether the API server would take the job's pod."""


@dataclass(frozen=True, slots=True)
class References:
    """Whether the ConfigMap keys that the spec names exist, and what they hold."""


@dataclass(frozen=True, slots=True)
class AwaitedJobs:
    """How the jobs of `spec.after` stand, and what the job's texts read of them."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Whether the job may start. It joins its queue, and admission answers all jobs of the queue at once."""

    queue: str
    priority: int
    session: SessionKey


@dataclass(frozen=True, slots=True)
class LastHeartbeat:
    """When the runner of this start spoke to the gateway last."""

    start: int


@dataclass(frozen=True, slots=True)
class StartProgress:
    """How many steps this start recorded, now that it has ended."""

    start: int


@dataclass(frozen=True, slots=True)
class Spent:
    """What the job's starts used so far: those of one attempt, or all of them."""

    attempt: int | None


@dataclass(frozen=True, slots=True)
class ExhaustedModels:
    """The models of which no call can be made now, and until when."""


@dataclass(frozen=True, slots=True)
class FinalResult:
    """The final answer of a job that ends, what its starts used, and how far the last one got.

    The question makes the answer final.
    """


@dataclass(frozen=True, slots=True)
class EndRecorded:
    """Whether the job's end is in Postgres."""


@dataclass(frozen=True, slots=True)
class ParentRecord:
    """What history has of a job that others follow, and whether the job is still as it was seen."""


HistoryNeed: TypeAlias = (
    AcceptedSpec | LastHeartbeat | StartProgress | Spent | ExhaustedModels | FinalResult | EndRecorded | ParentRecord
)
Need: TypeAlias = PodTrial | References | AwaitedJobs | Slot | HistoryNeed
