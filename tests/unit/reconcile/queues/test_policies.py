"""A queue's object counts as soon as it is seen, wherever its jobs are; without one the installation's limit does."""

from agentjobs.api.conditions import Phase
from agentjobs.contract import Verdict


def reasons(world, *names):
    return [world.status(name).reason for name in names]


def running(world):
    return sorted(name for name in world.jobs() if world.status(name).phase is Phase.RUNNING)


async def apply_jobs(world, count, **spec):
    for number in range(count):
        world.apply(f"job-{number}", **spec)
    await world.act()


async def test_a_job_waits_for_a_missing_queue_and_continues_when_it_exists(world):
    world.apply(queue="fast")
    await world.act()
    assert (world.status().phase, world.status().reason) == (Phase.PENDING, "QueueNotFound")

    world.apply_queue()
    world.tell()
    await world.settle()

    assert world.status().phase is Phase.RUNNING


async def test_a_job_that_waits_for_a_missing_queue_too_long_fails(world):
    world.apply(queue="fast", timeouts={"queue": "5s"})
    await world.act()
    await world.act(seconds=5)

    assert (world.status().phase, world.status().reason) == (Phase.FAILED, "QueueTimeout")


async def test_the_wait_in_a_queue_and_that_for_its_return_count_together(world):
    world.apply_queue(concurrency={"max": 0})
    world.apply(queue="fast", timeouts={"queue": "1h"})
    await world.act()
    await world.act(minutes=40)
    world.remove("fast", kind="AgentQueue")
    await world.act(seconds=1)
    assert world.status().reason == "QueueNotFound"

    await world.act(minutes=21)

    assert world.status().reason == "QueueTimeout"


async def test_an_object_replaces_the_installations_queue(world):
    world.apply_queue("agents", concurrency={"max": 1})
    await apply_jobs(world, 2)

    assert running(world) == ["job-0"]


async def test_a_raised_limit_lets_jobs_start_immediately(world):
    world.apply_queue(concurrency={"max": 1})
    await apply_jobs(world, 3, queue="fast")

    world.edit("fast", kind="AgentQueue", concurrency={"max": 2})
    world.tell()
    await world.settle()

    assert running(world) == ["job-0", "job-1"]


async def test_a_limit_below_the_number_of_running_jobs_neither_stops_nor_starts_any(world):
    world.apply_queue(concurrency={"max": 2})
    await apply_jobs(world, 3, queue="fast")
    world.edit("fast", kind="AgentQueue", concurrency={"max": 1})
    await world.act(seconds=1)
    assert running(world) == ["job-0", "job-1"]

    world.end_pod(world.pods("job-0")[0], Verdict.SUCCEED)
    await world.act(seconds=1)
    await world.act(seconds=1)

    assert running(world) == ["job-1"]


async def test_running_jobs_of_a_deleted_queue_continue_and_waiting_jobs_wait_for_it(world):
    world.apply_queue(concurrency={"max": 1})
    await apply_jobs(world, 2, queue="fast")
    world.remove("fast", kind="AgentQueue")
    await world.act(seconds=1)
    assert (running(world), reasons(world, "job-1")) == (["job-0"], ["QueueNotFound"])

    world.end_pod(world.pods("job-0")[0], Verdict.SUCCEED)
    await world.act(days=2)
    world.apply_queue(concurrency={"max": 1})
    world.tell()
    await world.settle()

    assert world.status("job-0").phase is Phase.SUCCEEDED
    assert running(world) == ["job-1"]


async def test_after_an_invalid_edit_the_last_valid_spec_applies(world):
    world.apply_queue(concurrency={"max": 1})
    await apply_jobs(world, 3, queue="fast")
    world.edit("fast", kind="AgentQueue", concurrency={"max": "many"})
    world.end_pod(world.pods("job-0")[0], Verdict.SUCCEED)
    await world.act(seconds=1)
    await world.act(seconds=1)

    assert running(world) == ["job-1"]


async def test_without_a_valid_spec_no_job_starts(world):
    world.apply_queue(rateLimit={"starts": 0, "period": "1m"})
    await apply_jobs(world, 1, queue="fast")
    assert world.status("job-0").phase is Phase.QUEUED

    world.edit("fast", kind="AgentQueue", rateLimit={"starts": 1, "period": "1m"})
    world.tell()
    await world.settle()

    assert running(world) == ["job-0"]


async def test_a_valid_spec_of_a_deleted_queue_of_the_same_name_does_not_apply(world):
    world.apply_queue()
    await world.act()
    world.remove("fast", kind="AgentQueue")
    world.apply_queue(concurrency={"max": "many"})
    await apply_jobs(world, 1, queue="fast")

    assert world.status("job-0").phase is Phase.QUEUED


async def test_an_object_without_a_limit_has_that_of_the_installation(world):
    world.apply_queue("scheduled", strategy="Priority")
    world.apply_queue("other")
    await world.act()

    limits = [world.reconciler.state.policy("default", name).limit for name in ("scheduled", "other")]
    assert limits == [5, 10]
    assert world.objects["AgentQueue", "default", "scheduled"]["status"]["max"] == 5


async def test_defaults_of_a_queue_apply_to_jobs_that_do_not_override_them(world):
    world.apply_queue(concurrency={"max": 0}, defaults={"priority": 7, "timeouts": {"queue": "1h"}})
    world.apply("silent", queue="fast")
    world.apply("outspoken", queue="fast", timeouts={"queue": "9h"})
    await world.act()
    await world.act(hours=2)

    assert (world.status("silent").phase, world.status("silent").reason) == (Phase.FAILED, "QueueTimeout")
    assert world.status("outspoken").phase is Phase.QUEUED


async def test_a_queue_that_appears_gives_its_defaults_to_jobs_that_waited_for_it(world):
    world.apply(queue="fast")
    await world.act()
    await world.act(hours=9)
    world.apply_queue(concurrency={"max": 0}, defaults={"timeouts": {"queue": "1h"}})
    await world.act(seconds=1)
    assert world.status().phase is Phase.QUEUED

    await world.act(hours=2)

    assert world.status().reason == "QueueTimeout"
