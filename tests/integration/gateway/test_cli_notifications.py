"""Notifications on the command line and in the clients, against a real gateway and PostgreSQL."""

import asyncio
import json
from datetime import timedelta

import pytest
from tests.runnerpods import NOW

from agentjobs.client import AsyncClient, Client
from agentjobs.errors import NotFound
from agentjobs.history.database import Database
from agentjobs.history.outbox import Outbox
from agentjobs.history.outbox_records import Outcome, Tried
from agentjobs.history.records import Acceptance, JobKey, JobRecord, StartRecord, TransitionRecord

ERROR = "answered 410: it is gone\x1b[31m"


@pytest.fixture
async def notified(story, database, cluster):
    """A job that failed; its sink `chat` wants no more of it, `audit` was not asked yet."""
    key = JobKey("u1", cluster.namespace, "triage", NOW)
    sinks = [{"sink": sink, "events": ["Failed"]} for sink in ("chat", "audit")]
    spec = {"input": {"message": "hi"}, "retry": {"maxAttempts": 1}, "notifications": sinks}
    start = StartRecord(key, 1, 1, "triage-1", NOW)
    await story.operator.accept(Acceptance(JobRecord(key, {"spec": spec, "scripts": {}}, "abc"), start))
    await story.operator.write([TransitionRecord(key, 1, NOW, "Failed", "ToolError", finished=True)])
    uid = (await cluster.http.get("/api/v1/namespaces/kube-system")).json()["metadata"]["uid"]
    async with Database(database) as opened:
        outbox = Outbox(opened, cluster=uid)
        (taken,) = await outbox.take({"chat": 1}, lease=timedelta(minutes=1))
        await outbox.mark(Tried(taken, Outcome.GIVEN_UP, ERROR))


def rows(out):
    return [line.split() for line in out.splitlines()[1:]]


async def test_notifications_without_a_subcommand_lists_them(notified, cli, cluster):
    code, out, _ = await cli("notifications", "-n", cluster.namespace)

    found = {row[1]: row[:5] for row in rows(out)}
    assert code == 0
    assert found["chat"] == ["triage", "chat", "Failed", "GivenUp", "1"]
    assert found["audit"] == ["triage", "audit", "Failed", "Waiting", "0"]
    assert "\x1b" not in out


async def test_stuck_notifications_are_listed_with_the_reason(notified, cli, cluster):
    _, out, _ = await cli("notifications", "--stuck", "--job", "triage", "-o", "json", "-n", cluster.namespace)

    (one,) = json.loads(out)
    assert (one["sink"], one["state"], one["error"]) == ("chat", "GivenUp", ERROR)


async def test_an_abandoned_notification_can_be_retried(notified, cli, cluster):
    first = await cli("notifications", "retry", "triage", "--sink", "chat", "-n", cluster.namespace)
    second = await cli("notifications", "retry", "triage", "--sink", "audit", "-n", cluster.namespace)

    assert (first[0], first[1]) == (0, "triage: 1 notification retried\n")
    assert (second[0], second[1]) == (0, "triage: nothing to retry\n")


async def test_an_unknown_job_is_an_error(notified, cli, cluster):
    code, _, err = await cli("notifications", "--job", "nobody", "-n", cluster.namespace)

    assert (code, "nobody" in err) == (1, True)


async def test_the_clients_list_and_retry_notifications(notified, kubeconfig, cluster):
    def blocking():
        with Client(kubeconfig=str(kubeconfig), namespace=cluster.namespace) as client:
            return [one.sink for one in client.notifications.list(job="u1", stuck=True)]

    assert await asyncio.to_thread(blocking) == ["chat"]
    async with AsyncClient(kubeconfig=str(kubeconfig), namespace=cluster.namespace) as client:
        assert await client.notifications.retry("triage") == 1
        assert sorted([one.state async for one in client.notifications.list()]) == ["Retrying", "Waiting"]
        with pytest.raises(NotFound):
            await client.notifications.retry("nobody")
