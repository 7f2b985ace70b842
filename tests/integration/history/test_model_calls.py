"""The ledger on PostgreSQL: two simultaneous proxies respect a budget, by the same rule as the one in Python."""

import asyncio
import itertools
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.json import encode
from psycopg.types.json import Json
from tests.integration.history.model_calls import a_call_of, the_end_of

from agentjobs import errors
from agentjobs.history.database import Database
from agentjobs.history.model_calls import BATCH, ModelCalls, _end_row
from agentjobs.history.model_records import MAX_CONTENT_BYTES, CallOutcome
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.records import Acceptance
from agentjobs.history.runner_writes import RunnerWrites
from agentjobs.history.statements import load
from agentjobs.models.budget import Fits, Limits, Spend, judge
from agentjobs.models.tokens import Tokens

CLUSTER = "c0ffee"
FIVE = Limits(cost=Decimal(5))


@pytest.fixture
async def proxies(database):
    """Two ledgers, each on connections of its own."""
    async with Database(database) as first, Database(database) as second:
        yield [ModelCalls(each, cluster=CLUSTER) for each in (first, second)]


@pytest.fixture
async def build(operator, gateway, a_job):
    build = a_job()
    await operator.accept(
        Acceptance(build.job(session={"userId": "ann"}, queue="nightly", partitionKey="acme"), build.start(1))
    )
    await gateway.claim(build.uid, 1, "pod-1", **build.place)
    return build


def rows_of(database, query):
    with psycopg.connect(database) as connection:
        return connection.execute(query).fetchall()


async def test_as_many_simultaneous_calls_through_two_proxies_begin_as_fit(proxies, build):
    asked = (ledger.reserve(a_call_of(limits=FIVE, cost="1.5")) for ledger, _ in itertools.product(proxies, range(10)))
    judged = [reserved.judgement.fits for reserved in await asyncio.gather(*asked)]

    assert (judged.count(Fits.YES), judged.count(Fits.NOT_YET)) == (3, 17)


async def test_a_job_with_many_simultaneous_calls_does_not_delay_another(operator, gateway, build, a_job, connected):
    other = a_job("uid-2", name="other")
    await operator.accept(Acceptance(other.job(), other.start(1)))
    await gateway.claim(other.uid, 1, "pod-1", **other.place)
    ledger = ModelCalls(connected, cluster=CLUSTER)
    many = [asyncio.create_task(ledger.reserve(a_call_of(limits=FIVE))) for _ in range(300)]
    await asyncio.sleep(0)
    await ledger.reserve(a_call_of(other.uid))

    assert sum(not task.done() for task in many) > 200
    await asyncio.gather(*many)


class LosesAnswers(Database):
    """A database that commits, and whose answers do not arrive."""

    loses = True

    async def run(self, work):
        answer = await super().run(work)
        if self.loses:
            raise errors.Unavailable("the answer was lost")
        return answer


ONE_CALL = Limits(llm_calls=1)


@pytest.fixture
async def deaf(database):
    async with LosesAnswers(database) as opened:
        yield opened


async def test_a_reservation_repeated_after_a_lost_answer_is_kept(deaf, operator, build):
    ledger, call = ModelCalls(deaf, cluster=CLUSTER), a_call_of(limits=ONE_CALL)
    with pytest.raises(errors.Unavailable):
        await ledger.reserve(call)
    deaf.loses = False

    assert (await ledger.reserve(call)).judgement.fits is Fits.YES
    await ledger.settle([the_end_of(call)])
    assert (await operator.spent(build.uid)).llm_calls == 1


async def test_two_proxies_exceed_a_budget_by_one_call_at_most(proxies, operator, build):
    async def ask_until_refused(ledger):
        while True:
            call = a_call_of(limits=FIVE, cost="0.7")
            match (await ledger.reserve(call)).judgement.fits:
                case Fits.NO:
                    return
                case Fits.YES:
                    await asyncio.sleep(0)
                    await ledger.settle([the_end_of(call, cost="0.6")])

    await asyncio.gather(*(ask_until_refused(ledger) for ledger, _ in itertools.product(proxies, range(5))))
    assert Decimal(5) <= (await operator.spent(build.uid)).cost <= Decimal("5.6")


