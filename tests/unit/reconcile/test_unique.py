"""Unique jobs, through the reconciler: skipped, replaced, and what a crash leaves of that."""

import pytest
from tests.unit.reconcile.conftest import Died

from agentjobs.api.conditions import ConditionType, find_condition
from agentjobs.contract import Verdict

REPLACE = {"key": "reindex", "states": "Scheduled", "onConflict": "Replace"}


def end(world, name):
    """Phase, reason, and whose duplicate it is."""
    status = world.status(name)
    return status.phase, status.reason, status.duplicate_of.name if status.duplicate_of else None


async def test_one_of_equal_jobs_runs_and_the_others_name_it(world):
    for name in ("one", "two", "three"):
        world.apply(name, unique={})
    await world.act()

    assert [pod["metadata"]["name"] for pod in world.pods()] == ["one-1"]
    assert end(world, "two") == end(world, "three") == ("Skipped", "Duplicate", "one")
    finished = find_condition(world.status("two").conditions, ConditionType.FINISHED)
    assert finished is not None
    assert finished.is_true
    assert world.status("two").duplicate_of.uid == world.job("one")["metadata"]["uid"]
    (told, _) = [message for event, message in world.events if event == "Skipped"]
    assert told.startswith("Duplicate: job one ")


async def test_jobs_of_other_work_or_with_another_key_run(world):
    world.apply("one", unique={})
    world.apply("two", unique={}, input={"message": "Say bye."})
    world.apply("three", unique={"key": "mine/$(job.name)"})
    world.apply("four", unique={"key": "mine/$(job.name)"})
    await world.act()

    assert len(world.pods()) == 4


async def test_name_steering_and_own_session_are_not_part_of_the_compared_work(world):
    world.apply("one", unique={})
    await world.act()
    world.apply("two", unique={"period": "1h"}, priority=1, startAfter="1h", ttlSecondsAfterFinished=5)
    await world.act()

    assert end(world, "two")[0] == "Skipped"


async def test_after_the_end_of_the_first_an_equal_job_runs(world):
    world.apply("one", unique={})
    await world.act()
    world.end_jobs()
    await world.act(seconds=1)
    world.apply("two", unique={})
    await world.act()

    assert world.status("two").phase == "Running"


async def test_a_skipped_job_is_in_history_and_deleted_after_its_ttl(world):
    world.apply("one", unique={})
    world.apply("two", unique={}, ttlSecondsAfterFinished=60)
    await world.act()
    recorded = await world.history.job("default", "two")
    await world.act(seconds=61)

    assert (recorded.phase, recorded.reason) == ("Skipped", "Duplicate")
    assert world.jobs() == ["one"]


async def test_a_burst_of_debounced_jobs_runs_its_last_once(world):
    for name in ("one", "two", "three"):
        world.apply(name, unique=REPLACE, startAfter="60s")
        await world.act(seconds=10)

    assert end(world, "one")[:2] == end(world, "two")[:2] == ("Cancelled", "Replaced")
    assert world.status("three").phase == "Scheduled"
    await world.act(seconds=60)
    assert [pod["metadata"]["name"] for pod in world.pods()] == ["three-1"]


async def test_a_replaced_job_ends_at_its_start_time_after_a_crash_of_the_operator(world):
    world.apply("one", unique=REPLACE, startAfter="60s")
    await world.act(seconds=1)
    world.apply("two", unique=REPLACE, startAfter="60s")
    world.die_at, world.die_after = len(world.writes) + 1, False
    with pytest.raises(Died):
        await world.act(seconds=1)
    world.die_at = None
    world.restart()
    await world.act(seconds=1)
    assert world.status("one").phase == "Scheduled"
    await world.act(seconds=90)

    assert end(world, "one")[:2] == ("Cancelled", "Replaced")
    assert [pod["metadata"]["name"] for pod in world.pods()] == ["two-1"]


async def test_a_skipped_job_remains_skipped_after_a_crash_and_the_end_of_the_equal_job(world):
    world.apply("one", unique={})
    await world.act()
    world.apply("two", unique={})
    world.die_at = len(world.writes) + 1
    with pytest.raises(Died):
        await world.act(seconds=1)
    world.die_at = None
    world.restart()
    world.end_jobs()
    await world.act(seconds=1)
    world.restart()
    await world.act(seconds=1)

    assert end(world, "two") == ("Skipped", "Duplicate", "one")


async def test_replace_without_a_start_time_replaces_a_job_that_waits_for_a_slot(worlds):
    world = worlds(slots=1)
    world.apply("busy")
    await world.act()
    world.apply("old", unique={"key": "k", "onConflict": "Replace"})
    await world.act(seconds=1)
    world.apply("new", unique={"key": "k", "onConflict": "Replace"})
    await world.act(seconds=1)

    assert end(world, "old")[:2] == ("Cancelled", "Replaced")
    assert world.status("new").phase == "Queued"


