"""A schedule in the reconciler: its writes, their order, and crashes of the operator."""

import contextlib
from datetime import timedelta

import pytest

from agentjobs.contract import Verdict
from agentjobs.errors import Unavailable

# The world's clock starts at 09:00:00 UTC; ten minutes later the first start of `*/10` is due.
FIRST, SECOND = "brief-29920870", "brief-29920880"


async def until_due(world, **passed):
    world.apply_schedule()
    await world.act()
    await world.act(**(passed or {"minutes": 10}))


async def later(world, looks=5):
    for _ in range(looks):
        await world.act(seconds=11)


async def test_an_occurrence_is_reserved_before_its_job_is_created_and_retired_after(world):
    world.apply_schedule()
    await world.act()
    before = len(world.writes)

    await world.act(minutes=10)
    reserved = world.schedule()["active"]
    await world.act(seconds=11)

    kinds = [write for write in world.writes[before:] if write[1] != "Pod" and write != ("status", "AgentJob")]
    assert kinds == [("status", "AgentSchedule"), ("create", "AgentJob"), ("status", "AgentSchedule")]
    assert "uid" not in reserved[0]
    assert world.schedule()["active"][0]["uid"] == world.job(FIRST)["metadata"]["uid"]


async def test_the_job_belongs_to_the_schedule_and_has_its_times(world):
    await until_due(world)

    job = world.job(FIRST)

    assert job["metadata"]["labels"]["agentjobs.dev/schedule"] == "brief"
    assert (
        job["metadata"]["ownerReferences"][0]["uid"]
        == world.objects["AgentSchedule", "default", "brief"]["metadata"]["uid"]
    )
    assert job["metadata"]["annotations"] == {
        "agentjobs.dev/schedule-generation": "1",
        "agentjobs.dev/scheduled-time": "2026-11-21T09:10:00Z",
        "agentjobs.dev/previous-time": "2026-11-21T09:00:00Z",
    }
    assert job["spec"]["queue"] == "scheduled"
    assert world.accepted[job["metadata"]["uid"]]["spec"]["input"]["message"].endswith("2026-11-21T09:10:00Z?")


async def test_an_idle_schedule_causes_no_write(world):
    world.apply_schedule(schedule="0 0 1 1 *")
    await world.act()
    before = list(world.writes)

    for _ in range(48):
        await world.act(minutes=30)

    assert world.writes == before


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("write", [1, 2, 3], ids=["reserve", "job", "next"])
async def test_an_operator_that_crashes_around_a_start_creates_one_job(world, died, write, after):
    world.apply_schedule()
    await world.act()
    world.die_at, world.die_after = len(world.writes) + write, after

    with pytest.raises(died):
        await world.act(minutes=10)
    world.die_at = None
    world.restart()
    await world.act(seconds=3)

    assert [name for _, name in world.made] == [FIRST]
    assert world.jobs() == [FIRST]
    assert world.schedule()["runs"] == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("write", range(1, 7))
async def test_a_job_with_a_history_limit_of_zero_runs_once_with_a_crash_at_any_write(world, died, write, after):
    world.apply_schedule(successfulJobsHistoryLimit=0)
    await world.act()
    await world.act(minutes=10)
    world.end_jobs()
    world.die_at, world.die_after = len(world.writes) + write, after

    with contextlib.suppress(died):
        await later(world)
    world.die_at = None
    world.restart()
    await later(world)

    assert world.jobs() == []
    assert [name for _, name in world.made] == [FIRST]


async def test_a_job_deleted_before_it_is_retired_is_not_created_again(world):
    await until_due(world)
    assert "uid" not in world.schedule()["active"][0]

    world.remove(FIRST)
    world.end_jobs()
    await later(world, 3)

    assert [name for _, name in world.made] == [FIRST]
    assert world.schedule()["active"] == []


