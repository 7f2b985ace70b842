"""Usage of model calls over time sums up to the reports by day, and budgets of queues count all models."""

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

import pytest
from tests.integration.history.model_calls import a_call_of, the_end_of

from agentjobs.api.recorded_usage import UsageBy
from agentjobs.history.model_records import CallOutcome, SpendSince
from agentjobs.history.records import Acceptance
from agentjobs.models.budget import Spend
from agentjobs.models.tokens import Tokens

DAY = timedelta(days=1)


@pytest.fixture
def calls(operator, gateway, ledger, a_job):
    """`await calls("uid-1", cost="0.5", model="m")`: a job whose calls ended now, each as the test says."""

    async def run(uid, *ends, namespace="default", partition=None):
        build = a_job(uid, namespace=namespace, name=f"job-{uid}")
        await operator.accept(Acceptance(build.job(partitionKey=partition, queue="agents"), build.start(1)))
        await gateway.claim(uid, 1, "pod-1", **build.place)
        made = [(a_call_of(uid), end) for end in ends or ({},)]
        for call, _ in made:
            await ledger.reserve(call)
        await ledger.settle([the_end_of(call, **end) for call, end in made])

    return run


@pytest.fixture
def series(operator, overview):
    """`await series("model", days=2)`: what was used until now, by what."""

    async def ask(by, namespaces=None, **length):
        now = await operator.clock()
        return await overview.usage_series(by, now - timedelta(**length or {"hours": 1}), now, namespaces)

    return ask


@pytest.fixture
def reports(backend):
    return backend.reports


def told(points):
    return [(one.key, one.calls, one.input_tokens, one.output_tokens, one.cost_usd) for one in points]


async def test_usage_is_grouped_by_queue_model_and_partition(calls, series):
    await calls("uid-1", {"model": "pro", "cost": "1"}, {"model": "mini", "queue": "batch"}, partition="acme")
    await calls("uid-2", {"model": "pro", "outcome": CallOutcome.FAILED})

    found = [await series(by, hours=2) for by in ("queue", "model", "partition")]

    assert [told(one.items) for one in found] == [
        [("agents", 1, 10, 5, Decimal(1)), ("batch", 1, 10, 5, Decimal("0.5"))],
        [("pro", 1, 10, 5, Decimal(1)), ("mini", 1, 10, 5, Decimal("0.5"))],
        [("acme", 2, 20, 10, Decimal("1.5"))],
    ]
    assert [(one.keys, one.others, one.seconds) for one in found][1] == (["pro", "mini"], [], 900)


async def test_a_call_counts_in_the_slice_in_which_it_ended(calls, series, operator):
    before = await operator.clock()
    await calls("uid-1")
    after = await operator.clock()

    [point] = (await series("queue")).items

    assert before - timedelta(minutes=15) < point.begin <= after
    assert point.begin.timestamp() % 900 == 0


async def test_only_the_most_expensive_keys_have_a_line_and_the_others_share_one(calls, series):
    for number in range(11):
        await calls(f"uid-{number}", {"cost": str(number)}, partition=f"customer-{number}")

    for length in ({"hours": 1}, {"days": 80}):
        found = await series("partition", **length)
        assert found.keys == [f"customer-{number}" for number in range(10, 2, -1)]
        assert {one.key for one in found.items} == set(found.keys)
        assert {one.key for one in found.others} == {""}
        assert sum(one.calls for one in found.others) == 3
        assert sum(one.cost_usd for one in found.others) == Decimal(0 + 1 + 2)


async def test_jobs_without_a_partition_are_a_separate_line(calls, series):
    await calls("uid-1")

    found = await series("partition")

    assert (found.keys, [one.key for one in found.items], found.others) == ([""], [""], [])


@pytest.mark.parametrize("length", [{"hours": 1}, {"days": 3}, {"days": 24}, {"days": 89}], ids=str)
async def test_only_calls_of_these_namespaces_are_counted(calls, series, length):
    await calls("uid-1", {"cost": "2"})
    await calls("uid-2", namespace="docs")

    found, nothing = [await series("model", places, **length) for places in (["docs", "other"], [])]

    assert told(found.items) == [("gemini-2.5-flash", 1, 10, 5, Decimal("0.5"))]
    assert (nothing.items, nothing.keys, nothing.others) == ([], [], [])


@pytest.mark.parametrize("by", ["queue", "model", "partition"])
@pytest.mark.parametrize("days", [1, 2, 7, 24, 25, 89])
async def test_the_series_of_whole_days_sums_up_to_their_report(calls, overview, reports, operator, by, days):
    tokens = Tokens(input=1000, output=7)
    ends = [{"model": f"m-{n % 3}", "queue": f"q-{n % 4}", "cost": f"0.{n:010}1"[:12]} for n in range(12)]
    for number, end in enumerate(ends):
        await calls(f"uid-{number}", end, {**end, "tokens": tokens}, partition=f"p-{number}")
    last = (await operator.clock()).astimezone(UTC).date()
    first = last - (days - 1) * DAY
    midnight = datetime.combine(first, time(), UTC)

    series = await overview.usage_series(by, midnight, midnight + days * DAY)
    total = (await reports.usage([UsageBy.MODEL], first=first, last=last)).total

    points = [*series.items, *series.others]
    assert (series.since, series.until) == (midnight, midnight + days * DAY)
    assert sum(one.calls for one in points) == total.calls == 24
    assert sum(one.input_tokens for one in points) == total.input_tokens
    assert sum(one.output_tokens for one in points) == total.output_tokens
    assert sum(one.cost_usd for one in points) == total.cost_usd


async def test_the_budget_of_a_queue_counts_the_calls_of_all_models(calls, queues, operator):
    await calls("uid-1", {"model": "pro"}, {"model": "mini"}, {"model": "mini"}, partition="acme")

    since = await operator.clock() - timedelta(hours=1)
    [spent] = await queues.spent([SpendSince("default", "agents", since)])

    assert spent == {"acme": Spend(Decimal("1.5"), 45)}
