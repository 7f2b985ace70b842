import json
from datetime import UTC, datetime
from typing import Any

import pytest

from agentjobs.api.conditions import Condition
from agentjobs.api.raw_status import MAX_COUNT
from agentjobs.api.schedule.status import MAX_ACTIVE, ActiveJob, AgentScheduleStatus, ScheduleConditionType
from agentjobs.api.schedule.validation import validate_schedule
from agentjobs.contract import GROUP, VERSION
from devcluster.client import CRDS, ApiError, Client, Resource

SCHEDULES = Resource(GROUP, VERSION, "agentschedules", "AgentSchedule")
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
JOB: dict[str, Any] = {"agent": {"model": "m", "inline": {"instruction": "Be brief."}}, "input": {"message": "Hello."}}


def a_schedule(name: str = "s", *, job: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    whole = {"schedule": "30 6 * * 1-5", "jobTemplate": {"spec": JOB | (job or {})}} | spec
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "AgentSchedule",
        "metadata": {"name": name, "namespace": "default"},
        "spec": whole,
    }


async def apply(client: Client, body: dict[str, Any]) -> dict[str, Any]:
    params = {"fieldValidation": "Strict", "dryRun": "All"}
    return await client.request("POST", SCHEDULES.path("default"), body=body, params=params)


async def test_the_schedules_crd_is_established_and_structural(client: Client) -> None:
    made = await client.get(CRDS, None, "agentschedules.agentjobs.dev")
    said = {condition["type"]: condition["status"] for condition in made["status"]["conditions"]}

    assert said["Established"] == said["NamesAccepted"] == "True"
    assert "NonStructuralSchema" not in said


async def test_a_schedules_defaults_are_written_into_it(client: Client) -> None:
    made = await apply(client, a_schedule())

    assert made["spec"] == {
        "schedule": "30 6 * * 1-5",
        "timeZone": "UTC",
        "concurrencyPolicy": "Forbid",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 3,
        "catchUp": {"policy": "Latest", "limit": 10},
        "jobTemplate": {"spec": JOB},
    }


REFUSED = {
    "seconds": ({"schedule": "0 30 6 * * 1-5"}, "is not a schedule; use five fields"),
    "an-unknown-macro": ({"schedule": "@every 1h"}, "is not a schedule; use five fields"),
    "a-zone-in-the-expression": ({"schedule": "TZ=UTC 0 6 * * *"}, "is not a schedule; use five fields"),
    "a-deadline-too-short": ({"startingDeadlineSeconds": 9}, "should be greater than or equal to 10"),
    "an-unknown-policy": ({"concurrencyPolicy": "Queue"}, 'Unsupported value: "Queue"'),
    "all-and-replace": (
        {"catchUp": {"policy": "All"}, "concurrencyPolicy": "Replace"},
        "catchUp.policy All and concurrencyPolicy Replace exclude each other",
    ),
    "no-runs": ({"maxRuns": 0}, "should be greater than or equal to 1"),
    "no-jitter": ({"jitter": "soon"}, "is not a duration"),
    "start-at": (
        {"job": {"startAt": "2026-12-01T09:00:00Z"}},
        "startAt is not allowed here: the schedule sets the time",
    ),
    "start-after": ({"job": {"startAfter": "1h"}}, "startAfter is not allowed here: the schedule sets the time"),
    "cancel": ({"job": {"cancel": True}}, "cancel would end each job immediately"),
    "a-bad-job": ({"job": {"input": {}}}, "input is required: give the agent its message"),
    "a-long-name": ({"name": "s" * 44}, "a schedule's name has at most 43 characters"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
async def test_the_server_refuses_a_bad_schedule_with_a_message(
    client: Client, changes: dict[str, Any], message: str
) -> None:
    body = a_schedule(**changes)

    with pytest.raises(ApiError, match=r"^422 ") as refused:
        await apply(client, body)
    assert message in str(refused.value)
    assert validate_schedule(body) != [], "the operator must refuse it too"


async def test_the_job_template_of_a_schedule_can_be_edited(client: Client) -> None:
    made = await client.create(SCHEDULES, "default", a_schedule("edited"))
    made["spec"]["jobTemplate"]["spec"]["input"] = {"message": "Other."}

    edited = await client.replace(SCHEDULES, "default", "edited", made)

    assert edited["metadata"]["generation"] == 2


async def test_the_largest_status_fits_the_schema_and_16_kib(client: Client) -> None:
    jobs = (ActiveJob("j" * 52, NOW, uid="u" * 36, previous=NOW) for _ in range(MAX_ACTIVE))
    said = (Condition(kind, "True", "Reason", "m" * 1024, NOW, 1) for kind in ScheduleConditionType)
    texts = {"timing": "t" * 400, "last_trigger": "t" * 253, "last_resume": "r" * 253}
    times = dict.fromkeys(("last_schedule_time", "last_successful_time", "next_schedule_time", "settled_time"), NOW)
    counts = dict.fromkeys(("running", "missed", "runs", "consecutive_failures"), MAX_COUNT)
    full = AgentScheduleStatus(1, tuple(said), tuple(jobs), **texts, **times, **counts)
    await client.create(SCHEDULES, "default", a_schedule("full"))
    body = {"status": full.patch_from({})}

    written = await client.patch(SCHEDULES, "default", "full", body, subresource="status")

    assert AgentScheduleStatus.parse(written["status"]) == full
    assert len(json.dumps(written["status"])) < 16 * 1024
