"""The writer never blocks its callers, and loses nothing that fits in memory."""

import asyncio
import contextlib
from datetime import UTC, datetime

import pytest

from agentjobs import errors
from agentjobs.history.records import Deletion, JobKey, StartEnd, TransitionRecord
from agentjobs.history.writer import HistoryWriter

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def a_transition(number=1, uid="uid-1", message=""):
    return TransitionRecord(JobKey(uid, "default", "hello", NOON), number, NOON, "Running", "Claimed", message)


class Table:
    """A sink that can be away and that refuses records it is told to."""

    def __init__(self):
        self.rows = []
        self.batches = 0
        self.away = False
        self.refused = ()
        self.error = errors.Invalid("no")

    async def write(self, batch):
        self.batches += 1
        await asyncio.sleep(0.001)
        if self.away:
            raise errors.Unavailable("away")
        if any(record in self.refused for record in batch):
            raise self.error
        self.rows.extend(batch)


@contextlib.asynccontextmanager
async def running(writer):
    task = asyncio.create_task(writer.run())
    yield
    task.cancel()
    await asyncio.wait({task})


@pytest.fixture
def table():
    return Table()


@pytest.mark.looptime
async def test_records_of_a_burst_are_written_together(table):
    writer = HistoryWriter(table)
    async with running(writer):
        for number in range(150):
            writer.put(a_transition(number))
        assert await writer.flush(1)

    assert (len(table.rows), table.batches, writer.backlog) == (150, 1, 0)


@pytest.mark.looptime
async def test_a_batch_has_a_limit(table):
    writer = HistoryWriter(table, batch=50)
    async with running(writer):
        for number in range(175):
            writer.put(a_transition(number))
        assert await writer.flush(1)

    assert (len(table.rows), table.batches) == (175, 4)


@pytest.mark.looptime
async def test_a_single_record_waits_only_briefly_for_others(table):
    writer = HistoryWriter(table, linger=0.05)
    async with running(writer):
        writer.put(a_transition())
        await asyncio.sleep(0.06)

        assert len(table.rows) == 1


@pytest.mark.looptime
async def test_records_queued_during_a_write_are_written_too(table):
    writer = HistoryWriter(table, linger=0)
    async with running(writer):
        writer.put(a_transition(1))
        await asyncio.sleep(0.0005)
        writer.put(a_transition(2))
        assert await writer.flush(1)

    assert [record.transition for record in table.rows] == [1, 2]


@pytest.mark.looptime
async def test_an_outage_loses_and_repeats_nothing(table):
    writer = HistoryWriter(table)
    table.away = True
    async with running(writer):
        writer.put(a_transition(1))
        away = await writer.flush(60), writer.backlog
        writer.put(a_transition(2))
        table.away = False
        assert await writer.flush(10)

    assert away == (False, 1)
    assert [record.transition for record in table.rows] == [1, 2]


@pytest.mark.looptime
async def test_an_unavailable_database_is_not_retried_too_often(table):
    writer = HistoryWriter(table)
    table.away = True
    async with running(writer):
        writer.put(a_transition())
        await asyncio.sleep(60)

    assert table.batches < 20


async def test_memory_is_bounded_and_the_oldest_records_are_dropped_first(table):
    writer = HistoryWriter(table, limit=10)
    for number in range(25):
        writer.put(a_transition(number))
    async with running(writer):
        assert await writer.flush(1)

    assert writer.dropped == 15
    assert [record.transition for record in table.rows] == list(range(15, 25))


@pytest.mark.parametrize("error", [errors.Invalid("no"), TypeError("no")], ids=["refused", "mistake"])
@pytest.mark.looptime
async def test_a_record_that_cannot_be_stored_does_not_delay_others(table, error):
    writer = HistoryWriter(table)
    table.error = error
    table.refused = (a_transition(2),)
    async with running(writer):
        for number in (1, 2, 3):
            writer.put(a_transition(number))
        assert await writer.flush(1)

    assert (writer.rejected, writer.backlog) == (1, 0)
    assert [record.transition for record in table.rows] == [1, 3]


@pytest.mark.looptime
async def test_the_first_of_two_records_with_the_same_key_is_written(table):
    writer = HistoryWriter(table)
    async with running(writer):
        writer.put(a_transition(1, message="first"))
        writer.put(a_transition(1, message="second"))
        assert await writer.flush(1)

    assert [record.message for record in table.rows] == ["first"]


@pytest.mark.looptime
async def test_records_of_different_kinds_do_not_hide_each_other(table):
    writer = HistoryWriter(table)
    job = a_transition().job
    records = [
        a_transition(1),
        StartEnd(job, 1, 1, "hello-1", NOON, NOON, "Retry", "ToolError", True),
        Deletion(job, NOON),
    ]
    async with running(writer):
        for record in records:
            writer.put(record)
        assert await writer.flush(1)

    assert table.rows == records


async def test_the_queue_is_empty_before_the_first_record(table):
    assert await HistoryWriter(table).flush(0)
