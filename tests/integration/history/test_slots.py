"""Slots with many concurrent connections."""

import asyncio
import random
from datetime import timedelta
from urllib.parse import quote

import pytest

from agentjobs.core.queues.policy import Rate
from agentjobs.history.database import Database
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.records import Acceptance, Accepted, SlotRequest

OPERATORS = 6


@pytest.fixture
async def operators(database):
    """Operators that know nothing of each other."""
    databases = [Database(database) for _ in range(OPERATORS)]
    for one in databases:
        await one._pool.open()
    yield [OperatorWrites(one, cluster="c0ffee") for one in databases]
    for one in databases:
        await one.close()


def asked(build, start=1, queue="q", limit=3, **slot):
    return Acceptance(build.job(), build.start(start), SlotRequest(queue, slot.pop("partition", ""), limit, **slot))


LIMITS = {
    "queue": {},
    "partition": {"limit": 99, "per_partition": 3},
    "rate": {"limit": 99, "rate": Rate(3, timedelta(hours=1))},
}


@pytest.mark.parametrize("limits", LIMITS)
async def test_many_simultaneous_operators_never_exceed_the_slots(operators, a_job, limits):
    builds = [a_job(f"uid-{number}") for number in range(60)]

    answers = await asyncio.gather(
        *(operators[number % OPERATORS].accept(asked(build, **LIMITS[limits])) for number, build in enumerate(builds))
    )

    assert sum(isinstance(answer, Accepted) for answer in answers) == 3


async def test_the_slots_are_not_exceeded_if_transactions_begin_with_old_snapshots(database, a_job):
    query = quote("-c default_transaction_isolation=repeatable\\ read")
    dsn = f"{database}{'&' if '?' in database else '?'}options={query}"
    builds = [a_job(f"uid-{number}") for number in range(30)]
    async with Database(dsn) as one, Database(dsn) as two:
        both = [OperatorWrites(each, cluster="c0ffee") for each in (one, two)]
        answers = await asyncio.gather(*(both[n % 2].accept(asked(build)) for n, build in enumerate(builds)))

    assert sum(isinstance(answer, Accepted) for answer in answers) == 3


async def test_concurrent_claims_and_ends_of_many_queues_never_deadlock(operators, a_job):
    order = random.Random(15)
    builds = [a_job(f"uid-{number:02}") for number in range(40)]

    async def live(build, number):
        operator = operators[number % OPERATORS]
        for start in (1, 2, 3):
            queue = f"q{order.randrange(4)}"
            ended = tuple((other.uid, start - 1) for other in order.sample(builds, 5))
            await operator.accept(asked(build, start, queue, 100, released=ended))
            await operator.write([other.end(start) for other in order.sample(builds, 10)])

    await asyncio.gather(*(live(build, number) for number, build in enumerate(builds)))
    await operators[0].write([build.end(3) for build in builds])

    for number in range(4):
        alone = asked(a_job(f"last-{number}"), queue=f"q{number}", limit=1)
        assert isinstance(await operators[0].accept(alone), Accepted), "a slot was left"
