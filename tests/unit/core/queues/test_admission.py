"""The work of admission, and the messages for waiting jobs. Its order is in test_order.py."""

from datetime import UTC, datetime, timedelta

import pytest

from agentjobs.core.queues.admission import (
    Backlog,
    Candidate,
    ExceededBudget,
    Holding,
    QueuePolicy,
    Queues,
    Rate,
    Stop,
)

NOW = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SLOT, LOCK = "WaitingForSlot", "WaitingForLock"


def candidate(name, *, uid=None, priority=2, age=0, session=None, partition="", is_new=False):
    lock = ("app", "user", session or name)
    return Candidate(("default", name), uid or name, priority, NOW - age * SECOND, lock, partition, None, is_new)


def crowd(waiting, *, slots=10, session=None, partitions=1, **policy):
    """A full queue, in which so many have been told that they wait."""
    queues = Queues()
    for number in range(slots):
        queues.hold(number, Holding(f"runs-{number}", ("", "", f"runs-{number}"), "agents", f"runs-{number}"))
    for number in range(waiting):
        share = str(number % partitions)
        one = candidate(f"job-{number:06}", age=number * 7919 % waiting, session=session, partition=share, priority=9)
        queues.enqueue("agents", one)
    queues.admit("agents", QueuePolicy(slots, **policy), NOW)
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


def look(queues, slots=10, after=0, **policy):
    return queues.admit("agents", QueuePolicy(slots, **policy), NOW + after * SECOND)


def claim_and_end(queues):
    """Ten jobs in a row: a slot is free, the next is admitted, claims and ends."""
    queues.hold(0, None)
    for _ in range(10):
        (key,) = look(queues).admitted
        one = queues.entry(key).candidate
        queues.hold(key, Holding(one.uid, one.lock, "agents", one.uid))
        queues.leave(key)
        queues.hold(key, None)


def test_admission_for_a_full_queue_takes_constant_work(work_of):
    assert work_of(10_000, look) == work_of(10, look) < 100


def test_jobs_that_wait_for_a_full_queue_are_reported_once():
    queues = crowd(1000)
    queues.hold(0, None)
    first = look(queues)
    queues.hold(1, None)

    assert (len(first.admitted), first.refused) == (1, {})
    assert look(queues).refused == {}


@pytest.mark.parametrize("session", [None, "shared"], ids=["sessions of their own", "one session"])
def test_admission_takes_little_more_work_with_a_hundred_times_as_many_waiting_jobs(work_of, session):
    few, many = (work_of(waiting, claim_and_end, session=session) for waiting in (100, 10_000))

    assert many < 3 * few


def test_a_freed_session_leads_to_a_check_of_only_its_first_job():
    queues = Queues()
    queues.hold("other", Holding("other", candidate("", session="shared").lock))
    for number in range(1000):
        queues.enqueue("agents", candidate(f"job-{number}", age=number, session="shared"))
    told = look(queues)
    queues.hold("other", None)
    woken = set(queues.woken)

    assert {refusal.reason for refusal in told.refused.values()} == {LOCK}
    assert woken == {"agents"}
    assert look(queues).changed == (("default", "job-999"),)


def test_a_job_whose_session_was_freed_waits_for_a_slot():
    queues = Queues()
    queues.hold("other", Holding("other", candidate("", session="shared").lock, "agents", "other"))
    queues.enqueue("agents", candidate("one", session="shared"))
    before = look(queues, slots=2).refused
    queues.hold("third", Holding("third", None, "agents", "third"))
    queues.hold("other", Holding("other", None, "agents", "other"))
    after = look(queues, slots=2).refused

    assert [refusal.reason for refusal in before.values()] == [LOCK]
    assert [refusal.reason for refusal in after.values()] == [SLOT]


