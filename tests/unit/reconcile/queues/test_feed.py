"""Budgets of queues hold jobs back by what was spent; limits of model calls reach the proxies and go with the queue."""

from datetime import timedelta
from decimal import Decimal

import pytest

from agentjobs.api.conditions import Phase
from agentjobs.api.queues.status import AgentQueueStatus
from agentjobs.contract import Verdict
from agentjobs.errors import Unavailable
from agentjobs.history.model_records import LimitsNow
from agentjobs.models.budget import Spend
from agentjobs.reconcile.queues.feed import QueueFeed

DAY = {"name": "day", "period": "Daily", "maxCostUSD": "10"}
LIMIT = {"models": ["gemini-*"], "requestsPerMinute": 60}


class Calls:
    """What history has of model calls by queue."""

    def __init__(self):
        self.limits = {}
        self.by_partition = {}
        self.asked = []
        self.written = []
        self.away = False
        self.used = 0

    async def model_limits(self):
        self._check()
        return dict(self.limits)

    async def set_model_limits(self, queue, limits):
        self._check()
        self.written.append(queue)
        self.limits[queue] = list(limits)
        if not limits:
            del self.limits[queue]

    async def spent(self, asked):
        self._check()
        self.asked.append(asked)
        return [dict(self.by_partition) for _ in asked]

    async def limits_now(self, limits):
        self._check()
        return LimitsNow({one.bucket: self.used for one in limits}, (), ())

    def _check(self):
        if self.away:
            raise Unavailable("away")


@pytest.fixture
def calls():
    return Calls()


def a_feed(world, calls, namespaces=()):
    return QueueFeed(calls, calls, world.reconciler.state, namespaces)


def spend(calls, dollars, partition=""):
    calls.by_partition[partition] = Spend(Decimal(dollars), 0)


async def ask(world, feed):
    await feed.read_spending()
    world.tell()
    await world.settle()


def reasons(world):
    return {name: world.status(name).reason for name in world.jobs()}


async def test_nothing_starts_and_nothing_is_reported_before_the_spending_is_known(world, calls):
    feed = a_feed(world, calls)
    world.apply_queue(budgets=[DAY])
    world.apply(queue="fast")
    await world.act()
    assert world.status().phase is None

    await ask(world, feed)

    assert world.status().phase is Phase.RUNNING


async def test_a_queue_without_budgets_causes_no_query(world, calls):
    world.apply_queue()
    await world.act()
    await a_feed(world, calls).read_spending()

    assert calls.asked == []


async def test_the_spending_of_all_queues_is_read_in_one_query(world, calls):
    for name in ("a", "b"):
        world.apply_queue(name, budgets=[DAY, {**DAY, "name": "month", "period": "Monthly"}])
    await world.act()
    await a_feed(world, calls).read_spending()

    (asked,) = calls.asked
    assert sorted({(one.queue, one.since.day) for one in asked}) == [("a", 1), ("a", 21), ("b", 1), ("b", 21)]


async def spent_day(world, calls, **budget):
    """A job runs in a queue whose budget is used up."""
    feed = a_feed(world, calls)
    world.apply_queue(budgets=[{**DAY, **budget}])
    world.apply("runs", queue="fast")
    await world.act()
    await ask(world, feed)
    world.run_pod(world.pods("runs")[0])
    spend(calls, "10")
    await ask(world, feed)
    world.apply("next", queue="fast")
    await world.act(seconds=1)
    return feed


async def test_jobs_wait_for_a_used_up_budget_until_it_is_raised(world, calls):
    feed = await spent_day(world, calls)
    assert (world.status("runs").phase, reasons(world)["next"]) == (Phase.RUNNING, "BudgetHeld")

    world.edit("fast", kind="AgentQueue", budgets=[{**DAY, "maxCostUSD": "11"}])
    world.tell()
    await world.settle()

    assert world.status("next").phase is Phase.RUNNING
    assert feed is not None


