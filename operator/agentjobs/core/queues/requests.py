"""Requests of jobs to their queue, their answers, and what jobs hold."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime

from agentjobs.core.queues.starts import Start

SessionLock = tuple[str, str, str]  # appName, userId, sessionId
WorktreeLock = str  # name of the PersistentVolumeClaim
Lock = SessionLock | WorktreeLock
"""What only one job at a time may use: a session, or a Named worktree."""
JobName = tuple[str, str]  # namespace, name
Users = dict[Lock, dict[Hashable, "Holding"]]
"""Locks in use, with their holdings by source."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A job that can start once it has a slot."""

    key: JobName
    uid: str
    priority: int
    created: datetime
    lock: SessionLock
    partition: str = ""
    """Its `partitionKey`; jobs without one form one partition."""
    since: datetime | None = None
    """When it began to wait; None: at creation."""
    is_new: bool = field(default=False, compare=False)
    """Whether it was never accepted, so that a full backlog may reject it. Acceptance is not a new request."""
    worktree: WorktreeLock = ""
    """Its worktree's lock, or empty. It starts when both locks allow it, and takes both together."""

    @property
    def group(self) -> Lock:
        """The lock of its group: its worktree, else its session."""
        return self.worktree or self.lock

    @property
    def locks(self) -> tuple[Lock, ...]:
        """All locks that it needs."""
        return (self.worktree, self.lock) if self.worktree else (self.lock,)


@dataclass(frozen=True, slots=True)
class Granted:
    """A slot of the queue is reserved for the job."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a job does not start now: a reason of the condition `Admitted`, and the message."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a job ends without a start: an error class, and the message."""

    reason: str
    message: str


AdmissionAnswer = Granted | Refusal | Rejection


@dataclass(frozen=True, slots=True)
class Holding:
    """What a claim, a pod that has not ended, or a reservation holds."""

    uid: str
    """Uid of the job. A job never waits for a lock that only it holds."""
    session: SessionLock | None = None
    queue: str | None = None
    """The queue in which it takes a slot, or None."""
    holder: str = ""
    """The holder of the slot: several holdings of one holder take one slot."""
    description: str = ""
    """Its name in messages to jobs that wait for a lock; empty for claimed starts, which change often."""
    partition: str | None = None
    """The partition in which it takes a slot; None if unknown: then the slot only counts in the queue."""
    worktree: WorktreeLock = ""
    """Its worktree's lock, or empty."""

    @property
    def locks(self) -> tuple[Lock, ...]:
        """All locks that it holds."""
        session = () if self.session is None else (self.session,)
        return (*session, self.worktree) if self.worktree else session


@dataclass(slots=True, eq=False)
class QueueEntry:
    """A job's request for a slot, and the last answer."""

    queue: str
    candidate: Candidate
    answer: AdmissionAnswer | None = None
    level: int = 0
    """Its priority, less the levels gained by waiting."""
    reported: Refusal | None = None
    """Its answer before it was granted a slot."""
    start: Start | None = None
    """Its start, counted against a rate since it was granted a slot."""
    ticket: int = 0
    """The number of its last offer; heap entries with an older number are stale."""
