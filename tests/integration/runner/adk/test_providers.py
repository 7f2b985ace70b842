"""OpenAI's and Anthropic's models through their real clients, against loopback servers that speak their protocol."""

import json
import sys
import threading
from typing import Any, ClassVar

import pytest

from agentjobs_runner.adk import engine
from agentjobs_runner.gate import Gate
from agentjobs_runner.usage import Meter


class Silent:
    def __init__(self):
        self.meter = Meter()

    def add(self, kind, author, data):
        """Nobody reads the timeline here."""

    def progressed(self):
        """Nobody waits for silence here."""

    async def room(self):
        """There is always room."""


class Provider:
    """What one provider's server says, in its own words."""

    made: ClassVar[list[Any]] = []

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = {"openai": "/chat/completions", "anthropic": "/v1/messages"}[name]

    def said(self, text: str) -> dict[str, Any]:
        if self.name == "openai":
            return self._completion({"content": text}, "stop")
        return self._message([{"type": "text", "text": text}], "end_turn")

    def called(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if self.name == "openai":
            function = {"name": tool, "arguments": json.dumps(arguments)}
            return self._completion(
                {"tool_calls": [{"id": "c1", "type": "function", "function": function}]}, "tool_calls"
            )
        return self._message([{"type": "tool_use", "id": "c1", "name": tool, "input": arguments}], "tool_use")

    def refused(self) -> dict[str, Any]:
        if self.name == "openai":
            return self._completion({"content": None, "refusal": "I cannot help with that."}, "stop")
        return self._message([], "refusal")

    def filtered(self) -> dict[str, Any]:
        if self.name == "openai":
            return self._completion({"content": None}, "content_filter")
        return self._message([{"type": "text", "text": "First you"}], "refusal")

    def failed(self, status: int, kind: str, message: str, **headers: str) -> tuple[int, dict[str, str], Any]:
        return status, headers, self.error(kind, message)

    def error(self, kind: str, message: str) -> dict[str, Any]:
        if self.name == "openai":
            return {"error": {"message": message, "type": "error", "param": None, "code": kind}}
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}

    def streamed(
        self, *texts: str, ends: bool = True, fails: dict[str, Any] | None = None, reason: str | None = None
    ) -> bytes:
        if self.name == "openai":
            events: list[Any] = [self._chunk({"content": text}, None) for text in texts]
            events += [fails] if fails else [self._chunk({}, reason or "stop")] if ends else []
            body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
            return (body + ("data: [DONE]\n\n" if ends else "")).encode()
        start = self._message([], None)
        events = [{"type": "message_start", "message": start}]
        events += [{"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}]
        for text in texts:
            events += [{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}]
        if fails:
            events += [fails]
        elif ends:
            usage, delta = {"output_tokens": 5}, {"stop_reason": reason or "end_turn", "stop_sequence": None}
            events += [{"type": "content_block_stop", "index": 0}]
            events += [{"type": "message_delta", "delta": delta, "usage": usage}, {"type": "message_stop"}]
        return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()

    def _completion(self, message: dict[str, Any], reason: str) -> dict[str, Any]:
        choice = {"index": 0, "message": {"role": "assistant", "content": None, **message}, "finish_reason": reason}
        usage = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
        return {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}

    def _chunk(self, delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}

    def _message(self, content: list[Any], reason: str | None) -> dict[str, Any]:
        usage = {"input_tokens": 11, "output_tokens": 5}
        frame = {"id": "x", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None}
        return {**frame, "content": content, "stop_reason": reason, "usage": usage}


@pytest.fixture(params=["openai", "anthropic"])
def provider(request) -> Provider:
    return Provider(request.param)


@pytest.fixture
async def ask(serve, monkeypatch, provider):
    """`await ask(answer, …)`: one start whose model's server gives these answers, the last one for ever."""
    made: list[Any] = []

    def tracked(kind):
        def make(self, *args, **options):
            kind.__init__(self, *args, **options)
            made.append(self)

        return type(kind.__name__, (kind,), {"__init__": make})

    from agentjobs_runner.adk import anthropic_api, openai_compatible

    monkeypatch.setattr(openai_compatible, "_Client", tracked(openai_compatible._Client))
    monkeypatch.setattr(anthropic_api, "_Client", tracked(anthropic_api._Client))

    async def start(*answers, key="sk-very-secret", base="", agent=None, mode="NONE"):
        calls: list[tuple[str, dict[str, str], Any]] = []

        def handle(method, path, headers, body):
            calls.append((path, headers, body))
            answer = answers[min(len(calls), len(answers)) - 1]
            if isinstance(answer, bytes):
                return 200, {"content-type": "text/event-stream"}, answer
            return answer if isinstance(answer, tuple) else (200, {}, answer)

        upper = provider.name.upper()
        monkeypatch.setenv(f"{upper}_BASE_URL", base or serve(handle).url)
        monkeypatch.delenv("ANTHROPIC_AUTH_TOKEN", raising=False)
        variable = f"{upper}_API_KEY"
        monkeypatch.setenv(variable, key) if key else monkeypatch.delenv(variable, raising=False)
        inline = {"name": "a", "instruction": "Help."}
        spec = {
            "agent": {
                "model": f"{provider.name}/some-model",
                "runConfig": {"streaming_mode": mode},
                **(agent or {"inline": inline}),
            },
            "input": {"message": "Say hello."},
        }
        attempt: Any = {"job": "j", "uid": "u", "start": 1, "attempt": 1, "resolved": {"spec": spec, "scripts": {}}}
        recorded = threading.Event()
        recorded.set()
        recorder: Any = Silent()
        return await engine.run(attempt, Gate(recorded, lambda: None, recorder.progressed), recorder), calls

    yield start
    for client in made:
        await client.close()


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
async def test_a_refused_call_has_a_class_and_is_made_once(
    ask, provider, mode, status, kind, message, headers, expected
):
    if kind == "content_policy_violation" and provider.name == "anthropic":
        pytest.skip("Anthropic answers such a request with the stop reason `refusal`")
    ending, calls = await ask(provider.failed(status, kind, message, **headers), mode=mode)

    assert ended(ending) == expected
    assert message.rstrip(".") in ending.message
    assert len(calls) == 1


@pytest.mark.parametrize("mode", ["NONE", "SSE"])
async def test_a_host_that_nobody_answers_at_is_away(ask, provider, mode):
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
async def test_an_answer_that_nobody_can_read_is_tried_again(ask, answer):
    ending, calls = await ask(answer)
    assert (ending.verdict.value, len(calls)) == ("Retry", 1)
    assert ending.reason in ("ModelUnavailable", "ResultError")


async def test_a_refusal_fails_and_says_so(ask, provider):
    ending, _ = await ask(provider.refused())
    assert ended(ending) == ("Fail", "ContentBlocked", None)


async def test_an_answer_that_a_filter_cut_is_no_result(ask, provider):
    ending, _ = await ask(provider.filtered())
    assert ended(ending) == ("Fail", "ContentBlocked", None)


async def test_a_streamed_answer_is_put_together(ask, provider):
    ending, calls = await ask(provider.streamed("Hel", "lo."), mode="SSE")

    assert ending.result["text"] == "Hello."
    assert ending.result["usage"]["llmCalls"] == 1
    assert calls[0][2]["stream"] is True


async def test_a_stream_that_ends_too_early_is_no_answer(ask, provider):
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
async def test_an_error_in_the_midst_of_a_stream_has_its_class(ask, provider, kind, expected):
    ending, _ = await ask(provider.streamed("Hel", fails=provider.error(kind, "Oops.")), mode="SSE")
    assert ended(ending) == expected


async def test_a_missing_key_fails_and_names_the_cure(ask, provider, monkeypatch):
    monkeypatch.setenv("HOME", "/nonexistent")
    ending, calls = await ask(provider.said("Hello."), key=None)

    if provider.name == "openai":
        # A host of one's own may ask for no key.
        assert calls[0][1]["Authorization"] == "Bearer none"
    else:
        assert (ended(ending), calls) == (("Fail", "ModelAuth", None), [])
        assert "put ANTHROPIC_API_KEY into runtime.env" in ending.message


PURGE = {"inline": {"name": "a", "instruction": "Help.", "tools": [{"name": "purging:purge"}]}}
PURGING = """
def purge(prefix: str = ""):
    raise AssertionError("the tool ran")
"""


@pytest.fixture
def purging(tmp_path, monkeypatch):
    """A tool that must not run, as a module."""
    (tmp_path / "purging.py").write_text(PURGING)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "purging", raising=False)


def call(provider, arguments, reason, *, stream, tool="purge"):
    """The answer of a model that calls `tool` with `arguments`, as its provider writes it."""
    if provider.name == "openai":
        part = {"index": 0, "id": "c1", "type": "function", "function": {"name": tool, "arguments": arguments}}
        if not stream:
            return provider._completion({"tool_calls": [part]}, reason)
        events = [provider._chunk({"tool_calls": [part]}, None), provider._chunk({}, reason)]
        return ("".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n").encode()
    if not stream:
        written = json.loads(arguments) if not isinstance(arguments, dict) else arguments
        return provider._message([{"type": "tool_use", "id": "c1", "name": tool, "input": written}], reason)
    block = {"type": "tool_use", "id": "c1", "name": tool, "input": {}}
    events = [
        {"type": "message_start", "message": provider._message([], None)},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": arguments}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": {"output_tokens": 5},
        },
        {"type": "message_stop"},
    ]
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()


LIMIT = {"openai": "length", "anthropic": "max_tokens"}
CALLED = {"openai": "tool_calls", "anthropic": "tool_use"}


@pytest.mark.usefixtures("purging")
@pytest.mark.parametrize("mode", ["NONE", "SSE"])
@pytest.mark.parametrize("arguments", ['{"prefix": "tmp/2026-11-2', "{}", '{"prefix": "tmp"}'])
async def test_no_tool_runs_on_a_call_that_was_cut(ask, provider, mode, arguments):
    if provider.name == "anthropic" and mode == "NONE":
        arguments = "{}"  # Anthropic's API parses what came
    answer = call(provider, arguments, LIMIT[provider.name], stream=mode == "SSE")

    ending, _ = await ask(answer, agent=PURGE, mode=mode)

    assert ended(ending) == ("Fail", "ModelOutputTruncated", None)
    assert "call of tool purge" in ending.message


@pytest.mark.usefixtures("purging")
@pytest.mark.parametrize("mode", ["NONE", "SSE"])
@pytest.mark.parametrize("arguments", ["{prefix: tmp/2026-11-21}", '{"prefix": "tm', '["tmp"]', '"tmp"', "7"])
async def test_no_tool_runs_on_arguments_that_are_not_an_object(ask, provider, mode, arguments):
    if provider.name == "anthropic" and mode == "NONE" and arguments.startswith("{"):
        arguments = '["tmp"]'  # see above
    answer = call(provider, arguments, CALLED[provider.name], stream=mode == "SSE")

    ending, _ = await ask(answer, agent=PURGE, mode=mode)

    assert ended(ending) == ("Retry", "ResultError", None)
    assert "purge" in ending.message


SAVING = """
SAVED = []
def save(text: str = ""):
    SAVED.append(text)
"""


@pytest.mark.parametrize("provider", [Provider("openai")], ids=["openai"])
@pytest.mark.parametrize("indexes", [(0, 1), (0, 0), (None, None)])
async def test_calls_of_one_answer_stay_apart_whatever_index_a_host_gives_them(
    ask, provider, tmp_path, monkeypatch, indexes
):
    (tmp_path / "saving.py").write_text(SAVING)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "saving", raising=False)
    events = []
    for index, (id_, begin, end) in zip(indexes, (("c1", "", "{}"), ("c2", '{"text": ', '"b"}')), strict=True):
        place = {} if index is None else {"index": index}
        first = {"id": id_, "type": "function", "function": {"name": "save", "arguments": begin}}
        events += [{"tool_calls": [place | first]}, {"tool_calls": [place | {"function": {"arguments": end}}]}]
    chunks = [*(provider._chunk(event, None) for event in events), provider._chunk({}, "tool_calls")]
    called = ("".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n").encode()
    agent = {"inline": {"name": "a", "instruction": "Help.", "tools": [{"name": "saving:save"}]}}

    ending, _ = await ask(called, provider.streamed("Saved."), agent=agent, mode="SSE")

    assert (ending.result or {}).get("text") == "Saved.", ending
    assert sorted(sys.modules["saving"].SAVED) == ["", "b"]


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


async def test_a_cut_stream_of_a_model_that_user_code_builds_is_not_an_answer(ask, provider, tmp_path, monkeypatch):
    (tmp_path / "ownmodel.py").write_text(OWN_MODEL)
    monkeypatch.syspath_prepend(str(tmp_path))
    agent = {"model": None, "module": {"ref": "ownmodel:make", "args": {"provider": provider.name}}}

    ending, _ = await ask(provider.streamed("A ha", ends=False), agent=agent, mode="SSE")

    assert ended(ending) == ("Retry", "ModelUnavailable", None)


@pytest.mark.parametrize("mode", ["NONE", "SSE"])
async def test_a_text_before_a_call_that_never_came_is_not_an_answer(ask, provider, mode):
    if mode == "SSE":
        answer = provider.streamed("I will look.", reason=CALLED[provider.name])
    elif provider.name == "openai":
        answer = provider._completion({"content": "I will look."}, "tool_calls")
    else:
        answer = provider._message([{"type": "text", "text": "I will look."}], "tool_use")

    ending, _ = await ask(answer, mode=mode)

    assert ended(ending) == ("Retry", "ResultError", None)
    assert "no call" in ending.message


@pytest.mark.parametrize("mode", ["NONE", "SSE"])
async def test_an_answer_that_was_cut_is_not_a_success(ask, provider, mode):
    if mode == "SSE":
        answer = provider.streamed("The report has thr", reason=LIMIT[provider.name])
    elif provider.name == "openai":
        answer = provider._completion({"content": "The report has thr"}, "length")
    else:
        answer = provider._message([{"type": "text", "text": "The report has thr"}], "max_tokens")

    ending, calls = await ask(answer, mode=mode)

    assert ended(ending) == ("Fail", "ModelOutputTruncated", None)
    assert len(calls) == 1


@pytest.mark.parametrize("mode", ["NONE", "SSE"])
@pytest.mark.parametrize("reason", ["pause_turn", "brand_new_reason"])
async def test_another_end_than_the_models_own_is_told_in_the_providers_word(ask, provider, mode, reason):
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
async def test_a_page_where_an_answer_should_be_is_shown_with_the_cure(ask, mode, kind):
    if mode == "SSE" and kind != "text/html":
        return  # a stream holds no JSON document
    ending, _ = await ask((200, {"content-type": kind}, HTML), mode=mode)

    assert ended(ending) == ("Retry", "ModelUnavailable", None)
    assert "Welcome to the console" in ending.message
    assert "/v1" in ending.message


async def test_an_error_in_an_answer_of_status_200_has_its_class_and_its_sentence(ask, provider):
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
async def test_what_a_provider_says_to_an_agent_inside_is_not_told_to_its_caller(
    ask, provider, tmp_path, monkeypatch, caller, mode
):
    (tmp_path / "calling.py").write_text(CALLING)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "calling", raising=False)
    reason = {"openai": "tool_calls", "anthropic": "tool_use"}[provider.name]
    called = call(provider, '{"request": "x"}', reason, stream=mode == "SSE", tool="inner")
    slow = provider.failed(429, "rate_limit_error", "Slow down.", **{"Retry-After": "7"})
    made_up = provider.streamed("I found three.") if mode == "SSE" else provider.said("I found three.")

    ending, calls = await ask(called, slow, made_up, agent={"module": {"ref": f"calling:{caller}"}}, mode=mode)

    assert ended(ending) == ("Snooze", "ModelRateLimited", 7.0)
    assert len(calls) == 2
