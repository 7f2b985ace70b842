"""Statistics of many jobs and of the installation: permissions and time ranges."""

from datetime import timedelta

import pytest
from tests.integration.history.model_calls import a_call_of, the_end_of

import agentjobs
from agentjobs.gateway.overview_api import clock_skew
from agentjobs.history.process_records import Presence
from agentjobs.history.records import TransitionRecord

from .conftest import NOW

AS_ADA = {"Authorization": "Bearer ada"}
AS_ROOT = {"Authorization": "Bearer root"}
DAY = {"since": "2026-11-21T00:00:00Z", "until": "2026-11-22T00:00:00Z"}
NUMBERS = ["/v1/counts", "/v1/activity", "/v1/usage/series"]


@pytest.fixture(autouse=True)
async def job(kube, history, ledger):
    """A job in a namespace that Ada may list and read; root may read all. It failed, and had called a model."""
    kube.add_user("ada", "ada", may={("list", "docs", ""), ("get", "docs", "hello")})
    kube.add_user("root", "root", may={("list", "", ""), ("get", "docs", "hello")})
    kube.add_user("nobody", "nobody")
    job = await history.accept("docs")
    call = a_call_of("u1", pod_uid="p1")
    await ledger.reserve(call)
    await ledger.settle([the_end_of(call, cost="0.0000000123")])
    return job


@pytest.mark.parametrize("path", NUMBERS)
@pytest.mark.parametrize(
    ("token", "namespaces", "status"),
    [
        ("ada", ["docs"], 200),
        ("ada", ["docs", "other"], 403),
        ("ada", [], 200),
        ("root", [], 200),
        ("nobody", [], 200),
        ("stranger", [], 401),
    ],
)
async def test_counts_include_only_namespaces_that_the_caller_can_list(http, path, token, namespaces, status):
    answer = await http.get(path, headers={"Authorization": f"Bearer {token}"}, params={"namespace": namespaces})

    assert answer.status_code == status


@pytest.mark.parametrize(("token", "jobs"), [("ada", 1), ("root", 1), ("nobody", 0)])
async def test_a_caller_without_permissions_gets_no_counts(http, token, jobs):
    headers = {"Authorization": f"Bearer {token}"}
    counts, activity, series = [
        (await http.get(path, headers=headers, params={} if path == "/v1/counts" else DAY)).json() for path in NUMBERS
    ]

    assert sum(one["jobs"] for one in counts["items"]) == jobs
    assert sum(one["created"] for one in activity["slices"]) == jobs
    assert len(series["items"]) == jobs


async def test_waiting_jobs_are_counted_by_reason_with_the_oldest(http, history, job):
    await history.memory.write([TransitionRecord(job.key, 1, NOW, "Queued", "QueueFull")])
    answer = (await http.get("/v1/counts", headers=AS_ADA)).json()

    told = {"namespace": "docs", "queue": "", "phase": "Queued", "reason": "QueueFull", "jobs": 1}
    assert answer == {"items": [{**told, "since": "2026-11-21T09:00:00Z"}], "more": False}


async def test_a_day_has_its_slices_and_the_reasons_of_failures(http, history, job):
    await history.memory.write([TransitionRecord(job.key, 1, NOW, "Failed", "ToolError", finished=True)])
    answer = (await http.get("/v1/activity", headers=AS_ADA, params=DAY)).json()

    nine = answer["slices"][36]
    assert (answer["since"], answer["until"], answer["seconds"]) == (*DAY.values(), 900)
    assert len(answer["slices"]) == 96
    assert (nine["begin"], nine["created"], nine["started"], nine["failed"]) == ("2026-11-21T09:00:00Z", 1, 1, 1)
    assert answer["failures"] == [{"reason": "ToolError", "jobs": 1, "latest": "2026-11-21T09:00:00Z"}]


async def test_costs_over_time_are_exact(http):
    answer = (await http.get("/v1/usage/series", headers=AS_ADA, params={**DAY, "by": "queue"})).json()

    [point] = answer["items"]
    assert (answer["by"], answer["keys"], answer["others"]) == ("queue", ["agents"], [])
    assert point == {
        "begin": "2026-11-21T09:00:00Z",
        "key": "agents",
        "calls": 1,
        "inputTokens": 10,
        "outputTokens": 5,
        "costUSD": "0.0000000123",
    }


@pytest.mark.parametrize("path", NUMBERS[1:])
async def test_the_default_time_range_is_the_last_day(http, path):
    answer = (await http.get(path, headers=AS_ROOT)).json()

    assert answer["seconds"] == 900


@pytest.mark.parametrize("path", NUMBERS[1:])
@pytest.mark.parametrize(
    "asked",
    [
        {"since": "yesterday"},
        {"since": "2026-11-21T09:00:00"},
        {"since": "2026-11-21"},
        {"since": "2026-11-21T09:00:00Z", "until": "2026-11-21T09:59:59Z"},
        {"since": "2026-11-22T09:00:00Z", "until": "2026-11-21T09:00:00Z"},
        {"since": "2026-01-01T09:00:00Z", "until": "2026-11-21T09:00:00Z"},
        {"until": "0001-01-01T00:00:00+14:00"},
        {"since": "0001-01-01T00:00:00+14:00", "until": "0001-01-01T05:00:00Z"},
        {"since": "9999-12-31T00:00:00Z", "until": "9999-12-31T23:59:59-14:00"},
        {"since": "1" * 30},
        {"until": "NaN"},
    ],
    ids=str,
)
async def test_an_invalid_time_range_is_refused(http, path, asked):
    answer = await http.get(path, headers=AS_ROOT, params=asked)

    assert (answer.status_code, answer.json()["reason"]) in {(400, "BadRequest"), (422, "Invalid")}


async def test_an_unsupported_grouping_of_usage_is_refused(http):
    answer = await http.get("/v1/usage/series", headers=AS_ROOT, params={"by": "user"})

    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")


async def test_the_installation_requires_permission_to_read_all_namespaces(http):
    refused = await http.get("/v1/installation", headers=AS_ADA)

    assert (refused.status_code, refused.json()["reason"]) == (403, "Forbidden")


async def test_the_installation_has_its_processes_and_its_database(http, processes, ledger):
    await processes.lives(Presence("operator", "op-1", "1.2.3", leads=True))
    await ledger.heartbeat("proxy-1", {"version": "1.2.2"})
    answer = (await http.get("/v1/installation", headers=AS_ROOT)).json()

    assert [(one["kind"], one["id"], one["version"], one["leads"]) for one in answer["processes"]] == [
        ("operator", "op-1", "1.2.3", True),
        ("proxy", "proxy-1", "1.2.2", False),
    ]
    assert (answer["version"], answer["cluster"], answer["jobs"]) == (agentjobs.__version__, "cluster-uid", 1)
    assert answer["databaseVersion"] == "memory"


@pytest.mark.parametrize(("theirs", "skew"), [(-5, -5), (0, 0), (1, 0), (2, 0), (3.5, 1.5)])
def test_a_clock_error_is_what_network_latency_does_not_explain(theirs, skew):
    answered = NOW + timedelta(seconds=2)

    assert clock_skew(NOW + timedelta(seconds=theirs), requested=NOW, answered=answered) == skew
