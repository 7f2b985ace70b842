"""The examples of schedules under a fast clock: what they make in days, and after a night without an operator."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

EXAMPLES = Path(__file__).parents[4] / "examples" / "schedules"


def start(world, name, at):
    """Apply an example in this world at a time."""
    world.now = datetime.fromisoformat(at).replace(tzinfo=UTC)
    documents = list(yaml.safe_load_all((EXAMPLES / f"{name}.yaml").read_text()))
    for body in documents:
        body["metadata"]["namespace"] = "default"
        world._put((body["kind"], "default", body["metadata"]["name"]), "ADDED", body)
    world.restart()


async def pass_time(world, *, hours, minutes=10):
    """Let time pass in steps; every job ends immediately and well."""
    for _ in range(hours * 60 // minutes):
        await world.act(minutes=minutes)
        world.end_jobs()
        await world.act()


def times(world):
    """The times that were started, as `day hour:minute` in UTC."""
    found = sorted(int(name.rpartition("-")[2]) for _, name in world.made)
    return [f"{datetime.fromtimestamp(60 * minute, UTC):%d %H:%M}" for minute in found]


async def test_the_morning_brief_runs_at_six_in_berlin_on_weekdays_in_winter_and_summer(world):
    start(world, "morning-brief", "2026-03-26T12:00")  # a Thursday; on Sunday the clocks go forward
    await pass_time(world, hours=24 * 5)

    assert times(world) == ["27 05:00", "30 04:00", "31 04:00"]
    told = [resolved["spec"]["input"]["message"] for resolved in world.accepted.values()]
    assert told[-1] == "What happened between 2026-03-30T04:00:00Z and 2026-03-31T04:00:00Z?"


async def test_the_cleanup_starts_within_ten_minutes_of_midnight(world):
    start(world, "nightly-cleanup", "2026-11-21T12:00")
    await pass_time(world, hours=13, minutes=1)

    assert times(world) == ["22 00:00"]
    created = datetime.fromisoformat(world.job(world.jobs()[0])["metadata"]["creationTimestamp"])
    assert timedelta(0) < created - datetime(2026, 11, 22, tzinfo=UTC) <= timedelta(minutes=11)


async def test_the_heartbeat_runs_once_a_minute_and_keeps_no_jobs(world):
    start(world, "heartbeat", "2026-11-21T12:00")
    await pass_time(world, hours=1, minutes=1)
    await world.act(seconds=30)

    assert len(world.made) == 60
    assert world.jobs() == []


async def test_a_heartbeat_that_was_missed_is_not_caught_up(world):
    start(world, "heartbeat", "2026-11-21T12:00")
    await world.act()
    world.now += timedelta(minutes=30, seconds=90)
    world.restart()
    await world.act()

    assert times(world) == ["21 12:31"]
    assert world.schedule("heartbeat")["missed"] == 30


async def test_reports_missed_during_a_night_of_downtime_run_one_by_one(world):
    start(world, "hourly-report", "2026-11-21T20:30")
    await world.act()
    world.now += timedelta(hours=10)
    world.restart()
    await world.act()
    alone = list(world.made)
    await pass_time(world, hours=1, minutes=2)

    assert len(alone) == 1
    assert times(world) == [f"21 {hour}:00" for hour in (21, 22, 23)] + [f"22 0{hour}:00" for hour in range(8)]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_of_a_schedule_is_tested_here(path):
    assert f'"{path.stem}"' in Path(__file__).read_text()
