"""The spending of queues is summed as calls end, and proxies read the latest limits of a queue."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest
from tests.integration.history.model_calls import a_call_of, the_end_of

from agentjobs.history.model_records import CallOutcome, SpendSince
from agentjobs.history.records import Acceptance
from agentjobs.models.budget import Spend
from agentjobs.models.tokens import Tokens

AGENTS = "default", "agents"
LIMITS = [{"models": ["gemini-*"], "requestsPerMinute": 60}]


@pytest.fixture
def spend(operator, gateway, ledger, a_job):
    """Makes a job of a partition whose calls end as the test says."""

    async def run(uid, *, partition=None, namespace="default", calls=1, **end):
        build = a_job(uid, namespace=namespace)
        await operator.accept(Acceptance(build.job(partitionKey=partition, queue="agents"), build.start(1)))
        await gateway.claim(uid, 1, "pod-1", **build.place)
        made = [a_call_of(uid) for _ in range(calls)]
        for call in made:
            await ledger.reserve(call)
        ends = [the_end_of(call, **end) for call in made]
        await asyncio.gather(*(ledger.settle([one]) for one in ends))
        return ends

    return run


@pytest.fixture
def spent(operator, queues):
    """`await spent(ago=…)`: what a queue spent since then, by partition."""

    async def ask(namespace="default", queue="agents", ago=timedelta(hours=1)):
        since = await operator.clock() - ago
        return (await queues.spent([SpendSince(namespace, queue, since)]))[0]

    return ask


async def test_the_spending_of_a_queue_is_the_cost_of_its_calls_by_partition(spend, spent):
    await spend("uid-1", partition="acme", calls=3, cost="0.25", tokens=Tokens(input=7, output=2, cached=5, thinking=1))
    await spend("uid-2", cost="1")

    assert await spent() == {"acme": Spend(Decimal("0.75"), 27), "": Spend(Decimal(1), 15)}


async def test_queues_do_not_share_their_spending(spend, spent):
    await spend("uid-1", queue="batch")
    await spend("uid-2", namespace="elsewhere")
    await spend("uid-3", queue="")  # a pod without the label

    one = {"": Spend(Decimal("0.5"), 15)}
    assert [await spent(), await spent("elsewhere"), await spent(queue="batch")] == [one, one, one]


async def test_a_repeated_settlement_and_a_failed_call_spend_nothing(spend, spent, ledger):
    ends = await spend("uid-1")
    await ledger.settle(ends)
    await spend("uid-2", outcome=CallOutcome.FAILED)

    assert await spent() == {"": Spend(Decimal("0.5"), 15)}


async def test_spending_before_a_period_does_not_count(spend, spent):
    await spend("uid-1")

    assert await spent(ago=timedelta(hours=-1)) == {}


async def test_several_queues_are_read_together(spend, operator, queues):
    await spend("uid-1")
    now = await operator.clock()
    asked = [SpendSince("default", queue, now - timedelta(hours=1)) for queue in ("batch", "agents")]

    assert await queues.spent(asked) == [{}, {"": Spend(Decimal("0.5"), 15)}]


async def test_proxies_read_the_latest_limits(queues):
    await queues.set_model_limits(("default", "batch"), LIMITS)
    await queues.set_model_limits(AGENTS, LIMITS)
    await queues.set_model_limits(AGENTS, [*LIMITS, {"models": ["*"], "maxConcurrentCalls": 2}])
    await queues.set_model_limits(("default", "batch"), [])

    assert await queues.model_limits() == {AGENTS: [*LIMITS, {"models": ["*"], "maxConcurrentCalls": 2}]}