def test_jobs_that_wait_for_a_session_get_the_name_of_the_pod_that_holds_it():
    queues, lock = Queues(), candidate("", session="shared").lock
    queues.hold("claim", Holding("other", lock))
    for name in ("one", "two"):
        queues.enqueue("agents", candidate(name, session="shared"))
    look(queues)
    queues.hold("pod", Holding("other", lock, description="pod other-1, which has not ended"))
    queues.hold("claim", None)
    woken = set(queues.woken)

    assert woken == {"agents"}
    messages = [refusal.message for refusal in look(queues).refused.values()]
    assert ["pod other-1" in message for message in messages] == [True, True]
    assert look(queues).refused == {}


def test_removed_entries_do_not_accumulate():
    queues = crowd(1)
    for _ in range(1000):
        queues.enqueue("agents", candidate("back-and-forth", session="shared"))
        queues.leave(("default", "back-and-forth"))
        look(queues)
    line = queues._lines["agents"]

    assert len(line._partitions[""].offers._items) < 200
    assert len(line._order._items) < 200
    assert len(line._gains) == 0
    assert len(line._groups) == 1


def test_answers_do_not_change_over_time_without_a_rate_or_a_budget():
    assert look(crowd(3)).again is None


def reasons(answers):
    return [answer.reason for answer in answers.values()]


def lone(**kinds):
    queues = Queues()
    queues.enqueue("agents", candidate("one", **kinds))
    return queues


def claims(queues, partition, number=1):
    for taken in range(number):
        name = f"{partition}-{taken}"
        queues.hold(name, Holding(name, ("", "", name), "agents", name, "", partition))


@pytest.fixture
def fair_work(counted):
    """Lines of Python that ten starts take in a queue with so many partitions of ten waiting jobs each."""

    def work(partitions, **policy):
        queues = crowd(10 * partitions, partitions=partitions, **policy)
        for number in range(10):
            queues.hold(number, None)
        look(queues, **policy)
        for number in range(10, 20):
            queues.hold(number, Holding(str(number), None, "agents", str(number)))
        for entry in [one for one in queues._entries.values() if not hasattr(one.answer, "reason")]:
            queues.leave(entry.candidate.key)
        for number in range(10, 20):
            queues.hold(number, None)
        with counted() as work:
            assert len(look(queues, **policy).admitted) == 10
        return work.lines

    return work


@pytest.mark.parametrize("policy", [{}, {"per_partition": 1}, {"aging": timedelta(hours=1)}], ids=str)
def test_admission_takes_little_more_work_with_a_hundred_times_as_many_partitions(fair_work, policy):
    assert fair_work(1000, **policy) < 2 * fair_work(10, **policy)


def test_a_job_gains_at_most_nine_levels_by_waiting(counted):
    queues = crowd(100, aging=SECOND)
    lines = []
    for after in range(12):
        with counted() as work:
            look(queues, after=after, aging=SECOND)
        lines.append(work.lines)

    assert max(lines[10:]) < 100


def test_conditions_for_a_held_queue_are_updated_at_two_hundred_a_second():
    queues = crowd(500)
    found = [look(queues, after=after, stopped=Stop.HOLD) for after in (0, 0.5, 1, 2, 3)]

    assert [len(answer.refused) for answer in found] == [200, 0, 200, 100, 0]
    assert [answer.again for answer in found[:3]] == [NOW + SECOND, NOW + SECOND, NOW + 2 * SECOND]
    assert set(reasons(found[0].refused)) == {"QueueHeld"}
    assert found[-1].again is None


def test_a_new_job_is_answered_immediately_while_others_are_updated():
    queues = crowd(500)
    look(queues, stopped=Stop.HOLD)
    queues.enqueue("agents", candidate("new"))

    assert list(look(queues, stopped=Stop.HOLD).refused) == [("default", "new")]


