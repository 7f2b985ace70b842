"""Who of several equal jobs runs: decided at acceptance, once."""

import asyncio
from datetime import timedelta

import pytest

from agentjobs.history.records import Acceptance, Accepted, Duplicate, SlotRequest, Superseded, UniqueRequest

SKIP = UniqueRequest("review/7")
REPLACE = UniqueRequest("review/7", replaces=True)
DEBOUNCE = UniqueRequest("review/7", states="Scheduled", replaces=True)


@pytest.fixture
def job(a_job):
    """Makes the n-th job, created in minute n."""
    return lambda n, **more: a_job(f"uid-{n}", name=f"job-{n}", minute=n, **more)


@pytest.fixture
def accept(operator):
    async def accepted(build, unique, *, start=0):
        return await operator.accept(Acceptance(build.job(), build.start(start) if start else None, unique=unique))

    return accepted


async def end(operator, build, phase="Succeeded"):
    await operator.write([build.transition(9, phase, finished=True)])


def is_accepted(answer):
    return isinstance(answer, Accepted)


async def test_the_second_of_two_is_a_duplicate_of_the_first(accept, job):
    assert is_accepted(await accept(job(1), SKIP))

    assert await accept(job(2), SKIP) == Duplicate("uid-1", "job-1")


@pytest.mark.parametrize(
    "other", [UniqueRequest("review/8"), None, "namespace"], ids=["another key", "none", "another namespace"]
)
async def test_jobs_with_other_keys_or_namespaces_are_not_duplicates(accept, job, other):
    await accept(job(1), SKIP)
    build = job(2, namespace="elsewhere") if other == "namespace" else job(2)

    assert is_accepted(await accept(build, SKIP if other == "namespace" else other))


@pytest.mark.parametrize(
    ("states", "how", "runs"),
    [
        ("Scheduled", "waits", False),
        ("Scheduled", "started", True),
        ("Incomplete", "started", False),
        ("Incomplete", "Succeeded", True),
        ("Incomplete", "deleted", True),
        ("Successful", "started", False),
        ("Successful", "Succeeded", False),
        ("Successful", "Failed", True),
        ("Successful", "deleted", True),
        ("All", "Failed", False),
        ("All", "deleted", False),
    ],
)
async def test_the_unique_mode_determines_which_earlier_jobs_count(operator, accept, job, states, how, runs):
    await accept(job(1), SKIP, start=1 if how == "started" else 0)
    if how == "deleted":
        await operator.write([job(1).deletion()])
    elif how[0].isupper():
        await end(operator, job(1), how)

    assert is_accepted(await accept(job(2), UniqueRequest("review/7", states=states))) == runs


@pytest.mark.parametrize(("minute", "runs"), [(5, False), (6, False), (7, True)])
async def test_only_jobs_created_within_the_period_count(operator, accept, job, minute, runs):
    await accept(job(1), SKIP)
    await end(operator, job(1))

    unique = UniqueRequest("review/7", timedelta(minutes=5), "All")

    assert is_accepted(await accept(job(minute), unique)) == runs


async def test_a_skipped_job_does_not_count_as_an_equal_job(operator, accept, job):
    unique = UniqueRequest("review/7", states="All", period=timedelta(minutes=2))
    await accept(job(1), unique)
    assert await accept(job(3), unique) == Duplicate("uid-1", "job-1")

    assert is_accepted(await accept(job(4), unique))


async def test_a_decision_remains_after_the_equal_job_has_ended(operator, accept, job):
    await accept(job(1), SKIP)
    await accept(job(2), SKIP)
    await end(operator, job(1))

    assert await accept(job(2), SKIP, start=1) == Duplicate("uid-1", "job-1")
    assert is_accepted(await accept(job(3), SKIP))
    assert is_accepted(await accept(job(3), SKIP, start=1))


async def test_a_newer_job_replaces_one_without_a_start(accept, job):
    await accept(job(1), REPLACE)

    second = await accept(job(2), REPLACE)

    assert is_accepted(second)
    assert second.replaced == (("uid-1", "job-1"),)
    assert await accept(job(1), REPLACE, start=1) == Superseded("uid-2", "job-2")
    assert is_accepted(await accept(job(2), REPLACE, start=1))


async def test_a_job_with_a_start_is_not_replaced(accept, job):
    await accept(job(1), REPLACE, start=1)

    assert await accept(job(2), REPLACE) == Duplicate("uid-1", "job-1")


async def test_the_last_job_of_a_burst_remains_in_any_order_of_arrival(accept, job):
    for n in (2, 3, 1):
        await accept(job(n), DEBOUNCE)

    starts = [await accept(job(n), DEBOUNCE, start=1) for n in (1, 2, 3)]

    assert starts[:2] == [Superseded("uid-3", "job-3")] * 2
    assert is_accepted(starts[2])


async def test_the_last_name_of_a_burst_within_one_second_remains(accept, a_job):
    jobs = [a_job(f"uid-{n}", name=f"job-{n}") for n in (2, 1, 3)]

    answers = await asyncio.gather(*(accept(one, DEBOUNCE) for one in jobs))
    starts = [await accept(one, DEBOUNCE, start=1) for one in jobs]

    assert all(isinstance(answer, Superseded) for answer in starts[:2])
    assert is_accepted(starts[2])
    assert is_accepted(answers[2])


async def test_a_burst_after_the_start_of_the_last_job_runs_again(accept, job):
    await accept(job(1), DEBOUNCE, start=1)

    assert is_accepted(await accept(job(2), DEBOUNCE))


async def test_many_simultaneous_equal_jobs_make_one_run(accept, job):
    answers = await asyncio.gather(
        *(
            accept(
                job(
                    n % 60,
                ),
                SKIP,
                start=1,
            )
            for n in range(50)
        )
    )

    assert [is_accepted(answer) for answer in answers].count(True) == 1
    assert is_accepted(answers[0])
    assert set(answers[1:]) == {Duplicate("uid-0", "job-0")}


async def test_a_duplicate_takes_no_slot_and_has_no_start(operator, gateway, accept, job):
    slot = SlotRequest("agents", "", limit=1)
    await accept(job(1), SKIP)
    skipped = await operator.accept(Acceptance(job(2).job(), job(2).start(1), slot, SKIP))
    other = await operator.accept(Acceptance(job(3).job(), job(3).start(1), slot))

    assert isinstance(skipped, Duplicate)
    assert is_accepted(other)
    assert (await gateway.job_history("default", "uid-2")).starts == []


async def test_a_job_accepted_before_history_was_lost_counts_and_is_not_decided_again(accept, job):
    before = UniqueRequest("review/7", is_decided=True)
    assert is_accepted(await accept(job(1), before))
    assert is_accepted(await accept(job(2), before, start=2))

    assert isinstance(await accept(job(3), SKIP), Duplicate)