async def test_a_job_deleted_while_no_operator_runs_is_not_run_again(world):
    await until_due(world)
    world.end_jobs()
    assert "uid" not in world.schedule()["active"][0]

    world.operators[0].news.clear()
    world._drop(("AgentJob", "default", FIRST))
    world.restart()
    await later(world, 3)

    assert [name for _, name in world.made] == [FIRST]
    assert world.schedule()["active"] == []


async def test_a_job_is_kept_beyond_its_ttl_until_its_start_is_retired(world):
    world.apply_schedule(jobTemplate={"spec": {**WORK, "ttlSecondsAfterFinished": 0}})
    await world.act()
    await world.act(minutes=10)
    world.refuse = {("status", "AgentSchedule"): Unavailable("overload")}
    world.end_jobs()
    await later(world, 3)
    kept = world.jobs()

    world.refuse = {}
    await later(world, 3)

    assert (kept, world.jobs()) == ([FIRST], [])
    assert [name for _, name in world.made] == [FIRST]


async def test_two_operators_create_one_job(world):
    world.apply_schedule()
    world.join()
    for number in (0, 1):
        await world.act(number)

    world.now += timedelta(minutes=10)
    for number in (1, 0, 1, 0):
        await world.act(number)

    assert world.jobs() == [FIRST]
    assert world.schedule()["runs"] == 1


async def test_a_reservation_seen_late_is_checked_before_its_job_is_created(world):
    """The other operator has seen the reservation alone, and by now the job has come, ended and gone."""
    world.apply_schedule(successfulJobsHistoryLimit=0)
    world.join()
    for number in (0, 1):
        await world.act(number)
    await world.act(0, minutes=10)
    reservation = [news for news in world.operators[1].news if news[0] == "AgentSchedule"][:1]
    world.end_jobs()
    await later(world, 4)
    assert world.jobs() == []

    world.operators[1].news = reservation
    await world.act(1)

    assert [name for _, name in world.made] == [FIRST]


async def test_a_delayed_watch_does_not_cause_a_second_job(world):
    """Forbid, and the schedule's watch is newer than the jobs': the running job is not known here."""
    world.apply_schedule()
    world.join()
    for number in (0, 1):
        await world.act(number)
    await world.act(0, minutes=10)
    await world.act(0, seconds=11)
    assert world.schedule()["active"][0]["uid"]

    world.operators[1].news = [news for news in world.operators[1].news if news[0] == "AgentSchedule"]
    await world.act(1, minutes=10)

    assert world.jobs() == [FIRST]


async def test_forbid_waits_for_the_previous_job_and_then_catches_up(world):
    await until_due(world)
    await world.act(minutes=12)
    waiting = (world.jobs(), world.said("Blocked"))

    world.end_jobs()
    await world.act(seconds=1)
    await world.act(seconds=1)

    assert waiting == ([FIRST], ("True", "JobRunning"))
    assert world.jobs() == [FIRST, SECOND]


async def test_replace_cancels_the_previous_job_and_starts_after_its_end(world):
    world.apply_schedule(concurrencyPolicy="Replace")
    await world.act()
    await world.act(minutes=10)
    world.run_pod(world.pods()[0])
    await world.act(minutes=10)

    assert world.job(FIRST)["spec"]["cancel"] is True
    assert world.jobs() == [FIRST]
    (told,) = [message for reason, message in world.events if reason == "Replaced"]
    assert (FIRST in told, SECOND in told) == (True, True)
    for pod in world.pods():
        world.end_pod(pod, Verdict.CANCEL, reason="Interrupted", code=77)
    for _ in range(3):
        await world.act(seconds=5)
    assert world.jobs() == [FIRST, SECOND]


async def test_a_trigger_creates_one_job_while_suspended(world):
    world.apply_schedule(suspend=True)
    await world.act()

    world.edit("brief", kind="AgentSchedule", annotations={"agentjobs.dev/trigger": "now"})
    await world.act(seconds=1)
    await world.act(minutes=30)

    assert len(world.jobs()) == 1
    assert world.jobs()[0].startswith("brief-t")
    assert world.schedule()["runs"] == 0