async def test_waiting_jobs_continue_in_the_next_period(world, calls):
    feed = await spent_day(world, calls)
    world.now += timedelta(hours=16)
    calls.by_partition.clear()
    await ask(world, feed)

    assert world.status("next").phase is Phase.RUNNING


async def test_running_jobs_are_suspended_if_the_budget_says_so_and_continue_by_themselves(world, calls):
    feed = await spent_day(world, calls, action="Suspend")
    world.end_pod(world.living_pods()[0], Verdict.SNOOZE, reason="Interrupted", code=75)
    await world.act(seconds=1)
    assert reasons(world)["runs"] == "QueueBudgetExceeded"

    world.now += timedelta(hours=16)
    calls.by_partition.clear()
    await ask(world, feed)

    assert world.status("runs").phase is Phase.RUNNING
    assert world.status("runs").attempts == 1


async def test_a_budget_per_partition_delays_only_its_partition(world, calls):
    feed = a_feed(world, calls)
    world.apply_queue(budgets=[{**DAY, "scope": "Partition"}])
    await world.act()
    spend(calls, "10", "ann")
    await ask(world, feed)
    for name in ("ann", "bob"):
        world.apply(name, queue="fast", partitionKey=name)
    await world.act(seconds=1)

    assert (reasons(world)["ann"], world.status("bob").phase) == ("BudgetHeld", Phase.RUNNING)


async def test_the_status_has_the_spending_and_the_end_of_the_period(world, calls):
    await spent_day(world, calls)
    await world.act(seconds=6)
    told = AgentQueueStatus.parse(world.objects["AgentQueue", "default", "fast"]["status"])

    assert [(one.name, one.cost_usd, f"{one.resets:%d %H:%M}") for one in told.spend] == [("day", "10", "22 00:00")]
    assert [one.reason for one in told.conditions] == ["BudgetExceeded", "BudgetExceeded"]


async def test_known_spending_is_kept_during_an_outage_of_the_database(world, calls):
    feed = await spent_day(world, calls)
    calls.away = True
    with pytest.raises(Unavailable):
        await feed.read_spending()
    await world.act(seconds=1)

    assert reasons(world)["next"] == "BudgetHeld"


async def test_limits_are_stored_when_they_change_and_removed_with_the_queue(world, calls):
    feed = a_feed(world, calls)
    world.apply_queue(modelLimits=[LIMIT])
    await world.act()
    await feed.publish()
    await feed.publish()
    assert (calls.limits, len(calls.written)) == ({("default", "fast"): [LIMIT]}, 1)

    world.remove("fast", kind="AgentQueue")
    world.tell()
    await feed.publish()

    assert calls.limits == {}


async def test_a_new_operator_removes_limits_of_queues_deleted_meanwhile_in_its_namespaces(world, calls):
    calls.limits = {("default", "gone"): [LIMIT], ("other", "kept"): [LIMIT], ("default", "fast"): [LIMIT]}
    world.apply_queue(modelLimits=[LIMIT])
    await world.act()
    await a_feed(world, calls, ("default",)).publish()

    assert sorted(calls.limits) == [("default", "fast"), ("other", "kept")]
    assert calls.written == [("default", "gone")]


async def test_limits_of_a_queue_whose_spec_became_invalid_are_kept(world, calls):
    calls.limits = {("default", "fast"): [LIMIT]}
    world.apply_queue(modelLimits=[{"models": ["m"]}])
    await world.act()
    await a_feed(world, calls).publish()

    assert calls.limits == {("default", "fast"): [LIMIT]}


async def test_the_status_has_the_remaining_capacity_of_limits(world, calls):
    feed = a_feed(world, calls)
    world.apply_queue(modelLimits=[{**LIMIT, "tokensPerMinute": 5}])
    await world.act()
    calls.used = 7
    await feed.look()
    await world.act(seconds=6)
    told = AgentQueueStatus.parse(world.objects["AgentQueue", "default", "fast"]["status"])

    assert [(one.models, one.limit, one.max, one.left) for one in told.limits] == [
        ("gemini-*", "requestsPerMinute", 60, 53),
        ("gemini-*", "tokensPerMinute", 5, 0),
    ]
