"""The operator's writes have the same result in any order, with repetitions, and from several operators."""

import asyncio
import itertools
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentjobs import errors
from agentjobs.core.job.observation import FinalResult
from agentjobs.history.records import Acceptance, Accepted, Deletion, StartEnd, StartRecord, TransitionRecord

_uids = itertools.count()


async def test_acceptance_returns_the_work(operator, a_job):
    build = a_job()

    assert await operator.accept(Acceptance(build.job(), build.start(1))) == Accepted(build.job().resolved)


async def test_the_first_acceptance_wins(operator, a_job):
    build = a_job()
    await operator.accept(Acceptance(build.job("first"), build.start(1)))

    stored = await operator.accept(Acceptance(build.job("second"), build.start(2)))

    assert stored.resolved["spec"]["input"]["message"] == "first"


async def test_jobs_accepted_together_get_their_own_work(operator, a_job):
    builds = [a_job(f"uid-{number}") for number in range(20)]

    stored = await asyncio.gather(
        *(operator.accept(Acceptance(each.job(f"for {number}"), each.start(1))) for number, each in enumerate(builds))
    )

    assert [each.resolved["spec"]["input"]["message"] for each in stored] == [f"for {number}" for number in range(20)]


async def test_the_first_of_two_acceptances_in_the_same_batch_wins(operator, a_job):
    build = a_job()

    stored = await asyncio.gather(
        *(operator.accept(Acceptance(build.job(said), build.start(1))) for said in ("first", "second"))
    )

    assert [each.resolved["spec"]["input"]["message"] for each in stored] == ["first", "first"]


async def test_a_job_known_by_a_transition_can_still_be_accepted(operator, a_job):
    build = a_job()
    await operator.write([build.transition(1, "Queued")])

    assert await operator.accept(Acceptance(build.job(), build.start(1))) == Accepted(build.job().resolved)


async def test_the_order_of_keys_is_kept(operator, a_job):
    build = a_job()
    build.job().resolved["spec"]["input"]["state"] = {"b": 1, "a": 2}

    stored = await operator.accept(Acceptance(build.job(), build.start(1)))

    assert list(stored.resolved["spec"]) == list(build.job().resolved["spec"])


async def test_an_end_is_found_only_after_it_is_written(operator, a_job):
    build = a_job()
    await operator.write([build.transition(1, "Running")])
    before = await operator.recorded(build.uid)
    await operator.write([build.transition(2, "Failed", finished=True)])

    assert (before, await operator.recorded(build.uid)) == (None, "Failed")


async def test_an_unknown_job_has_no_end_result_usage_or_heartbeat(operator):
    assert await operator.recorded("nobody") is None
    assert await operator.final_result("nobody") == FinalResult(answer=None, usage={})
    assert await operator.silence("nobody", 1) is None


async def test_open_jobs_whose_object_was_deleted_are_closed(operator, a_job):
    gone, there, ended, elsewhere = (a_job(name) for name in ("gone", "there", "ended", "elsewhere"))
    elsewhere.key = a_job("elsewhere", namespace="other").key
    await operator.write([each.transition(1, "Running") for each in (gone, there, elsewhere)])
    await operator.write([ended.transition(1, "Succeeded", finished=True)])
    listed_at = await operator.clock()

    closed = await operator.close_vanished(lambda uid, *_: uid == "there", listed_at=listed_at, namespaces=["default"])

    assert closed == 1
    phases = [await operator.recorded(each.uid) for each in (gone, there, ended, elsewhere)]
    assert phases == ["Deleted", None, "Succeeded", None]


async def test_the_open_start_of_a_job_whose_object_was_deleted_is_ended(operator, gateway, a_job):
    build = a_job()
    await operator.write([build.job(), build.start(1), build.end(1), build.start(2), build.transition(1, "Running")])

    await operator.close_vanished(lambda *_: False, listed_at=await operator.clock())

    first, second = (await gateway.job_history("default", build.uid)).starts
    assert (first.verdict, first.reason) == ("Retry", "ToolError")
    assert (second.verdict, second.reason, second.charged) == ("Cancel", "JobDeleted", False)
    assert second.ended is not None


async def test_jobs_stored_after_the_list_began_remain_open(operator, a_job):
    listed_at = await operator.clock()
    await operator.write([a_job().transition(1, "Running")])

    assert await operator.close_vanished(lambda *_: False, listed_at=listed_at) == 0


async def test_an_end_written_after_the_deletion_is_the_jobs_end(operator, a_job):
    build = a_job()
    await operator.write([build.deletion()])
    deleted = await operator.recorded(build.uid)
    await operator.write([build.transition(4, "Succeeded", finished=True)])

    assert (deleted, await operator.recorded(build.uid)) == ("Deleted", "Succeeded")


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
    gone = any(isinstance(each, Deletion) for each in records)
    phase = "Deleted" if gone and not (stands and stands.finished) else stands.phase if stands else "Pending"
    return (
        (phase, stands.time if stands else None),
        sorted(moves),
        [(n, ends[n].message if n in ends else None) for n in sorted(begun)],
        {n for n in begun if n in ends or n < max(begun)},
    )


async def feed(operator, batches):
    for batch in batches:
        await operator.write(batch)


async def test_a_schedules_job_is_found_by_name_unless_it_belongs_to_an_older_schedule(operator, a_job):
    made = a_job("made", name="brief-1", minute=5, schedule="brief")
    await operator.accept(Acceptance(made.job()))

    known = await operator.job_of("default", "brief", "brief-1", since=made.key.created)
    older = await operator.job_of("default", "brief", "brief-1", since=made.key.created + timedelta(minutes=1))

    assert (known, older) == ("made", None)
    assert await operator.job_of("default", "other", "brief-1", since=made.key.created) is None


@pytest.mark.parametrize("late", [1, 3], ids=["older", "newer"])
async def test_an_end_is_final(operator, gateway, a_job, late):
    build = a_job()
    await operator.write([build.transition(2, "Cancelled", finished=True)])
    await operator.write([build.transition(late, "Running")])

    job = await gateway.job("default", build.uid)
    assert (job.phase, job.finished) == ("Cancelled", build.transition(2, "").time)


async def test_a_start_keeps_its_first_recorded_start_time(operator, gateway, a_job):
    build = a_job()
    early = build.start(1)
    await operator.write([build.end(1), early])

    (start,) = (await gateway.job_history("default", build.uid)).starts
    assert start.started == early.time == start.ended - timedelta(seconds=30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(st.integers(0, 14), max_size=6), max_size=8), two=st.booleans())
async def test_the_stored_rows_do_not_depend_on_order_repetition_or_a_second_operator(
    operator, gateway, a_job, batches, two
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
    if fed:
        story = await gateway.job_history("default", build.uid)
        assert (
            (story.job.phase, story.job.changed),
            [move.transition for move in story.transitions],
            [(start.start, start.message) for start in story.starts],
            await fenced(gateway, build, story),
        ) == expected(fed)
        assert (await operator.resolved(build.uid) is not None) == (pool[0] in fed)
        assert (story.job.deleted is not None) == (pool[-1] in fed)


async def fenced(gateway, build, story):
    """The starts that no pod may claim any more."""
    found = set()
    for start in story.starts:
        try:
            await gateway.claim(build.uid, start.start, "pod", **build.place)
        except errors.Fenced:
            found.add(start.start)
        except errors.NotFound:
            pass  # the job was never accepted
    return found
