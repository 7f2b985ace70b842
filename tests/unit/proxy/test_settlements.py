"""Ended calls on their way into the ledger."""

import asyncio
from decimal import Decimal
from uuid import UUID

import pytest

from agentjobs import errors
from agentjobs.history.model_records import CallOutcome, EndedCall
from agentjobs.models.tokens import Tokens
from agentjobs.proxy.settlements import BATCH, MOST_CONTENTS, UNSURE_SECONDS, Settlements

pytestmark = pytest.mark.looptime


def end(number, content=None):
    return EndedCall(UUID(int=number), CallOutcome.ANSWERED, 200, "p", "k", "m", Tokens(1), Decimal(1), content=content)


class Ledger:
    """Takes ends as it is told to."""

    def __init__(self):
        self.batches, self.away, self.refuses = [], 0, set()

    async def settle(self, ends):
        await asyncio.sleep(0.01)
        if self.away:
            self.away -= 1
            raise errors.Unavailable("away")
        if self.refuses & {one.id.int for one in ends}:
            raise errors.Invalid("no JSON")
        self.batches.append([one.id.int for one in ends])


@pytest.fixture
async def running_settlements():
    ledger = Ledger()
    settlements = Settlements(ledger)
    running = asyncio.create_task(settlements.run())
    yield settlements, ledger
    running.cancel()


async def test_calls_that_end_during_a_write_are_settled_together(running_settlements):
    settlements, ledger = running_settlements

    settlements.add("a", end(1))
    await asyncio.sleep(0.005)
    for number in range(2, 2 + BATCH + 5):
        settlements.add("a", end(number))
    await asyncio.sleep(1)

    assert [len(batch) for batch in ledger.batches] == [1, BATCH, 5]
    assert len(settlements) == 0


async def test_calls_that_end_one_after_another_share_a_statement_while_no_call_waits(running_settlements):
    settlements, ledger = running_settlements

    for number in range(1, 7):
        settlements.add("a", end(number))
        await asyncio.sleep(0.004)
    await asyncio.sleep(1)

    assert ledger.batches == [[1], [2, 3, 4, 5], [6]]


async def test_a_call_that_waits_for_a_job_is_not_delayed_by_batching(running_settlements):
    settlements, _ = running_settlements
    loop = asyncio.get_running_loop()
    settlements.add("b", end(1))
    await asyncio.sleep(0.012)

    settlements.add("a", end(2))
    began = loop.time()
    await settlements.change("a", 5)

    assert loop.time() - began == pytest.approx(0.01, abs=0.001)


async def test_calls_that_the_database_does_not_accept_are_kept_until_it_does(running_settlements):
    settlements, ledger = running_settlements
    ledger.away = 5

    settlements.add("a", end(1))
    await asyncio.sleep(60)

    assert (ledger.batches, len(settlements)) == ([[1]], 0)


async def test_a_refused_settlement_does_not_prevent_others(running_settlements):
    settlements, ledger = running_settlements
    ledger.refuses = {2}

    for number in (1, 2, 3):
        settlements.add("a", end(number))
    await asyncio.sleep(1)

    assert (ledger.batches, len(settlements)) == ([[1], [3]], 0)


async def test_a_waiter_is_notified_of_settlements_of_its_job_only(running_settlements):
    settlements, _ = running_settlements
    loop = asyncio.get_running_loop()
    waiting = [asyncio.create_task(settlements.change(job, 5)) for job in "ab"]
    await asyncio.sleep(0)

    settlements.add("a", end(1))
    began, ended = loop.time(), []
    for task in waiting:
        await task
        ended.append(loop.time() - began)

    assert ended[0] < 1
    assert ended[1] == pytest.approx(5, abs=0.1)
    assert settlements._watchers == {}


async def test_a_call_settled_before_its_content_is_complete_is_settled_again(running_settlements):
    settlements, ledger = running_settlements

    settlements.add_unsure("a", end(1))
    await asyncio.sleep(UNSURE_SECONDS + 1)

    assert (ledger.batches, settlements._unsure) == ([[1], [1]], {})


async def test_all_content_is_recorded_at_the_end(running_settlements):
    settlements, ledger = running_settlements
    settlements.add_unsure("a", end(1))
    await asyncio.sleep(1)

    await settlements.drain(5)

    assert ledger.batches == [[1], [1]]


async def test_remaining_calls_are_settled_at_the_end_within_a_time_limit(running_settlements):
    settlements, ledger = running_settlements
    ledger.away = 2
    settlements.add("a", end(1))

    await settlements.drain(5)

    assert ledger.batches[0] == [1]


async def test_an_unavailable_database_does_not_block_the_end_of_the_process(running_settlements):
    settlements, ledger = running_settlements
    ledger.away = 10**6
    settlements.add("a", end(1))
    began = asyncio.get_running_loop().time()

    await settlements.drain(5)

    assert asyncio.get_running_loop().time() - began == pytest.approx(5, abs=0.2)


def test_texts_of_many_waiting_calls_are_not_kept_in_memory():
    settlements = Settlements(Ledger())

    for number in range(MOST_CONTENTS + 1):
        settlements.add("a", end(number, content={"request": {}}))

    assert [kept.content is None for _, kept in settlements._waiting.values()] == [False] * MOST_CONTENTS + [True]
