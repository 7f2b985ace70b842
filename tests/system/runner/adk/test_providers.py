"""OpenAI's and Anthropic's models through their real clients, against loopback servers that speak their protocol."""

import json
import sys

import pytest


def ended(ending):
    return ending.verdict.value, ending.reason, ending.delay_seconds


async def test_an_answer_is_the_result_and_its_tokens_are_counted(ask, provider):
    ending, calls = await ask(provider.said("Hello."))

    assert ending.result["text"] == "Hello."
    assert ending.result["usage"] == {"llmCalls": 1, "toolCalls": 0, "inputTokens": 11, "outputTokens": 5}
    assert [(path, body["model"]) for path, _, body in calls] == [(provider.path, "some-model")]


async def test_a_tool_is_called_and_its_result_sent_back(ask, provider):
    agent = {"inline": {"name": "a", "instruction": "Help.", "tools": [{"name": "exit_loop"}]}}
    ending, calls = await ask(provider.called("exit_loop", {}), provider.said("Done."), agent=agent)

    assert ending.result is None or ending.result["usage"]["toolCalls"] == 1
    assert "exit_loop" in json.dumps(calls[0][2]["tools"])


FAILURES = {
    "429-with-retry-after": (
        429,
        "rate_limit_error",
        "Slow down.",
        {"Retry-After": "3"},
        ("Snooze", "ModelRateLimited", 3.0),
    ),
    "429": (429, "rate_limit_error", "Slow down.", {}, ("Snooze", "ModelRateLimited", 30.0)),
    "500": (500, "api_error", "Oops.", {}, ("Retry", "ModelUnavailable", None)),
    "503": (503, "api_error", "Oops.", {}, ("Retry", "ModelUnavailable", None)),
    "504": (504, "timeout_error", "Too slow.", {}, ("Retry", "ModelTimeout", None)),
    "529": (529, "overloaded_error", "Overloaded", {}, ("Retry", "ModelUnavailable", None)),
    "401": (401, "authentication_error", "invalid x-api-key", {}, ("Fail", "ModelAuth", None)),
    "403": (403, "permission_error", "Not yours.", {}, ("Fail", "ModelAuth", None)),
    "404": (404, "not_found_error", "model: some-model", {}, ("Fail", "ModelBadRequest", None)),
    "400": (400, "invalid_request_error", "max_tokens: too small", {}, ("Fail", "ModelBadRequest", None)),
    "413": (413, "request_too_large", "Request exceeds the maximum size", {}, ("Fail", "ContextTooLong", None)),
    "400-prompt-too-long": (
        400,
        "invalid_request_error",
        "prompt is too long: 210000 tokens > 200000 maximum",
        {},
        ("Fail", "ContextTooLong", None),
    ),
    "400-context-length": (
        400,
        "context_length_exceeded",
        "This model's maximum context length is 128000 tokens.",
        {},
        ("Fail", "ContextTooLong", None),
    ),
    "400-content-policy": (400, "content_policy_violation", "Rejected.", {}, ("Fail", "ContentBlocked", None)),
}


@pytest.mark.parametrize(("status", "kind", "message", "headers", "expected"), FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("mode", ["NONE", "SSE"])
async def test_a_refused_call_has_an_error_class_and_is_not_retried(
    ask, provider, mode, status, kind, message, headers, expected
):
    if kind == "content_policy_violation" and provider.name == "anthropic":
        pytest.skip("Anthropic answers such a request with the stop reason `refusal`")
    ending, calls = await ask(provider.failed(status, kind, message, **headers), mode=mode)

    assert ended(ending) == expected
    assert message.rstrip(".") in ending.message
    assert len(calls) == 1


@pytest.mark.parametrize("mode", ["NONE", "SSE"])
async def test_a_host_that_does_not_answer_is_unavailable(ask, provider, mode):
    ending, _ = await ask(base="http://127.0.0.1:9", mode=mode)
    assert ended(ending) == ("Retry", "ModelUnavailable", None)


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, b"<html>not json"),
        (200, {"content-type": "text/html"}, b"<html>"),
        (200, {}, {"choices": 7, "content": 7}),
    ],
    ids=["no-json", "html", "json-of-another-shape"],
)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
async def test_an_unreadable_answer_is_retried(ask, answer):
    ending, calls = await ask(answer)
    assert (ending.verdict.value, len(calls)) == ("Retry", 1)
    assert ending.reason in ("ModelUnavailable", "ResultError")


