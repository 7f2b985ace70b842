"""During an outage of PostgreSQL every call fails in time, and afterwards nothing is lost or repeated."""

import asyncio
import contextlib
import os
import signal
import socket
from decimal import Decimal
from functools import partial

import psycopg
import pytest
from tests.integration.history.model_calls import a_call_of, the_end_of

from agentjobs import errors
from agentjobs.history import migrate
from agentjobs.history.breaker import Away
from agentjobs.history.database import Database
from agentjobs.history.model_calls import ModelCalls
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.records import Acceptance
from agentjobs.history.runner_writes import RunnerWrites
from agentjobs.history.schema import SCHEMA
from agentjobs.history.writer import HistoryWriter
from agentjobs.models.budget import Fits, Spend
from devcluster.postgres import EmbeddedPostgres


@pytest.fixture
async def server(server_folder):
    """A PostgreSQL of this module's own, to be killed."""
    async with EmbeddedPostgres(server_folder) as own:
        with psycopg.connect(own.dsn) as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        migrate.upgrade(own.dsn)
        yield own


@contextlib.asynccontextmanager
async def running(writer):
    task = asyncio.create_task(writer.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def all_rows(database, table):
    async def work(connection):
        return await (await connection.execute(f"SELECT * FROM agentjobs.{table}")).fetchall()

    return await database.run(work)


async def test_records_queued_during_a_crash_of_postgres_are_stored_once(server, a_job):
    async with Database(server.dsn) as database:
        writer = HistoryWriter(OperatorWrites(database, cluster="c"), batch=20, linger=0.01)
        async with running(writer):
            for number in range(300):
                for phase in (1, 2, 3):
                    writer.put(a_job(f"uid-{number:03}").transition(phase, f"Phase{phase}", finished=phase == 3))
                if number == 100:
                    await asyncio.sleep(0.02)
                    os.kill(server.pid, signal.SIGKILL)
                    await server.wait()
                await asyncio.sleep(0)
            assert not await writer.flush(0.2)
            held = writer.backlog
            await server.stop()
            await server.start()
            assert await writer.flush(30)

        assert held > 0 == writer.backlog == writer.dropped == writer.rejected
        assert len(await all_rows(database, "transitions")) == 900
        assert {row.phase for row in await all_rows(database, "jobs")} == {"Phase3"}


async def test_a_missing_server_is_unavailable_immediately(server, a_job):
    async with Database(server.dsn) as database:
        history = OperatorWrites(database, cluster="c")
        await history.accept(Acceptance(a_job().job(), a_job().start(1)))
        await server.stop()

        with pytest.raises(errors.Unavailable):
            await history.accept(Acceptance(a_job().job(), a_job().start(2)))


async def test_model_calls_are_settled_once_despite_a_crash_of_postgres(server, a_job):
    build = a_job("spends")
    async with Database(server.dsn) as database:
        operator, ledger = OperatorWrites(database, cluster="c"), ModelCalls(database, cluster="c")
        await operator.accept(Acceptance(build.job(), build.start(1)))
        await RunnerWrites(database, cluster="c").claim(build.uid, 1, "pod-1", **build.place)
        calls = [a_call_of(build.uid) for _ in range(60)]

        async def insist(ask):
            for _ in range(100):
                with contextlib.suppress(errors.Unavailable):
                    return await ask()
                await asyncio.sleep(0.1)
            pytest.fail("history did not come back")

        async def make(call):
            reserved = await insist(partial(ledger.reserve, call))
            await insist(partial(ledger.settle, [the_end_of(call, cost="0.1")]))
            return reserved.judgement.fits

        making = asyncio.gather(*(make(call) for call in calls))
        await asyncio.sleep(0.02)
        os.kill(server.pid, signal.SIGKILL)
        await server.wait()
        await server.stop()
        await server.start()
        assert set(await making) == {Fits.YES}
        await ledger.heartbeat("proxy-a", {})

        assert await operator.spent(build.uid) == Spend(Decimal(6), tokens=900, llm_calls=60)
        assert [row for row in await all_rows(database, "model_calls") if row.ended is None] == []


async def test_a_restart_between_two_calls_causes_no_error(server, a_job):
    async with Database(server.dsn) as database:
        history = OperatorWrites(database, cluster="c")
        await asyncio.gather(*(history.recorded("nobody") for _ in range(10)))
        await server.stop()
        await server.start()

        for number in (1, 2, 3):
            await history.accept(Acceptance(a_job().job(), a_job().start(number)))


async def test_a_restart_between_two_writes_of_a_runner_causes_no_error(server, a_job):
    build = a_job("restarted")
    async with Database(server.dsn) as database:
        runners = RunnerWrites(database, cluster="c")
        await OperatorWrites(database, cluster="c").accept(Acceptance(build.job(), build.start(1)))
        await runners.claim(build.uid, 1, "pod", **build.place)
        for write in (runners.heartbeat, partial(runners.add_events, batch=[])):
            await server.stop()
            await server.start()

            await write(build.uid, 1, "pod")


async def test_a_caller_cancelled_while_it_returns_its_connection_does_not_leak_it(database):
    async with Database(database, pool_size=1) as pool:
        lock = pool._pool._lock

        async def ask(connection):
            return (await (await connection.execute("SELECT 1")).fetchone())[0]

        async def ask_and_find_the_pool_busy(connection):
            await lock.acquire()
            return await ask(connection)

        asking = asyncio.create_task(pool.autocommit(ask_and_find_the_pool_busy))
        while not lock._waiters:
            await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.wait({asking})
        lock.release()

        assert await pool.autocommit(ask) == 1


async def test_a_cancelled_caller_ends_immediately_and_leaves_usable_connections(database, a_job):
    async with Database(database, pool_size=2) as pool:
        history = OperatorWrites(pool, cluster="c")
        await history.accept(Acceptance(a_job().job()))

        async def hold(connection):
            await (await connection.execute("SELECT uid FROM agentjobs.jobs FOR UPDATE")).fetchall()
            asking = asyncio.create_task(history.write([a_job().transition(1, "Running")]))
            await asyncio.wait({asking}, timeout=0.3)
            asking.cancel()
            began = asyncio.get_running_loop().time()
            await asyncio.wait({asking})
            return asking.cancelled(), asyncio.get_running_loop().time() - began

        cancelled, seconds = await pool.run(hold)
        await history.write([a_job().transition(1, "Running")])

    assert cancelled
    assert seconds < 1


async def test_a_server_that_never_answers_is_unavailable_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel connects, no one accepts
        port = silent.getsockname()[1]
        async with Database(f"postgresql://nobody@127.0.0.1:{port}/nothing", deadline=0.2) as database:
            with pytest.raises(errors.Unavailable, match="did not answer within"):
                await database.run(lambda connection: connection.execute("SELECT 1"))


async def test_requests_fail_fast_after_a_server_that_never_answers():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        async with Database(f"postgresql://nobody@127.0.0.1:{port}/nothing") as database:
            asks = (database.autocommit(lambda connection: connection.execute("SELECT 1")) for _ in range(20))
            async with asyncio.timeout(4.5):
                answers = await asyncio.gather(*asks, return_exceptions=True)
            with pytest.raises(Away):
                await database.run(lambda connection: connection.execute("SELECT 1"))

    assert all(isinstance(answer, errors.Unavailable) for answer in answers)


async def test_a_locked_row_is_unavailable_in_time_and_free_afterwards(database, a_job):
    async with Database(database) as slow, Database(database, deadline=1) as fast:
        history = OperatorWrites(fast, cluster="c")
        await history.accept(Acceptance(a_job().job()))

        async def hold(connection):
            await (await connection.execute("SELECT uid FROM agentjobs.jobs FOR UPDATE")).fetchall()
            with pytest.raises(errors.Unavailable):
                await history.accept(Acceptance(a_job().job()))

        await slow.run(hold)

        await history.accept(Acceptance(a_job().job()))


@pytest.mark.parametrize("dsn", ["mysql://somewhere/db", "not a url", "postgresql://host:port/db"])
async def test_a_wrong_address_is_invalid_and_not_retried(dsn):
    with pytest.raises(errors.Misconfigured, match="expected") as caught:
        Database(dsn)

    assert dsn not in str(caught.value)


async def test_a_user_refused_by_the_server_is_retried_like_a_missing_server(database, a_job):
    with psycopg.connect(database) as connection:
        connection.execute("DO $$ BEGIN CREATE ROLE guest LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")

    async with Database(database.replace("agentjobs@", "guest@")) as refused:
        with pytest.raises(errors.Unavailable, match="refuses our user"):
            await OperatorWrites(refused, cluster="c").final_result(a_job().key.uid)
