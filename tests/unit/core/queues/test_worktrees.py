"""Jobs that need two locks, their session and a Named worktree: they take both or none, and delay no other job."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.core.queues.admission import Candidate, Granted, Holding, QueuePolicy, Queues

NOW = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SLOT, LOCK = "WaitingForSlot", "WaitingForLock"
QUEUES = ("agents", "fast")


def candidate(name, *, worktree="", session=None, age=0, partition="", uid=None):
    lock = ("app", "user", session or name)
    return Candidate(("default", name), uid or name, 2, NOW - age * SECOND, lock, partition, None, False, worktree)


def user_of(candidate, description=""):
    """What holds the locks of a job, and no slot."""
    return Holding(candidate.uid, candidate.lock, description=description, worktree=candidate.worktree)


def look(queues, slots=10, queue="agents"):
    return queues.admit(queue, QueuePolicy(slots), NOW)


def names(keys):
    return [name for _, name in keys]


def reasons(answer):
    return {name: refusal.message for (_, name), refusal in answer.refused.items() if refusal.reason == LOCK}


def test_a_worktree_has_one_job_at_a_time_across_queues_partitions_and_sessions():
    queues = Queues()
    for number, queue in enumerate(("agents", "agents", "fast")):
        queues.enqueue(queue, candidate(f"job-{number}", worktree="w", age=9 - number, partition=str(number)))

    admitted = [*names(look(queues).admitted), *names(look(queues, queue="fast").admitted)]

    assert admitted == ["job-0"]


def test_a_job_takes_both_locks_or_none():
    queues = Queues()
    queues.hold("talks", user_of(candidate("talks", session="s")))
    queues.enqueue("agents", candidate("both", session="s", worktree="w", age=9))
    queues.enqueue("agents", candidate("works", worktree="w"))

    first = look(queues)

    assert names(first.admitted) == ["works"]
    assert list(reasons(first)) == ["both"]


def test_the_message_names_the_lock_that_is_in_use():
    queues = Queues()
    queues.hold("talks", user_of(candidate("talks", session="s"), "pod talks-1, which has not ended"))
    queues.hold("works", user_of(candidate("works", worktree="w")))
    queues.enqueue("agents", candidate("both", session="s", worktree="w"))
    before = reasons(look(queues))
    queues.hold("works", None)
    assert queues.woken == {"agents"}
    after = reasons(look(queues))
    queues.hold("talks", None)

    assert "volume w " in before["both"]
    assert after["both"].startswith("session s ")
    assert names(look(queues).admitted) == ["both"]


def test_messages_do_not_name_a_pod_that_no_longer_holds_the_session():
    queues, other = Queues(), candidate("talks", session="s")
    queues.hold("pod", user_of(other, "pod talks-1, which has not ended"))
    queues.hold("claim", user_of(other))
    queues.enqueue("agents", candidate("both", session="s", worktree="w"))
    before = reasons(look(queues))
    queues.hold("pod", None)

    assert "pod talks-1" in before["both"]
    assert queues.woken == {"agents"}
    told = reasons(look(queues))["both"]
    assert ("session s " in told, "talks-1" in told) == (True, False)


@pytest.mark.parametrize("held", [{"session": "s"}, {"worktree": "w"}, {"session": "s", "worktree": "w"}])
def test_a_job_does_not_wait_for_a_lock_that_only_it_holds(held):
    queues = Queues()
    queues.hold("pod", user_of(candidate("mine", **held)))
    queues.enqueue("agents", candidate("older", session="s", worktree="w", age=9))
    queues.enqueue("agents", candidate("mine", session="s", worktree="w"))

    assert names(look(queues).admitted) == ["mine"]


def test_a_job_that_holds_one_lock_waits_for_the_other():
    queues = Queues()
    queues.hold("pod", user_of(candidate("mine", worktree="w")))
    queues.hold("talks", user_of(candidate("talks", session="s")))
    queues.enqueue("agents", candidate("mine", session="s", worktree="w"))
    refused = look(queues)
    queues.hold("talks", None)

    assert (names(refused.admitted), list(reasons(refused))) == ([], ["mine"])
    assert names(look(queues).admitted) == ["mine"]


def test_a_job_that_waits_for_its_session_does_not_delay_others_of_its_worktree():
    queues = Queues()
    queues.hold("talks", user_of(candidate("talks", session="s")))
    for number in range(20):
        queues.enqueue("agents", candidate(f"blocked-{number}", session="s", worktree="w", age=50 - number))
    queues.enqueue("agents", candidate("free", worktree="w"))

    assert names(look(queues).admitted) == ["free"]


def test_a_worktree_and_a_session_of_the_same_name_are_different_locks():
    queues = Queues()
    queues.hold("works", user_of(candidate("works", worktree="w")))
    queues.enqueue("agents", candidate("one", session="w"))

    assert names(look(queues).admitted) == ["one"]


@pytest.fixture
def work_of(counted):
    def work(waiting, **locks):
        """Lines of code of ten jobs in a row, each of which ends before the next is looked for."""
        queues = Queues()
        queues.hold(0, user_of(candidate("first", **{name: of(0) for name, of in locks.items()})))
        for number in range(waiting):
            own = {name: of(number) for name, of in locks.items()}
            queues.enqueue("agents", candidate(f"job-{number:05}", age=number * 7919 % waiting, **own))
        while look(queues).changed:
            pass

        def start(number):
            queues.hold(number, None)
            (key,) = look(queues).admitted
            queues.hold(number + 1, user_of(queues.entry(key).candidate))
            queues.leave(key)
            look(queues)

        start(0)
        with counted() as work:
            for number in range(1, 10):
                start(number)
        return work.lines

    return work


@pytest.mark.parametrize("session", [str, lambda _: "s"], ids=["sessions of their own", "one session"])
def test_admission_takes_little_more_work_with_a_hundred_times_as_many_jobs_of_a_worktree(work_of, session):
    few, many = (work_of(waiting, worktree=lambda _: "w", session=session) for waiting in (100, 10_000))

    assert many < 3 * few


LOCKS = st.tuples(st.sampled_from((None, "s", "t")), st.sampled_from(("", "v", "w")))
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("ask", "ask", "ask", "end", "leave", "pod", "gone")),
        st.integers(0, 7),
        LOCKS,
        st.sampled_from(QUEUES),
        st.sampled_from(("", "red")),
    ),
    max_size=60,
)


class Jobs:
    """Jobs of two queues that run as soon as they may, and pods that keep locks longer than their jobs run."""

    def __init__(self, slots):
        self.queues, self.slots, self.waiting = Queues(), slots, {}
        self.users = defaultdict(dict)  # by lock and source: uid
        self.running = defaultdict(dict)  # by queue and name

    def hold(self, source, holding):
        self.queues.hold(source, holding)
        for sources in self.users.values():
            sources.pop(source, None)
        for lock in holding.locks if holding else ():
            self.users[lock][source] = holding.uid

    def may_start(self, one):
        return all(uid == one.uid for lock in one.locks for uid in self.users[lock].values())

    def look(self):
        """Look as long as a queue asks for it; each start must be allowed at its turn."""
        while self.queues.woken:
            queue = min(self.queues.woken)
            for key in self.queues.admit(queue, QueuePolicy(self.slots, per_partition=2), NOW).admitted:
                one = self.waiting.pop(key)[1]
                assert self.may_start(one), "a lock has two users"
                self.hold(("claim", key), Holding(one.uid, one.lock, queue, one.uid, "", one.partition, one.worktree))
                self.queues.leave(key)
                self.running[queue][key] = one
        for key, (queue, one) in self.waiting.items():
            of_partition = [other for other in self.running[queue].values() if other.partition == one.partition]
            full = len(self.running[queue]) >= self.slots or len(of_partition) >= 2
            assert full or not self.may_start(one), f"{key} could start"
            assert full or self.queues.entry(key).answer.reason == LOCK


@given(slots=st.integers(1, 4), steps=STEPS)
def test_no_lock_has_two_users_and_no_slot_is_unused_while_a_job_can_start(slots, steps):
    jobs = Jobs(slots)
    for kind, number, (session, worktree), queue, partition in steps:
        one = candidate(f"job-{number}", session=session, worktree=worktree, age=number % 3, partition=partition)
        runs = next((queue for queue in QUEUES if one.key in jobs.running[queue]), None)
        if kind == "ask" and runs is None:
            jobs.waiting[one.key] = queue, one
            jobs.queues.enqueue(queue, one)
        elif kind == "leave" and runs is None:
            jobs.waiting.pop(one.key, None)
            jobs.queues.leave(one.key)
        elif kind == "end" and runs is not None:
            del jobs.running[runs][one.key]
            jobs.hold(("claim", one.key), None)
        elif kind == "pod" and runs is not None:
            jobs.hold(("pod", one.key), user_of(jobs.running[runs][one.key], "its pod"))
        elif kind == "gone":
            jobs.hold(("pod", one.key), None)
        jobs.look()

    assert not any(isinstance(jobs.queues.entry(key).answer, Granted) for key in jobs.waiting)