async def test_jobs_beyond_the_limit_are_kept_until_history_has_their_end(world):
    await until_due(world)
    world.edit("brief", kind="AgentSchedule", successfulJobsHistoryLimit=0)
    world.history_away = True
    world.end_jobs()
    await later(world, 3)
    kept = world.jobs()

    world.history_away = False
    await later(world, 2)

    assert (kept, world.jobs()) == ([FIRST], [])


async def test_changes_are_reported_once(world):
    world.apply_schedule(maxConsecutiveFailures=1)
    await world.act()
    await world.act(minutes=10)
    world.end_jobs(Verdict.FAIL, "ConfigInvalid", 78)
    await later(world)
    world.edit("brief", kind="AgentSchedule", annotations={"agentjobs.dev/resume": "mended"})
    await later(world)

    told = [reason for reason, message in world.events if "in a row" in message or message == "the schedule continues"]
    assert told == ["TooManyFailures", "Scheduled"]
    assert ("Started", f"created job {FIRST}") in world.events


async def test_deleting_a_schedule_deletes_its_jobs_and_creates_no_more(world):
    await until_due(world)

    world.remove("brief", kind="AgentSchedule")
    await world.act(minutes=30)

    assert world.jobs() == []
    assert [name for _, name in world.made] == [FIRST]


async def test_a_recreated_schedule_starts_from_its_creation(world):
    await until_due(world)
    world.remove("brief", kind="AgentSchedule")

    world.apply_schedule()
    await world.act()
    await world.act(minutes=10)

    assert world.schedule()["runs"] == 1
    assert world.jobs() == [SECOND]


WORK = {
    "agent": {"model": "gemini-flash-latest", "inline": {"instruction": "Be brief."}},
    "input": {"message": "Go."},
}


async def test_a_job_that_history_considers_deleted_is_removed_only_after_its_end_is_recorded(world, monkeypatch):
    world.apply_schedule(successfulJobsHistoryLimit=0)
    await world.act()
    await world.act(minutes=10)
    asked = []

    async def recorded(uid):
        asked.append(uid)
        return "Deleted"

    with monkeypatch.context() as patched:
        patched.setattr(world, "recorded", recorded)
        world.end_jobs()
        await later(world)
        kept = world.jobs()
    await later(world)

    assert asked
    assert (kept, world.jobs()) == ([FIRST], [])


WORK = {"agent": {"model": "m", "inline": {"instruction": "Be brief."}}, "input": {"message": "Hello."}}
UNACCEPTED = WORK | {"input": {"messageFrom": {"configMapKeyRef": {"name": "nowhere", "key": "text"}}}}


async def held_up(world):
    """A schedule whose job waits for a ConfigMap that does not exist, while the next start is due."""
    world.apply_schedule(jobTemplate={"spec": UNACCEPTED})
    await world.act()
    await world.act(minutes=10)
    await world.act(minutes=12)


async def test_a_delayed_start_reports_why_the_blocking_job_waits(world):
    await held_up(world)
    (blocked,) = [one for one in world.schedule()["conditions"] if one["type"] == "Blocked"]

    assert world.said("Blocked") == ("True", "JobWaits")
    assert "ReferenceNotFound: ConfigMap nowhere" in blocked["message"]
    assert world.said("Degraded") == ("True", "JobNotAccepted")


async def test_a_job_that_was_never_accepted_is_replaced_when_its_template_is_corrected(world):
    await held_up(world)
    world.edit("brief", kind="AgentSchedule", jobTemplate={"spec": WORK})
    await world.act(seconds=1)
    await later(world)

    assert str(world.status(FIRST).phase) == "Cancelled"
    assert str(world.status(SECOND).phase) == "Running"


async def test_a_job_that_was_accepted_is_not_replaced_by_an_edit(world):
    await until_due(world)
    world.edit("brief", kind="AgentSchedule", jobTemplate={"spec": WORK})
    await world.act(minutes=12)
    await later(world)

    assert world.jobs() == [FIRST]
    assert str(world.status(FIRST).phase) == "Running"
