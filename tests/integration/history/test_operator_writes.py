"""What the operator writes stands, whatever the order, however often, by however many operators."""

import asyncio
import itertools
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentjobs.core.job.observation import FinalResult
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.records import StartEnd, StartRecord, TransitionRecord

_uids = itertools.count()
ORDER = {"jobs": "uid", "starts": "start", "transitions": "transition"}


async def rows(connected, table, *, uid):
    statement = f"SELECT * FROM agentjobs.{table} WHERE uid = %s ORDER BY {ORDER[table]}"

    async def work(connection):
        return await (await connection.execute(statement, (uid,))).fetchall()

    return await connected.autocommit(work)


async def test_acceptance_returns_the_work(operator, a_job):
    build = a_job()

    assert await operator.accept(build.job(), build.start(1)) == build.job().resolved


async def test_the_first_acceptance_wins(operator, a_job):
    build = a_job()
    await operator.accept(build.job("first"), build.start(1))

    stored = await operator.accept(build.job("second"), build.start(2))

    assert stored["spec"]["input"]["message"] == "first"


async def test_operators_that_accept_at_once_agree(connected, operator, a_job):
    build = a_job()
    operators = [OperatorWrites(connected, cluster="c-1") for _ in range(8)]

    stored = await asyncio.gather(
        *(each.accept(build.job(f"from {number}"), build.start(1)) for number, each in enumerate(operators))
    )

    assert all(each == stored[0] for each in stored)


async def test_jobs_accepted_at_once_get_their_own_work(operator, a_job):
    builds = [a_job(f"uid-{number}") for number in range(20)]

    stored = await asyncio.gather(
        *(operator.accept(each.job(f"for {number}"), each.start(1)) for number, each in enumerate(builds))
    )

    assert [each["spec"]["input"]["message"] for each in stored] == [f"for {number}" for number in range(20)]


async def test_of_two_acceptances_in_one_moment_the_first_wins(operator, a_job):
    build = a_job()

    stored = await asyncio.gather(*(operator.accept(build.job(said), build.start(1)) for said in ("first", "second")))

    assert [each["spec"]["input"]["message"] for each in stored] == ["first", "first"]


async def test_a_job_known_by_a_transition_can_still_be_accepted(operator, a_job):
    build = a_job()
    await operator.write([build.transition(1, "Queued")])

    assert await operator.accept(build.job(), build.start(1)) == build.job().resolved


async def test_keys_keep_their_order(operator, a_job):
    build = a_job()
    build.job().resolved["spec"]["input"]["state"] = {"b": 1, "a": 2}

    stored = await operator.accept(build.job(), build.start(1))

    assert list(stored["spec"]) == list(build.job().resolved["spec"])


async def test_an_end_is_recorded_only_once_it_is_written(operator, a_job):
    build = a_job()
    await operator.write([build.transition(1, "Running")])
    before = await operator.recorded(build.uid)
    await operator.write([build.transition(2, "Failed", finished=True)])

    assert (before, await operator.recorded(build.uid)) == (None, "Failed")


async def test_a_job_nobody_knows_has_no_end_no_result_no_usage_and_no_heartbeat(operator):
    assert await operator.recorded("nobody") is None
    assert await operator.final_result("nobody") == FinalResult(answer=None, usage={})
    assert await operator.silence("nobody", 1) is None


async def test_an_empty_batch_needs_no_database(a_job):
    await OperatorWrites(None, cluster="c").write([])  # type: ignore[arg-type]  # it must not be asked


async def test_open_jobs_whose_object_is_gone_are_closed(operator, a_job):
    gone, there, ended, elsewhere = (a_job(name) for name in ("gone", "there", "ended", "elsewhere"))
    elsewhere.key = a_job("elsewhere", namespace="other").key
    await operator.write([each.transition(1, "Running") for each in (gone, there, elsewhere)])
    await operator.write([ended.transition(1, "Succeeded", finished=True)])
    listed_at = await operator.clock()

    closed = await operator.close_vanished(lambda uid, *_: uid == "there", listed_at=listed_at, namespaces=["default"])

    assert closed == 1
    phases = [await operator.recorded(each.uid) for each in (gone, there, ended, elsewhere)]
    assert phases == ["Deleted", None, "Succeeded", None]


async def test_the_open_start_of_a_job_whose_object_is_gone_is_ended(operator, gateway, a_job):
    build = a_job()
    await operator.write([build.job(), build.start(1), build.end(1), build.start(2), build.transition(1, "Running")])

    await operator.close_vanished(lambda *_: False, listed_at=await operator.clock())

    first, second = (await gateway.story("default", build.uid)).starts
    assert (first.verdict, first.reason) == ("Retry", "ToolError")
    assert (second.verdict, second.reason, second.charged) == ("Cancel", "JobDeleted", False)
    assert second.ended is not None


async def test_ten_thousand_that_vanished_beside_many_more_that_live_are_closed(connected, operator):
    fill = """
        INSERT INTO agentjobs.jobs (uid, cluster, namespace, name, created_at)
        SELECT concat('u', number), 'c0ffee', 'default', 'hello', now() FROM generate_series(1, 10000) AS number
    """
    await connected.run(lambda connection: connection.execute(fill))
    live = {f"u{number}" for number in range(10_000, 150_000)}

    assert await operator.close_vanished(lambda uid, *_: uid in live, listed_at=await operator.clock()) == 9_999
    assert (await operator.recorded("u1"), await operator.recorded("u10000")) == ("Deleted", None)