async def test_a_models_refusal_fails_the_job_with_the_reason(ask, provider):
    ending, _ = await ask(provider.refused())
    assert ended(ending) == ("Fail", "ContentBlocked", None)


async def test_an_answer_cut_off_by_a_filter_is_not_a_result(ask, provider):
    ending, _ = await ask(provider.filtered())
    assert ended(ending) == ("Fail", "ContentBlocked", None)


async def test_a_streamed_answer_is_assembled(ask, provider):
    ending, calls = await ask(provider.streamed("Hel", "lo."), mode="SSE")

    assert ending.result["text"] == "Hello."
    assert ending.result["usage"]["llmCalls"] == 1
    assert calls[0][2]["stream"] is True


async def test_a_stream_that_ends_too_early_is_not_an_answer(ask, provider):
    ending, _ = await ask(provider.streamed("Hel", ends=False), mode="SSE")
    assert ended(ending) == ("Retry", "ModelUnavailable", None)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        pytest.param("overloaded_error", ("Retry", "ModelUnavailable", None), id="overloaded"),
        pytest.param("server_error", ("Retry", "ModelUnavailable", None), id="server-error"),
        pytest.param("rate_limit_error", ("Snooze", "ModelRateLimited", 30.0), id="rate-limit"),
        pytest.param("new_error", ("Retry", "ModelUnavailable", None), id="unknown"),
    ],
)
async def test_an_error_within_a_stream_has_its_error_class(ask, provider, kind, expected):
    ending, _ = await ask(provider.streamed("Hel", fails=provider.error(kind, "Oops.")), mode="SSE")
    assert ended(ending) == expected


async def test_a_missing_key_fails_and_names_a_solution(ask, provider, monkeypatch):
    monkeypatch.setenv("HOME", "/nonexistent")
    ending, calls = await ask(provider.said("Hello."), key=None)

    if provider.name == "openai":
        # A host of one's own may ask for no key.
        assert calls[0][1]["Authorization"] == "Bearer none"
    else:
        assert (ended(ending), calls) == (("Fail", "ModelAuth", None), [])
        assert "set ANTHROPIC_API_KEY" in ending.message


OWN_MODEL = """
from google.adk.agents import LlmAgent
from google.adk.integrations.openai import OpenAILlm
from google.adk.models.anthropic_llm import AnthropicLlm
from openai import AsyncOpenAI
from anthropic import AsyncAnthropic
MODELS = {"openai": lambda: OpenAILlm(model="m", client=AsyncOpenAI(max_retries=0)),
          "anthropic": lambda: AnthropicLlm(model="m", client=AsyncAnthropic(max_retries=0))}
def make(provider: str):
    return LlmAgent(name="a", model=MODELS[provider]())
"""


async def test_a_truncated_stream_of_a_model_built_by_user_code_is_not_an_answer(ask, provider, tmp_path, monkeypatch):
    (tmp_path / "ownmodel.py").write_text(OWN_MODEL)
    monkeypatch.syspath_prepend(str(tmp_path))
    agent = {"model": None, "module": {"ref": "ownmodel:make", "args": {"provider": provider.name}}}

    ending, _ = await ask(provider.streamed("A ha", ends=False), agent=agent, mode="SSE")

    assert ended(ending) == ("Retry", "ModelUnavailable", None)