async def test_a_limit_of_calls_is_never_exceeded(proxies, build):
    limits = Limits(llm_calls=7)
    asked = (ledger.reserve(a_call_of(limits=limits)) for ledger, _ in itertools.product(proxies, range(10)))

    assert [one.judgement.fits for one in await asyncio.gather(*asked)].count(Fits.YES) == 7


CENTS = st.integers(0, 40).map(lambda cents: Decimal(cents) / 10)
LIMITS = st.builds(
    Limits,
    cost=st.none() | CENTS.filter(bool),
    tokens=st.none() | st.integers(1, 60),
    llm_calls=st.none() | st.integers(1, 4),
)
CALLS = st.lists(st.tuples(CENTS, st.integers(0, 20), st.booleans()), max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])  # a job each
@given(limits=LIMITS, calls=CALLS, own=st.tuples(CENTS, st.integers(0, 20)))
def test_postgresql_decides_like_the_reference_implementation(database, a_job, limits, calls, own):
    async def judged():
        async with Database(database) as opened:
            ledger, build = ModelCalls(opened, cluster=CLUSTER), a_job(f"uid-{next(NUMBERS)}")
            await OperatorWrites(opened, cluster=CLUSTER).accept(Acceptance(build.job(), build.start(1)))
            await RunnerWrites(opened, cluster=CLUSTER).claim(build.uid, 1, "pod-1", **build.place)
            for cost, tokens, ended in calls:
                call = a_call_of(build.uid, cost=str(cost), tokens=tokens)
                await ledger.reserve(call)
                if ended:
                    await ledger.settle([the_end_of(call, cost=str(cost), tokens=Tokens(output=tokens))])
            return await ledger.reserve(a_call_of(build.uid, limits=limits, cost=str(own[0]), tokens=own[1]))

    spent = sum((Spend(cost, tokens, 1) for cost, tokens, ended in calls if ended), Spend())
    under_way = sum((Spend(cost, tokens, 1) for cost, tokens, ended in calls if not ended), Spend())
    assert asyncio.run(judged()).judgement == judge(limits, spent, under_way, Spend(*own, 1))


NUMBERS = itertools.count(1)


async def test_usage_is_summed_by_day_and_owner(proxies, database, build):
    calls = [a_call_of(limits=FIVE, cost="0.1") for _ in range(4)]
    for call in calls:
        await proxies[0].reserve(call)
    failed = the_end_of(calls[3], outcome=CallOutcome.FAILED, cost="0", tokens=Tokens())
    await proxies[0].settle([*(the_end_of(call, cost="0.25", queue="") for call in calls[:2]), failed])
    await proxies[1].settle([the_end_of(calls[2], cost="0.25", queue="nightly", model="gemini-2.5-pro")])

    columns = "namespace, queue, partition_key, user_id, provider, model, calls, input, output, cost"
    found = rows_of(database, f"SELECT {columns} FROM agentjobs.model_usage ORDER BY model")
    whose = ("default", "nightly", "acme", "ann", "google")
    assert found == [
        (*whose, "gemini-2.5-flash", 2, 20, 10, Decimal("0.5")),
        (*whose, "gemini-2.5-pro", 1, 10, 5, Decimal("0.25")),
    ]
    [(day,)] = rows_of(database, "SELECT DISTINCT day FROM agentjobs.model_usage")
    [(today,)] = rows_of(database, "SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date")
    assert timedelta() <= today - day <= timedelta(days=1)


async def test_batches_of_the_same_jobs_in_any_order_do_not_deadlock(proxies, operator, gateway, a_job):
    calls = []
    for number in range(6):
        build = a_job(f"uid-{number}", name=f"job-{number}")
        await operator.accept(Acceptance(build.job(), build.start(1)))
        await gateway.claim(build.uid, 1, "pod-1", **build.place)
        calls += [a_call_of(build.uid) for _ in range(10)]
    await asyncio.gather(*(proxies[0].reserve(call) for call in calls))
    ends = [the_end_of(call, cost="0.1") for call in calls]

    batches = [ends[turn:] + ends[:turn] for turn in range(8)]
    await asyncio.gather(*(proxies[turn % 2].settle(batch[::-1]) for turn, batch in enumerate(batches)))
    assert [(await operator.spent(f"uid-{number}")).cost for number in range(6)] == [Decimal(1)] * 6


