"""Which waiting jobs of a queue start now.

One synchronous function over a snapshot, so that a decision is never made on two different views of the queue. Order
inside a queue: priority (0 first), then age. A job whose session lock is taken is passed over, never waited for.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

SessionLock = tuple[str, str, str]  # appName, userId, sessionId
# By uid the jobs that use a session. What is to be said of one: nothing for a start under way, as they come and go.
Holders = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A job that could start if it had a slot."""

    key: tuple[str, str]
    """Namespace and name."""
    uid: str
    priority: int
    created: datetime
    lock: SessionLock


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a job does not start now: `WaitingForSlot` or `WaitingForLock`, and a sentence."""

    reason: str
    message: str


def admit(
    waiting: Iterable[Candidate], *, limit: int, running: int, locks: Mapping[SessionLock, Holders], queue: str
) -> tuple[list[Candidate], Mapping[str, Refusal]]:
    """Return the candidates that start now, in order, and by uid why the others do not.

    Args:
        waiting: every job of the queue that asks for a slot.
        limit: most jobs of the queue that hold a slot at once.
        running: jobs that hold one already, reserved slots included.
        locks: sessions in use in the namespace, whatever the queue. A job is not kept waiting by a pod of its own,
            which may be on a node that is lost.
    """
    admitted: list[Candidate] = []
    refused: dict[str, Refusal] = {}
    taken, free = dict(locks), limit - running
    full = Refusal("WaitingForSlot", f"all {limit} slots of queue {queue} are taken")
    if free <= 0:
        return [], {candidate.uid: full for candidate in waiting}
    for candidate in sorted(waiting, key=lambda one: (one.priority, one.created, one.key)):
        if others := [holder for uid, holder in taken.get(candidate.lock, {}).items() if uid != candidate.uid]:
            holder = next(filter(None, others), "another job")
            refused[candidate.uid] = Refusal("WaitingForLock", f"session {candidate.lock[2]} is in use by {holder}")
        elif len(admitted) < free:
            admitted.append(candidate)
            taken[candidate.lock] = {candidate.uid: ""}
        else:
            refused[candidate.uid] = full
    return admitted, refused
