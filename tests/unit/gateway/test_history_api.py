"""What users read of history, with their own permissions."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agentjobs.api.job_filter import NAMES
from agentjobs.history.pages import write_cursor
from agentjobs.history.records import TransitionRecord

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)

AS_ADA = {"Authorization": "Bearer t"}
JOBS = "/v1/namespaces/docs/agentjobs"


@pytest.fixture(autouse=True)
def _ada(kube):
    kube.add_user("t", "ada", may={("list", "docs", ""), ("get", "docs", "hello"), ("get", "docs", "gone")})


@pytest.fixture
async def job(history):
    """The job `hello`, ended."""
    job = await history.accept("docs")
    await history.memory.write([TransitionRecord(job.key, 1, NOW, "Running", "Started")])
    await history.memory.write([TransitionRecord(job.key, 2, NOW, "Succeeded", "Succeeded", finished=True)])
    event = {"seq": 1, "time": "2026-11-21T09:00:00Z", "kind": "text", "author": "hello", "data": {"text": "hi"}}
    await history.memory.add_events("u1", 1, "p1", [event])
    return job


async def test_jobs_are_returned_in_pages(http, history, job):
    job.resolved["template"] = {"name": "report", "generation": 1, "locked": [], "parameters": {}}
    later = replace(job.key, uid="u0", created=NOW + timedelta(minutes=1))
    history.memory.jobs_by_uid["u0"] = replace(job, key=later)
    cursor = write_cursor((NOW + timedelta(minutes=2), "u9"))
    chosen = {"name": "hello", "schedule": "brief", "partition": "shop", "template": "report"}
    answer = await http.get(JOBS, headers=AS_ADA, params={"limit": 1, "cursor": cursor, **chosen})
    rest = await http.get(JOBS, headers=AS_ADA, params={"cursor": answer.json()["cursor"]})

    assert ([item["uid"] for item in rest.json()["items"]], rest.json()["cursor"]) == (["u1"], None)
    item = answer.json()["items"][0]
    assert (item["name"], item["schedule"], item["partitionKey"]) == ("hello", "brief", "shop")
    assert answer.json()["items"][0]["created"] == "2026-11-21T09:01:00Z"
    assert history.calls[0][:2] + history.calls[0][3:] == ("jobs", ["docs"], 1, cursor)


async def test_the_history_of_a_job_does_not_have_its_resolved_spec(http, history, job):
    answer = await http.get(f"{JOBS}/hello", headers=AS_ADA)

    assert set(answer.json()) == {"job", "specHash", "starts", "transitions"}
    assert answer.json()["transitions"][0]["phase"] == "Running"


async def test_events_can_be_filtered_by_start(http, history, job):
    answer = await http.get(f"{JOBS}/hello/events", headers=AS_ADA, params={"start": 1})

    assert answer.json()["items"][0]["data"] == {"text": "hi"}
    assert history.calls[-1] == ("events", "u1", 1, 100, None, False)


async def test_events_can_be_read_from_the_end(http, history, job):
    await http.get(f"{JOBS}/hello/events", headers=AS_ADA, params={"newest": "true", "limit": 5})

    assert history.calls[-1] == ("events", "u1", None, 5, None, True)


async def test_steps_of_a_start_are_listed_without_their_content(http, history, job):
    times = {"began": "2026-11-21T09:00:00Z", "ended": "2026-11-21T09:00:02Z"}
    named = {"key": "hello:1", "kind": "model", "agent": "hello", "name": "gemini"}
    step = {**named, **times, "request": {}, "body": "SECRET", "usage": {"llmCalls": 1}}
    await history.memory.append_steps("u1", 1, "p1", {"run": 1, "void": [], "steps": [step]})
    answer = await http.get(f"{JOBS}/hello/steps", headers=AS_ADA, params={"start": 1})

    told = {"n": 1, "run": 1, "start": 1, "bytes": 10, "usage": {"llmCalls": 1}, "void": False, "replayed": False}
    asked = {"costUSD": None, "served": None, "tries": 0}
    assert answer.json() == {"items": [{**named, **times, **told, **asked}], "cursor": None}
    assert history.calls[-1] == ("steps", "u1", 1, 100, None)


async def test_steps_and_events_can_be_read_from_a_number(http, history, job):
    await http.get(f"{JOBS}/hello/steps", headers=AS_ADA, params={"after": 11})
    steps = history.calls[-1]
    await http.get(f"{JOBS}/hello/events", headers=AS_ADA, params={"start": 2, "after": 7})

    assert steps == ("steps", "u1", None, 100, write_cursor((11,)))
    assert history.calls[-1] == ("events", "u1", 2, 100, write_cursor((2, 7)), False)


async def test_events_after_a_number_of_an_unnamed_start_are_refused(http, history, job):
    answer = await http.get(f"{JOBS}/hello/events", headers=AS_ADA, params={"after": 7})

    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert "query.after: " in answer.json()["message"]
    assert "start" in answer.json()["message"]


async def test_the_times_of_all_steps_are_returned(http, history, job):
    times = {"began": "2026-11-21T09:00:00Z", "ended": "2026-11-21T09:00:02Z"}
    named = {"kind": "model", "name": "gemini"}
    step = {**named, **times, "key": "k", "agent": "hello", "request": {}, "body": "SECRET", "usage": {}}
    await history.memory.append_steps("u1", 1, "p1", {"run": 1, "void": [], "steps": [step]})

    answer = await http.get(f"{JOBS}/hello/spans", headers=AS_ADA)

    assert answer.json() == {"items": [{**named, **times, "n": 1, "start": 1}]}


async def test_a_result_is_returned_or_not_found(http, history, job):
    nothing = await http.get(f"{JOBS}/hello/result", headers=AS_ADA)
    job.result = {"text": "hi", "structured": {"a": 1}, "usage": {"llmCalls": 1}, "outcome": "fix"}
    job.workspace = {"branch": "agents/x", "commit": "0a1b"}
    found = await http.get(f"{JOBS}/hello/result", headers=AS_ADA)

    assert (nothing.status_code, nothing.json()["reason"]) == (404, "NoResult")
    told = {"uid": "u1", "name": "hello", "phase": "Succeeded", "result": job.result}
    assert found.json() == {**told, "workspace": {**job.workspace, "pullRequest": None}}


async def test_the_accepted_spec_requires_permission_to_read_config_maps(http, kube, history, job):
    refused = await http.get(f"{JOBS}/hello/spec", headers=AS_ADA)
    asked = list(history.calls)
    kube.add_user("t2", "bob", may={("get", "docs", "hello"), ("get configmaps", "docs", "")})

    found = await http.get(f"{JOBS}/hello/spec", headers={"Authorization": "Bearer t2"})

    assert (refused.status_code, refused.json()["reason"], asked) == (403, "Forbidden", [])
    assert "get configmaps" in refused.json()["message"]
    assert found.json() == {"uid": "u1", "name": "hello", "spec": job.resolved["spec"], "parameters": {}}


async def test_a_job_unknown_to_history_is_404(http):
    answer = await http.get(f"{JOBS}/gone", headers=AS_ADA)

    assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")


@pytest.mark.parametrize("path", ["/v1/namespaces/other/agentjobs", f"{JOBS}/other", f"{JOBS}/other/result"])
async def test_an_unreadable_job_is_403_without_a_query(http, history, path):
    answer = await http.get(path, headers=AS_ADA)

    assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")
    assert history.calls == []


@pytest.mark.parametrize(
    "path",
    [
        f"{JOBS}?limit=0",
        f"{JOBS}?limit=501",
        f"{JOBS}?limit=x",
        f"{JOBS}?cursor={'x' * 600}",
        f"{JOBS}?name=%00",
        f"{JOBS}/%00",
        f"{JOBS}/A%27%20OR%201=1",
        f"{JOBS}/{'x' * 300}",
        f"{JOBS}/hello/events?start=0",
        f"{JOBS}/hello/steps?start=0",
        f"{JOBS}/hello/events?start={10**30}",
        "/v1/namespaces/%00/agentjobs",
    ],
)
async def test_an_invalid_query_is_400_with_a_message(http, path):
    answer = await http.get(path, headers=AS_ADA)

    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")


async def three_jobs(history, job):
    """Of each of two namespaces one, and of one that no one here may read."""
    for uid, namespace in (("u2", "shop"), ("u3", "secret")):
        history.memory.jobs_by_uid[uid] = replace(job, key=replace(job.key, uid=uid, namespace=namespace))


@pytest.fixture
async def others(history, job, kube):
    await three_jobs(history, job)
    kube.rights["ada"].add(("list", "shop", ""))


async def uids(http, **params):
    answer = await http.get("/v1/agentjobs", headers=AS_ADA, params=params)
    return [item["uid"] for item in answer.json()["items"]]


async def test_a_list_of_all_namespaces_has_only_readable_jobs(http, others):
    assert await uids(http) == ["u2", "u1"]
    assert await uids(http, namespace="shop") == ["u2"]
    assert await uids(http, phase=["Failed", "Succeeded"], order="oldest") == ["u1", "u2"]
    assert await uids(http, phase="Failed") == []


async def test_an_unreadable_namespace_is_refused_whether_it_exists_or_not(http, others):
    refused = [
        await http.get("/v1/agentjobs", headers=AS_ADA, params={"namespace": ["shop", name]})
        for name in ("secret", "no")
    ]

    assert [answer.status_code for answer in refused] == [403, 403]
    assert refused[0].json()["message"].replace("secret", "no") == refused[1].json()["message"]


async def test_only_readable_namespaces_are_listed(http, others, kube):
    some = await http.get("/v1/namespaces", headers=AS_ADA)
    kube.add_user("all", "root", may={("list", "", "")})
    every = await http.get("/v1/namespaces", headers={"Authorization": "Bearer all"})

    assert some.json() == {"items": ["docs", "shop"], "everywhere": False}
    assert every.json() == {"items": ["docs", "secret", "shop"], "everywhere": True}


@pytest.mark.parametrize(
    "parameter",
    ["since=yesterday", "endedUntil=2026-11-29", "minCost=much", "maxCost=-1", "order=random", "text=--", "label==x"],
)
@pytest.mark.parametrize("path", [JOBS, "/v1/agentjobs"], ids=["one", "all"])
async def test_an_invalid_filter_is_refused_with_its_name(http, job, path, parameter):
    answer = await http.get(f"{path}?{parameter}", headers=AS_ADA)

    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert f"query.{parameter.partition('=')[0]}" in answer.json()["message"]


@pytest.mark.parametrize(
    ("query", "field", "lower"),
    [
        (
            "since=2026-11-29T09:00:00Z&until=2026-11-29T08:00:00Z",
            "until: 2026-11-29T08:00:00Z ",
            "2026-11-29T09:00:00Z",
        ),
        (
            "endedSince=2026-11-29T08:00:00Z&endedUntil=2026-11-29T08:00:00Z",
            "endedUntil: 2026-11-29T08:00:00Z ",
            " 2026-11-29T08:00:00Z;",
        ),
        ("minCost=2&maxCost=1", "maxCost: 1 ", " 2;"),
    ],
    ids=["created", "ended", "cost"],
)
async def test_limits_that_no_job_can_match_are_refused_with_both_values(http, job, query, field, lower):
    answer = await http.get(f"{JOBS}?{query}", headers=AS_ADA)

    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    _, found, rest = answer.json()["message"].partition(f"query.{field}")
    assert (bool(found), lower in rest) == (True, True)


async def test_too_many_values_of_a_filter_are_refused(http, job):
    answer = await http.get(JOBS, headers=AS_ADA, params={"queue": [f"q{n}" for n in range(21)]})

    assert (answer.status_code, "queue" in answer.json()["message"]) == (400, True)


async def test_openapi_describes_each_filter(http):
    paths = (await http.get("/openapi.json")).json()["paths"]
    told = {one["name"]: one for one in paths["/v1/agentjobs"]["get"]["parameters"]}

    assert set(NAMES) <= set(told)
    assert [name for name in NAMES if len(told[name].get("description", "")) < 15] == []
    assert {*NAMES} <= {one["name"] for one in paths[JOBS.replace("docs", "{namespace}")]["get"]["parameters"]}
