"""Refusals look like the provider's own errors and carry the class."""

import json
import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.contract import (
    MAX_DELAY_SECONDS,
    ErrorClass,
    RefusalCode,
    read_refusal,
    refusal_code,
    refusal_identifier,
)
from agentjobs.proxy import apis
from agentjobs.proxy.apis.api import CallRefusal

CODE = "agentjobs.dev/BudgetExceeded"
SPENT = CallRefusal(402, ErrorClass.BUDGET_EXCEEDED, "spent")
LATER = CallRefusal(429, ErrorClass.MODEL_RATE_LIMITED, "later", retry_after=7.2)
PREFIXES = ["/gemini/", "/vertex/", "/openai/v1/", "/anthropic/"]


def api(prefix):
    found = apis.find(prefix)
    assert found is not None
    return found[0]


def test_googles_clients_find_the_error_class_in_the_details():
    for prefix in ("/gemini/", "/vertex/"):
        error = json.loads(api(prefix).refusal_body(SPENT))["error"]

        assert (error["code"], error["status"], error["details"][0]["reason"]) == (402, "FAILED_PRECONDITION", CODE)


def test_googles_clients_find_the_retry_delay_in_the_details():
    error = json.loads(api("/gemini/").refusal_body(LATER))["error"]

    assert error["details"][1]["retryDelay"] == "8s"


def test_openais_clients_find_the_error_class_in_the_code():
    error = json.loads(api("/openai/v1/").refusal_body(SPENT))["error"]

    assert (error["code"], error["type"], error["message"]) == (CODE, CODE, "spent")


def test_anthropics_clients_find_the_error_class_in_the_type():
    for prefix in ("/anthropic/", "/vertex/"):
        body = json.loads(api(prefix).refusal_body(SPENT))

        assert (body["type"], body["error"]["type"]) == ("error", CODE)


@pytest.mark.parametrize("delay", [None, 3600])
@pytest.mark.parametrize("kind", ErrorClass)
def test_an_identifier_passed_on_by_claude_code_has_the_meaning_of_a_code(kind, delay):
    told = refusal_identifier(kind, delay)

    assert re.fullmatch(r"[a-z][a-z0-9_]{1,63}", told)
    assert read_refusal(told) == read_refusal(refusal_code(kind, delay)) == (kind.value, delay)


def test_claude_code_gets_error_class_and_delay_in_an_identifier():
    codes = {
        seconds: json.loads(api("/anthropic/").refusal_body(replace(LATER, retry_after=seconds)))["error"]["details"]
        for seconds in (None, 60.5, 1e12)
    }

    plain = "agentjobs_model_rate_limited"
    told = {None: plain, 60.5: f"{plain}_retry_after_61", 1e12: f"{plain}_retry_after_{366 * 86400}"}
    assert codes == {seconds: {"error_code": code} for seconds, code in told.items()}


@given(st.sampled_from(ErrorClass), st.none() | st.floats(0, 1e9))
def test_a_code_is_parsed_to_its_error_class_and_delay(kind, delay):
    found = read_refusal(refusal_code(kind, delay))

    seconds = None if delay is None else min(max(1, math.ceil(delay)), MAX_DELAY_SECONDS)
    assert found == RefusalCode(kind, seconds)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("agentjobs.dev/Newer", RefusalCode("Newer", None)),
        ("agentjobs.dev/Newer;retry-after=", RefusalCode("Newer", None)),
        ("agentjobs.dev/Newer;retry-after=1e9", RefusalCode("Newer", None)),
        ("agentjobs.dev/Newer;retry-after=-3", RefusalCode("Newer", None)),
        ("agentjobs.dev/Newer;retry-after=0", RefusalCode("Newer", 1.0)),
        ("agentjobs.dev/Newer;retry-after=" + "9" * 5000, RefusalCode("Newer", None)),
        ("agentjobs.dev/Newer;later=3", None),
        ("agentjobs.dev/", None),
        ("agentjobs.dev/;retry-after=3", None),
        ("agentjobs.dev/A B", None),
        ("rate_limit_error;retry-after=3", None),
        (None, None),
        (429, None),
    ],
)
def test_a_code_that_is_not_the_proxys_is_not_parsed(code, found):
    assert read_refusal(code) == found


def test_a_refusal_has_a_retry_delay_or_forbids_retries():
    assert LATER.headers == {"retry-after": "8"}
    assert SPENT.headers == {"x-should-retry": "false"}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_refusal_within_a_stream_is_a_complete_event(prefix):
    text = api(prefix).refusal_event(SPENT).decode()

    lines = [line for line in text.splitlines() if line]
    assert text.startswith("\n\n")
    assert text.endswith("\n\n")
    assert CODE in json.dumps(json.loads(lines[-1].removeprefix("data: ")))