async def test_more_calls_than_a_batch_are_all_settled(proxies, operator, build):
    calls = [a_call_of() for _ in range(BATCH + 3)]
    await asyncio.gather(*(proxies[0].reserve(call) for call in calls))
    await proxies[0].settle([the_end_of(call) for call in calls])

    assert (await operator.spent(build.uid)).llm_calls == BATCH + 3


async def test_calls_of_another_cluster_cannot_be_made(connected, build):
    with pytest.raises(errors.NotFound):
        await ModelCalls(connected, cluster="another").reserve(a_call_of())


async def test_the_content_of_a_call_is_stored_unchanged(proxies, database, build):
    call = a_call_of()
    await proxies[0].reserve(call)
    await proxies[0].settle([replace(the_end_of(call), content={"a": "\x00"})])

    assert rows_of(database, "SELECT content ->> 'a' FROM agentjobs.model_calls") == [("\ufffd",)]


async def test_only_the_size_of_too_large_content_is_stored(proxies, database, build):
    call = a_call_of()
    await proxies[0].reserve(call)
    await proxies[0].settle([replace(the_end_of(call), content="x" * MAX_CONTENT_BYTES)])

    assert rows_of(database, "SELECT content FROM agentjobs.model_calls") == [({"bytes": MAX_CONTENT_BYTES + 2},)]


async def test_large_contents_are_stored_in_small_batches(proxies, database, build):
    calls = [a_call_of() for _ in range(11)]
    for call in calls:
        await proxies[0].reserve(call)
    await proxies[0].settle([replace(the_end_of(call), content="x" * (MAX_CONTENT_BYTES - 2)) for call in calls])

    times = "SELECT count(*), count(DISTINCT xmin::text) FROM agentjobs.model_calls WHERE content IS NOT NULL"
    assert rows_of(database, times) == [(11, 3)]


async def test_no_call_begins_while_postgresql_is_unavailable():
    async with Database("postgresql://nobody@127.0.0.1:1/none") as away:
        ledger = ModelCalls(away, cluster=CLUSTER)
        for asked in (ledger.reserve(a_call_of()), ledger.settle([the_end_of(a_call_of())]), ledger.heartbeat("a", {})):
            with pytest.raises(errors.Unavailable):
                await asked


async def a_lock_is_waited_for(database):
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    async with asyncio.timeout(10):
        while rows_of(database, waits) == [(0,)]:
            await asyncio.sleep(0.01)


async def _answered(tx):
    """What was asked before has been done: until an answer is read, statements are gathered."""
    await (await tx.execute("SELECT 1")).fetchone()


async def cost_in_lists(gateway, build):
    return (await gateway.job("default", build.uid)).cost_usd


async def test_a_call_settled_while_its_job_ends_counts_in_the_jobs_cost(database, proxies, build, connected, gateway):
    call = a_call_of()
    await proxies[0].reserve(call)
    writes = OperatorWrites(connected, cluster=CLUSTER)
    ended = build.transition(1, "Failed", finished=True)

    async def end(tx):
        await writes._write(tx, [ended])
        await _answered(tx)
        settling = asyncio.create_task(proxies[1].settle([the_end_of(call, cost="0.5")]))
        await a_lock_is_waited_for(database)
        return settling

    await (await connected.run(end))

    assert await cost_in_lists(gateway, build) == Decimal("0.5")


async def test_a_job_that_ends_while_its_call_is_settled_has_the_calls_cost(
    database, proxies, build, connected, gateway
):
    call = a_call_of()
    await proxies[0].reserve(call)
    row = _end_row(the_end_of(call, cost="0.5"))
    writes = OperatorWrites(connected, cluster=CLUSTER)
    async with Database(database) as third:

        async def settle(tx):
            await tx.execute(load("model_calls")["settle"], {"ids": [row["id"]], "rows": Json([row], encode)})
            await _answered(tx)
            ending = asyncio.create_task(writes.write([build.transition(1, "Failed", finished=True)]))
            await a_lock_is_waited_for(database)
            return ending

        await (await third.run(settle))

    assert await cost_in_lists(gateway, build) == Decimal("0.5")
