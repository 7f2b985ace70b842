"""Servers that speak the protocols of OpenAI and Anthropic, and starts that ask them."""

import json
import threading
from typing import Any, ClassVar

import pytest
from tests.adkpatches import undone_after
from tests.memoryjournal import MemoryJournal

from agentjobs_runner.adk import engine
from agentjobs_runner.gate import Gate
from agentjobs_runner.usage import UsageCounter


@pytest.fixture(autouse=True)
def _models_as_adk_has_them(monkeypatch):
    undone_after(monkeypatch)


class Silent:
    def __init__(self):
        self.usage = UsageCounter()

    def add(self, kind, author, data):
        """No one reads the timeline here."""

    def progressed(self):
        """No one waits for silence here."""

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

    def call(self, arguments, reason, *, stream, tool="purge"):
        """The answer of a model that calls `tool` with `arguments`, as its provider writes it."""
        if self.name == "openai":
            part = {"index": 0, "id": "c1", "type": "function", "function": {"name": tool, "arguments": arguments}}
            if not stream:
                return self._completion({"tool_calls": [part]}, reason)
            events = [self._chunk({"tool_calls": [part]}, None), self._chunk({}, reason)]
            return ("".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n").encode()
        if not stream:
            written = json.loads(arguments) if not isinstance(arguments, dict) else arguments
            return self._message([{"type": "tool_use", "id": "c1", "name": tool, "input": written}], reason)
        block = {"type": "tool_use", "id": "c1", "name": tool, "input": {}}
        events = [
            {"type": "message_start", "message": self._message([], None)},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "input_json_delta", "partial_json": arguments},
            },
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": reason, "stop_sequence": None},
                "usage": {"output_tokens": 5},
            },
            {"type": "message_stop"},
        ]
        return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()


@pytest.fixture(params=["openai", "anthropic"])
def provider(request) -> Provider:
    return Provider(request.param)


@pytest.fixture
async def ask(serve, monkeypatch, provider):
    """`await ask(answer, …)`: one start whose model's server gives these answers, the last one forever."""
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
            "steps": {"llm": {"maxAttempts": 1}},
        }
        attempt: Any = {"job": "j", "uid": "u", "start": 1, "attempt": 1, "resolved": {"spec": spec, "scripts": {}}}
        recorded = threading.Event()
        recorded.set()
        recorder: Any = Silent()
        return await engine.run(
            attempt, Gate(recorded, lambda: None, recorder.progressed), recorder, MemoryJournal(recorder.usage)
        ), calls

    yield start
    for client in made:
        await client.close()
