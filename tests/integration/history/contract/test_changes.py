"""Changes since an earlier request: each is reported once, and none is left out."""

import pytest
from tests.integration.history.runner_calls import a_step, an_event, record

from agentjobs.history.change_records import MAX_CHANGED, ChangedJob
from agentjobs.history.records import Acceptance


def uids(answer):
    return [job.uid for job in answer.jobs]


async def test_the_first_answer_has_a_mark_and_no_jobs(operator, changes, a_job):
    await operator.write([a_job("u1").transition(1, "Queued")])

    answer = await changes.changes(None)

    assert (answer.jobs, answer.more, bool(answer.mark)) == ((), False, True)


async def test_a_change_is_reported_once_with_its_namespace_and_name(operator, changes, a_job):
    before = await changes.changes(None)
    await operator.write([a_job("u1", name="hello", namespace="docs").transition(1, "Queued")])

    told = await changes.changes(before.mark)
    again = await changes.changes(told.mark)

    assert (told.jobs, again.jobs) == ((ChangedJob("docs", "hello", "u1"),), ())


async def test_a_mark_can_be_used_again(operator, changes, a_job):
    before = await changes.changes(None)
    await operator.write([a_job("u1").transition(1, "Queued")])
    await changes.changes(before.mark)
    await operator.write([a_job("u2").transition(1, "Queued")])

    assert sorted(uids(await changes.changes(before.mark))) == ["u1", "u2"]


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda operator, job: operator.accept(Acceptance(job.job(), job.start(1))), id="accepted"),
        pytest.param(lambda operator, job: operator.write([job.transition(1, "Running")]), id="moved"),
        pytest.param(lambda operator, job: operator.write([job.transition(9, "Failed", finished=True)]), id="ended"),
        pytest.param(lambda operator, job: operator.write([job.deletion()]), id="deleted"),
    ],
)
async def test_every_write_about_a_job_is_a_change(operator, changes, a_job, write):
    await operator.write([a_job("u1").transition(0, "Pending")])
    before = await changes.changes(None)

    await write(operator, a_job("u1"))

    assert uids(await changes.changes(before.mark)) == ["u1"]


async def test_the_latest_change_is_first(operator, changes, a_job):
    before = await changes.changes(None)
    for uid in ("u1", "u2", "u3"):
        await operator.write([a_job(uid).transition(1, "Queued")])
        await changes.changes(before.mark)

    assert uids(await changes.changes(before.mark)) == ["u3", "u2", "u1"]


async def test_an_answer_says_if_there_are_more_changes(operator, changes, a_job):
    before = await changes.changes(None)
    await operator.write([a_job(f"u{n}", name=f"j{n}").transition(1, "Queued") for n in range(MAX_CHANGED + 1)])

    answer = await changes.changes(before.mark)

    assert (len(answer.jobs), answer.more) == (MAX_CHANGED, True)


async def test_claims_heartbeats_entries_steps_and_newer_starts_are_progress(operator, gateway, changes, a_job):
    build = a_job("u1")
    await operator.accept(Acceptance(build.job(), build.start(1)))
    told = [(await changes.changes(None, watched=["u1"])).progress]
    for write in (
        lambda: gateway.claim("u1", 1, "pod-1", **build.place),
        lambda: gateway.heartbeat("u1", 1, "pod-1"),
        lambda: gateway.add_events("u1", 1, "pod-1", [an_event()]),
        lambda: record(gateway, "u1", 1, a_step("a")),
        lambda: operator.accept(Acceptance(build.job(), build.start(2))),
    ):
        await write()
        told.append((await changes.changes(None, watched=["u1"])).progress)

    assert [list(one) for one in told] == [["u1"]] * 6
    assert len({one["u1"] for one in told}) == 6


async def test_progress_is_unchanged_without_new_entries(operator, changes, a_job):
    build = a_job("u1")
    await operator.accept(Acceptance(build.job(), build.start(1)))

    told = [await changes.changes(None, watched=["u1", "unknown"]) for _ in range(2)]

    assert told[0].progress == told[1].progress != {}
