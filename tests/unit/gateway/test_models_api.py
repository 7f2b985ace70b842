"""What users read of models and their costs, with their own permissions."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.integration.history.model_calls import a_call_of, the_end_of

from agentjobs.history.model_records import Limit, Take
from agentjobs.models.config import parse
from agentjobs.models.names import pool

from .conftest import NOW

AS_ADA = {"Authorization": "Bearer ada"}
AS_ROOT = {"Authorization": "Bearer root"}
FILE = """
providers:
  - name: gemini
    kind: Gemini
    keys: [{name: main, file: /keys/main}, {name: docs, file: /keys/docs}]
    limits: [{requestsPerMinute: 10}]
namespaces: [{names: [docs], keys: {gemini: [docs]}, allowedModels: ["gemini-*"]}]
aliases: {fast: gemini-2.5-flash}
"""
TOLD = parse(FILE).report(NOW.date())


@pytest.fixture(autouse=True)
async def _world(kube, history, ledger):
    """A job that called a model and calls another; Ada may list its namespace and read it, root all namespaces."""
    kube.add_user("ada", "ada", may={("list", "docs", ""), ("get", "docs", "hello")})
    kube.add_user("root", "root", may={("list", "", "")})
    await history.accept("docs")
    done, open_ = (
        a_call_of("u1", pod_uid="p1", requested="fast", model=model) for model in ("gemini-2.5-flash", "gemini-x")
    )
    await ledger.reserve(done)
    await ledger.settle([the_end_of(done, cost="0.0123")])
    await ledger.reserve(open_)


async def test_usage_is_returned_by_model_for_the_last_thirty_days(http):
    answer = (await http.get("/v1/usage", headers=AS_ADA, params={"namespace": "docs", "until": "2026-11-25"})).json()

    [line] = answer["items"]
    assert (answer["first"], answer["last"], answer["more"]) == ("2026-10-27", "2026-11-25", False)
    assert (line["by"], line["calls"], line["inputTokens"], line["costUSD"]) == (
        {"model": "gemini-2.5-flash"},
        1,
        10,
        "0.0123",
    )


async def test_the_default_report_of_the_first_day_of_the_calendar_is_that_day(http):
    answer = await http.get("/v1/usage", headers=AS_ROOT, params={"until": "0001-01-01"})

    assert (answer.status_code, answer.json()["first"]) == (200, "0001-01-01")


async def test_usage_can_be_grouped_by_several_fields(http):
    asked = {"by": ["namespace", "day"], "since": "2026-11-20", "until": "2026-11-30"}
    answer = (await http.get("/v1/usage", headers=AS_ROOT, params=asked)).json()

    assert [line["by"] for line in answer["items"]] == [{"namespace": "docs", "day": "2026-11-21"}]


@pytest.mark.parametrize("path", ["/v1/usage", "/v1/models"])
@pytest.mark.parametrize(
    ("headers", "namespace", "status"),
    [
        (AS_ADA, "docs", 200),
        (AS_ADA, "other", 403),
        (AS_ADA, None, 403),
        (AS_ROOT, None, 200),
        ({}, "docs", 401),
        ({"Authorization": "Bearer stranger"}, "docs", 401),
        (AS_ADA, "Docs/..", 400),
    ],
)
async def test_permission_to_list_jobs_includes_their_model_costs(http, path, headers, namespace, status):
    answer = await http.get(path, headers=headers, params={"namespace": namespace} if namespace else {})

    assert answer.status_code == status


@pytest.mark.parametrize(
    "asked",
    [
        {"by": "colour"},
        {"by": ["model", "model"]},
        {"since": "yesterday"},
        {"since": "2020-01-01"},
        {"since": "2026-11-30", "until": "2026-11-01"},
        {"limit": "501"},
    ],
)
async def test_an_unsupported_report_is_refused(http, asked):
    answer = await http.get("/v1/usage", headers=AS_ROOT, params=asked)

    assert answer.status_code in (400, 422)


async def test_a_namespace_sees_its_own_key_with_its_remaining_capacity(http, ledger, model_limits):
    await ledger.heartbeat("proxy-1", TOLD)
    bucket = "gemini/docs * requestsPerMinute"
    await model_limits.take("proxy-1", "m", [Take(a_call_of().id, "gemini/docs", ((Limit(bucket, 10), 3),))])
    await model_limits.close("gemini/docs", "gemini-x", seconds=60, reason="429")
    await model_limits.close("gemini/main", "", seconds=60, reason="out of credit")
    await model_limits.exhausted(pool("gemini-x", ["gemini/docs"]), seconds=60, reason="no key has room")
    await model_limits.exhausted(pool("gemini-y", ["gemini/main"]), seconds=60, reason="of other namespaces")

    told = (await http.get("/v1/models", headers=AS_ADA, params={"namespace": "docs"})).json()

    [provider] = told["providers"]
    [key] = provider["keys"]
    [limit] = key["limits"]
    assert (key["name"], limit["left"], limit["most"], limit["counts"]) == ("gemini/docs", 7, 10, "requests")
    assert [(one["model"], one["reason"]) for one in key["closed"]] == [("gemini-x", "429")]
    assert [one["model"] for one in told["exhausted"]] == ["gemini-x"]
    assert [(one["job"], one["model"], one["calls"]) for one in told["underWay"]] == [("hello", "gemini-x", 1)]
    assert [one["id"] for one in told["proxies"]] == ["proxy-1"]
    assert (told["allowedModels"], told["aliases"]) == (["gemini-*"], {"fast": "gemini-2.5-flash"})
    assert any("gemini-2.5-flash" in price["models"] and price["input"] == "0.3" for price in told["prices"])


async def test_an_administrator_sees_all_keys_but_not_their_files(http, ledger):
    await ledger.heartbeat("proxy-1", TOLD)
    answer = await http.get("/v1/models", headers=AS_ROOT)

    assert [key["name"] for key in answer.json()["providers"][0]["keys"]] == ["gemini/main", "gemini/docs"]
    assert "/keys/" not in answer.text


async def test_without_a_proxy_the_overview_is_empty(http):
    told = (await http.get("/v1/models", headers=AS_ADA, params={"namespace": "docs"})).json()

    assert (told["providers"], told["proxies"]) == ([], [])


async def test_the_cost_of_a_jobs_calls_is_returned(http):
    place = "/v1/namespaces/docs/agentjobs/hello/models"
    ended, open_ = (await http.get(place, headers=AS_ADA)).json()["items"]

    assert (ended["model"], ended["calls"], ended["costUSD"]) == ("gemini-2.5-flash", 1, "0.0123")
    assert (open_["model"], open_["underWay"]) == ("gemini-x", 1)
    assert (await http.get(place, headers=AS_ROOT)).status_code == 403


async def test_days_are_in_utc_by_default(http):
    answer = (await http.get("/v1/usage", headers=AS_ROOT)).json()

    assert answer["last"] == datetime.now(UTC).date().isoformat()


CALLS = "/v1/namespaces/docs/agentjobs/hello/calls"


async def test_the_calls_of_a_job_are_listed(http):
    answer = (await http.get(CALLS, headers=AS_ADA, params={"limit": 1})).json()
    rest = (await http.get(CALLS, headers=AS_ADA, params={"cursor": answer["cursor"]})).json()

    [done], [open_] = answer["items"], rest["items"]
    assert {done["outcome"], open_["outcome"]} == {"Answered", None}
    assert {done["costUSD"], open_["costUSD"]} == {"0.0123", "0"}


async def test_requests_and_answers_need_the_permission_to_read_texts(http, kube, ledger):
    call = a_call_of("u1", pod_uid="p1")
    await ledger.reserve(call)
    await ledger.settle([replace(the_end_of(call), content={"request": {"a": 1}})])
    kube.add_user("reader", "reader", may={("get", "docs", "hello"), ("get configmaps", "docs", "")})
    path = f"{CALLS}/{call.id}/content"

    assert (await http.get(path, headers=AS_ADA)).status_code == 403
    answer = await http.get(path, headers={"Authorization": "Bearer reader"})
    assert (answer.status_code, answer.json()) == (200, {"content": {"request": {"a": 1}}})


async def test_a_call_whose_content_is_not_recorded_is_not_found(http, kube):
    kube.add_user("reader", "reader", may={("get", "docs", "hello"), ("get configmaps", "docs", "")})
    [call, _] = (await http.get(CALLS, headers=AS_ADA)).json()["items"]
    answer = await http.get(f"{CALLS}/{call['id']}/content", headers={"Authorization": "Bearer reader"})

    assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")
