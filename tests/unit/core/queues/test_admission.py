"""Admission answers as sorting all who wait and walking through them would, and does not do so.

`make properties` tries more than the usual histories.
"""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.core.queues.admission import Candidate, Granted, Holding, QueuePolicy, Queues

NOW = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
QUEUES = ("agents", "scheduled")
SLOT, LOCK, ANOTHER = "WaitingForSlot", "WaitingForLock", "another job"


def candidate(name, *, uid=None, priority=2, age=0, session=None):
    lock = ("app", "user", session or name)
    return Candidate(("default", name), uid or name, priority, NOW - timedelta(seconds=age), lock)


class Walk:
    """The reference: everything is looked through each time."""

    def __init__(self):
        self.limits = dict.fromkeys(QUEUES, 1)
        self.waiting = {}
        self.told = {}
        self.granted = {}
        self.holdings = {}

    def held(self):
        for queue, one in self.granted.values():
            yield Holding(one.uid, one.lock, queue, one.uid)
        yield from self.holdings.values()

    def taken(self, queue):
        return len({one.holder for one in self.held() if one.queue == queue})

    def in_use(self, one):
        return any(held.session == one.lock and held.uid != one.uid for held in self.held())

    def user(self, one):
        others = [held.told for held in self.held() if held.session == one.lock and held.uid != one.uid and held.told]
        return others[0] if others else ANOTHER

    def line(self, queue):
        found = [one for entry, one in self.waiting.values() if entry == queue]
        return sorted(found, key=lambda one: (one.priority, one.created, one.key))

    def leave(self, key):
        for known in (self.waiting, self.told, self.granted):
            known.pop(key, None)

    def look(self, queue):
        free, admitted, told = self.limits[queue] - self.taken(queue), [], dict(self.told)
        for one in self.line(queue):
            if not self.in_use(one) and self.taken(queue) < self.limits[queue]:
                self.leave(one.key)
                self.granted[one.key] = queue, one
                admitted.append(one.key)
        first = set()
        for one in self.line(queue):
            known = self.told.get(one.key)
            if self.in_use(one):
                waits_for_it = known is not None and known != SLOT
                self.told[one.key] = self.user(one) if free > 0 or waits_for_it else known or SLOT
            elif known != ANOTHER or one.lock not in first:
                # A job that is not the first of a free session goes on saying that another job has it.
                self.told[one.key] = SLOT
            if not self.in_use(one):
                first.add(one.lock)
        return admitted, bool(admitted) or told != self.told


class Both:
    """The structure and the reference, told the same."""

    def __init__(self):
        self.queues, self.walk = Queues(), Walk()

    def ask(self, queue, one):
        self.queues.ask(queue, one)
        self.walk.leave(one.key)
        self.walk.waiting[one.key] = queue, one

    def leave(self, key):
        self.queues.leave(key)
        self.walk.leave(key)

    def hold(self, source, holding):
        self.queues.hold(source, holding)
        if holding is None:
            self.walk.holdings.pop(source, None)
        else:
            self.walk.holdings[source] = holding

    def limit(self, queue, slots):
        self.walk.limits[queue] = slots
        self.queues.woken.add(queue)  # who changes a policy wakes its queue

    def look(self):
        """Look until nothing changes; the structure only where it asks for it."""
        admitted, walked = [], []
        while self.queues.woken:
            for queue in sorted(self.queues.woken):
                admitted += self.admit(queue)
        while (found := [self.walk.look(queue) for queue in QUEUES]) and any(changed for _, changed in found):
            walked += [key for keys, _ in found for key in keys]
        assert admitted == walked
        assert self.answers() == (self.walk.told, set(self.walk.granted))
        assert self.queues.waiting() == {queue: len(line) for queue in QUEUES if (line := self.walk.line(queue))}

    def admit(self, queue):
        limit = self.walk.limits[queue]
        answer = self.queues.admit(queue, QueuePolicy(limit), NOW)
        for key, refusal in answer.refused.items():
            assert self.queues.entry(key).answer == refusal
        return answer.admitted

    def answers(self):
        told, granted = {}, set()
        for key in [*self.walk.waiting, *self.walk.granted]:
            answer = self.queues.entry(key).answer
            if isinstance(answer, Granted):
                granted.add(key)
            else:
                told[key] = SLOT if answer.reason == SLOT else answer.message.partition(" is in use by ")[2]
        return told, granted

    def check(self, before, granted):
        """What must hold of the answers to a look, whatever the reference says."""
        walk = self.walk
        for queue in QUEUES:
            assert walk.taken(queue) <= max(walk.limits[queue], before[queue]), "more slots than the queue has"
            if walk.taken(queue) < walk.limits[queue]:
                assert all(walk.in_use(one) for one in walk.line(queue)), "a slot is free, and a job could have it"
        users = defaultdict(set)
        for key, (_, one) in walk.granted.items():
            assert key in granted or not walk.in_use(one), "a job was let into a session in use"
            users[one.lock].add(one.uid)
        assert all(len(uids) == 1 for uids in users.values())


