"""The order of a queue, against a reference that looks through everything each time.

The reference knows nothing of heaps, groups or what changed: it counts, sorts and walks by the rules as they are
written for users. `make properties` tries more than the usual histories.
"""

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from agentjobs.core.queues.admission import (
    Backlog,
    Candidate,
    ExceededBudget,
    Granted,
    Holding,
    QueuePolicy,
    Queues,
    Rate,
    Refusal,
    Rejection,
    Stop,
    Strategy,
)

NOW = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
QUEUES = ("agents", "scheduled")
NAMES = tuple("abcdef")
PARTITIONS = ("", "red", "blue")
TURNS = ("WaitingForSlot", "WaitingForRate")
LOCK, HELD, BUDGET = "WaitingForLock", "QueueHeld", "BudgetHeld"


def candidate(
    name, *, at=NOW, uid=None, priority=2, age=0, waited=None, session=None, partition="", is_new=False, worktree=""
):
    lock = ("app", "user", session or name)
    since, created = None if waited is None else at - waited * SECOND, at - age * SECOND
    return Candidate(("default", name), uid or name, priority, created, lock, partition, since, is_new, worktree)


def claim_of(one, queue):
    """What the claim of a job's start holds."""
    return Holding(one.uid, one.lock, queue, one.uid, "", one.partition, one.worktree)


class Place:
    """What is remembered of one queue next to its jobs."""

    def __init__(self):
        self.last = {}
        self.starts = []  # time, partition, job
        self.pauses = {}  # by partition, None for the queue: until, whether it is of a rate


