"""Of a job that has ended little is kept, and every promise to it holds."""

import copy
import gc
import tracemalloc
from datetime import timedelta

import pytest

from agentjobs.contract import FINALIZER, LABEL_RELEASED, Verdict
from agentjobs.core.job.ended import EndedJob
from agentjobs.core.job.observation import Job
from agentjobs.history.records import Deletion
from agentjobs.kube.resources import AGENTJOBS

JOB = ("default", "hello")


@pytest.fixture
async def ended(world):
    """A job that has ended, and of which little is kept."""
    world.apply(ttlSecondsAfterFinished=600)
    await world.act()
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)
    assert isinstance(world.reconciler.state.jobs.get(JOB), EndedJob)
    return world


async def test_an_unfinished_job_is_kept_completely_in_memory(world):
    world.apply()
    await world.act()

    assert isinstance(world.reconciler.state.jobs.get(JOB), Job)


async def test_a_new_operator_reads_and_writes_nothing_for_an_ended_job(ended):
    ended.writes.clear()
    ended.restart()
    await ended.act()

    assert ended.writes == []
    assert isinstance(ended.reconciler.state.jobs.get(JOB), EndedJob)


@pytest.mark.parametrize("restarted", [False, True], ids=["told by the watch", "found by the first list"])
async def test_an_edit_of_an_ended_job_is_observed(ended, restarted):
    ended.edit(priority=0)
    if restarted:
        ended.restart()
    await ended.act()

    assert ended.status().observed_generation == ended.job()["metadata"]["generation"] == 2
    assert isinstance(ended.reconciler.state.jobs.get(JOB), EndedJob)


@pytest.mark.parametrize(("ttl", "gone_after"), [(60, 61), (6000, 6001)], ids=["shorter", "longer"])
async def test_a_changed_ttl_of_an_ended_job_applies(ended, ttl, gone_after):
    ended.edit(ttlSecondsAfterFinished=ttl)
    await ended.act()

    ended.now += timedelta(seconds=gone_after - 10)
    await ended.settle()
    before = ended.jobs()
    ended.now += timedelta(seconds=10)
    await ended.settle()

    assert (before, ended.jobs()) == (["hello"], [])


async def test_the_deletion_of_an_ended_job_is_recorded(ended):
    ended.remove("hello")
    await ended.act()

    assert [record.job.name for record in ended.records.values() if isinstance(record, Deletion)] == ["hello"]
    assert ended.reconciler.state.jobs.get(JOB) is None


async def test_a_new_job_with_the_name_of_an_ended_one_starts(ended):
    ended.remove("hello")
    ended.apply()
    await ended.act()

    assert ended.status().starts == 1
    assert isinstance(ended.reconciler.state.jobs.get(JOB), Job)


async def test_a_pod_whose_finalizer_a_crash_left_is_released(ended):
    pod = ended.pods()[0]
    held = copy.deepcopy(pod)
    held["metadata"]["finalizers"] = [FINALIZER]
    del held["metadata"]["labels"][LABEL_RELEASED]
    ended._put(("Pod", "default", pod["metadata"]["name"]), "MODIFIED", held)
    ended.restart()
    await ended.act()

    assert "finalizers" not in ended.pods()[0]["metadata"] or not ended.pods()[0]["metadata"]["finalizers"]


async def test_lost_history_is_written_again_before_the_object_is_deleted(ended):
    ended.records.clear()
    ended.history.jobs_by_uid.clear()
    ended.now += timedelta(seconds=601)
    await ended.settle()
    written = {type(record).__name__ for record in ended.records.values()}
    await ended.act(seconds=3)

    assert written == {"StartEnd", "TransitionRecord"}
    assert ended.jobs() == []


async def test_a_thousand_ended_jobs_take_less_than_a_kilobyte_each(ended):
    state, model = ended.reconciler.state, ended.job()

    def copied(number):
        obj = copy.deepcopy(model)
        obj["metadata"] |= {"name": f"copy-{number:06}", "uid": f"00000000-0000-4000-8000-{number:012}"}
        return obj

    def take(numbers):
        listing = state.informers.listing(state.informers.kinds[-1].resource)
        for number in numbers:
            listing.take(copied(number))

    take(range(100))
    gc.collect()
    tracemalloc.start()
    take(range(100, 1100))
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert taken / 1000 < 1024


async def test_the_pod_of_an_ended_job_is_kept_and_no_longer_watched(ended):
    (pod,) = ended.pods()
    known = len(ended.reconciler.state.pods)
    ended.restart()

    assert pod["metadata"]["labels"]["agentjobs.dev/released"] == "true"
    assert (known, len(ended.reconciler.state.pods)) == (0, 0)


async def test_a_running_pod_that_is_labelled_as_released_is_watched_again(world):
    world.apply()
    await world.act()
    world.run_pod(world.pods()[0])
    await world.act()
    (pod,) = world.pods()
    lost = copy.deepcopy(pod)
    lost["metadata"]["labels"]["agentjobs.dev/released"] = "true"
    world._put(("Pod", "default", pod["metadata"]["name"]), "MODIFIED", lost)
    await world.act(seconds=3)

    assert "agentjobs.dev/released" not in world.pods()[0]["metadata"]["labels"]
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)
    assert (world.status().phase, world.status().starts) == ("Succeeded", 1)


async def test_a_clock_change_wakes_all_jobs_except_ended_ones(ended):
    ended.apply("other")
    ended.tell()
    await ended.settle()

    ended.reconciler.state.informers.wake_all()

    woken = list(ended.reconciler.state.queue._waiting)
    assert ("AgentJob", "default", "other") in woken
    assert ("AgentJob", *JOB) not in woken


@pytest.mark.parametrize("looked_at", ["while history is away", "when the clock is set back already"])
async def test_a_job_that_expired_before_the_clock_was_set_back_is_deleted_later(ended, looked_at):
    """What wakes it was taken out of the heap by then."""
    state = ended.reconciler.state
    ended.wall_ahead = timedelta(seconds=601)
    due = state.expiries.due(ended.now + ended.wall_ahead)
    if looked_at == "while history is away":
        ended.history_away = True
        await ended.reconciler.reconcile(AGENTJOBS.key(JOB))
        ended.history_away = False
    ended.wall_ahead = timedelta(0)
    await ended.reconciler.reconcile(AGENTJOBS.key(JOB))

    assert due == [JOB]
    assert isinstance(state.jobs.get(JOB), EndedJob)
    assert state.expiries.due(ended.now + timedelta(seconds=601)) == [JOB]
