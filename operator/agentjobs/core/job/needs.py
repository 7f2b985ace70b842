"""Facts that `decide` may need before it can decide: one closed union. `reconcile.job.facts` answers each need.

The next observation of the same job contains the answer.
"""

from dataclasses import dataclass
from typing import TypeAlias

from agentjobs.api.job.spec import SessionKey


@dataclass(frozen=True, slots=True)
class AcceptedSpec:
    """The accepted spec of a job whose object was edited or is invalid."""


@dataclass(frozen=True, slots=True)
class PodDryRun:
    """Whether the API server would accept the job's pod."""


@dataclass(frozen=True, slots=True)
class References:
    """The contents of the ConfigMap keys that the spec names."""


@dataclass(frozen=True, slots=True)
class AwaitedJobs:
    """The state of the jobs of `spec.after`, and the values that the job's texts read."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Whether the job may start. It joins its queue, and admission decides for all jobs of the queue together."""

    queue: str
    priority: int
    session: SessionKey


@dataclass(frozen=True, slots=True)
class LastHeartbeat:
    """When the runner of this start last contacted the gateway."""

    start: int


@dataclass(frozen=True, slots=True)
class StartProgress:
    """How many steps the ended start recorded."""

    start: int


@dataclass(frozen=True, slots=True)
class Spent:
    """What the job's starts have used: those of one attempt, or all."""

    attempt: int | None


@dataclass(frozen=True, slots=True)
class ExhaustedModels:
    """The models that cannot be called now, and until when."""


@dataclass(frozen=True, slots=True)
class FinalResult:
    """The final answer of a job that ends, the usage of its starts, and the progress of the last one.

    Reading the answer makes it final.
    """


@dataclass(frozen=True, slots=True)
class EndRecorded:
    """Whether the job's end is in Postgres."""


@dataclass(frozen=True, slots=True)
class ParentRecord:
    """History's data about a job with follow-ups, and the current object."""


HistoryNeed: TypeAlias = (
    AcceptedSpec | LastHeartbeat | StartProgress | Spent | ExhaustedModels | FinalResult | EndRecorded | ParentRecord
)
Need: TypeAlias = PodDryRun | References | AwaitedJobs | Slot | HistoryNeed
