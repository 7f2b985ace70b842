"""A gateway and a Gemini server on the loopback, and the real runner as a process."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from agentjobs import __version__, contract
from agentjobs.contract import TerminationMessage

TOKEN = "eyJhbGciOiJub25lIn0.pod-token-of-this-start.x"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def log_message(self, *args: object) -> None:
        """Stay quiet."""

    def _handle(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        is_json = not self.path.startswith(contract.PATH_KEPT_CONTENT)
        body = (json.loads(raw) if is_json else raw) if raw else None
        status, headers, answer = self.server.answer(self.command, self.path, dict(self.headers), body)
        content = b"" if answer is None else answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for key, value in {
            "content-type": "application/json",
            "connection": "close",
            **headers,
            "content-length": str(len(content)),
        }.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = _handle


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    answer: Callable[[str, str, dict[str, str], Any], tuple[int, dict[str, str], Any]]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A runner that was killed hangs up; that is what some tests are about."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def serve() -> Iterator[Callable[..., _Server]]:
    servers: list[_Server] = []

    def start(answer: Callable[..., Any]) -> _Server:
        server = _Server(("127.0.0.1", 0), _Handler)
        server.answer = answer
        threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@dataclass
class FakeGateway:
    """Answers as the gateway does; `script` overrides the next answers of a path."""

    attempt: dict[str, Any]
    final: Any = None
    script: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    recorded: list[dict[str, Any]] = field(default_factory=list)
    """The steps of earlier starts."""
    steps: list[dict[str, Any]] = field(default_factory=list)
    versions: dict[str, Any] | None = None
    """That the start said with its first steps."""
    kept: dict[str, bytes] = field(default_factory=dict)
    """Files for later starts."""
    heartbeats: int = 0
    calls: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, method: str, path: str, headers: dict[str, str], body: Any) -> tuple[int, dict[str, str], Any]:
        self.calls.append(f"{method} {path}")
        if not headers.get("Authorization", "").startswith(f"Bearer {TOKEN}"):  # one that was renewed is longer
            return 401, {}, {"reason": "Unauthenticated", "message": "wrong token"}
        if self.script.get(path):
            status, answer = self.script[path].pop(0)
            return status, {}, answer
        match method, path:
            case "GET", contract.PATH_ATTEMPT:
                return 200, {}, self.attempt
            case "POST", contract.PATH_EVENTS:
                self.events += body["events"]
                return 204, {}, None
            case "GET", _ if path.startswith(f"{contract.PATH_STEPS}?after="):
                after = int(path.partition("=")[2])
                page = [step for step in self.recorded if step["n"] > after][:2]
                return 200, {}, {"steps": page, "next": page[-1]["n"] if len(page) == 2 else None}
            case "POST", contract.PATH_STEPS:
                self.steps += body["steps"]
                self.versions = body.get("versions") or self.versions
                return 200, {}, {"last": len(self.recorded) + len(self.steps)}
            case "POST", contract.PATH_HEARTBEAT:
                self.heartbeats += 1
                return 204, {}, None
            case _, _ if path.startswith(contract.PATH_KEPT):
                return self._kept(method, path, body)
            case "PUT", contract.PATH_RESULT:
                self.results.append(body)
                return 200, {}, {"final": self.final if self.final is not None else body["result"]}
        return 404, {}, {"reason": "NotFound", "message": path}

    def _kept(self, method: str, path: str, body: bytes | None) -> tuple[int, dict[str, str], Any]:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        if not asked:
            return 200, {}, {"files": [{"name": name, "bytes": len(self.kept[name])} for name in sorted(self.kept)]}
        name, offset = asked["name"], int(asked.get("offset", 0))
        match method:
            case "GET" if name in self.kept:
                return 200, {}, self.kept[name][offset : offset + contract.MAX_KEPT_PART_BYTES]
            case "PUT" if len(self.kept.get(name, b"")) >= offset:
                self.kept[name] = self.kept.get(name, b"")[:offset] + (body or b"")
                return 204, {}, None
            case "DELETE":
                self.kept.pop(name, None)
                return 204, {}, None
        return 422 if method == "PUT" else 404, {}, {"reason": "NotFound", "message": name}

    def kinds(self) -> list[str]:
        return [event["kind"] for event in self.events]


def a_spec(*, agent: dict[str, Any] | None = None, state: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    default = {"model": "scripted/script/main", "inline": {"name": "helper", "instruction": "Help."}}
    return {"agent": agent or default, "input": {"message": "Say hello.", "state": state or {}}, "session": {}, **more}


@pytest.fixture
def gateway(serve: Callable[..., _Server]) -> Callable[..., FakeGateway]:
    """Start a gateway that hands out one attempt: `gateway(starts=[[{...}]])` or `gateway(spec=..., scripts=...)`."""

    def start(
        *,
        starts: list[list[dict[str, Any]]] | None = None,
        scripts: dict[str, str] | None = None,
        start: int = 1,
        result: Any = None,
        final: Any = None,
        agent: dict[str, Any] | None = None,
        spec: dict[str, Any] | None = None,
        recorded: list[dict[str, Any]] | None = None,
        **parts: Any,
    ) -> FakeGateway:
        scripts = (
            scripts
            if scripts is not None
            else {"script/main": yaml.safe_dump({"starts": starts or [[{"text": "hi"}]]})}
        )
        attempt = {
            "namespace": "default",
            "job": "hello",
            "uid": "0b6f2a",
            "start": start,
            "attempt": start,
            "maxAttempts": 3,
            "resolved": {"spec": spec or a_spec(agent=agent, **parts), "scripts": scripts},
            "result": result,
        }
        if recorded:
            versions = {"adk": "1", "runner": __version__, "scheme": "1", "agent": "aa"}
            attempt["journal"] = {"run": 1, "last": recorded[-1]["n"], "versions": versions}
        fake = FakeGateway(attempt, final=final, recorded=recorded or [])
        fake.url = serve(fake.answer).url
        return fake

    return start


@dataclass
class Run:
    """A runner's process and what it left behind."""

    process: subprocess.Popen[str]
    folder: Path

    def wait(self, seconds: float = 90) -> "Run":
        try:
            self.out, self.err = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.out, self.err = self.process.communicate()
            raise AssertionError(f"the runner hangs:\n{self.err}") from None
        return self

    @property
    def code(self) -> int:
        return self.process.returncode

    @property
    def raw(self) -> str:
        path = self.folder / "termination"
        return path.read_text() if path.exists() else ""

    @property
    def message(self) -> TerminationMessage:
        message = TerminationMessage.load(self.raw)
        assert message is not None, f"no termination message; code {self.code}\n{self.err}"
        return message

    @property
    def verdict(self) -> tuple[str, str]:
        return self.message.verdict.value, self.message.reason

    def until(self, seen: Callable[[], bool], seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while not seen():
            assert time.monotonic() < deadline, "it did not happen in time"
            assert self.process.poll() is None, f"the runner ended early: {self.wait().err}"
            time.sleep(0.01)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Start the real runner against a gateway; `files` become modules it can import."""
    runs: list[Run] = []

    def launch(gateway: FakeGateway, *, files: dict[str, str] | None = None, grace: int = 30, **env: str) -> Run:
        folder = tmp_path / str(len(runs))
        folder.mkdir()
        (folder / "token").write_text(TOKEN)
        for name, text in (files or {}).items():
            (folder / name).write_text(text)
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "PYTHONPATH": f"{folder}:{Path(__file__).parents[3]}",
            "PYTHONUNBUFFERED": "1",
            contract.ENV_GATEWAY_URL: gateway.url,
            contract.ENV_TOKEN_FILE: str(folder / "token"),
            contract.ENV_NAMESPACE: "default",
            contract.ENV_JOB: "hello",
            contract.ENV_START: str(gateway.attempt["start"]),
            contract.ENV_TERMINATION_FILE: str(folder / "termination"),
            contract.ENV_GRACE_SECONDS: str(grace),
            **env,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "agentjobs_runner"],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=folder,
        )
        runs.append(Run(process, folder))
        return runs[-1]

    yield launch
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
        run.process.communicate()