NAMES = tuple("abcde")
STEP = st.tuples(
    st.sampled_from(
        ("ask", "ask", "ask", "leave", "claim", "claim", "end", "edit", "move", "anew", "pod", "left", "gone", "limit")
    ),
    st.sampled_from(NAMES),
    st.sampled_from(QUEUES),
    st.integers(0, 3),
    st.sampled_from(("s", "s", "t", None)),
    st.booleans(),
)


def act(both, kind, name, queue, number, session):
    walk, key = both.walk, ("default", name)
    entry, known = walk.waiting.get(key) or walk.granted.get(key) or (None, None)
    if kind == "ask" and known is None:
        both.ask(queue, candidate(name, priority=number % 2, age=number, session=session))
    elif kind == "leave":
        both.leave(key)
    elif kind == "claim" and key in walk.granted:
        both.hold(("claim", name), Holding(known.uid, known.lock, entry, known.uid))
        both.leave(key)
    elif kind == "end":
        both.hold(("claim", name), None)
    elif kind == "edit" and known is not None:
        both.ask(entry, candidate(name, priority=number, session=known.lock[2]))
    elif kind == "move" and known is not None:
        both.ask(queue, known)
    elif kind == "anew" and known is not None:
        both.ask(queue, candidate(name, uid=f"{name}-{number}", session=session))
    elif kind in ("pod", "left"):
        # It may be of the job that waits under that name, of another operator's claim, or of a job that is gone.
        lock = known.lock if known is not None and number else candidate(name, session=session).lock
        slot, uid, told = queue if kind == "left" else None, f"pod-{name}-{number}", "a pod" if number > 1 else ""
        both.hold(("pod", name, number), Holding(name, lock, slot, uid, told))
    elif kind == "gone":
        both.hold(("pod", name, number), None)
    elif kind == "limit":
        both.limit(queue, number)


@given(steps=st.lists(STEP, min_size=20, max_size=60))
def test_it_answers_as_a_sort_and_a_walk_would(steps):
    both = Both()
    for *step, looks in steps:
        act(both, *step)
        if looks:
            before, granted = {queue: both.walk.taken(queue) for queue in QUEUES}, set(both.walk.granted)
            both.look()
            both.check(before, granted)
    for name in NAMES:
        both.leave(("default", name))
    for source in list(both.walk.holdings):
        both.hold(source, None)
    both.look()

    assert not both.queues
    assert not both.queues._lines
    assert not both.queues._users


def crowd(waiting, *, slots=10, session=None):
    """A full queue, in which so many have been told that they wait."""
    queues = Queues()
    for number in range(slots):
        queues.hold(number, Holding(f"runs-{number}", ("", "", f"runs-{number}"), "agents", f"runs-{number}"))
    for number in range(waiting):
        queues.ask("agents", candidate(f"job-{number:06}", age=number * 7919 % waiting, session=session))
    queues.admit("agents", QueuePolicy(slots), NOW)
    return queues


