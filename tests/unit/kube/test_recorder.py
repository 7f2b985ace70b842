"""Events reach people in small numbers and never hold anything up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentjobs.errors import Denied, TooManyRequests, Unavailable
from agentjobs.kube.recorder import EventRecorder

pytestmark = [pytest.mark.looptime]
START = datetime(2026, 1, 1, tzinfo=UTC)


def about(name: str = "hello") -> dict[str, Any]:
    return {
        "apiVersion": "agentjobs.dev/v1alpha1",
        "kind": "AgentJob",
        "namespace": "team",
        "name": name,
        "uid": f"uid-{name}",
    }


@asynccontextmanager
async def recording(api: Any, **options: Any) -> AsyncIterator[EventRecorder]:
    loop = asyncio.get_running_loop()
    recorder = EventRecorder(api, instance="operator-1", now=lambda: START + timedelta(seconds=loop.time()), **options)
    task = asyncio.create_task(recorder.run())
    yield recorder
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def events(api: Any) -> list[dict[str, Any]]:
    return [obj for (kind, _), obj in api.objects.items() if kind == "Event"]


async def test_an_event_has_its_object_reason_and_time(api):
    async with recording(api) as recorder:
        recorder.record(about(), "Normal", "Started", "Pod hello-1 was made.")
        assert await recorder.flush(seconds=5)

    (event,) = events(api)
    name = event["metadata"].pop("name")
    event["metadata"].pop("resourceVersion")
    assert name.startswith("hello.")
    assert event == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": "team"},
        "involvedObject": about(),
        "type": "Normal",
        "reason": "Started",
        "message": "Pod hello-1 was made.",
        "source": {"component": "agentjobs"},
        "reportingComponent": "agentjobs",
        "reportingInstance": "operator-1",
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 1,
    }


async def test_repeated_events_are_counted(api):
    async with recording(api) as recorder:
        for _ in range(3):
            recorder.record(about(), "Warning", "Failed", "no")
            await asyncio.sleep(10)
        await recorder.flush(seconds=5)

    (event,) = events(api)
    assert (event["count"], event["lastTimestamp"]) == (3, "2026-01-01T00:00:20Z")


async def test_repetitions_before_the_write_are_one_write(api):
    async with recording(api) as recorder:
        for _ in range(50):
            recorder.record(about(), "Warning", "Failed", "no")
        await recorder.flush(seconds=5)

    assert [verb for verb, _ in api.calls] == ["create"]
    assert events(api)[0]["count"] == 50


async def test_counting_continues_after_a_restart(api):
    for _ in range(2):
        async with recording(api) as recorder:
            recorder.record(about(), "Warning", "Failed", "no")
            await recorder.flush(seconds=5)

    (event,) = events(api)
    assert event["count"] == 2


async def test_an_expired_event_is_created_again(api):
    async with recording(api) as recorder:
        recorder.record(about(), "Warning", "Failed", "no")
        await recorder.flush(seconds=5)
        api.objects.clear()
        recorder.record(about(), "Warning", "Failed", "no")
        await recorder.flush(seconds=5)

    (event,) = events(api)
    assert event["count"] == 1


@pytest.mark.parametrize(
    "other",
    [
        pytest.param((about("bye"), "Normal", "Started", "x"), id="another object"),
        pytest.param((about(), "Warning", "Started", "x"), id="another type"),
        pytest.param((about(), "Normal", "Ended", "x"), id="another reason"),
        pytest.param((about(), "Normal", "Started", "y"), id="another message"),
    ],
)
async def test_different_things_are_different_events(api, other):
    async with recording(api) as recorder:
        recorder.record(about(), "Normal", "Started", "x")
        recorder.record(*other)
        await recorder.flush(seconds=5)

    assert len(events(api)) == 2


async def test_the_event_budget_of_an_object_is_refilled(api):
    async with recording(api) as recorder:
        for number in range(30):
            recorder.record(about(), "Normal", "Snoozed", f"until {number}")
        await recorder.flush(seconds=5)
        assert (len(events(api)), recorder.dropped) == (20, 10)

        await asyncio.sleep(300)
        recorder.record(about(), "Normal", "Snoozed", "until tomorrow")
        recorder.record(about("other"), "Normal", "Snoozed", "until tomorrow")
        await recorder.flush(seconds=5)

    assert len(events(api)) == 22


async def test_a_full_recorder_drops_and_counts(api):
    told: list[int] = []
    async with recording(api, pending=3, on_dropped=lambda: told.append(1)) as recorder:
        for number in range(5):
            recorder.record(about(f"job-{number}"), "Normal", "Started", "x")
        await recorder.flush(seconds=5)

    assert (len(events(api)), recorder.dropped, len(told)) == (3, 2, 2)


async def test_the_rate_is_bounded(api):
    async with recording(api, rate=10.0) as recorder:
        for number in range(200):
            recorder.record(about(f"job-{number}"), "Normal", "Started", "x")
        assert not await recorder.flush(seconds=9)
        assert await recorder.flush(seconds=2)

    assert len(events(api)) == 200


async def test_events_are_written_after_an_outage(api):
    loop = asyncio.get_running_loop()

    def away(_verb: str) -> float | None:
        if loop.time() < 3:
            raise Unavailable("connection refused")
        return None

    api.fault = away
    async with recording(api) as recorder:
        recorder.record(about(), "Normal", "Started", "x")
        await asyncio.sleep(0.5)
        recorder.record(about(), "Normal", "Started", "x")
        assert await recorder.flush(seconds=30)

    assert [event["count"] for event in events(api)] == [2]


async def test_a_long_outage_loses_events_and_does_not_end_the_recorder(api):
    def away(_verb: str) -> float | None:
        raise Unavailable("connection refused")

    api.fault = away
    async with recording(api) as recorder:
        recorder.record(about(), "Normal", "Started", "x")
        assert await recorder.flush(seconds=30)
        assert recorder.dropped == 1
        api.fault = None
        recorder.record(about(), "Normal", "Started", "y")
        await recorder.flush(seconds=30)

    assert len(events(api)) == 1


async def test_a_retry_delay_of_the_server_is_used(api):
    loop = asyncio.get_running_loop()

    def slow_down(_verb: str) -> float | None:
        if len(api.calls) == 1:
            raise TooManyRequests("slow down", 7.0)
        return None

    api.fault = slow_down
    async with recording(api) as recorder:
        recorder.record(about(), "Normal", "Started", "x")
        await recorder.flush(seconds=30)

    assert loop.time() == pytest.approx(7, abs=0.1)


async def test_a_write_without_permission_is_not_retried(api):
    def refuse(_verb: str) -> float | None:
        raise Denied("events is forbidden")

    api.fault = refuse
    async with recording(api) as recorder:
        recorder.record(about(), "Normal", "Started", "x")
        await recorder.flush(seconds=30)

    assert (len(api.calls), recorder.dropped) == (1, 1)


async def test_texts_above_the_servers_limits_are_truncated(api):
    async with recording(api) as recorder:
        recorder.record(about("j" * 253), "Normal", "R" * 200, "m" * 5000)
        await recorder.flush(seconds=5)

    (event,) = events(api)
    assert (len(event["metadata"]["name"]), len(event["reason"]), len(event["message"])) == (253, 128, 1024)


async def test_a_full_recorder_keeps_warnings_and_drops_normal_events(api):
    async with recording(api, pending=3) as recorder:
        for number in range(3):
            recorder.record(about(f"job-{number}"), "Normal", "WaitingForSlot", "x")
        recorder.record(about("broken"), "Warning", "Failed", "x")
        recorder.record(about("late"), "Normal", "WaitingForSlot", "x")
        await recorder.flush(seconds=5)

    assert [event["involvedObject"]["name"] for event in events(api)] == ["job-1", "job-2", "broken"]
    assert recorder.dropped == 2


async def test_a_full_recorder_keeps_the_oldest_failures(api):
    async with recording(api, pending=2) as recorder:
        for number in range(3):
            recorder.record(about(f"job-{number}"), "Warning", "Failed", "x")
        await recorder.flush(seconds=5)

    assert [event["involvedObject"]["name"] for event in events(api)] == ["job-0", "job-1"]


async def test_an_object_without_budget_can_still_record_its_failure(api):
    async with recording(api) as recorder:
        for number in range(30):
            recorder.record(about(), "Normal", "WaitingForSlot", f"place {number}")
        recorder.record(about(), "Warning", "Failed", "x")
        await recorder.flush(seconds=5)

    assert events(api)[-1]["reason"] == "Failed"


async def test_many_dropped_events_are_one_line_a_minute(api, caplog):
    async with recording(api, pending=1) as recorder:
        for number in range(5):
            recorder.record(about(f"job-{number}"), "Normal", "Started", "x")
        await asyncio.sleep(61)
        for number in range(5):
            recorder.record(about(f"job-{number}"), "Normal", "Ended", "x")
        await recorder.flush(seconds=5)

    assert [record.events for record in caplog.records if record.msg == "event.dropped"] == [1, 4]