async def test_a_retried_job_is_not_checked_for_duplicates_again(world):
    world.apply("one", unique={}, retry={"maxAttempts": 2})
    await world.act()
    world.end_jobs(Verdict.RETRY, reason="ToolError", code=70)
    await world.act(seconds=1)
    world.apply("two", unique={}, retry={"maxAttempts": 2})
    await world.act(seconds=1)
    await world.act(minutes=10)

    assert end(world, "two")[0] == "Skipped"
    assert world.status("one").starts == 2


@pytest.mark.parametrize(
    ("unique", "reason"),
    [
        ({"period": "0s"}, "InvalidSpec"),
        ({"key": "x" * 254}, "InvalidSpec"),
        ({"key": "$(job.nam)"}, "UnresolvedReference"),
        ({"key": "$(schedule.previousTime)"}, "InvalidSpec"),
    ],
    ids=["no period", "long key", "unknown name", "empty once resolved"],
)
async def test_invalid_unique_settings_fail_with_the_reason(world, unique, reason):
    times = {"agentjobs.dev/scheduled-time": "2026-11-21T09:00:00Z"}
    world.apply("one", unique=unique)
    if "schedule" in str(unique):
        world.edit("one", annotations=times)
    await world.act()

    assert end(world, "one")[:2] == ("Failed", reason)


async def test_a_skipped_job_of_a_schedule_is_neither_a_success_nor_a_failure(world):
    world.apply("one", unique={"key": "k"})
    await world.act()
    world.apply_schedule(jobTemplate={"spec": {**world.job("one")["spec"]}})
    await world.act(minutes=10)
    await world.act(seconds=1)
    skipped = [name for name in world.jobs() if name != "one"]

    assert [world.status(name).phase for name in skipped] == ["Skipped"]
    assert world.schedule().get("active", []) == []
    assert "lastSuccessfulTime" not in world.schedule()
    assert world.schedule().get("consecutiveFailures", 0) == 0


async def test_historys_decision_ends_a_job_even_if_a_restored_database_lacks_its_start(world):
    world.apply("one", unique={"key": "k", "onConflict": "Replace"}, retry={"maxAttempts": 3})
    await world.act()
    world.end_jobs(Verdict.RETRY, reason="ToolError", code=70)
    await world.act(seconds=1)
    world.history.jobs_by_uid[world.job("one")["metadata"]["uid"]].starts.clear()
    world.apply("two", unique={"key": "k", "onConflict": "Replace"})
    await world.act(seconds=1)
    await world.act(minutes=10)

    assert end(world, "one")[:2] == ("Cancelled", "Replaced")
    assert world.status("two").phase == "Running"


@pytest.mark.parametrize("seed", range(12))
async def test_two_operators_that_crash_at_any_write_never_run_equal_jobs_together(worlds, died, seed):
    world = worlds(seed)
    world.join(1)
    draw, unique = world.random, [{"key": "k"}, {"key": "k", "onConflict": "Replace"}][seed % 2]
    for n in range(30):
        if n % 3 == 0:
            world.apply(f"job-{n:02}", unique=unique, **draw.choice([{}, {"startAfter": "3s"}]))
        world.die_at, world.die_after = len(world.writes) + draw.randint(1, 8), draw.random() < 0.5
        number = draw.randint(0, 1)
        try:
            await world.act(number, shuffled=True, seconds=1)
        except died:
            world.restart(number)
        assert len(world.living_pods()) <= 1
        if draw.random() < 0.2:
            world.end_jobs()
    world.die_at = None
    for _ in range(4):
        await world.act(0, seconds=3)
        world.end_jobs()

    ends = {world.status(name).phase for name in world.jobs()}
    assert ends <= {"Succeeded", "Skipped", "Cancelled"}
    assert "Succeeded" in ends


async def test_an_ended_job_unknown_to_history_does_not_prevent_an_equal_job(world):
    world.apply("one", unique={})
    await world.act()
    world.put = lambda record: None  # the writer's next batch is not written yet
    world.end_jobs()
    await world.act(seconds=1)
    world.apply("two", unique={})
    await world.act()

    assert (world.status("one").phase, world.status("two").phase) == ("Succeeded", "Running")


async def test_a_recreated_job_is_not_a_duplicate_of_the_deleted_one(world):
    world.apply("one", unique={}, startAfter="1h")
    await world.act()
    world.put = lambda record: None
    world.remove("one")
    await world.act()
    world.apply("one", unique={}, startAfter="1h")
    await world.act()

    assert world.status("one").phase == "Scheduled"