class Walk:
    """The reference."""

    def __init__(self):
        self.now = NOW
        self.policies = dict.fromkeys(QUEUES, QueuePolicy(1))
        self.places = defaultdict(Place)
        self.waiting = {}  # name: queue, candidate
        self.told = {}  # name: reason, who uses the session
        self.before = {}  # what those were told who were granted a slot
        self.granted = {}  # name: queue, candidate, when
        self.rejected = {}
        self.holdings = {}

    def held(self):
        for queue, one, _ in self.granted.values():
            yield claim_of(one, queue)
        yield from self.holdings.values()

    def holders(self, queue, partition=None):
        return {
            one.holder
            for one in self.held()
            if one.queue == queue and (partition is None or one.partition == partition)
        }

    def others(self, one):
        return [held for held in self.held() if {*held.locks} & {*one.locks} and held.uid != one.uid]

    def level(self, queue, one):
        aging = self.policies[queue].aging
        steps = (self.now - (one.since or one.created)) // aging if aging else 0
        return max(0, one.priority - max(0, steps))

    def line(self, queue):
        found = [one for entry, one in self.waiting.values() if entry == queue]
        return sorted(found, key=lambda one: (self.level(queue, one), one.created, one.key))

    def budget(self, queue, partition):
        found = [one for one in self.policies[queue].exceeded if one.partition == partition and one.until > self.now]
        return max(found, key=lambda one: (one.fails, one.until, one.name), default=None)

    def starts_left(self, queue, partition):
        rate, starts = self.policies[queue].rate, self.places[queue].starts
        if rate is None:
            return 1
        mine = [at for at, whose, _ in starts if not rate.by_partition or whose == partition]
        return rate.starts - sum(at > self.now - rate.period for at in mine)

    def paused(self, queue, partition):
        until, of_rate = self.places[queue].pauses.get(partition, (self.now, False))
        return ("WaitingForRate" if of_rate else "WaitingForSlot") if until > self.now else None

    def turn(self, queue, partition):
        """What keeps the jobs of a partition, apart from a stop, budgets and sessions."""
        policy = self.policies[queue]
        by_partition = policy.rate is not None and policy.rate.by_partition
        if len(self.holders(queue)) >= policy.limit:
            return "WaitingForSlot"
        if pause := self.paused(queue, None):
            return pause
        if not by_partition and self.starts_left(queue, partition) < 1:
            return "WaitingForRate"
        if policy.per_partition is not None and len(self.holders(queue, partition)) >= policy.per_partition:
            return "WaitingForSlot"
        if pause := self.paused(queue, partition):
            return pause
        return "WaitingForRate" if by_partition and self.starts_left(queue, partition) < 1 else None

    def stop(self, queue, partition):
        if self.policies[queue].stopped:
            return HELD, None
        for scope in (None, partition):
            if budget := self.budget(queue, scope):
                return "BudgetExceeded" if budget.fails else BUDGET, budget.name
        return None

    def next(self, queue):
        found = [
            one
            for one in self.line(queue)
            if not self.others(one) and not self.stop(queue, one.partition) and not self.turn(queue, one.partition)
        ]
        last = self.places[queue].last
        never = NOW - timedelta(days=999)

        def order(one):
            share = len(self.holders(queue, one.partition)), last.get(one.partition, never)
            fair = self.policies[queue].strategy is Strategy.FAIR
            return self.level(queue, one), share if fair else (), one.created, one.key

        return min(found, key=order, default=None)

    def answer(self, queue, one, firsts):
        stop, turn, known = self.stop(queue, one.partition), self.turn(queue, one.partition), self.told.get(one.key)
        if stop:
            return stop
        if others := self.others(one):
            if turn is None or (known and known[0] == LOCK):
                return LOCK, next((held.description for held in others if held.description), "another job")
        elif known == (LOCK, "another job") and one.key not in firsts:
            return known  # a job that is not the first of a free session continues saying that another job has it
        return known if known and known[0] in TURNS else (turn or "WaitingForSlot", None)

    def firsts(self, queue):
        found = {}
        for one in self.line(queue):
            if not self.others(one):
                found.setdefault((one.group, one.partition), one.key)
        for one in self.line(queue):
            if any(one.group in held.locks for held in self.held()) and not self.others(one):
                found[one.group, one.partition] = one.key  # it holds the lock itself
        return set(found.values())

    def may_say(self, key, told):
        """Whether a job that needs two locks may be told this. Of a free worktree only the first is looked at."""
        queue, one = self.waiting[key]
        if told == self.told[key]:
            return True
        if self.stop(queue, one.partition):
            return False
        firsts, others = self.firsts(queue), self.others(one)
        if told[0] == LOCK:
            return key not in firsts and told[1] in ("another job", *(held.description for held in others))
        ahead = [
            other.key for other in self.line(queue) if (other.group, other.partition) == (one.group, one.partition)
        ]
        is_behind = not firsts.isdisjoint(ahead[: ahead.index(key)])
        return told[0] in TURNS and is_behind and not any(one.worktree in held.locks for held in others)

    def look(self, queue):
        admitted, before = [], dict(self.told)
        while (one := self.next(queue)) is not None:
            self.before[one.key] = self.told.get(one.key)
            place = self.places[queue]
            self.leave(one.key)
            self.granted[one.key], self.places[queue] = (queue, one, self.now), place
            self.places[queue].last[one.partition] = self.now
            if self.policies[queue].rate:
                self.places[queue].starts.append((self.now, one.partition, one.key))
            admitted.append(one.key)
        firsts = self.firsts(queue)
        for one in self.line(queue):
            self.told[one.key] = self.answer(queue, one, firsts)
        self.reject(queue, [one for one in self.line(queue) if self.told[one.key][0] == "BudgetExceeded"])
        self.reject(queue, self.too_many(queue, before))
        return admitted, bool(admitted) or self.told != before

    def too_many(self, queue, before):
        backlog, line = self.policies[queue].backlog, self.line(queue)
        if not backlog or not backlog.rejects or len(line) <= backlog.limit:
            return []
        come = [one for one in line if one.is_new and one.key not in before]
        return come[-(len(line) - backlog.limit) :]

    def reject(self, queue, found):
        for one in found:
            reason = self.told[one.key][0]
            self.leave(one.key)
            self.rejected[one.key] = queue, reason if reason == "BudgetExceeded" else "QueueFull"

    def leave(self, key):
        held = {queue: (self.holders(queue), self.by_partition(queue)) for queue in QUEUES}
        granted = self.granted.pop(key, None)
        for known in (self.waiting, self.told, self.rejected):
            known.pop(key, None)
        if granted is not None:
            queue, one, at = granted
            start = at, one.partition, one.key
            if one.uid not in self.holders(queue) and start in self.places[queue].starts:
                self.places[queue].starts.remove(start)
        self.gave_back(held)

    def by_partition(self, queue):
        return {partition: self.holders(queue, partition) for partition in PARTITIONS}

    def gave_back(self, before):
        """A slot that became free ends what PostgreSQL said of slots; a queue in which nothing is left is forgotten."""
        for queue, (holders, shares) in before.items():
            pauses = self.places[queue].pauses
            freed = [None] if holders - self.holders(queue) else []
            freed += [key for key, known in shares.items() if known - self.holders(queue, key)]
            for key in freed:
                if key in pauses and not pauses[key][1]:
                    del pauses[key]
            if not self.line(queue) and not self.holders(queue) and not self.policies[queue].rate:
                self.places.pop(queue, None)

    def hold(self, source, holding):
        held = {queue: (self.holders(queue), self.by_partition(queue)) for queue in QUEUES}
        self.holdings[source] = holding
        if holding is None:
            del self.holdings[source]
        self.gave_back(held)

    def refuse(self, key, reason, until):
        queue, one, _ = self.granted[key]
        rate = self.policies[queue].rate
        of_partition = reason == "Partition" or (reason == "Rate" and rate and rate.by_partition)
        place = self.places[queue]
        self.leave(key)
        self.waiting[key], self.places[queue] = (queue, one), place  # a queue in which a job waits is not forgotten
        before = self.before.get(key)
        now = "WaitingForRate" if reason == "Rate" else "WaitingForSlot", None
        self.told[key] = before if before and before[0] in TURNS else now
        self.places[queue].pauses[one.partition if of_partition else None] = until, reason == "Rate"

    def allow(self, queue, policy):
        if policy == self.policies[queue]:
            return
        before, self.policies[queue] = self.policies[queue], policy
        place = self.places[queue]
        place.pauses.clear()
        if (before.rate and before.rate.by_partition) != (policy.rate and policy.rate.by_partition):
            place.starts.clear()


