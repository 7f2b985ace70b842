"""What the fence of PostgreSQL does beyond the contract: bodies that meet, locks that are waited for, round trips."""

import asyncio
import itertools

import pytest
from psycopg import pq
from tests.integration.history.runner_calls import (
    WRITES,
    a_document,
    a_result,
    a_step,
    an_event,
    put_result,
    record,
    write_event,
)

from agentjobs import errors
from agentjobs.history.database import Database
from agentjobs.history.fence import Fence
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.records import Acceptance
from agentjobs.history.runner_writes import RunnerWrites

LOCK_START = "SELECT 1 FROM agentjobs.starts WHERE uid = %s AND start = 1 FOR UPDATE"
WAITERS = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@pytest.fixture
async def storing(connected, gateway, build):
    """A body of the start that another gateway is storing until told to end."""
    await gateway.claim(build.uid, 1, "pod-a", **build.place)
    begun, end = asyncio.Event(), asyncio.Event()

    async def store():
        async with Fence(connected)(build.uid, 1, "pod-a"):
            begun.set()
            await end.wait()

    task = asyncio.create_task(store())
    await begun.wait()
    yield end
    end.set()
    await task


@pytest.mark.parametrize("write", [write_event, put_result], ids=["events", "result"])
async def test_a_second_body_of_a_start_does_not_wait_for_the_first(connected, gateway, build, storing, write, again):
    with pytest.raises(errors.Busy):
        await write(gateway, build.uid, "pod-a")
    held, _ = connected.connections()
    storing.set()
    await again(lambda: write(gateway, build.uid, "pod-a"))

    assert held == 1


async def test_a_heartbeat_waits_for_a_body_and_is_never_refused(gateway, build, storing):
    beating = asyncio.create_task(gateway.heartbeat(build.uid, 1, "pod-a"))
    with pytest.raises(errors.Busy):
        await write_event(gateway, build.uid, "pod-a")
    storing.set()

    assert await beating is None


@pytest.mark.parametrize("write", WRITES)
async def test_a_lock_of_a_start_by_the_operator_refuses_no_request(connected, gateway, build, write):
    await gateway.claim(build.uid, 1, "pod-a", **build.place)

    async def begin_to_write(connection):
        await (await connection.execute(LOCK_START, (build.uid,))).fetchone()
        writing = asyncio.create_task(write(gateway, build.uid, "pod-a"))
        while not (await (await connection.execute(WAITERS)).fetchone())[0]:
            await asyncio.sleep(0.01)
        return writing

    writing = await connected.run(begin_to_write)

    assert await writing is None


async def test_bodies_of_two_starts_do_not_block_each_other(gateway, operator, a_job, build, storing):
    other = a_job("uid-2", name="other")
    await operator.accept(Acceptance(other.job(), other.start(1)))
    await gateway.claim(other.uid, 1, "pod-b", **other.place)

    await write_event(gateway, other.uid, "pod-b")

    assert len((await gateway.events(other.uid)).items) == 1


async def test_a_pod_without_the_start_is_fenced_even_while_a_body_is_stored(gateway, build, storing):
    with pytest.raises(errors.Fenced):
        await write_event(gateway, build.uid, "pod-b")


async def test_a_gateway_of_another_cluster_claims_nothing(connected, build):
    """Clusters can share a database, and a user who can create pods in one can name uids of the other."""
    elsewhere = RunnerWrites(connected, cluster="another")

    with pytest.raises(errors.NotFound):
        await elsewhere.claim(build.uid, 1, "pod-a", **build.place)


MARK = "INSERT INTO agentjobs.results (uid, start, result) VALUES (%s, 1, '{}')"


@pytest.fixture
async def claimed(gateway, build):
    await gateway.claim(build.uid, 1, "pod-a", **build.place)
    return build


async def test_writers_that_share_the_fence_write_concurrently(connected, claimed):
    fence = Fence(connected)
    async with (
        fence(claimed.uid, 1, "pod-a", share=True) as first,
        fence(claimed.uid, 1, "pod-a", share=True) as second,
    ):
        answers = [await (await tx.execute("SELECT 1")).fetchone() for tx in (first, second)]

    assert answers == [(1,), (1,)]


