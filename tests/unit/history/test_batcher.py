"""Simultaneous requests share only a query: answers, refusals and outages are separate."""

import asyncio

import pytest

from agentjobs.errors import Invalid, Unavailable
from agentjobs.history.batcher import Batcher


class Database:
    """Answers ten times the number once it is let; refuses 13."""

    def __init__(self):
        self.queries = []
        self.open = asyncio.Event()
        self.open.set()
        self.away = False

    async def ask(self, numbers):
        self.queries.append(list(numbers))
        await self.open.wait()
        if self.away:
            raise Unavailable("away")
        if 13 in numbers:
            raise Invalid("13")
        return [10 * number for number in numbers]


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_simultaneous_requests_become_one_query():
    database = Database()
    batcher = Batcher(database.ask)

    answers = await asyncio.gather(*(batcher(number) for number in (1, 2, 3)))

    assert answers == [10, 20, 30]
    assert database.queries == [[1, 2, 3]]


async def test_requests_made_while_all_queries_run_share_the_next():
    database = Database()
    batcher = Batcher(database.ask, queries=1)
    database.open.clear()
    first = asyncio.create_task(batcher(1))
    await settle()
    others = [asyncio.create_task(batcher(number)) for number in (2, 3)]
    await settle()
    database.open.set()

    assert await asyncio.gather(first, *others) == [10, 20, 30]
    assert database.queries == [[1], [2, 3]]


async def test_a_batch_has_a_limit():
    database = Database()
    batcher = Batcher(database.ask, limit=2, queries=1)

    assert await asyncio.gather(*(batcher(number) for number in range(5))) == [0, 10, 20, 30, 40]
    assert [len(numbers) for numbers in database.queries] == [2, 2, 1]


async def test_only_the_refused_request_of_a_batch_fails():
    batcher = Batcher(Database().ask)

    answers = await asyncio.gather(*(batcher(number) for number in (12, 13, 14)), return_exceptions=True)

    assert [answers[0], answers[2]] == [120, 140]
    assert isinstance(answers[1], Invalid)


async def test_an_outage_fails_waiting_requests():
    database = Database()
    batcher = Batcher(database.ask, queries=1)
    database.open.clear()
    database.away = True
    asked = [asyncio.create_task(batcher(1))]
    await settle()
    asked.append(asyncio.create_task(batcher(2)))
    await settle()
    database.open.set()

    for task in asked:
        with pytest.raises(Unavailable):
            await task
    assert database.queries == [[1]]


async def test_a_cancelled_request_is_not_sent():
    database = Database()
    batcher = Batcher(database.ask, queries=1)
    database.open.clear()
    first, second = asyncio.create_task(batcher(1)), asyncio.create_task(batcher(2))
    await settle()
    third = asyncio.create_task(batcher(3))
    await settle()
    third.cancel()
    database.open.set()
    await asyncio.gather(first, second, third, return_exceptions=True)
    await settle()

    assert database.queries == [[1, 2]]
