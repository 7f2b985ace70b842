"""What users read of notifications, with their own permissions."""

from datetime import timedelta

import pytest

from agentjobs.history.outbox_records import Outcome, Tried
from agentjobs.history.records import Acceptance, JobKey, JobRecord, TransitionRecord

AS_ADA = {"Authorization": "Bearer t"}
PLACE = "/v1/namespaces/docs/notifications"
RETRY = "/v1/namespaces/docs/agentjobs/hello/notifications/retry"
SINKS = [{"sink": sink, "events": ["Failed"]} for sink in ("chat", "audit")]


@pytest.fixture(autouse=True)
async def _notification(kube, history, outbox):
    """A job that failed, of which the sink `chat` did not want to hear; and Ada, who may see and change it."""
    from tests.unit.gateway.conftest import NOW

    kube.add_user("t", "ada", may={("list", "docs", ""), ("patch", "docs", "hello")})
    key = JobKey("u1", "docs", "hello", NOW)
    spec = {"input": {"message": "hi"}, "retry": {"maxAttempts": 1}, "notifications": SINKS}
    await history.memory.accept(Acceptance(JobRecord(key, {"spec": spec, "scripts": {}}, "abc")))
    await history.memory.write([TransitionRecord(key, 1, NOW, "Failed", "ToolError", finished=True)])
    (taken,) = await outbox.take({"chat": 1}, lease=timedelta(seconds=1))
    await outbox.mark(Tried(taken, Outcome.GIVEN_UP, "answered 410: it is gone"))


async def test_notifications_are_listed(http):
    answer = (await http.get(PLACE, headers=AS_ADA)).json()

    assert {one["sink"]: one["state"] for one in answer["items"]} == {"chat": "GivenUp", "audit": "Waiting"}
    assert answer["cursor"] is None


@pytest.mark.parametrize(
    ("params", "sinks"),
    [({"stuck": "true"}, ["chat"]), ({"job": "hello", "limit": 1}, ["chat"]), ({"job": "u1", "stuck": "1"}, ["chat"])],
    ids=["stuck", "page-of-a-job", "by-uid"],
)
async def test_notifications_can_be_filtered(http, params, sinks):
    answer = (await http.get(PLACE, headers=AS_ADA, params=params)).json()

    assert [one["sink"] for one in answer["items"]] == sinks


async def test_an_abandoned_notification_can_be_retried(http, outbox):
    answer = await http.post(RETRY, headers=AS_ADA, params={"sink": "chat"})

    assert answer.json() == {"retried": 1}
    assert [one.sink for one in await outbox.take({"chat": 1}, lease=timedelta(seconds=1))] == ["chat"]


async def test_allowed_and_refused_retries_are_recorded(http, kube, actions):
    await http.post(RETRY, headers=AS_ADA, params={"sink": "chat"})
    kube.add_user("u", "eve", may=set())
    await http.post(RETRY, headers={"Authorization": "Bearer u"})

    found = (await actions.actions(["docs"])).items
    assert {(one.user, one.action, one.status, one.uid) for one in found} == {
        ("ada", "retry-notifications", 200, "u1"),
        ("eve", "retry-notifications", 403, ""),
    }


async def test_an_unknown_job_has_no_notifications(http):
    assert (await http.get(PLACE, headers=AS_ADA, params={"job": "nobody"})).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"), [("GET", PLACE.replace("docs", "other")), ("POST", RETRY)], ids=["list", "retry"]
)
async def test_a_caller_without_permission_is_refused(http, kube, method, path):
    kube.add_user("t", "ada", may={("list", "docs", ""), ("get", "docs", "hello")})

    assert (await http.request(method, path, headers=AS_ADA)).status_code == 403
    assert (await http.request(method, path)).status_code == 401
