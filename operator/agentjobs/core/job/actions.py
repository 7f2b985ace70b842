"""What the operator may do to a job next: one closed union. mypy shows the branch that `reconcile` lacks for one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from agentjobs.api.conditions import ConditionType, Phase
from agentjobs.api.job.status import AttemptRecord, Checkpoint, FollowUpStatus, Twin
from agentjobs.contract import Published
from agentjobs.core.job.needs import Need
from agentjobs.core.job.observation import FinalResult
from agentjobs.core.pods.pod import Pod


@dataclass(frozen=True, slots=True)
class Keep:
    """Nothing to do."""


@dataclass(frozen=True, slots=True)
class Observe:
    """Write that the operator has seen this generation of the object, when no other write says so."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Write what the job waits for. `accept` demands that it is stored as accepted first."""

    condition: ConditionType
    reason: str
    message: str
    accept: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """Record start `start` of attempt `attempt` and take its number in the status. The pod follows from that."""

    start: int
    attempt: int
    afresh: bool = False
    """It begins with the first step, whatever was recorded: the answer of the start before was not taken."""


@dataclass(frozen=True, slots=True)
class MakePod:
    """Make the pod of a start that is claimed, again if it is gone; its name is always the same."""

    start: int
    attempt: int


@dataclass(frozen=True, slots=True)
class ReportPod:
    """Write that a pod does not start, or that it has started after all."""

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
    """It counts against `maxInfraRestarts`."""
    free: bool = False
    """It counts against nothing: the start was lost after it had recorded new steps, or by our own order to stop."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The job ends."""

    phase: Phase
    reason: str
    message: str
    summary: str = ""
    outcome: str | None = None
    """The outcome of the answer that the job ends with, however it ends."""
    published: Published | None = None
    """What was published of its workspace."""
    duplicate_of: Twin | None = None
    """The job because of which a skipped one is not run."""

    @property
    def answered(self) -> bool:
        """Whether the job ends with an answer."""
        return self.phase is Phase.SUCCEEDED or self.outcome is not None


@dataclass(frozen=True, slots=True)
class Suspend:
    """Keep the job without slot and pod until it is resumed. `accept` as in `Wait`."""

    reason: str
    message: str
    accept: bool = False
    at: datetime | None = None
    """Not before then after a resume: the backoff of the start that ended."""


@dataclass(frozen=True, slots=True)
class EndStart:
    """Record how the active start ended after `ran`, and what follows."""

    record: AttemptRecord
    next_step: Again | Finish | Suspend
    ran: timedelta
    rule: str = ""
    """The rule of `resultPolicy` that decided."""
    checkpoint: Checkpoint | None = None
    """The job's last recorded step; None when there is none or history did not say."""


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Remove our finalizer from pods whose end is recorded, or whose job is being deleted."""

    pods: tuple[Pod, ...]


@dataclass(frozen=True, slots=True)
class BackfillResult:
    """Write answer and usage into the status of a job that ended while Postgres was away."""

    result: FinalResult


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Delete the object: its time to live is over, and its end is in Postgres."""


@dataclass(frozen=True, slots=True)
class MakeFollowUp:
    """Create the jobs of a follow-up, again if need be; each that exists, or has existed, is there already."""

    name: str
    jobs: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class RecordFollowUps:
    """Write what became of the follow-ups, all at once."""

    follow_ups: tuple[FollowUpStatus, ...]
    """None of them when the end turned out to ask for none."""
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
    """An action, and when to look at the job again even if nothing happens."""

    action: Action
    again: datetime | None = None


Answer: TypeAlias = Need | Decision
"""What `decide` returns: what it has to know first, or what to do."""
