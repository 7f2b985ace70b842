"""The values an operator writes into history.

Each carries its job's whole identity, so that any of them can come first, alone or twice: the first record makes the
row. Pure; made by the reconciler, read by `operator_writes` and `writer`.
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
    """Which job: the object's uid, and the words people know it by. `created` is its creationTimestamp."""

    uid: str
    namespace: str
    name: str
    created: datetime
    schedule: str = ""
    """Name of the AgentSchedule that made it, empty for none."""
    parent_uid: str = ""
    """Of the job that it follows, empty for none."""
    labels: tuple[tuple[str, str], ...] = ()
    """Of its object, by their keys: those of `labels.kept_labels`. What it was accepted with counts."""


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as accepted. Every start runs the first one stored for a uid, also after edits."""

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
    """The run of steps that it begins, its own number; None when its claim finds out in which one it goes on."""


@dataclass(frozen=True, slots=True)
class SlotRequest:
    """What a start asks of its queue, with the limits of this moment."""

    queue: str
    partition: str
    limit: int
    per_partition: int | None = None
    rate: Rate | None = None
    held: tuple[tuple[str, int, str], ...] = ()
    """Starts of the queue, by uid and number, each with its partition, that run and may have no slot yet."""
    released: tuple[tuple[str, int], ...] = ()
    """Starts, by uid and number, that have ended and that history may not know of: their slots are free."""


Ends = Callable[[str, str, str, datetime], str | None]
"""The phase with which a job ended, empty for one that was deleted before it did.

Asked with its uid, namespace and name, and when history stored it first.

None for one that is not known to have ended.
"""


@dataclass(frozen=True, slots=True)
class UniqueRequest:
    """Which other jobs of the namespace a job must not run beside."""

    key: str
    period: timedelta | None = None
    states: Literal["Scheduled", "Incomplete", "Successful", "All"] = "Incomplete"
    replaces: bool = False
    """Whether it takes the place of one that has had no start."""
    is_decided: bool = False
    """It was accepted before, as its status says: it counts for others, and is not judged again."""
    ends: Ends = field(default=lambda _uid, _namespace, _name, _stored: None, compare=False)
    """What the operator has seen of ends, which history may not know yet."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What is stored of a job before anything acts on it, with its start when it starts now."""

    job: JobRecord
    start: StartRecord | None = None
    slot: SlotRequest | None = None
    """What the start needs; None for one that needs no slot."""
    unique: UniqueRequest | None = None
    """To be given with each start, too: the job's place may have been taken."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The job is stored, and its start if there was one. `resolved` is the work as first accepted."""

    resolved: Resolved
    claimed: datetime | None = None
    """When its slot was claimed last, by history's clock; None without one."""
    replaced: tuple[tuple[str, str], ...] = ()
    """Uid and name of the jobs of its namespace whose place it has just taken."""


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
    """The job is stored, its start is not, nor is an earlier start fenced: the queue has no room."""

    resolved: Resolved
    reason: Literal["Slot", "Partition", "Rate"]
    """What is full: the queue, the job's partition of it, or the starts of the period."""
    retry_in: timedelta | None = None
    """When the period has room again; None when only the end of a start makes room."""
    holders: tuple[Holder, ...] = ()
    """Those of the queue's slots that are older than a minute, oldest first: any may be a dead operator's."""
    replaced: tuple[tuple[str, str], ...] = ()
    """As in `Accepted`."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Another job has the key of this one, which is not to run."""

    uid: str
    name: str


@dataclass(frozen=True, slots=True)
class Superseded:
    """A newer job of the same key has taken the place of this one, which is not to start."""

    uid: str
    name: str


Answer = Accepted | NoSlot | Duplicate | Superseded


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
    """What sinks are to know of an event beside the transition itself, as the status holds it."""

    attempts: int
    summary: str = ""
    outcome: str | None = None
    cost: str | None = None
    """In US dollars."""


@dataclass(frozen=True, slots=True)
class TransitionRecord:
    """One change of a job's phase, numbered by `status.transitions`.

    The highest number is the job's phase. `finished` says that this one ended the job: it also stands against any
    higher number, because an end is final.
    """

    job: JobKey
    transition: int
    time: datetime
    phase: str
    reason: str
    message: str = ""
    finished: bool = False
    details: EventDetails | None = None
    """For the sinks that the job names, where its phase is an event."""
    workspace: Published | None = None
    """What was published of its workspace, of the transition that ended it."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """The job's object is gone. A job that had not ended reads as `Deleted` from then on."""

    job: JobKey
    time: datetime


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest job that had a name, for jobs that wait for it."""

    uid: str
    phase: str
    """`Deleted` where its object vanished before it had ended."""
    reason: str
    ended_at: datetime | None
    """When it ended, or its object vanished; None while it goes on."""

    @property
    def ended(self) -> bool:
        return self.ended_at is not None


Record = JobRecord | StartRecord | StartEnd | TransitionRecord | Deletion


class StoredEvent(Struct, frozen=True):
    """One entry of a start's timeline, its data as text: `recorded.Event` to who reads it."""

    start: int
    seq: int
    time: datetime
    kind: str
    author: str
    data: Raw


@dataclass(frozen=True, slots=True)
class StoredStep:
    """A step with what it gave, as text: `recorded.StepContent` to who reads it."""

    step: RecordedStep
    request: Raw
    body: Raw | None
    """None for a call that did not end, and for one that gave nothing."""


class TurnEvent(Struct, frozen=True):
    """One event of a session, ADK's Event as text: `recorded_sessions.SessionEvent` to who reads it."""

    turn: int
    job: str
    n: int
    event: Raw


Lives = Callable[[str, str, str], bool]
"""Whether there is an AgentJob of that uid, namespace and name."""
