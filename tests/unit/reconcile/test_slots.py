"""Slots of a queue: a job that does not start releases its promised slot, with a fault at any time."""

from contextlib import suppress

import pytest

from agentjobs.api.conditions import Phase
from agentjobs.contract import Verdict
from agentjobs.core.job import needs
from agentjobs.core.queues.admission import Granted
from agentjobs.errors import Unavailable
from agentjobs.kube.resources import AGENTJOBS, PODS
from agentjobs.reconcile.kinds import KINDS
from agentjobs.reconcile.state import State

SERVER_AWAY = Unavailable("no answer")


async def full(world):
    """Ten jobs run, and no slot is left."""
    for number in range(10):
        world.apply(f"job-{number}")
    await world.act()


async def promised(world, name="last"):
    """One more job has been promised the tenth slot, and cannot claim it yet."""
    for number in range(9):
        world.apply(f"job-{number}")
    await world.act()
    world.refuse["status", "AgentJob"] = SERVER_AWAY
    world.apply(name)
    await world.act()
    world.apply("waits")
    await world.act()
    world.refuse.clear()


async def free_one(world):
    world.end_pod(world.pods("job-3")[0], Verdict.SUCCEED)
    await world.act(seconds=1)
    await world.act(seconds=1)


@pytest.mark.parametrize(
    "edit",
    [{"startAfter": "10h"}, {"queue": "unknown"}, {"suspend": True}],
    ids=["put-off", "moved-to-no-queue", "suspended"],
)
async def test_a_waiting_job_that_is_moved_or_held_gets_no_slot(world, edit):
    await full(world)
    world.apply("first")
    world.apply("second")
    await world.act(seconds=1)
    world.edit("first", **edit)
    await world.act(seconds=1)
    await free_one(world)

    assert world.status("second").phase is Phase.RUNNING


@pytest.mark.parametrize(
    "edit",
    [{"startAfter": "10h"}, {"queue": "unknown"}, {"queue": "scheduled"}, {"suspend": True}, {"cancel": True}],
    ids=["put-off", "moved-to-no-queue", "moved", "suspended", "cancelled"],
)
async def test_a_promised_slot_is_freed_when_its_job_is_moved_or_held(world, edit):
    await promised(world)
    world.edit("last", **edit)
    await world.act(seconds=1)
    await world.act(seconds=1)

    assert world.status("waits").phase is Phase.RUNNING


@pytest.mark.parametrize("edit", [{"suspend": True}, {"cancel": True}], ids=["suspended", "cancelled"])
async def test_a_promised_slot_is_freed_when_the_answer_to_the_write_is_lost(world, died, edit):
    await promised(world)
    world.edit("last", **edit)
    world.tell()
    world.reconciler.state.queue.add(("AgentJob", "default", "last"))
    world.die_at, world.die_after = len(world.writes) + 1, True
    with suppress(died):
        await world.settle()
    world.tell()
    await world.settle()

    assert world.status("waits").phase is Phase.RUNNING


async def test_a_job_claims_in_the_queue_whose_slot_it_was_promised(world):
    for number in range(5):
        world.apply(f"other-{number}", queue="scheduled")
    await promised(world)
    world.edit("last", queue="scheduled")
    await world.act(seconds=1)

    assert world.status("last").phase is Phase.QUEUED


async def test_a_job_that_is_being_deleted_takes_no_slot(world):
    await full(world)
    world.apply("first")
    world.apply("second")
    world.objects["AgentJob", "default", "first"]["metadata"]["finalizers"] = ["example.com/keep"]
    await world.act(seconds=1)
    world.remove("first")
    await world.act(seconds=1)
    await free_one(world)

    assert world.status("second").phase is Phase.RUNNING


async def test_a_job_recreated_in_another_queue_frees_its_slot(world):
    await promised(world)
    world._drop(("AgentJob", "default", "last"))
    world.apply("last", queue="scheduled")
    world.tell()
    await world.settle()
    world.tell()
    await world.settle()

    assert world.status("waits").phase is Phase.RUNNING


