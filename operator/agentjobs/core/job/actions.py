"""What the operator may do to a job next: one closed union. mypy checks that `reconcile` handles each."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from agentjobs.api.conditions import ConditionType, Phase
from agentjobs.api.job.status import AttemptRecord, Checkpoint, EqualJob, FollowUpStatus
from agentjobs.contract import Published
from agentjobs.core.job.needs import Need
from agentjobs.core.job.observation import FinalResult
from agentjobs.core.pods.pod import Pod


@dataclass(frozen=True, slots=True)
class Keep:
    """Nothing to do."""


@dataclass(frozen=True, slots=True)
class Observe:
    """Write `observedGeneration`, if no other write does."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Write what the job waits for. With `accept`, the job is first stored as accepted."""

    condition: ConditionType
    reason: str
    message: str
    accept: bool
    in_line: bool = False
    """For a queue that does not exist: whether the wait counts as one for a slot."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Record start `start` of attempt `attempt`, and write its number into the status. The pod is created
    afterwards.
    """

    start: int
    attempt: int
    afresh: bool = False
    """It begins with the first step, because the answer of the previous start was not accepted."""


@dataclass(frozen=True, slots=True)
class MakePod:
    """Create the pod of a claimed start, again if it is gone; its name is always the same."""

    start: int
    attempt: int


@dataclass(frozen=True, slots=True)
class ReportPod:
    """Write that a pod does not start, or that it has started."""

    started: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class StopPod:
    """Delete the pod, with its grace period."""

    pod: Pod
    why: str


@dataclass(frozen=True, slots=True)
class Again:
    """Another start follows, at `at` or later."""

    at: datetime
    infra: bool
    """It counts against `maxInfraRestarts`."""
    free: bool = False
    """It counts against no limit: the start was lost after it recorded new steps, or because we stopped it."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The job ends."""

    phase: Phase
    reason: str
    message: str
    summary: str = ""
    outcome: str | None = None
    """The outcome of the final answer, in any phase."""
    published: Published | None = None
    """What was published of its workspace."""
    duplicate_of: EqualJob | None = None
    """The job with the same key, if this one is skipped."""

    @property
    def answered(self) -> bool:
        """Whether the job ends with an answer."""
        return self.phase is Phase.SUCCEEDED or self.outcome is not None


@dataclass(frozen=True, slots=True)
class Suspend:
    """Suspend the job, without slot and pod, until it is resumed. `accept` as in `Wait`."""

    reason: str
    message: str
    accept: bool = False
    at: datetime | None = None
    """Earliest start after a resume: the backoff of the start that ended."""


@dataclass(frozen=True, slots=True)
class EndStart:
    """Record how the active start ended after running for `ran`, and what follows."""

    record: AttemptRecord
    next_step: Again | Finish | Suspend
    ran: timedelta
    rule: str = ""
    """The rule of `resultPolicy` that decided."""
    checkpoint: Checkpoint | None = None
    """The job's last recorded step; None if there is none or it is unknown."""


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Remove our finalizer from pods whose end is recorded, or whose job is being deleted."""

    pods: tuple[Pod, ...]


@dataclass(frozen=True, slots=True)
class BackfillResult:
    """Write answer and usage into the status of a job that ended while Postgres was unreachable."""

    result: FinalResult


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Delete the object: its TTL has expired, and its end is in Postgres."""


@dataclass(frozen=True, slots=True)
class MakeFollowUp:
    """Create the jobs of a follow-up that do not exist and have not existed."""

    name: str
    jobs: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class RecordFollowUps:
    """Write the state of all follow-ups."""

    follow_ups: tuple[FollowUpStatus, ...]
    """Empty if it turned out that no follow-up matches the end."""
    reason: str
    message: str


Action: TypeAlias = (
    Keep
    | Observe
    | Wait
    | Claim
    | MakePod
    | ReportPod
    | StopPod
    | Finish
    | Suspend
    | EndStart
    | RemoveFinalizer
    | BackfillResult
    | MakeFollowUp
    | RecordFollowUps
    | DeleteJob
)


@dataclass(frozen=True, slots=True)
class Decision:
    """An action, and when to reconcile the job again even without an event."""

    action: Action
    again: datetime | None = None


NeedOrDecision: TypeAlias = Need | Decision
"""What `decide` returns: a need to answer first, or a decision."""
