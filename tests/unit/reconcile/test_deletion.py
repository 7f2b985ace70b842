"""A deleted job whose object a foreign finalizer keeps: deletion is an order to stop it."""

import pytest

from agentjobs.api.conditions import Phase
from agentjobs.contract import FINALIZER, Verdict

HOLD = "example.com/hold"
SESSION = {"appName": "shop", "sessionId": "s-1"}


@pytest.fixture
def held(world):
    """The world, with a running job that a finalizer of another holds."""

    async def running(**spec):
        world.apply(**spec)
        world.job()["metadata"]["finalizers"] = [HOLD]
        await world.act()
        world.run_pod(world.pods()[0])
        await world.act(seconds=1)
        return world

    return running


def record(world, name="hello"):
    last = world.status(name).attempt_history[-1]
    return last.verdict, last.reason


def end_of(world):
    return world.status().phase, world.status().reason


async def test_the_pod_of_a_deleted_job_is_stopped_gracefully_and_its_end_is_written(held):
    world = await held()
    world.remove("hello")
    await world.act(seconds=1)
    (pod,) = world.pods()
    world.end_pod(pod, Verdict.SNOOZE, reason="Interrupted", code=75)
    await world.act(seconds=1)

    assert pod["metadata"]["deletionGracePeriodSeconds"] == 30
    assert end_of(world) == (Phase.CANCELLED, "Deleted")
    assert record(world) == ("Cancel", "JobDeleted")
    assert world.pods() == []
    assert {number.phase for (kind, _, _), number in world.records.items() if kind == "TransitionRecord"} >= {
        "Cancelled"
    }


async def test_the_pod_of_a_deleted_job_is_kept_until_its_end_is_written(held):
    world = await held()
    world.remove("hello")
    await world.act(seconds=1)

    assert [pod["metadata"]["finalizers"] for pod in world.pods()] == [[FINALIZER]]


async def test_an_answer_during_the_deletion_is_a_success(held):
    world = await held()
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    world.remove("hello")
    await world.act(seconds=1)

    assert end_of(world) == (Phase.SUCCEEDED, "ResultAccepted")
    assert all(not pod["metadata"]["finalizers"] for pod in world.pods())


async def test_session_and_slot_of_a_deleted_job_are_freed_when_its_pod_has_ended(held):
    world = await held(session=SESSION)
    world.apply("next", session=SESSION)
    world.remove("hello")
    await world.act(seconds=1)
    waiting = world.status("next").phase
    world.end_pod(world.pods("hello")[0], code=137)
    await world.act(seconds=1)
    await world.act(seconds=1)

    assert waiting is Phase.QUEUED
    assert world.status("next").phase is Phase.RUNNING


@pytest.mark.parametrize("spec", [{}, {"startAfter": "1h"}, {"suspend": True}, {"agent": {}}, {"queue": "unknown"}])
async def test_a_waiting_job_that_is_deleted_does_not_start(world, spec):
    world.history_away = not spec
    world.apply(**spec)
    world.job()["metadata"]["finalizers"] = [HOLD]
    await world.act()
    world.remove("hello")
    world.history_away = False
    await world.act(seconds=5)
    await world.act(hours=2)

    assert world.pods() == []
    assert world.status().phase.is_terminal


async def test_a_deleted_job_that_waits_for_another_attempt_ends(held):
    world = await held(retry={"maxAttempts": 3})
    world.end_pod(world.pods()[0], Verdict.RETRY, reason="ToolError", code=70)
    await world.act(seconds=1)
    world.remove("hello")
    await world.act(seconds=1)

    assert end_of(world) == (Phase.CANCELLED, "Deleted")
    assert record(world) == ("Retry", "ToolError")


async def test_a_deleted_job_that_is_also_cancelled_ends_as_cancelled(held):
    world = await held()
    world.remove("hello")
    world.edit(cancel=True)
    await world.act(seconds=1)
    world.end_pod(world.pods()[0], code=137)
    await world.act(seconds=1)

    assert end_of(world) == (Phase.CANCELLED, "Requested")


async def test_the_end_of_a_deleted_job_is_written_without_the_database(held):
    world = await held()
    world.history_away = True
    world.remove("hello")
    await world.act(seconds=1)
    world.end_pod(world.pods()[0], code=137)
    await world.act(seconds=1)

    assert end_of(world) == (Phase.CANCELLED, "Deleted")


async def test_a_lost_node_does_not_block_the_deletion_forever(held):
    world = await held()
    world.remove("hello")
    await world.act(seconds=1)
    await world.act(minutes=2)

    assert end_of(world) == (Phase.CANCELLED, "Deleted")
    assert all(not pod["metadata"]["finalizers"] for pod in world.pods())


@pytest.mark.parametrize(
    ("edit", "told"),
    [({"cancel": True}, ("Cancel", "Cancelled")), ({"suspend": True}, ("Snooze", "Suspended"))],
    ids=["cancelled", "suspended"],
)
async def test_a_start_that_we_stopped_is_not_called_lost(world, edit, told):
    world.apply()
    await world.act()
    world.run_pod(world.pods()[0])
    world.edit(**edit)
    await world.act(seconds=1)
    world.end_pod(world.pods()[0], Verdict.SNOOZE, reason="Interrupted", code=75)
    await world.act(seconds=1)

    assert record(world) == told
    assert world.status().infra_restarts == 0


@pytest.mark.parametrize("edit", [{"cancel": True}, {"suspend": True}])
async def test_the_write_that_observes_the_deletion_reports_the_stopping_pod(world, edit):
    world.apply()
    await world.act()
    world.run_pod(world.pods()[0])
    world.edit(**edit)
    await world.act(seconds=1)

    assert end_of(world) == (Phase.RUNNING, "Stopping")
    assert world.writes[2:] == [("delete", "Pod"), ("status", "AgentJob")]


async def test_a_deleted_pod_that_stops_soon_causes_no_additional_write(world):
    world.apply()
    await world.act()
    world.run_pod(world.pods()[0])
    world._delete(("Pod", "default", "hello-1"))
    await world.act(seconds=1)
    at_once = world.status().reason
    await world.act(seconds=3)

    assert at_once is None
    assert end_of(world) == (Phase.RUNNING, "Stopping")
