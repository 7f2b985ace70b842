"""The client's operations run as the caller, for a bounded time, and refusals have the server's message."""

import asyncio
import json

import pytest

from agentjobs import errors
from agentjobs.client.effects import Now, Send, Server, Sleep
from agentjobs.gateway.acting import Acting, refusal
from agentjobs.kube.answers import error_of
from agentjobs.problem import Problem

PATH = "/apis/agentjobs.dev/v1alpha1/namespaces/docs/agentjobs/hello"


class Server_:
    """Answers with what is in `answers`, in order; an exception among them is raised."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    async def send(self, method, path, **more):
        self.asked.append((method, path, more))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return await answer if asyncio.iscoroutine(answer) else answer


async def nothing_recorded(_send):
    raise AssertionError("history was asked")


def acting(*answers, recorded=nothing_recorded, **more):
    return Acting(Server_(*answers), recorded, **more)


def asks(*sends):
    outcome = None
    for send in sends:
        outcome = yield send
    return outcome


async def test_a_request_reaches_the_api_server_unchanged():
    cluster = Server_({"ok": 1})
    send = Send("PATCH", PATH, {"spec": {}}, {"fieldManager": "me"})

    assert await Acting(cluster, nothing_recorded).run(asks(send)) == {"ok": 1}
    more = {"kind": "agentjobs", "body": {"spec": {}}, "query": {"fieldManager": "me"}}
    assert cluster.asked == [("PATCH", PATH, more)]


async def test_a_request_to_the_gateway_is_answered_in_process():
    async def recorded(send):
        return {"asked": send.path}

    asked = asks(Send("GET", "/v1/x", server=Server.GATEWAY))
    assert await acting(recorded=recorded).run(asked) == {"asked": "/v1/x"}


async def test_an_operation_can_continue_after_a_refusal():
    def operation():
        try:
            yield Send("GET", PATH)
        except errors.NotFound:
            return "it is gone"

    assert await acting(errors.NotFound("no")).run(operation()) == "it is gone"


async def test_an_operation_uses_the_time_of_the_event_loop():
    def operation():
        before = yield Now()
        yield Sleep(0.01)
        return (yield Now()) - before

    assert await acting().run(operation()) >= 0.01


async def test_a_hanging_action_ends_in_time_with_an_unknown_outcome():
    ended = []

    def operation():
        try:
            yield Send("PATCH", PATH)
        finally:
            ended.append(True)

    with pytest.raises(Problem, match="may have been") as raised:
        await acting(asyncio.sleep(60), whole=0.01).run(operation())
    assert (raised.value.status, raised.value.reason, ended) == (503, "Unavailable", [True])


async def test_an_operation_that_waits_too_long_raises_its_own_error():
    def operation():
        yield Now()
        raise TimeoutError("no operator has created it")

    with pytest.raises(TimeoutError, match="no operator"):
        await acting().run(operation())


@pytest.mark.parametrize(
    ("code", "reason", "status", "told"),
    [
        pytest.param(401, "Unauthorized", 401, "Unauthorized", id="unauthorized"),
        pytest.param(403, "Forbidden", 403, "Forbidden", id="forbidden"),
        pytest.param(404, "NotFound", 404, "NotFound", id="not-found"),
        pytest.param(409, "AlreadyExists", 409, "AlreadyExists", id="exists"),
        pytest.param(409, "Conflict", 409, "Conflict", id="conflict"),
        pytest.param(410, "Gone", 410, "Gone", id="gone"),
        pytest.param(422, "Invalid", 422, "Invalid", id="invalid"),
        pytest.param(429, "TooManyRequests", 429, "TooManyRequests", id="too-many"),
        pytest.param(500, "InternalError", 503, "Unavailable", id="internal"),
        pytest.param(503, "ServiceUnavailable", 503, "Unavailable", id="away"),
    ],
)
def test_a_refusal_has_the_api_servers_status_and_reason(code, reason, status, told):
    raw = json.dumps({"kind": "Status", "code": code, "reason": reason, "message": "said"})
    problem = refusal(error_of(code, raw, request="GET agentjobs", retry_after="7"))

    assert (problem.status, problem.reason) == (status, told)
    assert problem.headers.get("Retry-After") == {429: "7", 503: "2"}.get(status)


def test_a_refusal_has_the_api_servers_truncated_message():
    raw = json.dumps({"kind": "Status", "code": 422, "message": "spec.queue: " + "x" * 9000})
    message = refusal(error_of(422, raw, request="PATCH agentjobs docs/hello")).message

    assert (message[:12], len(message.encode())) == ("spec.queue: ", 2000)


@pytest.mark.parametrize("code", [500, 503])
def test_the_address_of_an_unavailable_server_is_not_shown(code):
    problem = refusal(error_of(code, b"dial tcp 10.0.0.1:6443: refused", request="GET agentjobs"))

    assert "10.0.0.1" not in problem.message
