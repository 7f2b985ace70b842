"""A Named worktree has one job at a time, from its admission until its pod has ended."""

import pytest

from agentjobs.api.conditions import Phase

SESSION = {"appName": "shop", "sessionId": "s-1"}
GIT = {"url": "https://git.example.com/shop.git"}


def workspace(name="fix", **more):
    return {"git": GIT, "worktree": {"mode": "Named", "name": name}, **more}


def phases(world, *names):
    return [world.status(name).phase for name in names]


def admitted(world, name):
    return next(one for one in world.status(name).conditions if one.type == "Admitted")


async def test_two_jobs_of_a_worktree_run_one_at_a_time_across_queues(world):
    world.apply_queue("fast")
    world.apply("one", workspace=workspace())
    world.apply("two", workspace=workspace(), queue="fast")
    await world.act(seconds=1)

    assert phases(world, "one", "two") == [Phase.RUNNING, Phase.QUEUED]
    assert admitted(world, "two").reason == "WaitingForLock"
    assert "worktree-fix-" in admitted(world, "two").message
    world.edit("one", cancel=True)
    await world.act(minutes=1)
    await world.act(seconds=1)
    assert phases(world, "one", "two") == [Phase.CANCELLED, Phase.RUNNING]


async def test_worktrees_of_other_names_and_repositories_are_separate(world):
    world.apply("one", workspace=workspace())
    world.apply("two", workspace=workspace("feature"))
    world.apply("three", workspace=workspace(git={"url": "https://git.example.com/bank.git"}))
    world.apply("four", workspace={"git": GIT})
    await world.act(seconds=1)

    assert phases(world, "one", "two", "three", "four") == [Phase.RUNNING] * 4


async def test_worktrees_in_the_same_volume_of_the_user_are_one_lock(world):
    world.apply("one", workspace=workspace(claimName="mine"))
    world.apply("two", workspace=workspace("feature", claimName="mine"))
    await world.act(seconds=1)

    assert phases(world, "one", "two") == [Phase.RUNNING, Phase.QUEUED]


async def test_worktree_names_are_compared_with_their_values(world):
    world.apply("one", workspace=workspace("$(job.name)"))
    world.apply("two", workspace=workspace("one"))
    await world.act(seconds=1)

    assert phases(world, "one", "two") == [Phase.RUNNING, Phase.QUEUED]


async def test_a_job_that_needs_both_locks_waits_for_both(world):
    world.apply("talks", session=SESSION)
    world.apply("works", workspace=workspace())
    await world.act(seconds=1)
    world.apply("with-both", session=SESSION, workspace=workspace())
    await world.act(seconds=1)
    assert "the worktree in volume worktree-fix-" in admitted(world, "with-both").message

    for job, lock in (("works", "session s-1"), ("talks", "")):
        world.edit(job, cancel=True)
        await world.act(minutes=1)
        await world.act(seconds=1)
        assert lock in admitted(world, "with-both").message

    assert phases(world, "with-both") == [Phase.RUNNING]


@pytest.mark.parametrize("restarts", [False, True], ids=["", "operator anew"])
async def test_a_job_that_will_continue_keeps_its_worktree_and_no_slot(world, restarts):
    world.apply_queue(concurrency={"max": 1})
    world.apply("one", workspace=workspace(), queue="fast", retry={"backoff": {"initial": "1h"}})
    world.apply("other", queue="fast")
    await world.act()
    world.end_pod(world.pods("one")[0], code=137)
    await world.act(seconds=1)
    if restarts:
        world.restart()
    world.apply("two", workspace=workspace())
    await world.act(seconds=1)
    await world.act(seconds=1)

    assert phases(world, "one", "other", "two") == [Phase.RETRYING, Phase.RUNNING, Phase.QUEUED]
    assert "job one" in admitted(world, "two").message
    world.edit("one", cancel=True)
    await world.act(seconds=1)
    await world.act(seconds=1)
    assert phases(world, "two") == [Phase.RUNNING]


async def test_a_job_continues_in_its_kept_worktree(world):
    world.apply("one", workspace=workspace())
    world.apply("two", workspace=workspace())
    await world.act()
    world.end_pod(world.pods("one")[0], code=137)
    await world.act(seconds=1)
    await world.act(minutes=5)
    await world.act(seconds=1)

    assert (phases(world, "one", "two"), world.status("one").starts) == ([Phase.RUNNING, Phase.QUEUED], 2)


async def test_a_restarted_operator_knows_which_job_has_the_worktree(world):
    world.apply("one", workspace=workspace())
    await world.act(seconds=1)
    world.restart()
    world.apply("two", workspace=workspace())
    await world.act(seconds=1)

    assert phases(world, "one", "two") == [Phase.RUNNING, Phase.QUEUED]


async def test_a_pod_keeps_the_worktree_after_its_job_was_deleted(world):
    world.apply("one", workspace=workspace(), retry={"maxAttempts": 1, "maxInfraRestarts": 3})
    await world.act()
    world.run_pod(world.pods("one")[0])
    await world.act(seconds=1)
    world._delete(("Pod", "default", "one-1"))
    await world.act(seconds=1)
    await world.act(minutes=2)
    world.edit("one", cancel=True)
    await world.act(seconds=1)
    world.restart()
    world.apply("two", workspace=workspace())
    await world.act(seconds=1)

    assert phases(world, "one", "two") == [Phase.CANCELLED, Phase.QUEUED]
    assert "pod one-1" in admitted(world, "two").message
