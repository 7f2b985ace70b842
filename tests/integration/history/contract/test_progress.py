"""The operator learns of each start how far it got, and whether that is farther than the starts before it."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.integration.history.runner_calls import a_call, a_step, record

from agentjobs.core.job.observation import Progress
from agentjobs.history.records import Acceptance

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def begin(operator, gateway, build):
    async def begin_start(start, *, claim=True):
        await operator.accept(Acceptance(build.job(), build.start(start)))
        if claim:
            await gateway.claim(build.uid, start, f"pod-{start}", **build.place)

    return begin_start


async def test_a_start_that_recorded_nothing_made_no_progress(operator, build, begin):
    await begin(1)

    assert await operator.progress(build.uid, 1) == Progress()
    assert await operator.progress(build.uid, 7) == await operator.progress("nobody", 1) == Progress()


async def test_the_progress_of_a_start_is_its_newest_step(operator, gateway, build, begin):
    await begin(1)
    await record(gateway, build.uid, 1, a_step("a"), a_step("b", second=7) | {"name": "add"}, a_call("c"))

    progress = await operator.progress(build.uid, 1)

    assert progress == Progress(0, 2, "add", NOON + timedelta(seconds=8), advanced=True)


async def test_the_progress_of_a_later_start_counts_from_the_steps_it_found(operator, gateway, build, begin):
    await begin(1)
    await record(gateway, build.uid, 1, a_step("a"), a_step("b"))
    await begin(2)
    found = await operator.progress(build.uid, 2)
    await record(gateway, build.uid, 2, a_step("c", second=30))
    first, second = [await operator.progress(build.uid, start) for start in (1, 2)]

    assert (found.before, found.last, found.advanced) == (2, 2, False)
    assert (second.before, second.last, second.advanced) == (2, 3, True)
    assert (first.before, first.advanced) == (0, True)


async def test_a_call_that_a_start_ends_for_an_earlier_one_is_progress(operator, gateway, build, begin):
    await begin(1)
    await record(gateway, build.uid, 1, a_call("a"), a_step("b"))
    await begin(2)
    await record(gateway, build.uid, 2, a_call("a", body="done", second=30))

    progress = await operator.progress(build.uid, 2)

    assert (progress.before, progress.last, progress.advanced) == (2, 2, True)


@pytest.mark.parametrize("make", ["beginning", "void", "made-void"])
async def test_a_step_that_later_starts_cannot_use_is_not_progress(operator, gateway, build, begin, make):
    await begin(1)
    await record(gateway, build.uid, 1, a_step("a"))
    await begin(2)
    step = a_call("b") if make == "beginning" else a_step("b", void=make == "void")
    await record(gateway, build.uid, 2, step)
    await record(gateway, build.uid, 2, void=["b"] if make == "made-void" else [])

    told = await operator.progress(build.uid, 2)

    assert told == Progress(1, 1, "scripted", NOON + timedelta(seconds=1), advanced=False)


async def test_an_unclaimed_start_has_the_progress_of_the_previous_start(operator, gateway, build, begin):
    await begin(1)
    await record(gateway, build.uid, 1, a_step("a"))
    await begin(2, claim=False)

    progress = await operator.progress(build.uid, 2)

    assert (progress.before, progress.last, progress.advanced) == (1, 1, False)


async def test_the_progress_of_a_start_that_begins_a_run_counts_from_zero(operator, gateway, build, begin):
    await begin(1)
    await record(gateway, build.uid, 1, a_step("a"))
    await begin(2)
    await record(gateway, build.uid, 2, a_step("a"), run=2)

    progress = await operator.progress(build.uid, 2)

    assert (progress.before, progress.last, progress.advanced) == (0, 2, True)


async def test_the_end_of_a_job_has_the_progress_of_its_last_start(operator, gateway, build, begin):
    await begin(1)
    await record(gateway, build.uid, 1, a_step("a"))
    await begin(2)

    assert (await operator.final_result(build.uid)).progress == await operator.progress(build.uid, 2)
    assert (await operator.final_result("nobody")).progress is None
