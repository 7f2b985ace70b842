"""What PostgreSQL may not know yet of the slots of queues: the next claim of a queue tells it. No I/O.

A start that ends frees its slot in the cache at once, in PostgreSQL with the writer's next batch. And a start that ran
before this process did may have no slot there: the version before knew of none, or the database is an older copy.
"""

from collections import defaultdict
from dataclasses import dataclass

from agentjobs.reconcile.slots import QueueName


@dataclass(frozen=True, slots=True)
class News:
    """Of one queue; starts by uid of the job and number."""

    held: tuple[tuple[str, int, str], ...] = ()
    """Starts that run, each with its partition."""
    released: tuple[tuple[str, int], ...] = ()
    """Starts that have ended."""


NO_NEWS = News()


class SlotNews:
    """The news of all queues. What was told is forgotten, so there is never more than what runs between two claims."""

    def __init__(self) -> None:
        self._held: dict[QueueName, dict[tuple[str, int], str]] = defaultdict(dict)
        self._released: dict[QueueName, dict[tuple[str, int], None]] = defaultdict(dict)
        # One value for all claims of a moment.
        self._news: dict[QueueName, News] = {}

    def runs(self, queue: QueueName, uid: str, start: int, partition: str) -> None:
        """A start is seen to run that nobody saw being claimed."""
        self._held[queue][uid, start] = partition
        self._news.pop(queue, None)

    def ended(self, queue: QueueName, uid: str, start: int) -> None:
        """A start has ended."""
        if queue in self._held:
            self._held[queue].pop((uid, start), None)
        self._released[queue][uid, start] = None
        self._news.pop(queue, None)

    def of(self, queue: QueueName) -> News:
        """What to tell with a claim."""
        news = self._news.get(queue)
        if news is None:
            held = tuple((*start, partition) for start, partition in self._held.get(queue, {}).items())
            news = self._news[queue] = News(held, tuple(self._released.get(queue, ())))
        return news

    def delivered(self, queue: QueueName, news: News) -> None:
        """PostgreSQL knows these now."""
        if news == NO_NEWS:
            self._news.pop(queue, None)
            return
        for uid, start, _ in news.held:
            self._held[queue].pop((uid, start), None)
        for start_of in news.released:
            self._released[queue].pop(start_of, None)
        for kept in (self._held, self._released):
            if not kept[queue]:
                del kept[queue]
        self._news.pop(queue, None)
