"""Gemini through google-genai's real client, against a server on the loopback that speaks its protocol."""

import json
import threading
from typing import Any, ClassVar

import pytest
from google import genai
from tests.memoryjournal import MemoryJournal

from agentjobs_runner.adk import engine
from agentjobs_runner.gate import Gate
from agentjobs_runner.usage import UsageCounter

USAGE = {"promptTokenCount": 11, "candidatesTokenCount": 5, "thoughtsTokenCount": 2, "totalTokenCount": 18}


def said(text, reason="STOP"):
    content = {"content": {"role": "model", "parts": [{"text": text}]}} if text else {}
    return 200, {}, {"candidates": [{**content, "finishReason": reason, "index": 0}], "usageMetadata": USAGE}


THOUGHT = {"role": "model", "parts": [{"text": "Let me think about it.", "thought": True}]}


def failed(status, name, message="", headers=None, details=()):
    return (
        status,
        headers or {},
        {"error": {"code": status, "status": name, "message": message, "details": list(details)}},
    )


class Silent:
    def __init__(self):
        self.usage = UsageCounter()

    def add(self, kind, author, data):
        """No one reads the timeline here."""

    def progressed(self):
        """No one waits for silence here."""

    async def room(self):
        """There is always room."""


class Tracked(genai.Client):
    """google-genai's client, remembered, so that a test can close what a process would end with."""

    made: ClassVar[list[genai.Client]] = []

    def __init__(self, **options):
        super().__init__(**options)
        self.made.append(self)


