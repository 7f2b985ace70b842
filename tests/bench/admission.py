"""What admission costs while many wait, with nothing but the queue: CPU and latency of a start, memory of a job.

Next to the CPU stands what it was until 0.1: every look walked through all who wait. That is kept here as the measure.
Next to the latency stands that of an idle queue: what many who wait add to a start.
"""

import statistics
import time
import tracemalloc
from collections import deque
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
    Strategy,
)

SLOTS = 10
WAITING = (1_000, 10_000, 100_000)
AIMS = {10_000: 0.2, 100_000: 1.0}
STARTS = 200
NOW = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
LIMIT = 50
CROWDS = (5_000, 50_000)
LATENCIES = 5_000
HOUR = timedelta(hours=1)
POLICIES = {
    "priority": (QueuePolicy(LIMIT, strategy=Strategy.PRIORITY), 1),
    "Fair, 1,000 partitions": (QueuePolicy(LIMIT, per_partition=5), 1000),
    "Fair, 1,000 partitions, aging": (QueuePolicy(LIMIT, per_partition=5, aging=HOUR), 1000),
}


class Walk:
    """The queue as it was: each look asks of every job whether it is alive, sorts all and compares their answers."""

    def __init__(self) -> None:
        self.entries: dict[JobName, tuple[Candidate, Granted | Refusal | None]] = {}
        self.jobs: dict[JobName, str] = {}
        self.claims: dict[JobName, SessionLock] = {}

    def enqueue(self, one: Candidate) -> None:
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

    def enqueue(self, one: Candidate) -> None:
        self.queues.enqueue("agents", one)

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
        queue.enqueue(Candidate(("default", f"job-{number:06}"), f"uid-{number}", 2, created, session))
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


def request(number: int, partitions: int, now: datetime) -> Candidate:
    """A job of a partition and a session of its own, with one of the ten priorities."""
    partition = str(number * 7919 % partitions)
    lock = ("app", "user", f"job-{number}")
    return Candidate(("default", f"job-{number:06}"), f"uid-{number}", number % 10, now, lock, partition, now)


def latencies(policy: QueuePolicy, partitions: int, waiting: int) -> list[float]:
    """Milliseconds of CPU from a slot that is free (in an idle queue: from a job that asks) to the claim.

    Jobs come as fast as they start. A tenth of an aging passes meanwhile: a tenth of those who wait gain a level.
    """
    queues, running, now, number = Queues(), deque[JobName](), NOW, 0
    found = []
    for number in range(waiting):
        queues.enqueue("agents", request(number, partitions, NOW - HOUR * number / max(1, waiting)))
    queues.admit("agents", policy, now)

    def claim(key: JobName) -> None:
        entry = queues.entry(key)
        assert entry is not None
        one = entry.candidate
        queues.hold(("claim", key), Holding(one.uid, one.lock, "agents", one.uid, "", one.partition))
        queues.leave(key)
        running.append(key)

    for key in [key for key, entry in queues._entries.items() if isinstance(entry.answer, Granted)]:
        claim(key)
    for number in range(waiting, waiting + LATENCIES):
        now += HOUR / (10 * LATENCIES)
        begun = time.thread_time()
        if waiting:
            queues.hold(("claim", running.popleft()), None)
        else:
            queues.enqueue("agents", request(number, partitions, now))
        for key in queues.admit("agents", policy, now).admitted:
            claim(key)
        found.append((time.thread_time() - begun) * 1000)
        if waiting:
            queues.enqueue("agents", request(number, partitions, now))
            queues.admit("agents", policy, now)
        else:
            queues.hold(("claim", running.popleft()), None)
    return found


def p99(samples: list[float]) -> float:
    """The 99th of a hundred."""
    return statistics.quantiles(samples, n=100)[98]


def measure_latencies(runs: int) -> list[Figure]:
    """Median and p99 of a start, next to those of an idle queue in the same run."""
    found = []
    for kind, (policy, partitions) in POLICIES.items():
        for waiting in CROWDS:
            pairs = [(latencies(policy, partitions, waiting), latencies(policy, partitions, 0)) for _ in range(runs)]
            for word, of in (("p50", statistics.median), ("p99", p99)):
                ours, idle = (tuple(of(pair[side]) for pair in pairs) for side in (0, 1))
                name, aim = f"a start, {kind}, {waiting:,} waiting, {word}", 2 * statistics.median(idle)
                found.append(Figure(name, "ms", ours, aim, peer=idle, peer_name="idle"))
    return found


def memory(runs: int) -> Figure:
    """Bytes of the queue for a job that waits, without its name, uid and session, which its object has anyway."""
    samples = []
    policy, partitions = POLICIES["Fair, 1,000 partitions, aging"]
    for _ in range(runs):
        jobs = [request(number, partitions, NOW) for number in range(CROWDS[1])]
        queues = Queues()
        tracemalloc.start()
        for one in jobs:
            queues.enqueue("agents", one)
        queues.admit("agents", policy, NOW)
        samples.append(tracemalloc.get_traced_memory()[0] / len(jobs))
        tracemalloc.stop()
    return Figure("memory of a waiting job in the queue", "B", tuple(samples))


def measure(runs: int) -> list[Figure]:
    """Milliseconds by number of waiting jobs: CPU next to the walk through all of them, latency next to an idle
    queue."""
    found = [*measure_latencies(runs), memory(runs)]
    for waiting in WAITING:
        ours = [costs(Kept(), waiting, STARTS) for _ in range(runs)]
        walks = [costs(Walk(), waiting, max(1, 20_000 // waiting)) for _ in range(runs)]
        (looks, starts), (their_looks, their_starts) = zip(*ours, strict=True), zip(*walks, strict=True)
        peer = "walk through all"
        name, aim = f"{waiting:,} waiting", AIMS.get(waiting)
        found.append(Figure(f"look at a full queue, {name}", "ms", looks, aim, peer=their_looks, peer_name=peer))
        found.append(Figure(f"a free slot to its claim, {name}", "ms", starts, aim, peer=their_starts, peer_name=peer))
    return found
