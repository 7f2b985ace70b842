"""The values that an operator writes into history.

Each contains its job's whole identity, so that any of them can arrive first, alone or twice: the first record creates
the row. Pure; created by the reconciler, read by `operator_writes` and `writer`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec import Raw, Struct

from agentjobs.api.recorded import RecordedStep
from agentjobs.contract import Published, Resolved
from agentjobs.core.queues.policy import Rate


@dataclass(frozen=True, slots=True)
class JobKey:
    """Identity of a job: its uid, and its names. `created` is its creationTimestamp."""

    uid: str
    namespace: str
    name: str
    created: datetime
    schedule: str = ""
    """Name of the AgentSchedule that created it, if any."""
    parent_uid: str = ""
    """Uid of the job that it follows, if any."""
    labels: tuple[tuple[str, str], ...] = ()
    """Labels of its object at acceptance, see `labels.kept_labels`."""


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as accepted. Every start runs the first record stored for a uid, even after edits."""

    job: JobKey
    resolved: Resolved
    spec_hash: str

    @property
    def template(self) -> str:
        """Name of the AgentTemplate that it was merged with, empty for none."""
        merged: Mapping[str, Any] = self.resolved.get("template") or {}
        return str(merged.get("name") or "")


@dataclass(frozen=True, slots=True)
class StartRecord:
    """One start, before its pod exists. Storing it fences every earlier start of the job."""

    job: JobKey
    start: int
    attempt: int
    pod: str
    time: datetime
    run: int | None = None
    """The run of steps that it begins, its own number; None if its claim determines which run it continues."""


@dataclass(frozen=True, slots=True)
class SlotRequest:
    """A start's request to its queue, with the current limits."""

    queue: str
    partition: str
    limit: int
    per_partition: int | None = None
    rate: Rate | None = None
    held: tuple[tuple[str, int, str], ...] = ()
    """Running starts of the queue that may have no slot yet, by uid and number, with their partitions."""
    released: tuple[tuple[str, int], ...] = ()
    """Ended starts that history may not have yet, by uid and number: their slots are free."""


Ends = Callable[[str, str, str, datetime], str | None]
"""The phase with which a job ended, empty for one that was deleted before it did.

Called with the job's uid, namespace and name, and the time when history first stored it.

None for one that is not known to have ended.
"""


@dataclass(frozen=True, slots=True)
class UniqueRequest:
    """A job's request not to run together with jobs of the same key."""

    key: str
    period: timedelta | None = None
    states: Literal["Scheduled", "Incomplete", "Successful", "All"] = "Incomplete"
    replaces: bool = False
    """Whether it replaces a job that has not started."""
    is_decided: bool = False
    """Whether it was accepted before, by its status: it counts for other jobs, but is not checked again."""
    ends: Ends = field(default=lambda _uid, _namespace, _name, _stored: None, compare=False)
    """Ends that the operator has observed and history may not have yet."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The record of a job before anything acts on it, with its start if it starts now."""

    job: JobRecord
    start: StartRecord | None = None
    slot: SlotRequest | None = None
    """What the start needs; None for one that needs no slot."""
    unique: UniqueRequest | None = None
    """Also required with each start, because the job may have been replaced."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The job is stored, and its start if there was one. `resolved` is the work as first accepted."""

    resolved: Resolved
    claimed: datetime | None = None
    """When its slot was last claimed, by history's clock; None without one."""
    replaced: tuple[tuple[str, str], ...] = ()
    """Uid and name of the jobs that it has just replaced."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A start that holds a slot."""

    uid: str
    start: int
    namespace: str
    name: str
    claimed: datetime


@dataclass(frozen=True, slots=True)
class NoSlot:
    """The job is stored, but not its start, and no earlier start is fenced: the queue has no free slot."""

    resolved: Resolved
    reason: Literal["Slot", "Partition", "Rate"]
    """The exhausted limit: the queue, the job's partition, or the rate."""
    retry_in: timedelta | None = None
    """When the rate allows a start again; None if only the end of a start helps."""
    holders: tuple[Holder, ...] = ()
    """The queue's slots that are older than a minute, oldest first, which a crashed operator may have left."""
    replaced: tuple[tuple[str, str], ...] = ()
    """As in `Accepted`."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Another job has the same key, so this one must not run."""

    uid: str
    name: str


@dataclass(frozen=True, slots=True)
class Superseded:
    """A newer job with the same key has replaced this one, which must not start."""

    uid: str
    name: str


AcceptanceAnswer = Accepted | NoSlot | Duplicate | Superseded


@dataclass(frozen=True, slots=True)
class StartEnd:
    """How a start ended: one entry of `status.attemptHistory`. The first one stored is final and fences the start."""

    job: JobKey
    start: int
    attempt: int
    pod: str
    started: datetime | None
    ended: datetime
    verdict: str
    reason: str
    charged: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class EventDetails:
    """Details of an event for sinks in addition to the transition, from the status."""

    attempts: int
    summary: str = ""
    outcome: str | None = None
    cost: str | None = None
    """In US dollars."""


@dataclass(frozen=True, slots=True)
class TransitionRecord:
    """One change of a job's phase, numbered by `status.transitions`.

        The highest number is the job's phase. `finished` marks the end of the job, which takes precedence over higher
    numbers, because an end is final.
    """

    job: JobKey
    transition: int
    time: datetime
    phase: str
    reason: str
    message: str = ""
    finished: bool = False
    details: EventDetails | None = None
    """Details for the job's sinks, if its phase is an event."""
    workspace: Published | None = None
    """What was published of its workspace; only of the final transition."""


@dataclass(frozen=True, slots=True)
class Steering:
    """The priority and the queue of an accepted, unfinished job, after an edit. The latest generation counts."""

    job: JobKey
    generation: int
    """Of the object; an edited object has 2 or more."""
    priority: int
    queue: str
    time: datetime
    """When the operator saw it: a job that waits for a slot begins to wait in another queue."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """The job's object is gone. An unfinished job is then shown as `Deleted`."""

    job: JobKey
    time: datetime


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest job that had a name, for jobs that wait for it."""

    uid: str
    phase: str
    """`Deleted` if its object was deleted before its end."""
    reason: str
    ended_at: datetime | None
    """When it ended, or its object was deleted; None while it is unfinished."""

    @property
    def ended(self) -> bool:
        return self.ended_at is not None


Record = JobRecord | StartRecord | StartEnd | TransitionRecord | Steering | Deletion


class StoredEvent(Struct, frozen=True):
    """One entry of a start's timeline with its data as text: the raw form of `recorded.RecordedEntry`."""

    start: int
    seq: int
    time: datetime
    kind: str
    author: str
    data: Raw


@dataclass(frozen=True, slots=True)
class StoredStep:
    """A step with its value as text: the raw form of `recorded.StepContent`."""

    step: RecordedStep
    request: Raw
    body: Raw | None
    """None for a call that did not end, and for one without a value."""


class TurnEvent(Struct, frozen=True):
    """One ADK event of a session as text: the raw form of `recorded_sessions.SessionEvent`."""

    turn: int
    job: str
    n: int
    event: Raw


Lives = Callable[[str, str, str], bool]
"""Returns whether an AgentJob with that uid, namespace and name exists."""
