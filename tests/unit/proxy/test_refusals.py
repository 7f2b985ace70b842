"""Refusals look like the provider's own errors and carry the class."""

import json

import pytest

from agentjobs.contract import ErrorClass
from agentjobs.proxy import apis
from agentjobs.proxy.apis.api import Refusal

CODE = "agentjobs.dev/BudgetExceeded"
SPENT = Refusal(402, ErrorClass.BUDGET_EXCEEDED, "spent")
LATER = Refusal(429, ErrorClass.MODEL_RATE_LIMITED, "later", retry_after=7.2)
PREFIXES = ["/gemini/", "/vertex/", "/openai/v1/", "/anthropic/"]


def api(prefix):
    found = apis.find(prefix)
    assert found is not None
    return found[0]


def test_googles_clients_find_the_class_in_the_details():
    for prefix in ("/gemini/", "/vertex/"):
        error = json.loads(api(prefix).refusal_body(SPENT))["error"]

        assert (error["code"], error["status"], error["details"][0]["reason"]) == (402, "FAILED_PRECONDITION", CODE)


def test_googles_clients_find_when_to_try_again_in_the_details():
    error = json.loads(api("/gemini/").refusal_body(LATER))["error"]

    assert error["details"][1]["retryDelay"] == "8s"


def test_openais_clients_find_the_class_in_the_code():
    error = json.loads(api("/openai/v1/").refusal_body(SPENT))["error"]

    assert (error["code"], error["type"], error["message"]) == (CODE, CODE, "spent")


def test_anthropics_clients_find_the_class_in_the_type():
    for prefix in ("/anthropic/", "/vertex/"):
        body = json.loads(api(prefix).refusal_body(SPENT))

        assert (body["type"], body["error"]["type"]) == ("error", CODE)


def test_a_client_is_told_when_to_try_again_or_not_to():
    assert LATER.headers == {"retry-after": "8"}
    assert SPENT.headers == {"x-should-retry": "false"}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_refusal_within_a_stream_is_an_event_whatever_was_sent_before(prefix):
    text = api(prefix).refusal_event(SPENT).decode()

    lines = [line for line in text.splitlines() if line]
    assert text.startswith("\n\n")
    assert text.endswith("\n\n")
    assert CODE in json.dumps(json.loads(lines[-1].removeprefix("data: ")))