async def test_jobs_stored_after_the_list_began_stay_open(operator, a_job):
    listed_at = await operator.clock()
    await operator.write([a_job().transition(1, "Running")])

    assert await operator.close_vanished(lambda *_: False, listed_at=listed_at) == 0


async def test_another_clusters_jobs_stay_open(connected, operator, a_job):
    await OperatorWrites(connected, cluster="another").write([a_job().transition(1, "Running")])

    assert await operator.close_vanished(lambda *_: False, listed_at=await operator.clock()) == 0


async def test_an_end_that_comes_after_the_deletion_is_the_jobs_end(operator, a_job):
    build = a_job()
    await operator.write([build.deletion()])
    deleted = await operator.recorded(build.uid)
    await operator.write([build.transition(4, "Succeeded", finished=True)])

    assert (deleted, await operator.recorded(build.uid)) == ("Deleted", "Succeeded")


@pytest.mark.parametrize("late", [1, 3], ids=["older", "newer"])
async def test_an_end_is_final(connected, operator, a_job, late):
    build = a_job()
    await operator.write([build.transition(2, "Cancelled", finished=True)])
    await operator.write([build.transition(late, "Running")])

    (job,) = await rows(connected, "jobs", uid=build.uid)
    assert (job.phase, job.transition, job.finished_at is None) == ("Cancelled", 2, False)


async def test_two_operators_with_the_same_jobs_do_not_lock_each_other_out(connected, operator, a_job):
    batch = [a_job(f"uid-{number}").transition(1, "Running") for number in range(40)]
    ends = [a_job(f"uid-{number}").end(1) for number in range(40)]

    await asyncio.gather(
        operator.write([*batch, *ends]),
        operator.write([*reversed(ends), *reversed(batch)]),
        *(operator.accept(a_job(f"uid-{number}").job(), a_job(f"uid-{number}").start(2)) for number in range(40)),
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


def expected(records):
    """What must be visible of these records, said without any order."""
    moves = {each.transition: each for each in records if isinstance(each, TransitionRecord)}
    stands = max(moves.values(), key=lambda each: (each.finished, each.transition), default=None)
    ends = {each.start: each for each in records if isinstance(each, StartEnd)}
    begun = {each.start for each in records if isinstance(each, StartRecord)} | set(ends)
    return (
        (stands.phase, stands.transition) if stands else ("Pending", None),
        sorted(moves),
        [(n, ends[n].message if n in ends else None, n in ends or n < max(begun)) for n in sorted(begun)],
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(st.integers(0, 14), max_size=6), max_size=8), two=st.booleans())
async def test_neither_order_nor_repetition_nor_a_second_operator_changes_what_stands(
    connected, operator, a_job, batches, two
):
    build = a_job(f"order-{next(_uids)}")
    pool = everything(build)
    batches = [[pool[index] for index in batch] for batch in batches]

    if two:
        half = len(batches) // 2
        await asyncio.gather(feed(operator, batches[:half]), feed(operator, batches[half:]))
    else:
        await feed(operator, batches)

    fed = [record for batch in batches for record in batch]
    (job,) = await rows(connected, "jobs", uid=build.uid) if fed else (None,)
    if job is not None:
        begun = await rows(connected, "starts", uid=build.uid)
        moves = await rows(connected, "transitions", uid=build.uid)
        seen = (
            (job.phase, job.transition),
            [move.transition for move in moves],
            [(row.start, row.message, row.fenced_at is not None) for row in begun],
        )
        assert seen == expected(fed)
        assert (job.resolved is not None) == (pool[0] in fed)
        assert (job.deleted_at is not None) == (pool[-1] in fed)


async def feed(operator, batches):
    for batch in batches:
        await operator.write(batch)


async def test_feeding_everything_again_changes_no_row(connected, operator, a_job):
    build = a_job()
    await operator.write(everything(build))
    before = [await rows(connected, table, uid=build.uid) for table in ORDER]

    await operator.write(list(reversed(everything(build))))

    assert before == [await rows(connected, table, uid=build.uid) for table in ORDER]


async def test_a_start_begins_when_it_was_first_seen_to(connected, operator, a_job):
    build = a_job()
    early = build.start(1)
    await operator.write([build.end(1), early])

    (row,) = await rows(connected, "starts", uid=build.uid)
    assert row.started_at == early.time == row.ended_at - timedelta(seconds=30)


async def test_a_schedules_job_is_known_by_name_unless_it_is_an_older_schedules(operator, a_job):
    made = a_job("made", name="brief-1", minute=5, schedule="brief")
    await operator.accept(made.job())

    known = await operator.job_of("default", "brief", "brief-1", since=made.key.created)
    older = await operator.job_of("default", "brief", "brief-1", since=made.key.created + timedelta(minutes=1))

    assert (known, older) == ("made", None)
    assert await operator.job_of("default", "other", "brief-1", since=made.key.created) is None
