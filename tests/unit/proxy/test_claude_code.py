"""Requests of Claude Code's CLI are recognized and forwarded unchanged."""

import json

import pytest
from tests.claudecoderequest import BODY, HEADERS, QUERY

from agentjobs.proxy.apis.anthropic import AnthropicApi
from agentjobs.proxy.apis.api import CallRefusal, Operation, Request

SECRETS = {"authorization": "Bearer token", "x-api-key": "token"}


def read(body=BODY, *, method="POST", path="/v1/messages", query=QUERY, headers=HEADERS):
    return AnthropicApi().read(Request(method, path, query, headers | SECRETS, json.dumps(body).encode()))


def test_a_request_of_the_cli_is_forwarded_unchanged():
    asked = read()

    assert asked.operation is Operation.GENERATE
    assert (asked.body, asked.target()) == (json.dumps(BODY).encode(), "/v1/messages?beta=true")
    assert (asked.streamed, asked.max_output, asked.model) == (True, 128000, "anthropic/claude-sonnet-4-5")


def test_headers_of_the_cli_are_forwarded_and_its_credentials_are_not():
    asked = read()

    assert {name: asked.headers.get(name) for name in HEADERS} == HEADERS
    assert not SECRETS.keys() & asked.headers.keys()


def test_requests_of_the_cli_without_streaming_are_forwarded_too():
    assert read(BODY | {"stream": False}).streamed is False


def test_messages_of_the_system_role_and_deferred_tools_count_as_input():
    without = {**BODY, "messages": BODY["messages"][:1], "tools": []}

    assert read().input_estimate > read(without).input_estimate + 100


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_the_clis_connectivity_check_is_answered_by_the_proxy(method):
    assert read({}, method=method, path="/api/hello", query="").operation is Operation.HELLO


@pytest.mark.parametrize("path", ["/v1/models", "/api/claude_cli/bootstrap", "/api/event_logging/v2/batch"])
def test_requests_of_the_cli_other_than_model_calls_are_refused(path):
    found = read({}, path=path)

    assert isinstance(found, CallRefusal)
    assert found.headers == {"x-should-retry": "false"}
