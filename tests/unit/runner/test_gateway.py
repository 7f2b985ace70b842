"""The gateway's client: what is retried, for how long, and what is not."""

import json

import httpx
import pytest

from agentjobs.errors import Fenced, Invalid, JournalFull, TooLarge, Unavailable
from agentjobs_runner.gateway import Gateway


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def gateway(clock):
    """`gateway(503, 200)` answers so, the last one forever; it counts its calls in `.calls`."""

    def make(*answers, headers=None, body=b'{"final": null}'):
        left = list(answers)

        def handle(request):
            made.calls.append(request)
            answer = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(answer, Exception):
                raise answer
            return httpx.Response(answer, headers=headers, content=body)

        client = httpx.Client(base_url="http://gateway", transport=httpx.MockTransport(handle))
        made = Gateway(client, lambda: "token", clock=clock, sleep=clock.sleep)
        made.calls = []
        return made

    return make


@pytest.mark.parametrize(
    "answer",
    [500, 503, 401, 403, 404, 429, httpx.ConnectError("refused"), httpx.ReadTimeout("slow")],
    ids=str,
)
def test_temporary_errors_are_retried(gateway, answer):
    made = gateway(answer, 200)

    made.attempt(give_up=lambda: 120.0)

    assert len(made.calls) == 2


def test_a_start_that_a_replica_has_not_seen_yet_is_claimed_again(gateway):
    made = gateway(404, 200, body=b'{"reason": "NotFound", "message": "job u has no start 1"}')

    made.attempt(give_up=lambda: 120.0)

    assert len(made.calls) == 2


def test_the_gateway_is_unavailable_after_the_last_retry(gateway, clock):
    made = gateway(503)

    with pytest.raises(Unavailable, match="503"):
        made.attempt(give_up=lambda: 120.0)

    assert 110 < clock.now <= 120
    assert len(made.calls) < 60


@pytest.mark.parametrize(
    ("status", "error"), [(409, Fenced), (400, Invalid), (413, Invalid), (422, Invalid)], ids=lambda x: str(x)
)
def test_a_permanent_error_is_not_retried(gateway, status, error):
    made = gateway(status)

    with pytest.raises(error):
        made.attempt(give_up=lambda: 120.0)

    assert len(made.calls) == 1


SAID = {
    "json": (b'{"reason": "Fenced", "message": "start 1 is over"}', "409 Fenced: start 1 is over"),
    "a-proxys": (b"<h1>Conflict</h1>", "409 <h1>Conflict</h1>"),
    "other-json": (b"[1]", r"409 \[1\]"),
}


@pytest.mark.parametrize(("body", "said"), SAID.values(), ids=SAID)
def test_an_error_of_the_gateway_keeps_its_message(gateway, body, said):
    with pytest.raises(Fenced, match=f": {said}$"):
        gateway(409, body=body).attempt(give_up=lambda: 120.0)


@pytest.mark.parametrize("status", [429, 503])
def test_a_retry_delay_of_the_gateway_is_used(gateway, clock, status):
    gateway(status, 200, headers={"retry-after": "40"}).attempt(give_up=lambda: 120.0)

    assert clock.now == pytest.approx(40)


def test_sigterm_ends_retrying(gateway, clock):
    made = gateway(503)

    with pytest.raises(Unavailable):
        made.attempt(give_up=lambda: 120.0 if clock.now < 5 else 6.0)

    assert clock.now <= 6


def test_an_answer_that_is_not_json_is_not_the_gateways(gateway):
    with pytest.raises(Unavailable, match="AGENTJOBS_GATEWAY_URL"):
        gateway(200, body=b"<html>").attempt(give_up=lambda: 0.0)


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>login</html>"], ids=["empty", "list", "page"])
def test_a_success_that_is_not_the_gateways_is_unavailable(gateway, body):
    made = gateway(200, body=body)

    with pytest.raises(Unavailable, match="check AGENTJOBS_GATEWAY_URL"):
        made.put_result({}, give_up=lambda: 1.0)


def test_an_unreadable_token_is_retried(gateway, clock):
    def token():
        raise FileNotFoundError(2, "no such file")

    made = Gateway(httpx.Client(), token, clock=clock, sleep=clock.sleep)

    with pytest.raises(Unavailable, match="token"):
        made.heartbeat()


@pytest.mark.parametrize(
    ("reason", "error"), [("JournalFull", JournalFull), ("StepTooLarge", TooLarge), ("?", TooLarge)]
)
def test_a_full_journal_and_a_too_large_body_have_different_errors(gateway, reason, error):
    made = gateway(413, body=json.dumps({"reason": reason, "message": "no"}).encode())

    with pytest.raises(error) as caught:
        made.add_steps(b"{}")

    assert type(caught.value) is error
