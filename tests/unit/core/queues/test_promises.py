"""Guarantees for any stream of jobs: no starvation, fair shares, rates, and no blocking of others.

See docs/reference/queue-order.md.
"""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from agentjobs.core.queues.admission import Candidate, Holding, QueuePolicy, Queues, Rate, Strategy

NOW = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Stream:
    """A queue whose jobs claim as soon as they are granted a slot."""

    def __init__(self, policy):
        self.queues, self.policy, self.now = Queues(), policy, NOW
        self.started = []  # candidate, when
        self.running = []

    def enqueue(self, name, *, priority=2, session=None, partition=""):
        lock = ("app", "user", session or name)
        self.queues.enqueue("agents", Candidate(("default", name), name, priority, self.now, lock, partition, self.now))

    def look(self):
        answer = self.queues.admit("agents", self.policy, self.now)
        for key in answer.admitted:
            one = self.queues.entry(key).candidate
            self.queues.hold(key, Holding(one.uid, one.lock, "agents", one.uid, "", one.partition))
            self.queues.leave(key)
            self.started.append((one, self.now))
            self.running.append(one)
        return answer

    def end(self, number):
        if self.running:
            self.queues.hold(self.running.pop(number % len(self.running)).key, None)

    def held(self):
        return {one.partition: sum(one.partition == other.partition for other in self.running) for one in self.running}


@given(
    steps=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4), st.booleans()), max_size=60),
    aging=st.integers(1, 3),
)
def test_no_job_waits_longer_than_nine_agings_behind_later_ones(steps, aging):
    stream = Stream(QueuePolicy(1, strategy=Strategy.PRIORITY, aging=aging * SECOND))
    for number, (priority, passed, ends) in enumerate(steps):
        stream.now += passed * SECOND
        stream.enqueue(f"job-{number}", priority=priority)
        if ends:
            stream.end(0)
        stream.look()
    while stream.running:
        stream.end(0)
        stream.look()
    order = [one for one, _ in stream.started]

    assert len(order) == len(steps)
    for place, first in enumerate(order):
        assert all(first.created < later.created + 9 * aging * SECOND for later in order[place + 1 :])


@given(
    slots=st.integers(1, 7),
    partitions=st.integers(2, 4),
    ends=st.lists(st.lists(st.integers(0, 99), max_size=3), max_size=40),
)
def test_shares_of_waiting_partitions_differ_by_at_most_one_slot(slots, partitions, ends):
    stream = Stream(QueuePolicy(slots))
    names = [str(number) for number in range(partitions)]
    for number in range(200):
        for name in names:
            stream.enqueue(f"{name}-{number:03}", partition=name)
    stream.look()
    for some in ends:
        for number in some:
            stream.end(number)
        stream.look()
        shares = [stream.held().get(name, 0) for name in names]

        assert sum(shares) == slots
        assert max(shares) - min(shares) <= 1


@given(
    rate=st.builds(Rate, st.integers(1, 3), st.integers(1, 6).map(lambda n: n * SECOND), st.booleans()),
    steps=st.lists(st.tuples(st.integers(0, 8), st.sampled_from("ab"), st.integers(0, 3)), max_size=60),
)
def test_no_period_has_more_starts_than_the_rate_and_no_start_is_delayed_longer(rate, steps):
    stream, until = Stream(QueuePolicy(100, rate=rate)), None
    for number, (passed, partition, count) in enumerate(steps):
        later = stream.now + passed * SECOND / 2
        while until is not None and until <= later:
            stream.now = until
            until = stream.look().again
        stream.now = later
        for more in range(count):
            stream.enqueue(f"{number}-{more}", partition=partition)
        until = stream.look().again
    while until is not None:
        stream.now = until
        until = stream.look().again

    assert len(stream.started) == sum(count for *_, count in steps)
    for scope in "ab" if rate.by_partition else ("ab",):
        times = [at for one, at in stream.started if one.partition in scope]
        assert all(sum(begin <= at < begin + rate.period for at in times) <= rate.starts for begin in times)


def test_a_full_partition_and_a_session_in_use_do_not_delay_others():
    stream = Stream(QueuePolicy(4, per_partition=1, strategy=Strategy.PRIORITY))
    for number in range(100):
        stream.enqueue(f"full-{number:02}", priority=0, partition="red")
        stream.enqueue(f"used-{number:02}", priority=0, session="one", partition=f"p{number}")
    stream.enqueue("last", priority=9, partition="blue")
    stream.look()

    assert [one.key[1] for one in stream.running] == ["full-00", "used-00", "last"]


def test_two_jobs_of_one_session_in_a_full_and_an_open_partition_start_the_second():
    stream = Stream(QueuePolicy(4, per_partition=1))
    stream.enqueue("runs", partition="red")
    stream.look()
    stream.enqueue("first", session="one", partition="red")
    stream.enqueue("second", session="one", partition="blue")
    stream.look()

    assert [one.key[1] for one in stream.running] == ["runs", "second"]


def test_among_equal_shares_the_partition_with_the_oldest_last_start_is_next():
    stream = Stream(QueuePolicy(1))
    for partition in "abc":
        for number in range(2):
            stream.enqueue(f"{partition}-{number}", partition=partition)
    for _ in range(6):
        stream.look()
        stream.end(0)
        stream.now += SECOND

    assert [one.key[1] for one, _ in stream.started] == ["a-0", "b-0", "c-0", "a-1", "b-1", "c-1"]


def test_a_lower_level_has_precedence_over_a_fairer_share():
    stream = Stream(QueuePolicy(2))
    for name, priority, partition in (("a", 1, "red"), ("b", 1, "red"), ("c", 2, "blue")):
        stream.enqueue(name, priority=priority, partition=partition)
    stream.look()

    assert [one.key[1] for one in stream.running] == ["a", "b"]


def test_the_example_of_the_reference_starts_in_the_documented_order():
    stream = Stream(QueuePolicy(3, per_partition=2, aging=600 * SECOND))
    for name, priority, partition, waited in (
        ("a1", 2, "acme", 5),
        ("a2", 2, "acme", 4),
        ("a3", 2, "acme", 3),
        ("b1", 2, "bolt", 1),
        ("c1", 4, "core", 25),
        ("d1", 3, "dune", 1),
    ):
        stream.now = NOW - waited * 60 * SECOND
        stream.enqueue(name, priority=priority, partition=partition)
    stream.now = NOW
    stream.look()
    for name in ("c1", "b1"):
        stream.end([one.key[1] for one in stream.running].index(name))
        stream.look()

    assert [one.key[1] for one, _ in stream.started] == ["c1", "a1", "b1", "a2", "d1"]