async def test_an_outage_of_the_database_is_reported_once_by_jobs_that_could_start(world):
    for number in range(60):
        world.apply(f"job-{number:02}")
    await world.act()
    world.history_away = True
    for pod in world.pods():
        world.end_pod(pod, Verdict.SUCCEED)
    await world.act(seconds=1)
    before = world.writes.count(("status", "AgentJob"))
    for _ in range(10):
        await world.act(seconds=1)
    told = sum(1 for number in range(60) if "HistoryUnavailable" in str(world.job(f"job-{number:02}")["status"]))

    assert world.writes.count(("status", "AgentJob")) == before
    assert told == 10


def take(listing, objects, version):
    for one in objects:
        listing.take(one)
    listing.end(version)


def listed(name, namespace, version):
    meta = {"namespace": namespace, "name": name, "uid": name, "resourceVersion": version, "generation": 1}
    return {"metadata": meta | {"creationTimestamp": "2026-01-31T12:00:00Z"}, "spec": {}}


async def test_a_namespace_admits_no_job_before_all_jobs_of_its_first_list_were_reconciled(world):
    state = State(KINDS, limits={"agents": 1}, now=lambda: world.now)
    for number, place in enumerate(("one", "two")):
        jobs = [listed(f"{place}-{job}", place, str(10 * number + job)) for job in (1, 2)]
        take(state.informers.listing(AGENTJOBS, place), jobs, str(10 * number + 9))
    state.begin()
    for name in [("one", "one-1"), ("one", "one-2"), ("two", "two-1")]:
        state.mark_seen(name)
    first = state.jobs.get(("two", "two-1"))
    state.request_slot(first, needs.Slot("agents", 2, ("", "", "session")))

    state.admit(("two", "agents"))
    early = state.slots.answer(first, "agents")
    state.mark_seen(("two", "two-2"))
    state.admit(("two", "agents"))

    assert not isinstance(early, Granted)
    assert isinstance(state.slots.answer(first, "agents"), Granted)


def left_pod(number, event=None):
    owner = {
        "apiVersion": "agentjobs.dev/v1alpha1",
        "kind": "AgentJob",
        "name": f"gone-{number}",
        "uid": f"gone-{number}",
        "controller": True,
    }
    labels = {"agentjobs.dev/job": f"gone-{number}", "agentjobs.dev/queue": "agents"}
    meta = listed(f"gone-{number}-1", "default", str(number + 1 if event is None else 10**9))["metadata"]
    return {"metadata": meta | {"labels": labels, "ownerReferences": [owner]}, "status": {"phase": "Running"}}


def waiting_behind(world, jobs):
    """A state in which so many jobs wait, and pods whose jobs are gone hold all slots."""
    state = State(KINDS, limits={"agents": 10}, now=lambda: world.now)
    for number in range(10):
        state.observe(PODS, "ADDED", left_pod(number))
    take(
        state.informers.listing(AGENTJOBS), [listed(f"job-{n:05}", "default", str(100 + n)) for n in range(jobs)], "99"
    )
    state.begin()
    for name in list(state.jobs.keys()):
        state.request_slot(state.jobs.get(name), needs.Slot("agents", 2, ("app", "user", name[1])))
        state.mark_seen(name)
    state.admit(("default", "agents"))
    return state


@pytest.mark.parametrize("slots", [0, 1], ids=["full", "a slot is free"])
async def test_an_end_takes_constant_work_for_any_number_of_waiting_jobs(world, counted, slots):
    lines = []
    for jobs in (100, 10_000):
        state = waiting_behind(world, jobs)
        with counted() as work:
            if slots:
                state.observe(PODS, "DELETED", left_pod(3, "DELETED"))
            admitted = state.admit(("default", "agents")).admitted
        lines.append(work.lines)
        assert len(admitted) == slots

    assert lines[1] < lines[0] + 100


async def test_an_end_wakes_its_own_queue_and_no_other_job(world):
    state = waiting_behind(world, 3)
    while len(state.queue):
        state.queue.done(await state.queue.get())
    state.observe(PODS, "DELETED", left_pod(3, "DELETED"))
    waiting = set(state.queue._waiting)

    assert waiting == {("AgentJob", "default", "gone-3"), ("queue", "default", "agents")}