def test_a_change_between_slot_and_rate_updates_no_condition():
    queues, rate = lone(), Rate(1, 60 * SECOND)
    queues.enqueue("agents", candidate("two"))
    told = look(queues, slots=1, rate=rate)
    queues.hold("two", Holding("one", None, "agents", "one", "", ""))
    queues.leave(told.admitted[0])
    queues.hold("two", None)
    after = look(queues, slots=1, rate=rate)

    assert reasons(told.refused) == [SLOT]
    assert (after.refused, after.again) == ({}, NOW + 60 * SECOND)


@pytest.mark.parametrize(
    ("policy", "reason", "words"),
    [
        ({"slots": 1}, SLOT, ("1 slot", "queue agents")),
        ({"slots": 0}, SLOT, ("queue agents", "0")),
        ({"per_partition": 1}, SLOT, ("1 slot", "partition red")),
        ({"rate": Rate(1, 90 * SECOND)}, "WaitingForRate", ("1 starts in 1m30s", "queue agents", "09:01:30Z")),
        ({"rate": Rate(1, 90 * SECOND, True)}, "WaitingForRate", ("1 starts", "partition red", "09:01:30Z")),
        ({"stopped": Stop.HOLD_AND_DRAIN}, "QueueHeld", ("queue agents", "HoldAndDrain")),
        ({"exceeded": (ExceededBudget("day", NOW + SECOND),)}, "BudgetHeld", ("day", "queue agents", "09:00:01Z")),
        ({"exceeded": (ExceededBudget("day", NOW + SECOND, "red"),)}, "BudgetHeld", ("day", "partition red")),
    ],
    ids=["slot", "no-slots", "partition", "rate", "rate-of-partition", "stop", "budget", "budget-of-partition"],
)
def test_a_waiting_job_gets_the_limit_its_scope_and_its_end(policy, reason, words):
    queues = lone(partition="red", age=1)
    look(queues, **({"slots": 10} | {name: policy[name] for name in policy if name in ("rate", "slots")}))
    if policy.get("slots") or "per_partition" in policy:
        claims(queues, "red")
    queues.enqueue("agents", candidate("two", partition="red"))
    told = look(queues, **policy).refused["default", "two"]

    assert told.reason == reason
    assert all(word in told.message for word in words)


def test_a_failing_budget_ends_waiting_jobs_of_only_its_partition():
    queues = lone(partition="red")
    queues.enqueue("agents", candidate("two", partition="blue"))
    found = look(queues, exceeded=(ExceededBudget("day", NOW + SECOND, "red", fails=True),))

    assert reasons(found.rejected) == ["BudgetExceeded"]
    assert found.admitted == (("default", "two"),)
    assert queues.waiting() == {}


def test_a_job_gets_the_end_of_its_budgets_period_even_if_the_rate_delays_it_longer():
    queues, policy = lone(partition="red"), {"rate": Rate(1, 60 * SECOND, True)}
    look(queues, **policy)
    queues.enqueue("agents", candidate("two", partition="red"))
    policy["exceeded"] = (ExceededBudget("day", NOW + SECOND, "red"),)
    before = look(queues, **policy)
    after = look(queues, after=1, **policy)

    assert (reasons(before.refused), before.again) == (["BudgetHeld"], NOW + SECOND)
    assert (reasons(after.refused), after.again) == (["WaitingForRate"], NOW + 60 * SECOND)


def test_a_full_backlog_ends_the_last_new_jobs_and_no_accepted_one():
    queues = Queues()
    for number in range(5):
        queues.enqueue("agents", candidate(f"job-{number}", age=number, is_new=number != 0))
    found = look(queues, slots=1, backlog=Backlog(2, rejects=True))

    assert found.admitted == (("default", "job-4"),)
    assert {name: told.reason for (_, name), told in found.rejected.items()} == dict.fromkeys(
        ["job-1", "job-2"], "QueueFull"
    )
    assert sorted(name for _, name in found.refused) == ["job-0", "job-3"]


def test_a_backlog_with_waiting_jobs_ends_none():
    queues = crowd(5, backlog=Backlog(2))

    assert queues.waiting() == {"agents": 5}


