"""Both clients against real servers: what one does the other does."""

from contextlib import aclosing

import pytest

from agentjobs.client import AlreadyExists, Invalid, NotFound

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("shared-cluster")]


def a_spec(script="quick", **more):
    return {
        "agent": {"model": f"scripted/answers/{script}", "inline": {"instruction": "Be brief."}},
        "input": {"message": "Go."},
        **more,
    }


async def test_submitting_twice_runs_once(jobs, name):
    first = await jobs.submit(a_spec(), name=name, labels={"team": "docs"})
    again = await jobs.submit(a_spec(priority=5), name=name)
    ended = await jobs.wait(name, timeout=110)
    late = await jobs.submit(a_spec(), name=name)

    assert (ended.succeeded, ended.status.starts) == (True, 1)
    assert first.uid == again.uid == late.uid
    assert (await jobs.result(name)).text == "Hello!"
    assert name in [job.name for job in await jobs.list(selector="team=docs")]


async def test_a_name_taken_by_other_work_is_refused(jobs, name):
    await jobs.submit(a_spec(startAfter="1h"), name=name)

    with pytest.raises(AlreadyExists, match=r"agent\.model differs"):
        await jobs.submit(a_spec("slow"), name=name)


async def test_an_invalid_spec_is_refused_with_the_servers_message(jobs, name):
    with pytest.raises(Invalid, match=r"spec\.agnet"):
        await jobs.submit({"agnet": {}, **a_spec()}, name=name)


async def test_changes_are_streamed_until_the_job_ends_and_events_until_their_last(jobs, name):
    await jobs.submit(a_spec(), name=name)

    events = [event.kind async for event in jobs.events(name, follow=True)]
    phases = [job.phase async for job in jobs.watch(name, timeout=110)]

    assert (events[0], events[-1]) == ("started", "ended")
    assert phases[-1] == "Succeeded"


async def test_several_jobs_can_be_waited_for_together(jobs, name):
    await jobs.set_config_map(name, {"script": "starts: [[{text: Mine.}]]"})
    names = [f"{name}-{number}" for number in range(3)]
    for each in names[:2]:
        await jobs.submit(a_spec(agent={"model": f"scripted/{name}/script", "inline": {}}), name=each)
    await jobs.submit(a_spec(startAfter="1h"), name=names[2])
    await jobs.cancel(names[2])

    ended = [job.name async for job in jobs.as_completed(names, timeout=110)]
    whole = await jobs.wait_all(names, timeout=110)

    assert sorted(ended) == names
    assert [(job.name, job.phase) for job in whole] == list(zip(names, ["Succeeded"] * 2 + ["Cancelled"], strict=True))
    with pytest.raises(NotFound):
        await jobs.wait_all([*names, f"{name}-none"], timeout=110)
    assert (await jobs.cancel(names[0])).version == whole[0].version


async def test_a_deleted_job_can_be_rerun_from_history(jobs, name):
    await jobs.submit(a_spec(), name=name)
    await jobs.wait(name, timeout=110)
    await jobs.delete(name)

    await jobs.rerun(name, new_name=f"{name}-2")

    assert (await jobs.wait(f"{name}-2", timeout=110)).succeeded


async def test_a_cancelled_job_ends_without_a_result(jobs, name):
    await jobs.submit(a_spec("slow", startAfter="1h"), name=name)
    await jobs.cancel(name)

    ended = await jobs.wait(name, timeout=110)

    assert (ended.phase, ended.succeeded) == ("Cancelled", False)
    with pytest.raises(NotFound):  # NoResult, once the end is recorded
        await jobs.result(name)


async def test_a_job_continues_after_a_wait_times_out(jobs, name):
    await jobs.submit(a_spec("slow", startAfter="1h"), name=name)

    with pytest.raises(TimeoutError, match="did not end within"):
        await jobs.wait(name, timeout=0.3)

    assert not (await jobs.get(name)).finished


async def test_history_is_kept_after_the_object_is_deleted(jobs, name):
    await jobs.submit(a_spec(), name=name)
    await jobs.wait(name, timeout=110)
    await jobs.delete(name)
    await jobs.delete(name)

    with pytest.raises(NotFound):
        await jobs.wait(name, timeout=5)
    assert (await jobs.result(name)).text == "Hello!"
    assert [start.start for start in (await jobs.job_history(name)).starts] == [1]
    assert [job.name async for job in jobs.history(name=name)] == [name]


async def test_a_rerun_is_a_new_job_with_the_same_work(jobs, name):
    first = await jobs.submit(a_spec(), name=name)

    again = await jobs.rerun(name)

    assert again.uid != first.uid
    assert again.name.startswith(name[:40])
    assert (await jobs.wait(again.name, timeout=110)).succeeded


async def test_an_iterator_that_is_left_early_closes_its_connection(jobs, name):
    await jobs.submit(a_spec("slow", startAfter="1h"), name=name)

    async with aclosing(jobs.watch(name)) as states:
        async for job in states:
            assert job.name == name
            break

    assert (await jobs.get(name)).name == name


async def test_a_schedule_is_applied_and_triggered(jobs, name):
    schedules, spec = jobs.schedules, {"schedule": "@yearly", "jobTemplate": {"spec": a_spec()}}
    first = await schedules.apply(name, spec, labels={"team": "docs"})
    await schedules.suspend(name)
    changed = await schedules.apply(name, {**spec, "schedule": "@monthly"})
    same = await schedules.apply(name, {**spec, "schedule": "@monthly"})

    made = await schedules.trigger(name, value="once")
    again = await schedules.trigger(name, value="once")
    await jobs.wait(made.name, timeout=110)
    told = [job.name async for job in jobs.history(schedule=name)]

    assert (changed.uid, changed.spec["schedule"], changed.spec["suspend"]) == (first.uid, "@monthly", True)
    assert changed.spec == same.spec
    assert (made.uid, told) == (again.uid, [made.name])
    assert name in [schedule.name for schedule in await schedules.list(selector="team=docs")]
    assert (await schedules.resume(name)).spec["suspend"] is False
    await schedules.delete(name)
    with pytest.raises(NotFound):
        await schedules.get(name)


async def test_an_invalid_schedule_is_refused_with_the_servers_message(jobs, name):
    with pytest.raises(Invalid, match=r"jobTemplat"):
        await jobs.schedules.apply(name, {"schedule": "@daily", "jobTemplat": {}})
