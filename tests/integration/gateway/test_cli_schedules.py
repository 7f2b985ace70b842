"""`agentjobs schedule` against the embedded API server and a real gateway."""

import asyncio
import json

import pytest

KIND = {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentSchedule"}
WINDOW = ("--from", "2026-10-24", "--to", "2026-10-27")
# Six in the morning in Berlin; the clocks go back on the 25th.
NAMES = ["brief-29880240", "brief-29881740", "brief-29883180"]


def path_of(cluster, plural):
    return f"/apis/agentjobs.dev/v1alpha1/namespaces/{cluster.namespace}/{plural}"


async def read(cluster):
    return (await cluster.http.get(f"{path_of(cluster, 'agentschedules')}/brief")).json()


async def jobs_of(cluster):
    return (await cluster.http.get(path_of(cluster, "agentjobs"))).json()["items"]


@pytest.fixture
async def brief(cluster):
    """A schedule that is there."""
    spec = {
        "schedule": "0 6 * * *",
        "timeZone": "Europe/Berlin",
        "jobTemplate": {
            "spec": {
                "agent": {"model": "gemini-x", "inline": {"instruction": "x"}},
                "input": {"message": "Since $(schedule.previousTime)?"},
            }
        },
    }
    return await cluster.create(
        path_of(cluster, "agentschedules"), KIND | {"metadata": {"name": "brief"}, "spec": spec}
    )


async def test_list_and_show_have_what_kubectl_shows(cli, brief):
    listed, told = await cli("schedule", "list"), await cli("schedule", "show", "brief")
    as_json = json.loads((await cli("schedule", "list", "-o", "json"))[1])

    header = listed[1].splitlines()[0].split()
    assert (header[:3], header[-2]) == (["NAME", "SCHEDULE", "TIMEZONE"], "REASON")
    assert "0 6 * * * Europe/Berlin" in told[1]
    assert [item["metadata"]["name"] for item in as_json] == ["brief"]


async def test_next_shows_local_and_utc(cli, brief):
    text, times = (
        await cli("schedule", "next", "brief", "--count", "3"),
        await cli("schedule", "next", "brief", "--count", "3", "-o", "json"),
    )

    assert len(text[1].splitlines()) == 4
    assert text[1].split()[:2] == ["EUROPE/BERLIN", "UTC"]
    assert all("T06:00:00+0" in entry["local"] for entry in json.loads(times[1]))


@pytest.fixture
def triggered_job(cluster, brief):
    """Create the job of the value `one`, as an operator would."""

    async def create():
        spec = brief["spec"]["jobTemplate"]["spec"]
        metadata = {"name": "brief-tabfc3cb3"}
        body = {"apiVersion": KIND["apiVersion"], "kind": "AgentJob", "metadata": metadata, "spec": spec}
        await cluster.create(path_of(cluster, "agentjobs"), body)

    return create


async def test_trigger_prints_the_name_of_the_created_job(cli, cluster, triggered_job):
    order = asyncio.create_task(cli("schedule", "trigger", "brief", "--value", "one"))
    async with cluster.http.stream("GET", path_of(cluster, "agentschedules"), params={"watch": "true"}) as changes:
        async for line in changes.aiter_lines():
            if "agentjobs.dev/trigger" in line:
                break
    await triggered_job()

    code, out, _ = await order
    body = await read(cluster)
    assert (code, out) == (0, "agentjob.agentjobs.dev/brief-tabfc3cb3 created\n")
    assert body["metadata"]["annotations"]["agentjobs.dev/trigger"] == "one"


@pytest.mark.parametrize("format_", [None, "name", "json"])
async def test_trigger_reports_a_job_that_the_same_value_created_before(cli, triggered_job, format_):
    await triggered_job()
    code, out, err = await cli("schedule", "trigger", "brief", "--value", "one", *(("-o", format_) if format_ else ()))

    assert (code, "created\n" in out + err) == (0, False)
    assert "brief-tabfc3cb3" in out
    assert "already existed" in (err if format_ else out)


async def test_trigger_fails_if_no_job_is_created(cli, brief, monkeypatch):
    monkeypatch.setattr("agentjobs.cli.schedule_actions._TRIGGER_SECONDS", 0.5)
    code, out, err = await cli("schedule", "trigger", "brief", "--value", "one")

    assert (code, out) == (124, "")
    assert "brief-tabfc3cb3" in err


async def test_suspend_and_resume_set_the_same_field(cli, cluster, brief):
    await cli("schedule", "suspend", "brief")
    suspended = await read(cluster)
    await cli("schedule", "resume", "brief")
    resumed = await read(cluster)

    assert (suspended["spec"]["suspend"], resumed["spec"]["suspend"]) == (True, False)
    assert "annotations" not in resumed["metadata"]


async def test_resume_ends_a_halt_after_failures(cli, cluster, brief):
    said = {
        "type": "Active",
        "status": "False",
        "reason": "TooManyFailures",
        "message": "",
        "lastTransitionTime": "2026-11-21T09:00:00Z",
    }
    await cluster.http.patch(
        f"{path_of(cluster, 'agentschedules')}/brief/status",
        json={"status": {"conditions": [said]}},
        headers={"Content-Type": "application/merge-patch+json"},
    )

    await cli("schedule", "resume", "brief")

    body = await read(cluster)
    assert body["metadata"]["annotations"]["agentjobs.dev/resume"]


async def test_backfill_creates_the_jobs_of_a_window_once(cli, cluster, brief):
    looked = await cli("schedule", "backfill", "brief", *WINDOW, "--dry-run")
    nothing = await jobs_of(cluster)
    made = await cli("schedule", "backfill", "brief", *WINDOW, "--max-active", "3")
    again = await cli("schedule", "backfill", "brief", *WINDOW, "--max-active", "3")

    jobs = await jobs_of(cluster)
    assert looked[1].count("would be created") == 3
    assert nothing == []
    assert made[1].splitlines() == [f"agentjob.agentjobs.dev/{name} created" for name in NAMES]
    assert again[1:] == ("", "3 times in that range already have a job; nothing to do.\n")
    assert [job["metadata"]["name"] for job in jobs] == NAMES
    assert jobs[1]["metadata"]["annotations"]["agentjobs.dev/previous-time"] == "2026-10-24T04:00:00Z"
    assert jobs[0]["metadata"]["ownerReferences"][0]["uid"] == brief["metadata"]["uid"]


async def test_backfill_skips_times_that_history_has_jobs_for(cli, cluster, story, brief):
    await story.begin(uid="gone", name=NAMES[1], schedule="brief")

    made = await cli("schedule", "backfill", "brief", *WINDOW, "--max-active", "3")

    assert made[1].splitlines() == [f"agentjob.agentjobs.dev/{name} created" for name in (NAMES[0], NAMES[2])]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(["--from", "2026-10-01", "--to", "2026-10-27"], 2, "use --yes", id="many"),
        pytest.param(["--from", "2026-10-01", "--to", "2999-01-01"], 2, "is in the future", id="future"),
        pytest.param(["--from", "2026-10-02", "--to", "2026-10-01"], 2, "must be before", id="backwards"),
        pytest.param(["--from", "yesterday", "--to", "2026-10-01"], 2, "use 2026-11-01", id="no-time"),
        pytest.param(["--from", "2010-01-01", "--to", "2026-10-01"], 2, "a shorter range", id="too-many"),
        pytest.param([*WINDOW, "--gateway", "http://127.0.0.1:1"], 1, "history is needed", id="no-history"),
    ],
)
async def test_an_invalid_backfill_is_refused(cli, cluster, brief, arguments, code, words):
    left = await cli("schedule", "backfill", "brief", *arguments)

    assert left[0] == code
    assert words in left[2]
    assert await jobs_of(cluster) == []


