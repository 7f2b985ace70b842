"""Fake providers of models: Gemini, Vertex AI, OpenAI, Anthropic, on one port of the loopback, each below its own path.

`async with serving() as fake` serves in the test's loop, `with in_thread() as fake` next to it, for clients of other
processes and for code that blocks; `python -m tests.modelproviders` is a process of its own, for benches. What is
answered next is told by `fake.script(...)`, or chosen by a function; each request is kept in `fake.seen`.
"""

import argparse
import asyncio
import contextlib
import gzip
import json
import math
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

KEY_HEADERS: Final = ("authorization", "x-api-key", "x-goog-api-key", "api-key")


@dataclass(frozen=True)
class Used:
    """What an answer says it used, as `models.tokens.Tokens` counts: `cached` and `cache_written` are parts of `input`,
    `thinking` of `output`."""

    input: int = 11
    output: int = 7
    cached: int = 0
    cache_written: int = 0
    thinking: int = 0


@dataclass(frozen=True)
class Answer:
    """A successful answer, streamed or not as it is asked for."""

    text: str = "It is sunny."
    calls: Sequence[tuple[str, Mapping[str, Any]]] = ()
    """Tools to call, with their arguments; they take the place of the text."""
    used: Used | None = field(default_factory=Used)
    """None tells no usage."""
    raw_usage: Any = None
    """Takes the place of the usage, to say what no provider should."""
    pieces: int = 3
    """The text of a stream comes in so many."""
    delay: float = 0.0
    """Seconds until the headers."""
    pace: float = 0.0
    """Seconds between the pieces of a stream."""
    finish: str = ""
    """The provider's own word for why it ended; empty for its usual one."""
    cut_after: int | None = None
    """The connection is cut after so many events of a stream, or in the middle of a body."""
    cut_within: int | None = None
    """The connection is cut in the middle of this event of a stream."""
    hang_after: int | None = None
    """Nothing more comes after so many events of a stream, or after half a body."""
    zipped: bool = False
    """Compressed with gzip, whatever was asked for."""
    missing: int = 0
    """Bytes by which Content-Length is too large, of an answer that is not streamed."""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """An error in the provider's own shape."""

    status: int = 500
    message: str = "it failed"
    code: str = ""
    """The provider's own word; empty for its usual one of the status."""
    retry_after: float | None = None
    """Seconds, as the header Retry-After, and as RetryInfo of Google's."""
    quota: str = ""
    """The id of an exhausted quota, as QuotaFailure of Google's: `...PerDay...` for one of a day."""
    delay: float = 0.0


@dataclass(frozen=True)
class Hang:
    """No answer, not even its headers."""


@dataclass(frozen=True)
class Cut:
    """The connection is cut before the headers."""


@dataclass(frozen=True)
class Garbage:
    """What no provider says."""

    body: bytes = b"<html><body>502 Bad Gateway</body></html>"
    status: int = 200
    content_type: str = "text/html"


Behaviour = Answer | Failure | Hang | Cut | Garbage


@dataclass
class Seen:
    """A request as the provider saw it."""

    kind: str
    method: str
    path: str
    """Below the provider's base URL, as it was sent."""
    query: str
    headers: Mapping[str, str]
    """By lower-case names."""
    body: bytes
    time: float
    """By time.monotonic()."""
    ended: str = ""
    """`whole` or `hung up` (by the client), empty while it goes on or where we cut it."""

    @property
    def key(self) -> str:
        """The key it came with, without `Bearer`."""
        found = (self.headers.get(name, "") for name in KEY_HEADERS)
        return next((value.removeprefix("Bearer ") for value in found if value), "")

    @property
    def json(self) -> Any:
        """Its body."""
        return json.loads(self.body)

    @property
    def model(self) -> str:
        """The model it asks for, by the provider's own name."""
        if self.kind in ("openai", "anthropic"):
            return str(self.json["model"])
        return self.path.rpartition("models/")[2].partition(":")[0]