@pytest.fixture
async def ask(serve, monkeypatch):
    """`await ask(answer)`: one start whose model is Gemini at a server that always gives `answer`."""
    monkeypatch.setattr("google.genai.Client", Tracked)

    async def start(answer, *, key="k", inline=None, mode="NONE"):
        calls: list[str] = []

        def handle(method, path, headers, body):
            calls.append(path)
            return answer.pop(0) if isinstance(answer, list) else answer

        # The real process hides aiohttp from google-genai before it is loaded (narrow.py); here it is loaded already.
        monkeypatch.setattr("google.genai._api_client.has_aiohttp", False)
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", serve(handle).url if answer else "http://127.0.0.1:9")
        monkeypatch.delenv("GEMINI_API_KEY", raising=False)
        monkeypatch.setenv("GOOGLE_API_KEY", key) if key else monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
        spec = {
            "agent": {
                "model": "gemini-flash-latest",
                "inline": inline or {"name": "a", "instruction": "Help."},
                "runConfig": {"streaming_mode": mode},
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
    while Tracked.made:
        client = Tracked.made.pop()
        await client.aio.aclose()
        client.close()


async def test_an_answer_is_the_result_and_its_tokens_are_counted(ask):
    ending, calls = await ask(said("Hello."))

    assert ending.result["text"] == "Hello."
    assert ending.result["usage"] == {"llmCalls": 1, "toolCalls": 0, "inputTokens": 11, "outputTokens": 7}
    assert calls == ["/v1beta/models/gemini-flash-latest:generateContent"]


RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "9s"}
BAD_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
TOO_LONG = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."


@pytest.mark.parametrize(
    ("answer", "ended"),
    [
        pytest.param(
            failed(429, "RESOURCE_EXHAUSTED", headers={"Retry-After": "3"}),
            ("Snooze", "ModelRateLimited", 3.0),
            id="429-with-retry-after",
        ),
        pytest.param(
            failed(429, "RESOURCE_EXHAUSTED", details=[RETRY_INFO]),
            ("Snooze", "ModelRateLimited", 9.0),
            id="429-with-retry-info",
        ),
        pytest.param(failed(429, "RESOURCE_EXHAUSTED"), ("Snooze", "ModelRateLimited", 30.0), id="429"),
        pytest.param(failed(500, "INTERNAL"), ("Retry", "ModelUnavailable", None), id="500"),
        pytest.param(failed(503, "UNAVAILABLE"), ("Retry", "ModelUnavailable", None), id="503"),
        pytest.param((529, {}, b"overloaded"), ("Retry", "ModelUnavailable", None), id="529-without-json"),
        pytest.param(failed(504, "DEADLINE_EXCEEDED"), ("Retry", "ModelTimeout", None), id="504"),
        pytest.param(failed(401, "UNAUTHENTICATED"), ("Fail", "ModelAuth", None), id="401"),
        pytest.param(failed(403, "PERMISSION_DENIED"), ("Fail", "ModelAuth", None), id="403"),
        pytest.param(
            failed(400, "INVALID_ARGUMENT", "API key not valid.", details=[BAD_KEY]),
            ("Fail", "ModelAuth", None),
            id="400-bad-key",
        ),
        pytest.param(
            failed(400, "INVALID_ARGUMENT", TOO_LONG), ("Fail", "ContextTooLong", None), id="400-context-too-long"
        ),
        pytest.param(failed(400, "INVALID_ARGUMENT", "bad schema"), ("Fail", "ModelBadRequest", None), id="400-other"),
        pytest.param(failed(404, "NOT_FOUND", "no such model"), ("Fail", "ModelBadRequest", None), id="404"),
        pytest.param(said("", "SAFETY"), ("Fail", "ContentBlocked", None), id="safety"),
        pytest.param(
            (200, {}, {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}),
            ("Fail", "ContentBlocked", None),
            id="prompt-blocked",
        ),
        pytest.param(
            (200, {}, {"promptFeedback": {"blockReason": "OTHER"}}),
            ("Fail", "ContentBlocked", None),
            id="prompt-blocked-for-another-reason",
        ),
        pytest.param(said("Half", "SAFETY"), ("Fail", "ContentBlocked", None), id="safety-with-text"),
        pytest.param(said("", "MAX_TOKENS"), ("Fail", "ModelOutputTruncated", None), id="max-tokens-without-text"),
        pytest.param(said("Half", "MAX_TOKENS"), ("Fail", "ModelOutputTruncated", None), id="max-tokens"),
        pytest.param(
            (200, {}, {"candidates": [{"content": THOUGHT, "finishReason": "MAX_TOKENS"}]}),
            ("Fail", "ModelOutputTruncated", None),
            id="max-tokens-with-thoughts-only",
        ),
        pytest.param(said("Half", "LANGUAGE"), ("Retry", "ResultError", None), id="another-end-with-text"),
        pytest.param(said("", "MALFORMED_FUNCTION_CALL"), ("Retry", "ResultError", None), id="malformed-call"),
        pytest.param((200, {}, {"candidates": []}), ("Retry", "ResultError", None), id="no-candidates"),
        pytest.param((200, {}, b"<html>not json"), ("Retry", "ModelUnavailable", None), id="garbage"),
        pytest.param((200, {}, {"candidates": 7}), ("Retry", "ModelUnavailable", None), id="json-of-another-shape"),
        pytest.param(None, ("Retry", "ModelUnavailable", None), id="connection-refused"),
    ],
)
async def test_an_error_of_gemini_has_a_class_and_is_not_retried(ask, answer, ended):
    ending, calls = await ask(answer)

    assert (ending.verdict.value, ending.reason, ending.delay_seconds) == ended
    assert len(calls) == (1 if answer else 0) or ending.reason == "ResultError"


def streamed(*chunks):
    body = "".join(f"data: {json.dumps({'candidates': [chunk]})}\r\n\r\n" for chunk in chunks)
    return 200, {"content-type": "text/event-stream"}, body.encode()


def chunk(text, **more):
    return {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0} | more


PAIR = {
    "name": "team",
    "agentClass": "SequentialAgent",
    "subAgents": ["one", "two"],
    "agents": [{"name": "one", "instruction": "Write."}, {"name": "two", "instruction": "Check."}],
}


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        pytest.param(streamed(chunk("A ha")), "ModelUnavailable", id="cut-in-the-midst"),
        pytest.param(streamed(), "ModelUnavailable", id="cut-before-it-began"),
        pytest.param(streamed({"finishReason": "STOP", "index": 0}), "ResultError", id="empty"),
        pytest.param(streamed(chunk(" ", finishReason="STOP")), "ResultError", id="blank"),
        pytest.param(streamed(chunk("A ha", finishReason="MAX_TOKENS")), "ModelOutputTruncated", id="at-its-limit"),
    ],
)
async def test_an_incomplete_stream_of_a_member_does_not_return_another_members_answer(ask, last, reason):
    first = streamed(chunk("A dr"), chunk("aft.", finishReason="STOP"))

    ending, _ = await ask([first, last], inline=PAIR, mode="SSE")

    assert (ending.result, ending.reason) == (None, reason)


async def test_a_streamed_answer_is_assembled(ask):
    ending, _ = await ask(streamed(chunk("Hel"), chunk("lo.", finishReason="STOP")), mode="SSE")

    assert ending.result["text"] == "Hello."


async def test_a_missing_key_fails_and_names_a_solution(ask):
    ending, calls = await ask(said("Hello."), key=None)

    assert (ending.verdict.value, ending.reason, calls) == ("Fail", "ModelAuth", [])
    assert "GOOGLE_API_KEY" in ending.message


def test_a_rate_limit_snoozes_the_runner_for_the_requested_time(gateway, start, serve):
    spec = {
        "agent": {"model": "gemini-flash-latest", "inline": {"name": "a", "instruction": "Help."}},
        "input": {"message": "Say hello."},
    }
    model = serve(
        lambda *_: failed(
            429, "RESOURCE_EXHAUSTED", "try key=AIzaNotReallyAKeyButShapedLikeOne123", {"Retry-After": "3"}
        )
    )
    run = start(gateway(spec=spec), GOOGLE_GEMINI_BASE_URL=model.url, GOOGLE_API_KEY="very-secret").wait()

    assert run.verdict == ("Snooze", "ModelRateLimited")
    assert run.message.delay_seconds == 3.0
    assert "AIza" not in run.raw
    assert "AIza" not in run.err, run.err
