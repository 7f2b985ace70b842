"""HoldAndDrain stops the jobs of a queue, and they continue when the queue is open again."""

from agentjobs.api.conditions import Phase
from agentjobs.contract import Verdict


def stop(world, policy):
    world.edit("fast", kind="AgentQueue", stopPolicy=policy)


def phases(world):
    return [world.status(name).phase for name in sorted(world.jobs())]


async def stop_pods(world):
    for pod in world.living_pods():
        world.end_pod(pod, Verdict.SNOOZE, reason="Interrupted", code=75)
    await world.act(seconds=3)


async def drained(world, count=2):
    world.apply_queue()
    for number in range(count):
        world.apply(f"job-{number}", queue="fast")
    await world.act()
    for pod in world.pods():
        world.run_pod(pod)
    stop(world, "HoldAndDrain")
    world.tell()
    await world.settle()
    await stop_pods(world)


async def test_running_jobs_are_suspended_and_continue_by_themselves(world):
    await drained(world)
    assert phases(world) == [Phase.SUSPENDED] * 2
    assert world.status("job-0").reason == "QueueDrained"

    stop(world, "None")
    world.tell()
    await world.settle()

    assert phases(world) == [Phase.RUNNING] * 2
    assert [(world.status("job-0").starts, world.status("job-0").attempts)] == [(2, 1)]


async def test_hold_lets_running_jobs_finish(world):
    world.apply_queue()
    world.apply(queue="fast")
    await world.act()
    stop(world, "Hold")
    await world.act(seconds=1)
    world.end_jobs(Verdict.SUCCEED)
    await world.act(seconds=1)

    assert world.status().phase is Phase.SUCCEEDED


async def test_a_drain_that_ends_before_the_operator_restarts_leaves_no_job_suspended(world):
    await drained(world)
    stop(world, "None")
    world.restart()
    await world.settle()

    assert phases(world) == [Phase.RUNNING] * 2


async def test_jobs_of_a_deleted_drained_queue_say_so(world):
    await drained(world, count=1)
    world.remove("fast", kind="AgentQueue")
    await world.act(seconds=1)

    assert world.status("job-0").reason == "QueueNotFound"


async def test_a_drain_that_ends_before_the_pod_is_not_charged(world):
    world.apply_queue()
    world.apply(queue="fast", retry={"maxAttempts": 1, "maxInfraRestarts": 0})
    await world.act()
    world.run_pod(world.pods()[0])
    stop(world, "HoldAndDrain")
    await world.act(seconds=1)
    stop(world, "None")
    await world.act(seconds=1)
    await stop_pods(world)

    status = world.status()
    assert (status.phase, status.starts, status.attempts, status.infra_restarts) == (Phase.RUNNING, 2, 1, 0)


async def test_a_suspended_and_drained_job_can_be_cancelled(world):
    await drained(world, 1)
    world.edit("job-0", suspend=True)
    await world.act(seconds=1)
    stop(world, "None")
    await world.act(seconds=1)
    held = world.status("job-0")
    world.edit("job-0", cancel=True)
    await world.act(seconds=1)

    assert (held.phase, held.reason) == (Phase.SUSPENDED, "Requested")
    assert world.status("job-0").phase is Phase.CANCELLED


async def test_a_job_resumed_in_a_drained_queue_waits_for_the_queue(world):
    await drained(world, 1)
    world.edit("job-0", suspend=True)
    await world.act(seconds=1)
    world.edit("job-0", suspend=False)
    await world.act(seconds=1)
    held = world.status("job-0")
    stop(world, "None")
    await world.act(seconds=3)

    assert held.reason == "QueueHeld"
    assert world.status("job-0").phase is Phase.RUNNING
