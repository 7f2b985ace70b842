"""The content of the pages of queues."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dashboardobjects import NOON, a_job, a_queue, condition

from agentjobs.api.recorded_overview import OpenCounts, OpenJobs
from agentjobs.core.queues.admission import Candidate, QueuePolicy, Queues, Strategy
from agentjobs.dashboard.views.queues import queue_view, waiting_jobs, with_counts

MINUTE = timedelta(minutes=1)

LIMITED = [condition("Open", "True", "Open"), condition("Limited", "True", "RateLimit", "5 starts in 1m")]


@pytest.mark.parametrize(
    ("queue", "word", "reason"),
    [
        pytest.param(a_queue(), "Open", "", id="open"),
        pytest.param(a_queue(spec=False), "Open", "", id="without-object"),
        pytest.param(a_queue(spec={"stopPolicy": "Hold"}), "Held", "", id="held-before-the-operator-saw-it"),
        pytest.param(a_queue(spec={"stopPolicy": "HoldAndDrain"}, phases={"Running": 2}), "Draining", "", id="drains"),
        pytest.param(a_queue(spec={"stopPolicy": "HoldAndDrain"}), "Drained", "", id="drained"),
        pytest.param(a_queue(phases={"Running": 10}), "Full", "", id="full"),
        pytest.param(
            a_queue(phases={"Running": 10}, conditions=LIMITED), "Limited", "RateLimit", id="full-and-limited"
        ),
        pytest.param(a_queue(conditions=LIMITED), "Limited", "RateLimit", id="limited"),
        pytest.param(a_queue(conditions=[condition("Open", "False", "NoSlots")]), "No slots", "NoSlots", id="no-slots"),
        pytest.param(
            a_queue(conditions=[condition("Open", "False", "BudgetExceeded")]),
            "Budget used up",
            "BudgetExceeded",
            id="budget",
        ),
        pytest.param(
            a_queue(conditions=[condition("Open", "False", "InvalidSpec")]), "Invalid", "InvalidSpec", id="invalid"
        ),
        pytest.param(
            a_queue(conditions=[condition("Open", "False", "Held")]), "Resuming", "Held", id="resumed-just-now"
        ),
        pytest.param(
            a_queue(conditions=[condition("Open", "False", "OfANewerVersion")]),
            "Closed",
            "OfANewerVersion",
            id="unknown",
        ),
        pytest.param(a_queue(conditions=[]), "Not seen", "", id="no-operator"),
    ],
)
def test_the_state_is_a_word_with_its_reason(queue, word, reason):
    view = queue_view(queue)

    assert (view.state.word, view.state.reason) == (word, reason)
    assert view.state.text.endswith(".")


def test_slots_are_shown_as_a_share_of_the_limit():
    view = queue_view(a_queue(spec={"concurrency": {"max": 4}}, phases={"Running": 3}))

    assert (view.slots.percent, view.slots.text, view.most) == (75, "3 of 4", 4)


def test_the_limit_of_a_queue_without_an_object_is_not_guessed():
    view = queue_view(a_queue(spec=False, phases={"Running": 3}))

    assert (view.most, view.slots.text, view.limits) == (None, "3 in use", [])


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"concurrency": {"max": 1, "perPartition": 1}}, ["At most 1 job ", "of one partition"]),
        (
            {"rateLimit": {"starts": 100, "period": "1h", "scope": "Partition"}},
            ["100 starts in any 1h", "each partition"],
        ),
        ({"backlog": {"max": 50, "onFull": "Reject"}}, ["50 waiting jobs", "refused"]),
        ({"strategy": "Priority", "priorityAging": "10m"}, ["the oldest is first", "every 10m"]),
        ({"defaults": {"priority": 3, "timeouts": {"queue": "1h"}}}, ["priority 3", "after 1h of waiting"]),
        ({"kueue": {"localQueue": "gpus"}}, ["LocalQueue gpus"]),
    ],
    ids=["slots", "rate", "backlog", "order", "defaults", "kueue"],
)
def test_limits_are_described_in_words(spec, words):
    told = " ".join(queue_view(a_queue(spec=spec)).limits)

    assert [one for one in words if one not in told] == []


def test_a_budget_has_its_spending_and_the_effect_of_reaching_it():
    spec = {
        "budgets": [{"name": "day", "period": "Daily", "maxCostUSD": "20", "onExceeded": "Fail", "action": "Suspend"}]
    }
    spend = [{"name": "day", "costUSD": "18.5", "tokens": 7, "resets": "2026-11-26T00:00:00Z"}]

    (budget,) = queue_view(a_queue(spec=spec, spend=spend)).budgets

    (used,) = budget.used
    assert (used.percent, used.text, used.tone) == (92, "$18.50 of $20.00", "warn")
    assert budget.words == "Per day in UTC"
    assert ("jobs fail" in budget.then, "suspended" in budget.then) == (True, True)
    assert budget.resets == NOON + timedelta(hours=12)


def test_model_limits_have_their_remaining_capacity():
    spec = {"modelLimits": [{"models": ["gemini-*", "gpt-*"], "requestsPerMinute": 60, "maxConcurrentCalls": 2}]}
    left = [{"models": "gemini-*,gpt-*", "limit": "requestsPerMinute", "max": 60, "left": 0}]

    calls, at_once = queue_view(a_queue(spec=spec, limits=left)).models

    assert (calls.words, calls.left.text, calls.left.tone) == ("60 calls a minute", "0 of 60 left", "bad")
    assert (at_once.words.split()[:2], at_once.left) == (["2", "calls"], None)


def test_an_unreadable_spec_is_shown_as_invalid():
    wrong = [condition("Open", "False", "InvalidSpec", "spec.strategy: no")]

    view = queue_view(a_queue(spec={"strategy": "no"}, conditions=wrong))

    assert (view.illegal, view.limits, view.budgets) == ("spec.strategy: no", [], [])


def test_without_a_status_the_oldest_job_comes_from_counts():
    waits = OpenJobs(namespace="shop", queue="agents", phase="Queued", reason="x", jobs=1, since=NOON)
    others = waits.model_copy(update={"queue": "other", "since": NOON - timedelta(days=1)})

    view = queue_view(a_queue(spec=False), OpenCounts(items=[others, waits]))

    assert view.oldest == NOON


def open_jobs(queue, jobs, *, namespace="shop", phase="Queued"):
    return OpenJobs(namespace=namespace, queue=queue, phase=phase, reason="", jobs=jobs, since=NOON)


def test_queues_without_an_object_are_listed_with_jobs_and_others_keep_their_counts():
    counts = OpenCounts(items=[open_jobs("agents", 9), open_jobs("slow", 3), open_jobs("slow", 1, phase="Running")])

    found = {
        (one.namespace, one.name): one.phases
        for one in with_counts([a_queue("agents", phases={"Running": 2})], counts, complete=["shop", "docs"])
    }

    assert found == {
        ("shop", "agents"): {"Running": 2},
        ("shop", "scheduled"): {},
        ("shop", "slow"): {"Queued": 3, "Running": 1},
        ("docs", "agents"): {},
        ("docs", "scheduled"): {},
    }


def test_counts_of_a_queue_without_a_status_come_from_history():
    counts = OpenCounts(items=[open_jobs("new", 4), open_jobs("slow", 1)])

    found = with_counts([a_queue("new", observedGeneration=0)], counts, complete=[])

    assert [(one.name, one.phases) for one in found] == [("new", {"Queued": 4})]


def test_truncated_counts_are_not_used():
    found = with_counts([], OpenCounts(items=[open_jobs("slow", 3)], more=True), complete=["shop"])

    assert [one.name for one in found] == ["agents", "scheduled"]


def admitted(jobs, policy):
    """The names of jobs in the order in which admission starts them when all slots are free."""
    queues = Queues()
    for job in jobs:
        lock = ("app", "user", job.name)
        queues.enqueue(
            "agents",
            Candidate(("shop", job.name), job.uid, job.priority, job.created, lock, job.partition_key, job.changed),
        )
    return [name for _, name in queues.admit("agents", policy, NOON).admitted]


def listed(queue, *jobs, others=(), more=False):
    return waiting_jobs(queue, jobs, others, more=more, now=NOON)


@st.composite
def queued(draw):
    """Jobs with priorities, ages and times of waiting that are often equal."""
    names = draw(st.permutations("abcdef"))
    ages = st.integers(0, 3)
    return [
        a_job(
            name,
            priority=draw(st.integers(0, 3)),
            created=NOON - 5 * draw(ages) * MINUTE,
            changed=NOON - 5 * draw(ages) * MINUTE,
        )
        for name in names
    ]


@given(queued(), st.sampled_from(["Priority", "Fair"]), st.sampled_from([None, 5, 10]))
def test_waiting_jobs_are_listed_in_the_order_in_which_admission_starts_them(jobs, strategy, aging):
    spec = {"strategy": strategy, **({"priorityAging": f"{aging}m"} if aging else {})}
    policy = QueuePolicy(10, strategy=Strategy(strategy), aging=aging * MINUTE if aging else None)

    found = listed(a_queue(spec=spec), *jobs)

    assert [job.name for job in found.items] == admitted(jobs, policy)
    assert found.order.startswith("In the order of starts")


def test_jobs_of_a_queue_without_an_object_are_in_the_order_of_starts():
    jobs = [a_job("later", priority=3), a_job("first", priority=1)]

    found = listed(a_queue(spec=False), *jobs)

    assert [job.name for job in found.items] == ["first", "later"] == admitted(jobs, QueuePolicy(10))


@pytest.mark.parametrize(
    ("strategy", "is_known"), [("Priority", True), ("Fair", False)], ids=["priority", "fair-partitions"]
)
def test_the_order_among_partitions_is_known_unless_the_queue_is_fair(strategy, is_known):
    jobs = [a_job("red", partition_key="red", priority=2), a_job("blue", partition_key="blue", priority=2)]

    found = listed(a_queue(spec={"strategy": strategy}), *jobs)

    assert found.order.startswith("In the order of starts") is is_known
    assert ("may differ" in found.order) is not is_known


@pytest.mark.parametrize(
    ("queue", "more", "why"),
    [
        (a_queue(), True, "More than 2 jobs wait"),
        (a_queue(spec={"concurrency": {"max": "many"}}), False, "The spec is invalid"),
        (a_queue(conditions=[condition("Open", "True", "InvalidSpec", "wrong")]), False, "The spec is invalid"),
    ],
    ids=["too-many", "unreadable", "refused-by-the-operator"],
)
def test_without_a_known_order_jobs_are_listed_by_age_and_it_says_why(queue, more, why):
    jobs = [a_job("old", priority=5), a_job("urgent", priority=0)]

    found = listed(queue, *jobs, more=more)

    assert [job.name for job in found.items] == ["old", "urgent"]
    assert why in found.order
    assert "In the order of starts" not in found.order


def test_jobs_that_do_not_wait_for_a_slot_are_last():
    found = listed(a_queue(), a_job("queued", priority=9), others=[a_job("retries", phase="Retrying", priority=0)])

    assert [job.name for job in found.items] == ["queued", "retries"]
    assert found.order.endswith("are last.")
