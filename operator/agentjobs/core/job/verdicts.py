"""What may happen to a job next: one closed union. A verdict without a branch in `reconcile` is a type error."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from agentjobs.api.conditions import ConditionType, Phase
from agentjobs.api.job.spec import SessionKey
from agentjobs.api.job.status import AttemptRecord
from agentjobs.core.pods.pod import Pod


@dataclass(frozen=True, slots=True)
class Keep:
    """Nothing to do."""


@dataclass(frozen=True, slots=True)
class Observe:
    """The object was edited, and nothing else is to be written: say that this generation was looked at."""


@dataclass(frozen=True, slots=True)
class ReadReferences:
    """Question: do the ConfigMap keys that the spec names exist, and what do they hold?"""


@dataclass(frozen=True, slots=True)
class AskForSlot:
    """Question: may the job start? It joins its queue; admission answers for all jobs of the queue at once."""

    queue: str
    priority: int
    session: SessionKey


@dataclass(frozen=True, slots=True)
class AskHeartbeat:
    """Question: when did the runner of this start last speak to the gateway?"""

    start: int


@dataclass(frozen=True, slots=True)
class AskRecorded:
    """Question: is the job's end in Postgres?"""


@dataclass(frozen=True, slots=True)
class Wait:
    """Say what the job waits for. `accept` demands that it is stored as accepted first."""

    condition: ConditionType
    reason: str
    message: str
    accept: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """Begin start `start` of attempt `attempt`: record, claim, make the pod."""

    start: int
    attempt: int


@dataclass(frozen=True, slots=True)
class MakePod:
    """The start is claimed and its pod is not there: make it (again) under the same name."""

    start: int
    attempt: int


@dataclass(frozen=True, slots=True)
class ReportPod:
    """Say that a pod does not get going, or that this has healed."""

    started: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class StopPod:
    """Ask the kubelet to end the pod, with its grace period."""

    pod: Pod
    why: str


@dataclass(frozen=True, slots=True)
class Again:
    """Another start follows, not before `at`."""

    at: datetime
    infra: bool


@dataclass(frozen=True, slots=True)
class Finish:
    """The job ends."""

    phase: Phase
    reason: str
    message: str
    summary: str = ""
    outcome: str | None = None
    """The outcome of the answer that the job ends with, however it ends."""

    @property
    def answered(self) -> bool:
        """Whether the job ends with an answer."""
        return self.phase is Phase.SUCCEEDED or self.outcome is not None


@dataclass(frozen=True, slots=True)
class Suspend:
    """Hold the job without slot and pod until somebody resumes it. `accept` as in `Wait`."""

    reason: str
    message: str
    accept: bool = False
    at: datetime | None = None
    """Not before then after a resume: the backoff of the start that ended."""


@dataclass(frozen=True, slots=True)
class EndStart:
    """Record how the active start ended after `ran`, and what follows."""

    record: AttemptRecord
    then: Again | Finish | Suspend
    ran: timedelta
    rule: str = ""
    """The rule of `resultPolicy` that decided."""


@dataclass(frozen=True, slots=True)
class ReleasePods:
    """Take our finalizer off pods whose end is recorded, or whose job is going."""

    pods: tuple[Pod, ...]


@dataclass(frozen=True, slots=True)
class FetchYield:
    """The job ended while Postgres was away; put its answer and what it used into its status now."""


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """The time to live is over and the end is in Postgres."""


Verdict: TypeAlias = (
    Keep
    | Observe
    | ReadReferences
    | AskForSlot
    | AskHeartbeat
    | AskRecorded
    | Wait
    | Claim
    | MakePod
    | ReportPod
    | StopPod
    | Finish
    | Suspend
    | EndStart
    | ReleasePods
    | FetchYield
    | DeleteJob
)


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict, and when to look again even if nothing happens."""

    verdict: Verdict
    again: datetime | None = None