class FakeProviders:
    """All of them. Thread-safe enough for one server and tests that look on."""

    def __init__(self, default: Behaviour | None = None) -> None:
        self.default = default or Answer()
        self.choose: Callable[[Seen], Behaviour | None] = lambda _: None
        """Says what is answered to a request, before the script is asked; None leaves it to the script."""
        self.seen: list[Seen] = []
        self.tokens_made = 0
        """By the token server, whose tokens are `vertex-token-<number>`."""
        self.token_seconds = 3600
        """For how long they hold."""
        self.origin = ""
        self._script: deque[Behaviour] = deque()

    def script(self, *behaviours: Behaviour) -> None:
        """Answer the next requests so, in this order; the default holds after them."""
        self._script.extend(behaviours)

    @property
    def gemini(self) -> str:
        """Base URL, as `GOOGLE_GEMINI_BASE_URL`."""
        return f"{self.origin}/gemini"

    @property
    def vertex(self) -> str:
        """Base URL, as `GOOGLE_VERTEX_BASE_URL`."""
        return f"{self.origin}/vertex"

    @property
    def openai(self) -> str:
        """Base URL, as `OPENAI_BASE_URL`."""
        return f"{self.origin}/openai/v1"

    @property
    def anthropic(self) -> str:
        """Base URL, as `ANTHROPIC_BASE_URL`."""
        return f"{self.origin}/anthropic"

    @property
    def token_uri(self) -> str:
        """Where Vertex AI's credentials get their tokens."""
        return f"{self.origin}/token"

    def of(self, kind: str) -> list[Seen]:
        """The requests that one of them saw."""
        return [each for each in self.seen if each.kind == kind]

    def most_within(self, seconds: float = 60.0, *, key: str | None = None) -> int:
        """The most requests that were seen in any stretch of so many seconds, wherever it begins."""
        times = sorted(each.time for each in self.seen if key is None or each.key == key)
        return max((sum(1 for other in times if first <= other < first + seconds) for first in times), default=0)

    def per_second(self) -> dict[int, int]:
        """How many requests were seen in each second since the first."""
        first = min((each.time for each in self.seen), default=0.0)
        return dict(Counter(math.floor(each.time - first) for each in self.seen))

    def app(self) -> web.Application:
        """The server's application."""
        app = web.Application(client_max_size=256 * 1024 * 1024)
        app.router.add_post("/token", self._token)
        app.router.add_get("/counts", self._counts)
        app.router.add_get("/{path:(?:computeMetadata/.*)?}", self._metadata)
        for kind, prefix in (
            ("gemini", "/gemini"),
            ("vertex", "/vertex"),
            ("openai", "/openai/v1"),
            ("anthropic", "/anthropic"),
        ):
            app.router.add_route("*", prefix + "/{rest:.*}", self._handler(kind, prefix))
        return app

    async def _token(self, _: web.Request) -> web.Response:
        self.tokens_made += 1
        token = f"vertex-token-{self.tokens_made}"
        return web.json_response({"access_token": token, "expires_in": self.token_seconds, "token_type": "Bearer"})

    async def _metadata(self, request: web.Request) -> web.Response:
        """A machine's metadata server, for `GCE_METADATA_HOST`."""
        headers = {"Metadata-Flavor": "Google"}
        if request.path.endswith("/token"):
            return await self._token(request)
        if request.path.endswith("/project-id"):
            return web.Response(text="fake-project", headers=headers)
        account = {"aliases": ["default"], "email": "machine@fake.test", "scopes": []}
        return web.json_response(account, headers=headers)

    async def _counts(self, _: web.Request) -> web.Response:
        return web.json_response({"requests": len(self.seen), "perMinute": self.most_within()})

    def _handler(self, kind: str, prefix: str) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            headers = {name.lower(): value for name, value in request.headers.items()}
            path, _, query = request.raw_path.partition("?")
            seen = Seen(kind, request.method, path.removeprefix(prefix), query, headers, b"", time.monotonic())
            self.seen.append(seen)
            try:
                seen.body = await request.read()
                response = await self._answer(request, seen)
            except (asyncio.CancelledError, ConnectionResetError):
                seen.ended = "hung up"
                raise
            seen.ended = seen.ended or "whole"
            return response

        return handle

    async def _answer(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        if seen.method == "HEAD":
            return web.Response()
        behaviour = self.choose(seen) or (self._script.popleft() if self._script else self.default)
        match behaviour:
            case Hang():
                await asyncio.Event().wait()
            case Cut():
                return _cut(request, seen, web.Response())
            case Garbage(body, status, content_type):
                return web.Response(body=body, status=status, content_type=content_type)
            case Failure():
                await asyncio.sleep(behaviour.delay)
                return _failure(seen.kind, behaviour)
        assert isinstance(behaviour, Answer)
        await asyncio.sleep(behaviour.delay)
        found = shaped(seen, behaviour)
        if isinstance(found, list):
            return await _stream(request, seen, behaviour, found)
        return await _whole(request, seen, behaviour, json.dumps(found).encode())


def _cut(request: web.Request, seen: Seen, response: web.StreamResponse) -> web.StreamResponse:
    seen.ended = "cut"
    assert request.transport is not None
    request.transport.close()
    return response


async def _whole(request: web.Request, seen: Seen, answer: Answer, body: bytes) -> web.StreamResponse:
    headers = {"content-type": "application/json", **answer.headers}
    if answer.zipped:
        body, headers["content-encoding"] = gzip.compress(body), "gzip"
    if answer.missing or answer.cut_after is not None or answer.hang_after is not None:
        response = web.StreamResponse(headers={**headers, "content-length": str(len(body) + answer.missing)})
        await response.prepare(request)
        await response.write(body if answer.missing else body[: len(body) // 2])
        if answer.hang_after is not None:
            await asyncio.Event().wait()
        return _cut(request, seen, response)
    return web.Response(body=body, headers=headers)


async def _stream(request: web.Request, seen: Seen, answer: Answer, events: Sequence[bytes]) -> web.StreamResponse:
    array = seen.kind in ("gemini", "vertex") and events[0].startswith(b"[")
    content_type = "application/json" if array else "text/event-stream"
    headers = {"content-type": content_type, **answer.headers}
    if answer.zipped:
        events, headers["content-encoding"] = [gzip.compress(b"".join(events))], "gzip"
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    for number, event in enumerate(events):
        if number == answer.cut_within:
            await response.write(event[: len(event) // 2])
        if number in (answer.cut_after, answer.cut_within):
            await asyncio.sleep(0.01)  # what was written leaves before the connection closes
            return _cut(request, seen, response)
        if number == answer.hang_after:
            await asyncio.Event().wait()
        if number and answer.pace:
            await asyncio.sleep(answer.pace)
        await response.write(event)
    if answer.hang_after == len(events):
        await asyncio.Event().wait()
    await response.write_eof()
    return response


def _failure(kind: str, failure: Failure) -> web.Response:
    headers = {} if failure.retry_after is None else {"retry-after": f"{failure.retry_after:g}"}
    body: dict[str, Any]
    if kind in ("gemini", "vertex"):
        details: list[dict[str, Any]] = []
        if failure.quota:
            violations = [{"quotaMetric": "generate_content_requests", "quotaId": failure.quota}]
            details.append({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations})
        if failure.retry_after is not None:
            delay = f"{failure.retry_after:g}s"
            details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
            headers = {}  # Gemini tells it in the body alone
        code = failure.code or _GOOGLE_CODES.get(failure.status, "INTERNAL")
        body = {"error": {"code": failure.status, "message": failure.message, "status": code, "details": details}}
    elif kind == "openai":
        code = failure.code or {401: "invalid_api_key", 429: "rate_limit_exceeded"}.get(failure.status, "server_error")
        body = {"error": {"message": failure.message, "type": code, "param": None, "code": code}}
    else:
        code = failure.code or _ANTHROPIC_CODES.get(failure.status, "api_error")
        body = {"type": "error", "error": {"type": code, "message": failure.message}, "request_id": "req_fake"}
    return web.json_response(body, status=failure.status, headers=headers)


_GOOGLE_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_ANTHROPIC_CODES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def shaped(seen: Seen, answer: Answer) -> Any:
    """The answer as a provider gives it: a document, or a list of the events of a stream."""
    if seen.kind == "openai":
        return _openai(seen, answer)
    if seen.kind == "anthropic" or "rawpredict" in seen.path.lower():
        return _anthropic(seen, answer)
    return _gemini(seen, answer)


def _pieces(answer: Answer) -> list[str]:
    size = max(1, math.ceil(len(answer.text) / max(1, answer.pieces)))
    return [answer.text[at : at + size] for at in range(0, len(answer.text), size)] or [""]


def _sse(data: Any, event: str = "", end: str = "\n") -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    return ((f"event: {event}{end}" if event else "") + f"data: {text}{end}{end}").encode()


def _told(answer: Answer, names: Callable[[Used], Any]) -> Any:
    return answer.raw_usage if answer.raw_usage is not None else answer.used and names(answer.used)


def _gemini(seen: Seen, answer: Answer) -> Any:
    if "cachedContents" in seen.path:
        if seen.method == "DELETE":
            return {}
        usage = {"totalTokenCount": answer.used.input if answer.used else 0}
        expires = {"createTime": "2026-11-29T08:00:00Z", "expireTime": "2036-11-29T08:00:00Z"}
        return {"name": "cachedContents/fake0001", "model": seen.json["model"], "usageMetadata": usage, **expires}
    if seen.path.endswith(":countTokens"):
        return {"totalTokens": answer.used.input if answer.used else 0}
    if seen.path.endswith(":embedContent"):
        return {"embedding": {"values": [0.25, 0.5]}}
    if seen.path.endswith(":batchEmbedContents"):
        return {"embeddings": [{"values": [0.25, 0.5]} for _ in seen.json["requests"]]}
    usage = _told(answer, _gemini_usage)
    streamed = ":streamGenerateContent" in seen.path
    parts: list[list[dict[str, Any]]] = [[{"text": piece}] for piece in _pieces(answer)]
    if answer.calls:
        parts = [[{"functionCall": {"name": name, "args": dict(args)}} for name, args in answer.calls]]
    if not streamed:
        return _gemini_chunk(seen, answer, [part for each in parts for part in each], usage, last=True)
    early = {"promptTokenCount": usage.get("promptTokenCount", 0)} if isinstance(usage, dict) else None
    chunks = [
        _gemini_chunk(seen, answer, each, usage if number == len(parts) else early, last=number == len(parts))
        for number, each in enumerate(parts, 1)
    ]
    if "alt=sse" in seen.query:
        return [_sse(chunk, end="\r\n") for chunk in chunks]
    texts = [json.dumps(chunk, indent=1).encode() for chunk in chunks]
    return [b"[" + texts[0], *(b",\r\n" + text for text in texts[1:]), b"]"]


def _gemini_usage(used: Used) -> dict[str, int]:
    found = {
        "promptTokenCount": used.input,
        "candidatesTokenCount": used.output - used.thinking,
        "totalTokenCount": used.input + used.output,
        "cachedContentTokenCount": used.cached,
        "thoughtsTokenCount": used.thinking,
    }
    return {name: value for name, value in found.items() if value or name == "promptTokenCount"}


def _gemini_chunk(seen: Seen, answer: Answer, parts: list[dict[str, Any]], usage: Any, *, last: bool) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if last:
        candidate["finishReason"] = answer.finish or "STOP"
    found: dict[str, Any] = {"candidates": [candidate], "modelVersion": seen.model, "responseId": "fake"}
    return found if usage is None else found | {"usageMetadata": usage}


def _openai(seen: Seen, answer: Answer) -> Any:
    asked = seen.json
    if seen.path == "/embeddings":
        texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
        data = [{"object": "embedding", "index": at, "embedding": [0.25, 0.5]} for at, _ in enumerate(texts)]
        usage = _told(answer, lambda used: {"prompt_tokens": used.input, "total_tokens": used.input})
        return {"object": "list", "model": asked["model"], "data": data, "usage": usage}
    return (_openai_response if seen.path == "/responses" else _openai_chat)(asked, answer)


def _openai_chat_usage(used: Used) -> dict[str, Any]:
    return {
        "prompt_tokens": used.input,
        "completion_tokens": used.output,
        "total_tokens": used.input + used.output,
        "prompt_tokens_details": {"cached_tokens": used.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": used.thinking},
    }


def _openai_chat(asked: dict[str, Any], answer: Answer) -> Any:
    calls = [
        {"id": f"call_{at}", "type": "function", "function": {"name": name, "arguments": json.dumps(args)}}
        for at, (name, args) in enumerate(answer.calls)
    ]
    finish = answer.finish or ("tool_calls" if calls else "stop")
    usage = _told(answer, _openai_chat_usage)
    head = {"id": "chatcmpl-fake", "created": 1764400000, "model": asked["model"]}
    if not asked.get("stream"):
        message = {"role": "assistant", "content": None if calls else answer.text}
        choice = {"index": 0, "message": message | ({"tool_calls": calls} if calls else {}), "finish_reason": finish}
        found = {**head, "object": "chat.completion", "choices": [choice]}
        return found if usage is None else found | {"usage": usage}

    def chunk(delta: dict[str, Any] | None, reason: str | None = None, **more: Any) -> bytes:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": reason}]
        return _sse({**head, "object": "chat.completion.chunk", "choices": choices, **more})

    deltas: list[dict[str, Any]] = [{"content": piece} for piece in _pieces(answer)]
    if calls:
        deltas = [{"tool_calls": [{"index": at, **call}]} for at, call in enumerate(calls)]
    events = [chunk({"role": "assistant", "content": "" if not calls else None}), *map(chunk, deltas)]
    events.append(chunk({}, finish))
    if usage is not None and (asked.get("stream_options") or {}).get("include_usage"):
        events.append(chunk(None, usage=usage))
    return [*events, _sse("[DONE]")]


def _openai_response(asked: dict[str, Any], answer: Answer) -> Any:
    content = [{"type": "output_text", "text": answer.text, "annotations": []}]
    output: list[dict[str, Any]] = [
        {"type": "message", "id": "msg_0", "role": "assistant", "status": "completed", "content": content}
    ]
    if answer.calls:
        output = [
            {
                "type": "function_call",
                "id": f"fc_{at}",
                "call_id": f"call_{at}",
                "name": name,
                "arguments": json.dumps(args),
                "status": "completed",
            }
            for at, (name, args) in enumerate(answer.calls)
        ]
    usage = _told(answer, _openai_response_usage)
    head = {
        "id": "resp_fake",
        "object": "response",
        "created_at": 1764400000,
        "model": asked["model"],
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
    }
    status = answer.finish or "completed"
    done = {**head, "status": status, "output": output} | ({} if usage is None else {"usage": usage})
    if not asked.get("stream"):
        return done
    numbers = iter(range(10_000))

    def event(kind: str, **more: Any) -> bytes:
        return _sse({"type": kind, "sequence_number": next(numbers), **more}, event=kind)

    events = [event("response.created", response={**head, "status": "in_progress", "output": []})]
    for at, item in enumerate(output):
        place = {"item_id": item["id"], "output_index": at}
        events.append(event("response.output_item.added", output_index=at, item={**item, "status": "in_progress"}))
        if item["type"] == "function_call":
            events.append(event("response.function_call_arguments.delta", delta=item["arguments"], **place))
            done_event = "response.function_call_arguments.done"
            events.append(event(done_event, arguments=item["arguments"], name=item["name"], **place))
        else:
            place["content_index"] = 0
            text = "response.output_text.delta"
            events += [event(text, delta=piece, logprobs=[], **place) for piece in _pieces(answer)]
            events.append(event("response.output_text.done", text=answer.text, logprobs=[], **place))
        events.append(event("response.output_item.done", output_index=at, item=item))
    return [*events, event(f"response.{status}", response=done)]


def _openai_response_usage(used: Used) -> dict[str, Any]:
    return {
        "input_tokens": used.input,
        "output_tokens": used.output,
        "total_tokens": used.input + used.output,
        "input_tokens_details": {"cached_tokens": used.cached, "cache_write_tokens": used.cache_written},
        "output_tokens_details": {"reasoning_tokens": used.thinking},
    }


def _anthropic_usage(used: Used) -> dict[str, Any]:
    return {
        "input_tokens": used.input - used.cached - used.cache_written,
        "output_tokens": used.output,
        "cache_read_input_tokens": used.cached,
        "cache_creation_input_tokens": used.cache_written,
        "output_tokens_details": {"thinking_tokens": used.thinking},
        "service_tier": "standard",
    }


def _anthropic(seen: Seen, answer: Answer) -> Any:
    asked = seen.json
    if seen.path.endswith(("/count_tokens", "/count-tokens:rawPredict")):
        return {"input_tokens": answer.used.input if answer.used else 0}
    blocks: list[dict[str, Any]] = [{"type": "text", "text": answer.text}]
    if answer.calls:
        blocks = [
            {"type": "tool_use", "id": f"toolu_{at}", "name": name, "input": dict(args)}
            for at, (name, args) in enumerate(answer.calls)
        ]
    usage = _told(answer, _anthropic_usage)
    head = {"id": "msg_fake", "type": "message", "role": "assistant", "model": asked.get("model", seen.model)}
    stop = answer.finish or ("tool_use" if answer.calls else "end_turn")
    told = {} if usage is None else {"usage": usage}
    if not asked.get("stream"):
        return {**head, "content": blocks, "stop_reason": stop, "stop_sequence": None, **told}

    def event(kind: str, **more: Any) -> bytes:
        return _sse({"type": kind, **more}, event=kind)

    begin = {} if usage is None else {"usage": usage | {"output_tokens": 1} if isinstance(usage, dict) else usage}
    message = {**head, "content": [], "stop_reason": None, "stop_sequence": None, **begin}
    events = [event("message_start", message=message), event("ping")]
    for at, block in enumerate(blocks):
        if block["type"] == "tool_use":
            events.append(event("content_block_start", index=at, content_block={**block, "input": {}}))
            deltas = [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
        else:
            events.append(event("content_block_start", index=at, content_block={"type": "text", "text": ""}))
            deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(answer)]
        events += [event("content_block_delta", index=at, delta=delta) for delta in deltas]
        events.append(event("content_block_stop", index=at))
    events.append(event("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, **told))
    return [*events, event("message_stop")]


@contextlib.asynccontextmanager
async def serving(default: Behaviour | None = None, *, port: int = 0) -> AsyncIterator[FakeProviders]:
    """Serve them in this loop."""
    fake = FakeProviders(default)
    # Handlers are cancelled when their client hangs up, which is how it is noticed; what hangs ends immediately with
    # us.
    runner = web.AppRunner(fake.app(), handler_cancellation=True, access_log=None, shutdown_timeout=0.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port, backlog=1024)
        await site.start()
        fake.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield fake
    finally:
        await runner.cleanup()


@contextlib.contextmanager
def in_thread(default: Behaviour | None = None) -> Iterator[FakeProviders]:
    """Serve them in a loop of their own."""
    ready = threading.Event()
    found: list[tuple[FakeProviders, asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def run() -> None:
        async with serving(default) as fake:
            end = asyncio.Event()
            found.append((fake, asyncio.get_running_loop(), end))
            ready.set()
            await end.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert ready.wait(10), "the fake providers did not start"
    fake, loop, end = found[0]
    try:
        yield fake
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(10)


def main() -> None:
    """Serve until killed, and say where in the first line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--text-bytes", type=int, default=300)
    parser.add_argument("--pieces", type=int, default=20)
    parser.add_argument("--pace", type=float, default=0.0)
    parser.add_argument("--delay", type=float, default=0.0)
    given = parser.parse_args()
    answer = Answer("x" * given.text_bytes, pieces=given.pieces, pace=given.pace, delay=given.delay)

    async def run() -> None:
        async with serving(answer, port=given.port) as fake:
            print(fake.origin, flush=True)
            await asyncio.Event().wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())


if __name__ == "__main__":
    main()