async def test_an_invalid_schedule_is_refused_with_the_reason(cli, cluster, brief):
    spec = brief["spec"] | {"schedule": "0 0 30 2 *"}
    await cluster.create(path_of(cluster, "agentschedules"), KIND | {"metadata": {"name": "never"}, "spec": spec})

    unknown, never = await cli("schedule", "next", "nobody"), await cli("schedule", "next", "never")

    assert unknown[0] == never[0] == 1
    assert "not found" in unknown[2]
    assert "never matches" in never[2]


async def test_commands_accept_several_schedules_and_report_each(cli, cluster, brief):
    code, out, err = await cli("schedule", "suspend", "nope", "brief")
    resumed = await cli("schedule", "resume", "--all")
    listed = await cli("schedule", "list", "brief", "nope", "-o", "name")
    shown = await cli("schedule", "show", "-l", "team=docs", "-o", "json")
    times = await cli("schedule", "next", "brief", "nope", "--count", "2", "-o", "json")
    page = await cli("schedule", "next", "brief", "brief", "--count", "1")
    stopped = await cli("schedule", "suspend", "asch/brief", "-o", "json")

    assert json.loads(stopped[1])["spec"]["suspend"] is True
    assert (code, out) == (1, "agentschedule.agentjobs.dev/brief suspended\n")
    assert "nope" in err
    assert resumed[:2] == (0, "agentschedule.agentjobs.dev/brief resumed\n")
    assert listed[:2] == (1, "agentschedule.agentjobs.dev/brief\n")
    assert (json.loads(shown[1]), shown[2]) == ([], "No AgentSchedules found.\n")
    assert [(each["schedule"], len(each["times"])) for each in json.loads(times[1])] == [("brief", 2)]
    assert (times[0], page[0], page[1].count("==> brief <==\nEUROPE/BERLIN")) == (1, 0, 2)