@pytest.mark.parametrize("share", [False, True], ids=["alone", "shared"])
async def test_fencing_a_start_waits_for_its_writer(connected, operator, gateway, claimed, share):
    async with Fence(connected)(claimed.uid, 1, "pod-a", share=share) as tx:
        fencing = asyncio.create_task(operator.accept(Acceptance(claimed.job(), claimed.start(2))))
        while not (await (await tx.execute(WAITERS)).fetchone())[0]:
            await asyncio.sleep(0.01)
        await tx.execute(MARK, (claimed.uid,))
    await fencing

    assert await gateway.result(claimed.uid) == {}
    with pytest.raises(errors.Fenced):
        async with Fence(connected)(claimed.uid, 1, "pod-a", share=share):
            pass


async def mark(connected, uid, *, times, error=None):
    async with Fence(connected)(uid, 1, "pod-a") as tx:
        for _ in range(times):
            await tx.execute(MARK, (uid,))
        if error is not None:
            raise error
        await tx.execute("SELECT 1")


@pytest.mark.parametrize(
    ("times", "error", "told"),
    [pytest.param(1, KeyError(), KeyError, id="code"), pytest.param(2, None, errors.Invalid, id="statement")],
)
async def test_a_write_that_fails_after_the_fence_stores_nothing(connected, gateway, claimed, times, error, told):
    with pytest.raises(told):
        await mark(connected, claimed.uid, times=times, error=error)

    assert await gateway.result(claimed.uid) is None
    assert connected.connections() == (0, 1)


async def round_trips(database, tmp_path, write):
    """How often a client waits for the server: what it sends until an answer comes is one round trip."""
    with (tmp_path / "trace").open("w+") as trace:
        async with Database(database, pool_size=1) as single:
            await single.autocommit(lambda connection: connection.execute("SELECT 1"))

            async def begin(connection):
                connection.pgconn.trace(trace.fileno())
                connection.pgconn.set_trace_flags(pq.Trace.SUPPRESS_TIMESTAMPS)

            await single.autocommit(begin)
            await write(single)
        trace.seek(0)
        senders = [line[0] for line in trace if line[0] in "FB"]
    return sum(1 for sender, after in itertools.pairwise(senders) if (sender, after) == ("F", "B"))


async def add_events(single, build):
    await RunnerWrites(single, cluster="c0ffee").add_events(build.uid, 1, "pod-a", [an_event(n) for n in range(50)])


async def record_steps(single, build):
    steps = [a_step(str(number)) for number in range(20)]
    await record(RunnerWrites(single, cluster="c0ffee"), build.uid, 1, *steps, pod="pod-a")


async def read_steps(single, build):
    await RunnerWrites(single, cluster="c0ffee").read_steps(build.uid, 1, "pod-a")


async def claim(single, build):
    await RunnerWrites(single, cluster="c0ffee").claim(build.uid, 1, "pod-a", **build.place)


async def answer(single, build):
    await RunnerWrites(single, cluster="c0ffee").put_result(build.uid, 1, "pod-a", a_document(a_result()))


async def beat_once(single, build):
    await RunnerWrites(single, cluster="c0ffee").heartbeat(build.uid, 1, "pod-a")


async def accept(single, build):
    await OperatorWrites(single, cluster="c0ffee").accept(Acceptance(build.job(), build.start(2)))


@pytest.mark.parametrize(
    ("write", "most"),
    [
        pytest.param(add_events, 2, id="events"),
        pytest.param(answer, 2, id="result"),
        pytest.param(record_steps, 2, id="steps"),
        pytest.param(read_steps, 1, id="recorded-steps"),
        pytest.param(claim, 2, id="claim"),
        pytest.param(beat_once, 1, id="heartbeat"),
        pytest.param(accept, 1, id="accept"),
    ],
)
async def test_a_write_takes_few_round_trips(database, claimed, tmp_path, write, most):
    assert await round_trips(database, tmp_path, lambda single: write(single, claimed)) == most
