"""Models and their costs on the command line and in the client, against a real gateway and PostgreSQL."""

import asyncio
import csv
import io
import json
from types import SimpleNamespace

import pytest
from tests.integration.history.model_calls import a_call_of, the_end_of
from tests.runnerpods import NOW

from agentjobs.cli.models import complete_models
from agentjobs.client import AsyncClient, Client, UsageBy
from agentjobs.errors import NotFound
from agentjobs.history.database import Database
from agentjobs.history.model_calls import ModelCalls
from agentjobs.history.records import Acceptance, JobKey, JobRecord, StartRecord
from agentjobs.history.runner_writes import RunnerWrites
from agentjobs.models.config import parse

FILE = """
providers:
  - {name: google, kind: Gemini, keys: [{name: main, file: /keys/main}], limits: [{requestsPerMinute: 60}]}
aliases: {team/fast: gemini-2.5-flash}
"""


@pytest.fixture
async def called(story, database, cluster):
    """A job that made two model calls and is in a third, and a proxy that lives."""
    uid_of_cluster = (await cluster.http.get("/api/v1/namespaces/kube-system")).json()["metadata"]["uid"]
    async with Database(database) as open_database:
        ledger = ModelCalls(open_database, cluster=uid_of_cluster)
        key = JobKey(uid="uid-9", namespace=cluster.namespace, name="costly", created=NOW)
        resolved = {"spec": {"retry": {"maxAttempts": 3}, "input": {"message": "hi"}, "queue": "agents"}, "scripts": {}}
        record = JobRecord(job=key, resolved=resolved, spec_hash="abc")
        await story.operator.accept(Acceptance(record, StartRecord(key, 1, 1, "costly-1", NOW)))
        runners = RunnerWrites(open_database, cluster=uid_of_cluster)
        await runners.claim("uid-9", 1, "pod-1", namespace=cluster.namespace, job="costly")
        for cost, model in (("0.0123", "gemini-2.5-flash"), ("1.5", "gemini-2.5-pro")):
            call = a_call_of("uid-9", requested="team/fast", model=model)
            await ledger.reserve(call)
            await ledger.settle([the_end_of(call, cost=cost, model=model)])
        await ledger.reserve(a_call_of("uid-9", requested="team/fast", model="gemini-2.5-flash", provider="google"))
        await ledger.heartbeat("proxy-1", parse(FILE).report(NOW.date()))


async def test_usage_is_shown_as_a_table(cli, called):
    code, out, _ = await cli("usage", "--since", "7d")

    assert code == 0
    assert [(line.split()[0], line.split()[-1]) for line in out.splitlines()[1:]] == [
        ("gemini-2.5-pro", "$1.50"),
        ("gemini-2.5-flash", "$0.0123"),
        ("TOTAL", "$1.51"),
    ]


async def test_usage_is_printed_as_json_for_programs(cli, cluster, called):
    told = json.loads((await cli("usage", "--by", "queue,day", "-o", "json"))[1])
    rows = list(csv.DictReader(io.StringIO((await cli("usage", "-A", "--by", "namespace", "-o", "csv"))[1])))

    assert told["total"]["costUSD"] == "1.5123"
    assert set(told["items"][0]["by"]) == {"queue", "day"}
    assert [row["costUSD"] for row in rows if row["namespace"] == cluster.namespace] == ["1.5123"]


async def test_missing_usage_is_reported_and_is_not_a_failure(cli):
    code, out, err = await cli("usage")

    assert (code, out) == (0, "")
    assert "No model calls ended" in err


async def test_days_that_cannot_be_reported_are_refused(cli):
    assert (await cli("usage", "--since", "2020-01-01"))[0] == 1
    assert (await cli("usage", "--since", "week"))[0] == 2
    assert (await cli("usage", "--by", "colour"))[0] == 2


async def test_models_are_shown_with_the_jobs_that_call_them(cli, cluster, called):
    code, out, err = await cli("models")
    one = json.loads((await cli("models", "team/fast", "-o", "json"))[1])

    assert (code, err) == (0, "")
    assert any(line.split()[:3] == ["google", "Gemini", "main"] and "60" in line.split() for line in out.splitlines())
    assert [line.split()[1:4] for line in out.splitlines() if line.startswith(cluster.namespace)] == [
        ["costly", "gemini-2.5-flash", "1"]
    ]
    assert [price["models"] for price in one["prices"]] == [["gemini-2.5-flash"]]
    assert (await cli("models", "anthropic/claude-x"))[0] == 1


async def test_the_absence_of_a_proxy_is_reported(cli):
    code, out, err = await cli("models")

    assert (code, out) == (0, "")
    assert "No model proxy is running" in err


async def test_a_page_of_a_job_has_the_cost_of_its_models(cli, called):
    code, out, _ = await cli("show", "costly")
    document = json.loads((await cli("show", "costly", "-o", "json"))[1])

    assert code == 0
    assert [line.split()[-1] for line in out.splitlines() if line.startswith("gemini-2.5-pro")] == ["$1.50"]
    assert "1 in progress" in out
    assert "$1.51" in out
    assert [one["model"] for one in document["models"]] == ["gemini-2.5-pro", "gemini-2.5-flash"]


async def test_the_calls_of_a_job_are_shown_one_by_one(cli, called):
    code, out, _ = await cli("show", "costly", "--calls")
    document = json.loads((await cli("show", "costly", "--calls", "--start", "1", "-o", "json"))[1])

    assert code == 0
    assert "3, $1.51" in out
    assert [line.split()[3:6] for line in out.splitlines() if " for " in line] == [
        ["gemini-2.5-flash", "for", "team/fast"],
        ["gemini-2.5-pro", "for", "team/fast"],
        ["gemini-2.5-flash", "for", "team/fast"],
    ]
    assert [call["outcome"] for call in document["calls"]] == ["Answered", "Answered", None]
    assert (await cli("show", "costly", "--calls", "--start", "2"))[0] == 2
    assert (await cli("show", "costly", "--calls", "--steps"))[0] == 2


async def test_both_clients_read_the_cost_of_models(kubeconfig, gateway, called):
    with Client(kubeconfig=str(kubeconfig), gateway_url=gateway) as client:
        report = await asyncio.to_thread(client.models.usage, [UsageBy.PROVIDER])
        seen = await asyncio.to_thread(client.models.overview)
        with pytest.raises(NotFound):
            await asyncio.to_thread(client.models.of_job, "nobody")
        [first, *_] = await asyncio.to_thread(lambda: list(client.models.calls("costly")))
        with pytest.raises(NotFound):
            await asyncio.to_thread(client.models.content, "costly", first.id)
    async with AsyncClient(kubeconfig=str(kubeconfig), gateway_url=gateway) as other:
        assert await other.models.usage([UsageBy.PROVIDER]) == report
        made = [call async for call in other.models.calls("costly", step="a")]
        assert (len(made), made[0].id) == (3, first.id)
        assert [one.calls for one in await other.models.of_job("costly")] == [1, 1]

    assert [(line.by, str(line.cost_usd)) for line in report.items] == [({UsageBy.PROVIDER: "google"}, "1.5123")]
    assert seen.aliases == {"team/fast": "gemini-2.5-flash"}


async def test_names_of_models_are_completed(kubeconfig, gateway, called, monkeypatch):
    given = {"kubeconfig": str(kubeconfig), "gateway": gateway}
    names = await asyncio.to_thread(complete_models, SimpleNamespace(params=given), "team/")

    assert names == ["team/fast"]
