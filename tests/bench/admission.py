"""What admission costs while many wait: CPU of one thread, with nothing but the queue.

Beside it stands what it was until 0.1: every look walked through all who wait. That is kept here as the measure.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from tests.bench.figures import Figure

from agentjobs.core.queues.admission import (
    Candidate,
    Granted,
    Holding,
    JobName,
    QueuePolicy,
    Queues,
    Refusal,
    SessionLock,
)

SLOTS = 10
WAITING = (1_000, 10_000, 100_000)
AIMS = {10_000: 0.2, 100_000: 1.0}
STARTS = 200
NOW = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)


class Walk:
    """The queue as it was: each look asks of every job whether it is alive, sorts all and compares their answers."""

    def __init__(self) -> None:
        self.entries: dict[JobName, tuple[Candidate, Granted | Refusal | None]] = {}
        self.jobs: dict[JobName, str] = {}
        self.claims: dict[JobName, SessionLock] = {}

    def ask(self, one: Candidate) -> None:
        self.jobs[one.key] = one.uid
        self.entries[one.key] = one, None

    def start(self, key: JobName) -> None:
        self.claims[key] = self.entries.pop(key)[0].lock

    def end(self, key: JobName) -> None:
        del self.claims[key]

    def look(self) -> list[JobName]:
        for name in [name for name in self.entries if self.jobs.get(name) != self.entries[name][0].uid]:
            del self.entries[name]
        reserved = [one for one, answer in self.entries.values() if isinstance(answer, Granted)]
        waiting = [one for one, answer in self.entries.values() if not isinstance(answer, Granted)]
        locks = {lock: {self.jobs[key]} for key, lock in self.claims.items()} | {
            one.lock: {one.uid} for one in reserved
        }
        free = SLOTS - len(self.claims) - len(reserved)
        changed = []
        for one, answer in self._answers(waiting, locks, free):
            if self.entries[one.key][1] != answer:
                self.entries[one.key] = one, answer
                changed.append(one.key)
        return changed

    def _answers(
        self, waiting: list[Candidate], taken: dict[SessionLock, set[str]], free: int
    ) -> list[tuple[Candidate, Granted | Refusal]]:
        full = Refusal("WaitingForSlot", f"all {SLOTS} slots of queue agents are taken")
        if free <= 0:
            return [(one, full) for one in waiting]
        found: list[tuple[Candidate, Granted | Refusal]] = []
        for one in sorted(waiting, key=lambda one: (one.priority, one.created, one.key)):
            if taken.get(one.lock, set()) - {one.uid}:
                found.append((one, Refusal("WaitingForLock", f"session {one.lock[2]} is in use by another job")))
            elif free > 0:
                free -= 1
                taken[one.lock] = {one.uid}
                found.append((one, Granted()))
            else:
                found.append((one, full))
        return found


class Kept:
    """The queue as it is, driven as `reconcile` does."""

    def __init__(self) -> None:
        self.queues = Queues()

    def ask(self, one: Candidate) -> None:
        self.queues.ask("agents", one)

    def start(self, key: JobName) -> None:
        entry = self.queues.entry(key)
        assert entry is not None
        one = entry.candidate
        self.queues.hold(("claim", key), Holding(one.uid, one.lock, "agents", one.uid))
        self.queues.leave(key)

    def end(self, key: JobName) -> None:
        self.queues.hold(("claim", key), None)

    def look(self) -> list[JobName]:
        return list(self.queues.admit("agents", QueuePolicy(SLOTS), NOW).changed)


def crowd(queue: Walk | Kept, waiting: int) -> Iterator[JobName]:
    """Let so many wait behind a full queue; yields those that run."""
    for number in range(waiting + SLOTS):
        session = ("app", "user", f"job-{number}")
        # In an order that no sort has done already.
        created = NOW - timedelta(seconds=number * 7919 % waiting)
        queue.ask(Candidate(("default", f"job-{number:06}"), f"uid-{number}", 2, created, session))
    for key in queue.look()[:SLOTS]:
        queue.start(key)
        yield key
    queue.look()


def milliseconds(act: Callable[[], object], times: int) -> float:
    """CPU of one call."""
    before = time.process_time()
    for _ in range(times):
        act()
    return (time.process_time() - before) * 1000 / times


def costs(queue: Walk | Kept, waiting: int, times: int) -> tuple[float, float]:
    """Of one look at the full queue, and of all that a start takes: an end, a look that admits, a claim, a look."""
    running = list(crowd(queue, waiting))

    def start() -> None:
        queue.end(running.pop())
        (key,) = queue.look()
        queue.start(key)
        running.append(key)
        queue.look()

    start()
    return milliseconds(queue.look, times), milliseconds(start, times)


def measure(runs: int) -> list[Figure]:
    """Milliseconds of CPU by number of waiting jobs, beside the walk through all of them."""
    found = []
    for waiting in WAITING:
        ours = [costs(Kept(), waiting, STARTS) for _ in range(runs)]
        walks = [costs(Walk(), waiting, max(1, 20_000 // waiting)) for _ in range(runs)]
        (looks, starts), (their_looks, their_starts) = zip(*ours, strict=True), zip(*walks, strict=True)
        peer = "walk through all"
        name, aim = f"{waiting:,} waiting", AIMS.get(waiting)
        found.append(Figure(f"look at a full queue, {name}", "ms", looks, aim, peer=their_looks, peer_name=peer))
        found.append(Figure(f"a free slot to its claim, {name}", "ms", starts, aim, peer=their_starts, peer_name=peer))
    return found