@pytest.fixture
def work_of(counted):
    def work(waiting, act, **kinds):
        queues = crowd(waiting, **kinds)
        act(queues)  # what is told once is told now
        with counted() as work:
            act(queues)
        return work.lines

    return work


def look(queues, slots=10):
    return queues.admit("agents", QueuePolicy(slots), NOW)


def claim_and_end(queues):
    """Ten jobs in a row: a slot is free, the next is admitted, claims and ends."""
    queues.hold(0, None)
    for _ in range(10):
        (key,) = look(queues).admitted
        one = queues.entry(key).candidate
        queues.hold(key, Holding(one.uid, one.lock, "agents", one.uid))
        queues.leave(key)
        queues.hold(key, None)


def test_a_look_at_a_full_queue_costs_the_same_however_many_wait(work_of):
    assert work_of(10_000, look) == work_of(10, look) < 50


def test_those_who_wait_behind_a_full_queue_are_told_once():
    queues = crowd(1000)
    queues.hold(0, None)
    first = look(queues)
    queues.hold(1, None)

    assert (len(first.admitted), first.refused) == (1, {})
    assert look(queues).refused == {}


@pytest.mark.parametrize("session", [None, "shared"], ids=["sessions of their own", "one session"])
def test_a_start_costs_little_more_with_a_hundred_times_as_many_waiting(work_of, session):
    few, many = (work_of(waiting, claim_and_end, session=session) for waiting in (100, 10_000))

    assert many < 3 * few


def test_a_session_that_is_free_again_is_worth_a_look_at_its_first_job_alone():
    queues = Queues()
    queues.hold("other", Holding("other", candidate("", session="shared").lock))
    for number in range(1000):
        queues.ask("agents", candidate(f"job-{number}", age=number, session="shared"))
    told = look(queues)
    queues.hold("other", None)
    woken = set(queues.woken)

    assert {refusal.reason for refusal in told.refused.values()} == {LOCK}
    assert woken == {"agents"}
    assert look(queues).changed == (("default", "job-999"),)


def test_a_job_whose_session_became_free_while_no_slot_is_says_so():
    queues = Queues()
    queues.hold("other", Holding("other", candidate("", session="shared").lock, "agents", "other"))
    queues.ask("agents", candidate("one", session="shared"))
    before = look(queues, slots=2).refused
    queues.hold("third", Holding("third", None, "agents", "third"))
    queues.hold("other", Holding("other", None, "agents", "other"))
    after = look(queues, slots=2).refused

    assert [refusal.reason for refusal in before.values()] == [LOCK]
    assert [refusal.reason for refusal in after.values()] == [SLOT]


def test_those_who_wait_for_a_session_hear_of_the_pod_that_keeps_it():
    queues, lock = Queues(), candidate("", session="shared").lock
    queues.hold("claim", Holding("other", lock))
    for name in ("one", "two"):
        queues.ask("agents", candidate(name, session="shared"))
    look(queues)
    queues.hold("pod", Holding("other", lock, told="pod other-1, which has not ended"))
    queues.hold("claim", None)
    woken = set(queues.woken)

    assert woken == {"agents"}
    assert {refusal.message for refusal in look(queues).refused.values()} == {
        "session shared is in use by pod other-1, which has not ended"
    }
    assert look(queues).refused == {}


def test_what_is_no_longer_in_line_does_not_pile_up():
    queues = crowd(1)
    for _ in range(1000):
        queues.ask("agents", candidate("back-and-forth", session="shared"))
        queues.leave(("default", "back-and-forth"))
        look(queues)
    line = queues._lines["agents"]

    assert len(line._shown._items) < 200
    assert len(line._groups) == 1


def test_time_alone_changes_no_answer():
    assert look(crowd(3)).again is None
