"""Statements of a transaction are sent together, and an error of one of them is still reported."""

import psycopg
import pytest

from agentjobs import errors


async def begun(dsn, pid):
    """Whether a connection's transaction has begun, as another connection sees it."""
    asked = "SELECT xact_start IS NOT NULL FROM pg_stat_activity WHERE pid = %s"
    async with await psycopg.AsyncConnection.connect(dsn) as other:
        return (await (await other.execute(asked, [pid])).fetchone())[0]


async def test_statements_are_sent_when_an_answer_is_read(connected, database):
    async def work(tx):
        first = await tx.execute("SELECT 1")
        second = await tx.execute("SELECT 2")
        before = await begun(database, tx.info.backend_pid)
        rows = [await second.fetchone(), await first.fetchone()]
        return before, await begun(database, tx.info.backend_pid), rows

    assert await connected.run(work) == (False, True, [(2,), (1,)])


async def test_a_statement_whose_answer_is_not_read_is_committed(connected):
    async def note(tx):
        await tx.execute("CREATE TABLE noted (n integer)")
        await tx.execute("INSERT INTO noted VALUES (1)")

    async def found(tx):
        return await (await tx.execute("SELECT n FROM noted")).fetchall()

    await connected.run(note)
    try:
        assert await connected.run(found) == [(1,)]
    finally:
        await connected.run(lambda tx: tx.execute("DROP TABLE noted"))


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_refused_statement_is_reported_and_leaves_a_usable_connection(connected, place):
    async def work(tx):
        for number in range(3):
            await tx.execute("SELECT %s::integer / %s::integer", [1, number - place])

    async def fine(tx):
        return await (await tx.execute("SELECT 1")).fetchone()

    with pytest.raises(errors.Invalid, match="division by zero"):
        await connected.run(work)
    assert await connected.run(fine) == (1,)


async def test_more_data_than_a_socket_buffers_is_sent_completely(connected):
    async def work(tx):
        cursors = [await tx.execute("SELECT %s::text", ["x" * 3_000_000]) for _ in range(4)]
        return [len((await cursor.fetchone())[0]) for cursor in cursors]

    assert await connected.run(work) == [3_000_000] * 4
