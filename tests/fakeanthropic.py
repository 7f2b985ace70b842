"""Anthropic's Messages API on the loopback, scripted: what the CLI of Claude Code calls, the real one or the stand-in.

A script is a list of answers, given in their order; the last one is given again and again. Each is a dictionary:

    text          what the model says
    tools         calls of tools: [{"name": "Bash", "input": {...}}]; ids are made up where none is given
    stop          stop_reason, where it is not what follows from the rest
    usage         tokens, over {"input_tokens": 100, "output_tokens": 20}
    model         the model that answers, where it is not the one that was asked
    status        an HTTP error instead, with `error` {"type", "message"} and `headers`
    delay         seconds before the first byte
    hang          seconds of silence after the first events of the stream; with `pings` seconds between pings meanwhile
    cut           close the connection after so many events of the stream
    when          a text: the answer is for requests that hold it alone, and others pass it over
"""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = dict[str, Any]


@dataclass
class Request:
    """A request as it came."""

    time: float
    """Of `time.monotonic`."""
    path: str
    headers: dict[str, str]
    """By names in lower case."""
    body: dict[str, Any]

    @property
    def said(self) -> str:
        """The messages, as JSON."""
        return json.dumps(self.body.get("messages"))


@dataclass
class FakeAnthropic:
    """The API, until `close`; `requests` are those for messages, `others` the rest."""

    script: list[Answer] = field(default_factory=lambda: [{"text": "hi"}])
    requests: list[Request] = field(default_factory=list)
    others: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin to answer."""
        self._lock = threading.Lock()
        self._given = 0
        self._used: set[int] = set()
        self.closed = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.api = self
        threading.Thread(target=lambda: self._server.serve_forever(poll_interval=0.02), daemon=True).start()

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def play(self, *answers: Answer) -> None:
        """Begin another script, and forget what was asked."""
        with self._lock:
            self.script, self.requests, self.others, self._used = list(answers), [], [], set()

    def close(self) -> None:
        """End it."""
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()

    def pick(self, request: Request) -> tuple[int, Answer]:
        """Return the number of a request, and its answer."""
        with self._lock:
            self.requests.append(request)
            self._given += 1
            fitting = [n for n, answer in enumerate(self.script) if answer.get("when", "") in request.said]
            number = next((n for n in fitting if n not in self._used), fitting[-1])
            self._used.add(number)
            return self._given, self.script[number]

    def wait(self, seconds: float) -> None:
        """Wait so long, or until it is closed."""
        self.closed.wait(seconds)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    api: FakeAnthropic


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def log_message(self, *args: object) -> None:
        """Stay quiet."""

    def _serve(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(time.monotonic(), self.path, headers, json.loads(raw) if raw else {})
        try:
            if self.path.partition("?")[0].endswith("/v1/messages"):
                self._answer(request, *self.server.api.pick(request))
            else:
                self.server.api.others.append(request)
                self._send(404, {"type": "error", "error": {"type": "not_found_error", "message": self.path}})
        except OSError:
            self.close_connection = True  # who asked has gone

    do_GET = do_POST = do_HEAD = _serve

    def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _answer(self, request: Request, number: int, answer: Answer) -> None:
        self.server.api.wait(answer.get("delay", 0))
        if answer.get("status", 200) >= 400:
            error = {"type": "api_error", "message": "made up", **answer.get("error", {})}
            self._send(answer["status"], {"type": "error", "error": error}, answer.get("headers"))
            return
        whole = _message(answer, str(request.body.get("model")), number)
        if not request.body.get("stream"):
            self._send(200, whole)
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        for place, event in enumerate(_events(whole)):
            if place == answer.get("cut", -1):
                return
            if place == 2 and "hang" in answer:
                self._silence(answer["hang"], answer.get("pings"))
            self._event(event)

    def _silence(self, seconds: float, pings: float | None) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.server.api.closed.is_set():
            self.server.api.wait(min(pings or seconds, seconds))
            if pings:
                self._event({"type": "ping"})

    def _event(self, event: dict[str, Any]) -> None:
        self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        self.wfile.flush()


def _message(answer: Answer, asked: str, number: int) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = [{"type": "text", "text": answer["text"]}] if "text" in answer else []
    for place, tool in enumerate(answer.get("tools", ())):
        blocks.append({"type": "tool_use", "id": f"toolu_{time.time_ns():x}_{place}", "input": {}, **tool})
    stop = answer.get("stop", "tool_use" if answer.get("tools") else "end_turn")
    usage = {"input_tokens": 100, "output_tokens": 20, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
    return {
        "id": f"msg_{time.time_ns():x}_{number}",
        "type": "message",
        "role": "assistant",
        "model": answer.get("model", asked),
        "content": blocks,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage | answer.get("usage", {}),
    }


def _events(whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A message as the events of a stream."""
    usage = whole["usage"]
    head = {**whole, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    yield {"type": "message_start", "message": head}
    for place, block in enumerate(whole["content"]):
        if block["type"] == "text":
            begun, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            begun = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield {"type": "content_block_start", "index": place, "content_block": begun}
        yield {"type": "content_block_delta", "index": place, "delta": delta}
        yield {"type": "content_block_stop", "index": place}
    stop = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": stop, "usage": {"output_tokens": usage["output_tokens"]}}
    yield {"type": "message_stop"}
