"""Whoever waits for the database can be cancelled, at any moment of a request."""

import asyncio

from agentjobs.history.database import Database


async def answer(connection):
    return await (await connection.execute("SELECT 2")).fetchone()


async def test_a_request_cancelled_at_any_point_of_its_first_connection_ends_as_cancelled(database):
    for turns in range(40):
        async with Database(database) as history:
            asking = asyncio.create_task(history.run(answer))
            for _ in range(turns):
                await asyncio.sleep(0.0001)
            late = asking.done()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

        assert asking.cancelled() or late