class Both:
    """The structure and the reference, told the same."""

    def __init__(self):
        self.queues, self.walk, self.again = Queues(), Walk(), {}

    def enqueue(self, queue, one):
        self.queues.enqueue(queue, one)
        self.walk.leave(one.key)
        self.walk.waiting[one.key] = queue, one

    def leave(self, key):
        self.queues.leave(key)
        self.walk.leave(key)

    def hold(self, source, holding):
        self.queues.hold(source, holding)
        if holding is not None or source in self.walk.holdings:
            self.walk.hold(source, holding)

    def allow(self, queue, policy):
        self.look()
        self.walk.allow(queue, policy)
        self.queues.woken.add(queue)  # who changes a policy wakes its queue
        self.look()

    def look(self):
        """Look until nothing changes; the structure only where it asks for it."""
        admitted, walked = [], []
        self.queues.woken |= {queue for queue, at in self.again.items() if at <= self.walk.now}
        while self.queues.woken:
            for queue in sorted(self.queues.woken):
                admitted += self.admit(queue)
        while (found := [self.walk.look(queue) for queue in QUEUES]) and any(changed for _, changed in found):
            walked += [key for keys, _ in found for key in keys]
        assert admitted == walked, (admitted, walked)
        for key, told in self.answers()[0].items():
            if self.walk.waiting[key][1].worktree:
                assert self.walk.may_say(key, told), (key, told, self.walk.told[key])
                self.walk.told[key] = told
        theirs = self.walk.told, set(self.walk.granted), self.walk.rejected
        assert self.answers() == theirs, (self.answers(), theirs)
        assert self.queues.waiting() == {queue: len(line) for queue in QUEUES if (line := self.walk.line(queue))}

    def admit(self, queue):
        answer = self.queues.admit(queue, self.walk.policies[queue], self.walk.now)
        self.again.pop(queue, None)
        if answer.again is not None:
            self.again[queue] = answer.again
        for key, told in {**answer.refused, **answer.rejected}.items():
            assert self.queues.entry(key).answer == told
        return answer.admitted

    def answers(self):
        told, granted, rejected = {}, set(), {}
        for key in [*self.walk.waiting, *self.walk.granted, *self.walk.rejected]:
            entry = self.queues.entry(key)
            answer = entry.answer
            if isinstance(answer, Granted):
                granted.add(key)
            elif isinstance(answer, Rejection):
                rejected[key] = entry.queue, answer.reason
            elif isinstance(answer, Refusal):
                told[key] = answer.reason, _about(answer)
        return told, granted, rejected


def _about(answer):
    if answer.reason == LOCK:
        return answer.message.partition(" is in use by ")[2]
    return answer.message.split()[1] if answer.reason == BUDGET else None


def check(walk, before, granted):
    """What must hold of the answers to a look, whatever the reference says."""
    for queue, policy in walk.policies.items():
        held = walk.holders(queue)
        assert len(held) <= max(policy.limit, before[queue]), "more slots than the queue has"
        assert walk.next(queue) is None, "a slot is free, and a job could have it"
        new = [walk.granted[key] for key in walk.granted.keys() - granted if walk.granted[key][0] == queue]
        for partition, count in Counter(one.partition for _, one, _ in new).items():
            assert policy.per_partition is None or len(walk.holders(queue, partition)) <= policy.per_partition
            assert count == 0 or not policy.stopped
    users = defaultdict(set)
    for key, (_, one, _) in walk.granted.items():
        assert key in granted or not walk.others(one), "a job was let into a session or a worktree in use"
        for lock in one.locks:
            users[lock].add(one.uid)
    assert all(len(uids) == 1 for uids in users.values())


def within(rate, times):
    """Whether no period of that length has more starts, wherever it begins."""
    return all(sum(begin <= at < begin + rate.period for at in times) <= rate.starts for begin in times)


