"""The log lines of a job have what the operator did to it, in order, and nothing of the job's input."""

import json
import logging

import pytest

from agentjobs import logs
from agentjobs.contract import Verdict
from agentjobs.errors import Denied, Invalid


@pytest.fixture
def lines(caplog):
    """Gives the lines about one object so far, as they are written."""
    caplog.set_level(logging.INFO, "agentjobs")

    def about(name="hello"):
        formatted = map(logs.LineFormatter(logs.as_json).format, caplog.records)
        return [json.loads(line) for line in formatted if f'"{name}"' in line]

    return about


def words(told):
    return [line["event"] for line in told]


async def test_the_log_lines_of_a_job_have_all_its_events_in_order(world, lines):
    world.apply(ttlSecondsAfterFinished=60)
    await world.act()
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)
    await world.act(minutes=2)

    assert words(lines()) == [
        "job.accepted",
        "job.claimed",
        "job.pod_created",
        "job.start_ended",
        "job.finished",
        "job.pod_released",
        "job.deleted",
        "job.removed",
    ]


async def test_each_line_has_job_decision_and_observation(world, lines):
    uid = world.apply()["metadata"]["uid"]
    await world.act()
    (claimed,) = [line for line in lines() if line["event"] == "job.claimed"]

    assert {"namespace": "default", "job": "hello", "uid": uid, "decision": "Claim"}.items() <= claimed.items()
    assert (claimed["start"], claimed["attempt"], claimed["pod"]) == (1, 1, "hello-1")
    assert claimed["observed"] == "phase Pending; slot granted"


async def test_the_line_of_a_failed_start_has_reason_charge_and_next_start(world, lines):
    world.apply()
    await world.act()
    world.run_pod(world.pods()[0])
    world.end_pod(world.pods()[0], Verdict.RETRY, reason="ToolError", code=70)
    await world.act(seconds=1)
    (ended,) = [line for line in lines() if line["event"] == "job.start_ended"]

    assert (ended["reason"], ended["charged"], ended["next"]) == ("ToolError", True, "Again")
    assert ended["at"] == world.job()["status"]["nextAttemptTime"]
    assert "hello-1 ended with exit code 70" in ended["observed"]


async def test_a_wait_is_logged_once(world, lines):
    world.apply(startAfter="1h")
    for _ in range(3):
        await world.act(seconds=10)

    assert words(lines()) == ["job.accepted", "job.waiting"]
    assert lines()[-1]["reason"] == "WaitingForStartTime"


async def test_a_refused_pod_is_logged_once(world, lines):
    world.refuse["create", "Pod"] = Denied("exceeded quota: q")
    world.apply()
    for _ in range(3):
        await world.act(seconds=1)
    refused = [line for line in lines() if line["event"] == "job.pod_refused"]

    assert [(line["reason"], line["level"]) for line in refused] == [("PodRefused", "warning")]
    assert "exceeded quota: q" in refused[0]["detail"]


async def test_no_line_contains_input_or_output_of_a_job(world, lines):
    world.apply(input={"message": "My PIN is 1234."}, agent={"model": "m/x", "inline": {"instruction": "{pin1234}"}})
    world.apply("other", input={"message": "My PIN is 1234."})
    await world.act()
    world.end_pod(world.pods()[0], Verdict.FAIL, reason="AgentError", message="1234 is no PIN", code=70)
    await world.act(seconds=1)

    assert words(lines())[-1] == words(lines("other"))[-2] == "job.finished"
    assert "1234" not in json.dumps([lines(), lines("other")])


async def test_the_lines_of_a_schedule_name_the_created_jobs(world, lines):
    world.apply_schedule(schedule="* * * * *")
    await world.act()
    await world.act(minutes=1)
    made = [line for line in lines("brief") if line["event"] == "schedule.job_created"]

    assert [(line["job"], line["kind"]) for line in made] == [(world.jobs()[0], "scheduled")]


async def test_the_lines_of_a_schedule_have_the_observation(world, lines):
    world.apply_schedule(schedule="* * * * *", concurrencyPolicy="Replace")
    await world.act()
    await world.act(minutes=1)
    (first,) = world.jobs()
    await world.act(minutes=1)
    of = {line["event"]: line["observed"] for line in lines("brief")}

    assert of["schedule.job_created"].startswith("no job running; due 2026-11-21T09:0")
    assert of["schedule.job_cancelled"].startswith(f"running {first}")


@pytest.mark.parametrize(
    ("error", "detail"),
    [(Denied("exceeded quota: q " + 400 * "x"), "exceeded quota"), (Invalid('Invalid value: "1234"'), "")],
    ids=["quota", "invalid"],
)
async def test_a_line_has_the_reason_of_a_refusal_without_quoting_the_job(world, lines, error, detail):
    world.apply_schedule(schedule="* * * * *")
    await world.act()
    world.refuse["create", "AgentJob"] = error
    await world.act(minutes=1)
    refused = next(line for line in lines("brief") if line["event"] == "schedule.job_refused")

    assert refused.get("detail", "")[:14] == detail
    assert len(refused.get("detail", "")) <= 300
    assert "1234" not in json.dumps(lines("brief"))


async def test_the_life_of_a_job_takes_few_log_lines(world, lines):
    """About a kilobyte and a half in all; a decision that only looks costs none."""
    world.apply()
    await world.act()
    for _ in range(20):
        await world.act(seconds=1)
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)

    assert len(lines()) == 6