@pytest.mark.parametrize("mode", ["NONE", "SSE"])
async def test_an_answer_that_was_cut_off_is_not_a_success(ask, provider, mode):
    if mode == "SSE":
        answer = provider.streamed(
            "The report has thr", reason={"openai": "length", "anthropic": "max_tokens"}[provider.name]
        )
    elif provider.name == "openai":
        answer = provider._completion({"content": "The report has thr"}, "length")
    else:
        answer = provider._message([{"type": "text", "text": "The report has thr"}], "max_tokens")

    ending, calls = await ask(answer, mode=mode)

    assert ended(ending) == ("Fail", "ModelOutputTruncated", None)
    assert len(calls) == 1


@pytest.mark.parametrize("mode", ["NONE", "SSE"])
@pytest.mark.parametrize("reason", ["pause_turn", "brand_new_reason"])
async def test_an_abnormal_finish_reason_is_quoted(ask, provider, mode, reason):
    if mode == "SSE":
        answer = provider.streamed("The report has thr", reason=reason)
    elif provider.name == "openai":
        answer = provider._completion({"content": "The report has thr"}, reason)
    else:
        answer = provider._message([{"type": "text", "text": "The report has thr"}], reason)

    ending, _ = await ask(answer, mode=mode)

    assert ended(ending) == ("Retry", "ResultError", None)
    assert reason.upper() in ending.message


HTML = b"<!doctype html><html><title>Welcome to the console</title></html>"


@pytest.mark.parametrize("mode", ["NONE", "SSE"])
@pytest.mark.parametrize("kind", ["text/html", "application/json"])
async def test_a_web_page_instead_of_an_answer_is_quoted_with_a_solution(ask, mode, kind):
    if mode == "SSE" and kind != "text/html":
        return  # a stream holds no JSON document
    ending, _ = await ask((200, {"content-type": kind}, HTML), mode=mode)

    assert ended(ending) == ("Retry", "ModelUnavailable", None)
    assert "Welcome to the console" in ending.message
    assert "/v1" in ending.message


async def test_an_error_in_an_answer_of_status_200_has_its_error_class_and_message(ask, provider):
    body = {"error": {"message": "Provider returned error: upstream rate limit exceeded", "code": 429}}
    ending, _ = await ask(body if provider.name == "openai" else {"type": "error", **body})

    assert ended(ending) == ("Snooze", "ModelRateLimited", 30.0)
    assert "upstream rate limit exceeded" in ending.message


CALLING = """
from google.adk.agents import LlmAgent
from google.adk.tools.agent_tool import AgentTool

def said(name, **more): return LlmAgent(name=name, description="d", instruction="Help.", **more)
single_turn = said("out", sub_agents=[said("inner", mode="single_turn")])
task = said("out", sub_agents=[said("inner", mode="task")])
tool = said("out", tools=[AgentTool(said("inner"), include_plugins=False)])
"""


@pytest.mark.parametrize("mode", ["NONE", "SSE"])
@pytest.mark.parametrize("caller", ["single_turn", "task", "tool"])
@pytest.mark.filterwarnings("ignore:The `plugins` argument:DeprecationWarning")  # ADK's AgentTool gives it
async def test_a_providers_error_in_an_inner_agent_is_hidden_from_the_outer_agent(
    ask, provider, tmp_path, monkeypatch, caller, mode
):
    (tmp_path / "calling.py").write_text(CALLING)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "calling", raising=False)
    reason = {"openai": "tool_calls", "anthropic": "tool_use"}[provider.name]
    called = provider.call('{"request": "x"}', reason, stream=mode == "SSE", tool="inner")
    slow = provider.failed(429, "rate_limit_error", "Slow down.", **{"Retry-After": "7"})
    made_up = provider.streamed("I found three.") if mode == "SSE" else provider.said("I found three.")

    ending, calls = await ask(called, slow, made_up, agent={"module": {"ref": f"calling:{caller}"}}, mode=mode)

    assert ended(ending) == ("Snooze", "ModelRateLimited", 7.0)
    assert len(calls) == 2
