"""What jobs ask of their queue, what they hold, and what they are told."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime

from agentjobs.core.queues.starts import Start

SessionLock = tuple[str, str, str]  # appName, userId, sessionId
WorktreeLock = str  # the claim of its volume
Lock = SessionLock | WorktreeLock
"""What one job at a time uses: a session, or a Named worktree."""
JobName = tuple[str, str]  # namespace, name
Users = dict[Lock, dict[Hashable, "Holding"]]
"""Locks in use, each with what holds it, by source."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A job that could start if it had a slot."""

    key: JobName
    uid: str
    priority: int
    created: datetime
    lock: SessionLock
    partition: str = ""
    """Its `partitionKey`; jobs without one are of one partition."""
    since: datetime | None = None
    """When it began to wait; None: when it was created."""
    is_new: bool = field(default=False, compare=False)
    """Whether it was never accepted: a full backlog may end it. That it is accepted is no new request."""
    worktree: WorktreeLock = ""
    """Empty without a Named worktree. It starts when both locks allow it, and takes both at once."""

    @property
    def group(self) -> Lock:
        """The lock by which it waits: those of one worktree stand behind each other, else those of one session."""
        return self.worktree or self.lock

    @property
    def locks(self) -> tuple[Lock, ...]:
        """All that it needs."""
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
    """Why a job ends without a start: a class of errors, and the message."""

    reason: str
    message: str


Answer = Granted | Refusal | Rejection


@dataclass(frozen=True, slots=True)
class Holding:
    """What a claim, a pod that has not ended, or a reservation keeps from other jobs."""

    uid: str
    """Uid of the job. A job never waits for a lock that only it holds."""
    session: SessionLock | None = None
    queue: str | None = None
    """The queue in which it takes a slot, None for none."""
    holder: str = ""
    """Who holds the slot: several holdings of one holder take one slot."""
    told: str = ""
    """How messages name it to jobs that wait for a lock; empty for a claimed start, since those change often."""
    partition: str | None = None
    """The partition in which it takes a slot; None when that is not known: then the slot counts in the queue alone."""
    worktree: WorktreeLock = ""
    """Empty for none."""

    @property
    def locks(self) -> tuple[Lock, ...]:
        """All that it keeps from others."""
        session = () if self.session is None else (self.session,)
        return (*session, self.worktree) if self.worktree else session


@dataclass(slots=True, eq=False)
class QueueEntry:
    """A job's request for a slot, and the last answer."""

    queue: str
    candidate: Candidate
    answer: Answer | None = None
    level: int = 0
    """Its priority, less what it gained by waiting."""
    told: Refusal | None = None
    """What it was told before it was granted a slot."""
    start: Start | None = None
    """What counts against a rate since it was granted a slot."""
    ticket: int = 0
    """The number of its last offer; entries of the heap with an older number are stale."""
