"""Changes of slots that PostgreSQL may not have yet: sent with the next claim of their queue. No I/O.

The end of a start frees its slot in the cache immediately, but in PostgreSQL with the writer's next batch. And a start
from before this process may have no slot there: an older version had no slots, or the database is an older copy.
"""

from collections import defaultdict
from dataclasses import dataclass

from agentjobs.reconcile.slots import QueueName


@dataclass(frozen=True, slots=True)
class QueueSlotChanges:
    """The changes of one queue; starts by job uid and number."""

    held: tuple[tuple[str, int, str], ...] = ()
    """Running starts, with their partitions."""
    released: tuple[tuple[str, int], ...] = ()
    """Ended starts."""


NO_CHANGES = QueueSlotChanges()


class SlotChanges:
    """The changes of all queues. Delivered ones are removed, so the size is bounded by the starts between two
    claims.
    """

    def __init__(self) -> None:
        self._held: dict[QueueName, dict[tuple[str, int], str]] = defaultdict(dict)
        self._released: dict[QueueName, dict[tuple[str, int], None]] = defaultdict(dict)
        # Cached for concurrent claims.
        self._changes: dict[QueueName, QueueSlotChanges] = {}

    def runs(self, queue: QueueName, uid: str, start: int, partition: str) -> None:
        """Record a running start that this process did not claim."""
        self._held[queue][uid, start] = partition
        self._changes.pop(queue, None)

    def ended(self, queue: QueueName, uid: str, start: int) -> None:
        """Record an ended start."""
        if queue in self._held:
            self._held[queue].pop((uid, start), None)
        self._released[queue][uid, start] = None
        self._changes.pop(queue, None)

    def of(self, queue: QueueName) -> QueueSlotChanges:
        """Return the changes to send with a claim."""
        changes = self._changes.get(queue)
        if changes is None:
            held = tuple((*start, partition) for start, partition in self._held.get(queue, {}).items())
            changes = self._changes[queue] = QueueSlotChanges(held, tuple(self._released.get(queue, ())))
        return changes

    def delivered(self, queue: QueueName, changes: QueueSlotChanges) -> None:
        """Remove changes that PostgreSQL has received."""
        if changes == NO_CHANGES:
            self._changes.pop(queue, None)
            return
        for uid, start, _ in changes.held:
            self._held[queue].pop((uid, start), None)
        for start_of in changes.released:
            self._released[queue].pop(start_of, None)
        for kept in (self._held, self._released):
            if not kept[queue]:
                del kept[queue]
        self._changes.pop(queue, None)
