"""The answers of a situation's model proxy, in the providers' APIs. Pure."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from agentjobs.contract import ErrorClass
from agentjobs.proxy.apis.api import CallRefusal
from agentjobs.proxy.apis.refusals import anthropic_error, claude_code_details, google_error, openai_error

_GEMINI: Final = re.compile(
    r"/(?:gemini/v1(?:beta)?|vertex/v1(?:beta1)?(?:/projects/[^/]+/locations/[^/]+)?/publishers/google)"
    r"/models/([^/:]+):(generateContent|streamGenerateContent)(?:\?.*)?"
)
_MODEL: Final = "conformance"


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A call of a model: `api` is chat, responses, messages or gemini."""

    api: str
    model: str
    streamed: bool


def read(path: str, body: bytes) -> ModelCall | None:
    """Return the model call in a request; None if it is not one."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    model, streamed = str(document.get("model") or _MODEL), document.get("stream") is True
    match path.partition("?")[0]:
        case "/openai/v1/chat/completions":
            return ModelCall("chat", model, streamed)
        case "/openai/v1/responses":
            return ModelCall("responses", model, streamed)
        case "/anthropic/v1/messages":
            return ModelCall("messages", model, streamed)
    found = _GEMINI.fullmatch(path)
    return ModelCall("gemini", found[1], found[2].startswith("stream")) if found else None


def content_type(call: ModelCall) -> str:
    """Return the type of what `answer` returns."""
    return "text/event-stream" if call.streamed else "application/json"


def refusal(call: ModelCall, status: int, error: ErrorClass, message: str) -> dict[str, Any]:
    """Return a rejection by the proxy, in the API's own format."""
    refused = CallRefusal(status, error, message)
    if call.api == "messages":
        return {"type": "error", "error": anthropic_error(refused) | claude_code_details(refused)}
    return {"error": google_error(refused) if call.api == "gemini" else openai_error(refused)}


def answer(call: ModelCall, text: str) -> bytes:
    """Return a response body with `text` as the answer, as one document or as a stream."""
    whole = _WHOLE[call.api](call, text)
    if not call.streamed:
        return json.dumps(whole).encode()
    return b"".join(_EVENTS[call.api](whole, text))


def _chat(call: ModelCall, text: str) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": call.model}
    return {**head, "choices": [choice], "usage": usage}


def _chat_events(whole: dict[str, Any], text: str) -> Iterator[bytes]:
    head = {**whole, "object": "chat.completion.chunk", "usage": None}
    first = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
    yield _event({**head, "choices": [first]})
    yield _event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    yield _event({**head, "choices": [], "usage": whole["usage"]})
    yield b"data: [DONE]\n\n"


def _responses(call: ModelCall, text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    usage = {"input_tokens": 9, "output_tokens": 5, "total_tokens": 14, **details}
    head = {"id": "resp_1", "object": "response", "created_at": 1_700_000_000, "model": call.model}
    settings = {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True, "error": None, "metadata": {}}
    return {**head, **settings, "status": "completed", "output": [item], "usage": usage, "incomplete_details": None}


def _responses_events(whole: dict[str, Any], text: str) -> Iterator[bytes]:
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    yield _event({"type": "response.output_text.delta", **place, "delta": text, "sequence_number": 0, "logprobs": []})
    yield _event({"type": "response.completed", "response": whole, "sequence_number": 1})


def _messages(call: ModelCall, text: str) -> dict[str, Any]:
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": call.model}
    end = {"stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 5}}
    return {**head, "content": [{"type": "text", "text": text}], **end}


def _messages_events(whole: dict[str, Any], text: str) -> Iterator[bytes]:
    start = {**whole, "content": [], "stop_reason": None}
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    for event in (
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": end, "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    ):
        yield f"event: {event['type']}\n".encode() + _event(event)


def _gemini(call: ModelCall, text: str) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP", "index": 0}
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 5, "totalTokenCount": 14}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": call.model}


def _gemini_events(whole: dict[str, Any], text: str) -> Iterator[bytes]:
    yield _event(whole)


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


_WHOLE: Final = {"chat": _chat, "responses": _responses, "messages": _messages, "gemini": _gemini}
_EVENTS: Final = {
    "chat": _chat_events,
    "responses": _responses_events,
    "messages": _messages_events,
    "gemini": _gemini_events,
}