def test_a_waiting_job_remains_when_the_backlog_limit_is_lowered():
    queues = lone(is_new=True)
    look(queues, slots=0)
    queues.enqueue("agents", candidate("two"))

    assert look(queues, slots=0, backlog=Backlog(1, rejects=True)).rejected == {}


def refused(reason, **policy):
    """A job was granted a slot, and PostgreSQL has no room for it until ten seconds from now."""
    queues = lone(partition="red")
    look(queues, **policy)
    told = queues.room_refused(("default", "one"), reason, NOW + 10 * SECOND)
    return queues, told


@pytest.mark.parametrize(("reason", "told"), [("Slot", SLOT), ("Partition", SLOT), ("Rate", "WaitingForRate")])
def test_a_job_without_a_slot_in_the_database_waits_and_tries_again(reason, told):
    queues, refusal = refused(reason)
    waits, later = look(queues, after=1), look(queues, after=10)

    assert refusal.reason == told
    assert (waits.admitted, waits.again) == ((), NOW + 10 * SECOND)
    assert later.admitted == (("default", "one"),)


def test_a_waiting_job_keeps_its_condition_when_the_database_has_no_slot():
    queues = lone()
    told = look(queues, slots=0).refused["default", "one"]
    look(queues)

    assert queues.room_refused(("default", "one"), "Rate", NOW + SECOND) == told
    assert look(queues).refused == {}


def test_a_freed_slot_ends_the_wait_for_the_database():
    queues, _ = refused("Slot")
    claims(queues, "blue")
    queues.hold("blue-0", None)

    assert look(queues).admitted == (("default", "one"),)


def test_a_full_partition_in_the_database_delays_no_other():
    queues, _ = refused("Partition")
    queues.enqueue("agents", candidate("two", partition="blue"))

    assert look(queues).admitted == (("default", "two"),)


def test_a_grant_without_a_start_does_not_count_against_the_rate():
    queues, rate = lone(), Rate(1, 60 * SECOND)
    granted = look(queues, rate=rate).admitted
    queues.leave(("default", "one"))
    queues.enqueue("agents", candidate("two"))

    assert granted
    assert look(queues, rate=rate).admitted == (("default", "two"),)


def test_a_rate_is_kept_even_if_its_queue_was_empty_meanwhile():
    queues, rate = lone(), Rate(1, 60 * SECOND)
    look(queues, rate=rate)
    queues.hold("claim", Holding("one", None, "agents", "one", "", ""))
    queues.leave(("default", "one"))
    queues.hold("claim", None)
    queues.enqueue("agents", candidate("two"))

    assert look(queues, rate=rate).again == NOW + 60 * SECOND
    assert look(queues, rate=rate, after=60).admitted


@pytest.mark.parametrize("wait", ["rate", "room", "told"])
def test_a_clock_that_is_set_back_does_not_delay_jobs(wait):
    queues, policy = lone(), {"rate": Rate(1, 60 * SECOND)} if wait == "rate" else {}
    look(queues, **policy)
    if wait == "room":
        queues.room_refused(("default", "one"), "Slot", NOW + SECOND)
    elif wait == "told":
        queues = crowd(500)
        look(queues, stopped=Stop.HOLD)
        assert len(look(queues, after=-3600, stopped=Stop.HOLD).refused) == 200
        return
    queues.enqueue("agents", candidate("two"))

    assert look(queues, after=-3600, **policy).admitted


def test_idle_partitions_take_little_memory():
    queues = crowd(1, slots=1)
    for number in range(5000):
        claims(queues, f"p{number}")
        queues.hold(f"p{number}-0", None)

    assert len(queues._lines["agents"]._partitions) < 1100


def test_nothing_is_kept_of_the_rate_of_a_deleted_queue():
    queues, rate = lone(), Rate(1, 60 * SECOND)
    look(queues, rate=rate)
    queues.leave(("default", "one"))
    queues.close("agents")

    assert not queues