POLICY = st.builds(
    QueuePolicy,
    limit=st.integers(0, 4),
    per_partition=st.sampled_from((None, None, 1, 2)),
    strategy=st.sampled_from(Strategy),
    aging=st.sampled_from((None, 2 * SECOND, 3 * SECOND)),
    rate=st.none() | st.builds(Rate, st.integers(1, 2), st.sampled_from((3 * SECOND, 5 * SECOND)), st.booleans()),
    stopped=st.sampled_from((None, None, None, *Stop)),
    backlog=st.none() | st.builds(Backlog, st.integers(1, 2), st.booleans()),
)
BUDGETS = st.lists(
    st.tuples(st.sampled_from((None, *PARTITIONS)), st.integers(1, 6), st.sampled_from((False, False, True))),
    max_size=2,
)
STEP = st.tuples(
    st.sampled_from(
        [
            *("ask",) * 4, "leave", "claim", "claim", "end", "edit", "move", "anew", "pod", "left", "gone", "policy",
            "policy", "time", "time", "refused",
        ]
    ),
    st.sampled_from(NAMES),
    st.sampled_from(QUEUES),
    st.integers(0, 3),
    st.sampled_from(("s", "s", "t", None, None)),
    st.sampled_from(PARTITIONS),
    st.sampled_from(("", "", "", "w", "w", "v")),
    POLICY,
    BUDGETS,
    st.booleans(),
)  # fmt: skip


def act(both, kind, name, queue, number, session, partition, worktree, policy, budgets):
    walk, key = both.walk, ("default", name)
    entry, known, *_ = walk.waiting.get(key) or walk.granted.get(key) or (None, None)
    if kind == "leave":
        both.leave(key)
    elif kind in ("ask", "anew", "edit", "move"):
        request(both, kind, entry, known, (name, queue, number, session, partition, worktree))
    elif kind in ("claim", "end", "refused"):
        start(both, kind, key, number)
    elif kind in ("pod", "left", "gone"):
        pod(both, kind, known, (name, queue, number, session, partition, worktree))
    elif kind == "policy":
        both.allow(queue, replace(policy, exceeded=exceeded(walk.now, budgets)))
    else:
        walk.now += number * SECOND / 2


def request(both, kind, entry, known, about):
    name, queue, number, session, partition, worktree = about
    more = {"at": both.walk.now, "session": session, "partition": partition, "worktree": worktree}
    if kind == "ask" and known is None:
        one = candidate(name, priority=3 * number, age=number % 2, waited=number % 3, is_new=number > 1, **more)
        both.enqueue(queue, one)
    elif kind == "anew" and known is not None:
        both.enqueue(queue, candidate(name, uid=f"{name}-{number}", **more))
    elif kind == "edit" and known is not None:
        both.enqueue(entry, replace(known, priority=3 * number))
    elif kind == "move" and known is not None:
        both.enqueue(queue, known)


def start(both, kind, key, number):
    source = "claim", key
    if kind == "end":
        both.hold(source, None)
    elif key in both.walk.granted:
        queue, one, _ = both.walk.granted[key]
        if kind == "claim":
            both.hold(source, claim_of(one, queue))
            both.leave(key)
        else:
            reason, until = ("Slot", "Partition", "Rate")[number % 3], both.walk.now + (number + 1) * SECOND
            assert both.queues.room_refused(key, reason, until) is not None
            both.walk.refuse(key, reason, until)


def pod(both, kind, known, about):
    """It may be of the job that waits under that name, of another operator's claim, or of a job that is gone."""
    name, queue, number, session, partition, worktree = about
    worktree = known.worktree if known is not None and number else worktree
    lock = known.lock if known is not None and number else candidate(name, session=session).lock
    slot, uid, told = queue if kind == "left" else None, f"pod-{name}-{number}", "a pod" if number > 1 else ""
    share = partition if slot and number % 2 else None
    holding = Holding(name, lock, slot, uid, told, share, worktree)
    both.hold(("pod", name, number), None if kind == "gone" else holding)


def exceeded(now, budgets):
    found = enumerate(budgets)
    return tuple(
        ExceededBudget(f"b{number}", now + left * SECOND, whose, fails) for number, (whose, left, fails) in found
    )


@given(policy=POLICY, steps=st.lists(STEP, min_size=20, max_size=60))
def test_the_order_equals_that_of_a_sort_and_a_scan(policy, steps):
    both = Both()
    both.allow("agents", policy)
    for *step, looks in steps:
        act(both, *step)
        if looks:
            before, granted = {queue: len(both.walk.holders(queue)) for queue in QUEUES}, set(both.walk.granted)
            both.look()
            check(both.walk, before, granted)
    for name in NAMES:
        both.leave(("default", name))
    for source in list(both.walk.holdings):
        both.hold(source, None)
    for queue in QUEUES:
        both.allow(queue, QueuePolicy(1))

    assert not both.queues
    assert not both.queues._lines
    assert not both.queues._users
