"""The operator's writes have the same result in any order, with repetitions, and from several operators."""

import asyncio

from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.records import Acceptance

ORDER = {"jobs": "uid", "starts": "start", "transitions": "transition"}


async def rows(connected, table, *, uid):
    statement = f"SELECT * FROM agentjobs.{table} WHERE uid = %s ORDER BY {ORDER[table]}"

    async def work(connection):
        return await (await connection.execute(statement, (uid,))).fetchall()

    return await connected.autocommit(work)


async def test_operators_that_accept_simultaneously_agree(connected, operator, a_job):
    build = a_job()
    operators = [OperatorWrites(connected, cluster="c-1") for _ in range(8)]

    stored = await asyncio.gather(
        *(each.accept(Acceptance(build.job(f"from {number}"), build.start(1))) for number, each in enumerate(operators))
    )

    assert all(each == stored[0] for each in stored)


async def test_an_empty_batch_needs_no_database(a_job):
    await OperatorWrites(None, cluster="c").write([])  # type: ignore[arg-type]  # it must not be asked


async def test_ten_thousand_vanished_jobs_among_many_more_live_ones_are_closed(connected, operator):
    fill = """
        INSERT INTO agentjobs.jobs (uid, cluster, namespace, name, created_at)
        SELECT concat('u', number), 'c0ffee', 'default', 'hello', now() FROM generate_series(1, 10000) AS number
    """
    await connected.run(lambda connection: connection.execute(fill))
    live = {f"u{number}" for number in range(10_000, 150_000)}

    assert await operator.close_vanished(lambda uid, *_: uid in live, listed_at=await operator.clock()) == 9_999
    assert (await operator.recorded("u1"), await operator.recorded("u10000")) == ("Deleted", None)


async def test_jobs_of_another_cluster_remain_open(connected, operator, a_job):
    await OperatorWrites(connected, cluster="another").write([a_job().transition(1, "Running")])

    assert await operator.close_vanished(lambda *_: False, listed_at=await operator.clock()) == 0


async def test_two_operators_that_write_the_same_jobs_do_not_deadlock(connected, operator, a_job):
    batch = [a_job(f"uid-{number}").transition(1, "Running") for number in range(40)]
    ends = [a_job(f"uid-{number}").end(1) for number in range(40)]

    await asyncio.gather(
        operator.write([*batch, *ends]),
        operator.write([*reversed(ends), *reversed(batch)]),
        *(
            operator.accept(Acceptance(a_job(f"uid-{number}").job(), a_job(f"uid-{number}").start(2)))
            for number in range(40)
        ),
    )

    async def count(connection):
        return await (await connection.execute("SELECT count(*) FROM agentjobs.starts")).fetchone()

    assert await connected.run(count) == (80,)


def everything(build):
    """Every record of a job of three starts that was deleted after its end."""
    phases = ["Queued", "Running", "Retrying", "Running", "Retrying", "Running", "Failed"]
    return [
        build.job(),
        *(build.start(number) for number in (1, 2, 3)),
        *(build.end(number, message=f"end {number}") for number in (1, 2, 3)),
        *(build.transition(n, phase, finished=phase == "Failed") for n, phase in enumerate(phases, 1)),
        build.deletion(),
    ]


async def test_writing_everything_again_changes_no_row(connected, operator, a_job):
    build = a_job()
    await operator.write(everything(build))
    before = [await rows(connected, table, uid=build.uid) for table in ORDER]

    await operator.write(list(reversed(everything(build))))

    assert before == [await rows(connected, table, uid=build.uid) for table in ORDER]
