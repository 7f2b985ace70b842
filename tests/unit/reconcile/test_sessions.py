"""A session has one job at a time: every running pod holds it."""

from agentjobs.api.conditions import Phase
from agentjobs.contract import Verdict

SESSION = {"appName": "shop", "sessionId": "s-1"}


async def given_up(world, **spec):
    """A pod on a node that is gone: its start was given up as lost, and it may still run."""
    world.apply("one", session=SESSION, retry={"maxAttempts": 1, "maxInfraRestarts": 3}, **spec)
    await world.act()
    world.run_pod(world.pods("one")[0])
    await world.act(seconds=1)
    world._delete(("Pod", "default", "one-1"))
    await world.act(seconds=1)
    await world.act(minutes=2)
    assert world.status("one").phase is Phase.RETRYING


async def test_a_pod_of_an_abandoned_start_keeps_the_session(world):
    await given_up(world)
    world.apply("two", session=SESSION)
    await world.act(seconds=1)

    said = next(one for one in world.status("two").conditions if one.type == "Admitted")
    assert (world.status("two").phase, said.reason) == (Phase.QUEUED, "WaitingForLock")
    assert "pod one-1" in said.message


async def test_a_job_does_not_wait_for_its_own_pod(world):
    await given_up(world)
    await world.act(seconds=10)
    await world.act(seconds=1)

    assert (world.status("one").phase, world.status("one").starts) == (Phase.RUNNING, 2)


async def test_the_session_is_free_when_the_lost_pod_turns_out_to_have_ended(world):
    await given_up(world)
    world.edit("one", suspend=True)
    world.apply("two", session=SESSION)
    await world.act(seconds=1)
    world.end_pod(world.pods("one")[0], code=137)
    world.tell()
    await world.settle()

    assert world.status("two").phase is Phase.RUNNING


async def test_a_finished_job_whose_pod_still_exists_keeps_the_session(world):
    await given_up(world)
    world.edit("one", cancel=True)
    world.apply("two", session=SESSION)
    await world.act(seconds=1)
    await world.act(seconds=1)

    assert world.status("one").phase is Phase.CANCELLED
    assert world.status("two").phase is Phase.QUEUED


async def test_a_lost_pod_does_not_hold_a_slot(world):
    await given_up(world)
    for number in range(10):
        world.apply(f"job-{number}")
    await world.act(seconds=1)
    await world.act(seconds=1)

    assert {world.status(f"job-{number}").phase for number in range(10)} == {Phase.RUNNING}
    world.end_jobs(Verdict.SUCCEED)
