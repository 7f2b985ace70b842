#!/usr/bin/env python3
"""A stand-in for the CLI of Claude Code, for machines that do not have it: the part that jobs use.

It reads its arguments, its prompt and its settings as the real one does, asks the API at ANTHROPIC_BASE_URL, runs Bash,
Write and Read, keeps its session where the real one does, and prints the same events. The tests that use it run with
the real CLI as well (`make test-claude`), which is what holds it to the truth.

FAKE_CLAUDE in its environment makes it misbehave: `never-starts`, `ignores-sigterm`.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

VERSION = "2.1.332"
UNKNOWN_OUTCOME = (
    "[Tool call interrupted: the session ended before this call's result was recorded, so its outcome is unknown. "
    "Check whether it took effect before relying on it or running it again.]"
)


MODELS = {"default": "claude-opus-5-5"}


def fail(text: str) -> None:
    print(text, file=sys.stderr)
    sys.exit(1)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.error = lambda message: fail(f"error: {message}")  # type: ignore[assignment, method-assign]
    for flag in ("-p", "--verbose", "--strict-mcp-config"):
        parser.add_argument(flag, action="store_true")
    for flag in ("--output-format", "--model", "--permission-mode", "--setting-sources", "--settings", "--mcp-config"):
        parser.add_argument(flag)
    for flag in ("--system-prompt", "--append-system-prompt", "--json-schema", "--resume", "--session-id"):
        parser.add_argument(flag)
    parser.add_argument("--max-turns", type=int)
    parser.add_argument("--max-budget-usd", type=float)
    for flag in ("--allowedTools", "--disallowedTools", "--add-dir"):
        parser.add_argument(flag, nargs="+", default=[])
    given = parser.parse_args()
    given.model = MODELS.get(given.model, given.model)
    return given


def emit(event: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


class Retry(Exception):
    """The API may be asked again."""


class ApiError(Exception):
    """What the API refused."""

    def __init__(self, status: int | None, text: str, kind: object = None, code: object = None) -> None:
        super().__init__(text)
        self.status, self.kind, self.code = status, _identifier(kind), _identifier(code)


def _identifier(told: object) -> str | None:
    """What is handed on of the words in an error."""
    return told if isinstance(told, str) and re.fullmatch("[a-z][a-z0-9_]{0,63}", told) else None


class Session:
    """The session's file, and what was said."""

    def __init__(self, id_: str, resumes: bool) -> None:
        folder = Path(os.environ["HOME"], ".claude", "projects")
        self.id = id_
        self.path = folder / re.sub(r"[^A-Za-z0-9]", "-", str(Path.cwd())) / f"{id_}.jsonl"
        self.messages: list[dict[str, Any]] = []
        self.path.parent.mkdir(parents=True, exist_ok=True)
        there = next(folder.glob(f"*/{id_}.jsonl"), None)
        if not resumes:
            if there is not None:
                fail(f"Error: Session ID {id_} is already in use.")
            return
        if there is None:
            text = f"No conversation found with session ID: {id_}"
            conclude(self, "error_during_execution", is_error=True, errors=[text])
            sys.exit(1)
        self.path = there
        for line in there.read_text().splitlines():
            entry = json.loads(line)
            if entry.get("type") in ("user", "assistant"):
                self.messages.append(entry["message"])
        self._close_calls()

    def _close_calls(self) -> None:
        blocks = [b for m in self.messages if isinstance(m["content"], list) for b in m["content"]]
        answered = {b["tool_use_id"] for b in blocks if b["type"] == "tool_result"}
        lost = [b["id"] for b in blocks if b["type"] == "tool_use" and b["id"] not in answered]
        if lost:
            results = [{"type": "tool_result", "tool_use_id": one, "content": UNKNOWN_OUTCOME} for one in lost]
            self.add("user", results)

    def add(self, role: str, content: Any) -> None:
        message = {"role": role, "content": content}
        self.messages.append(message)
        entry = {"type": role, "message": message, "sessionId": self.id, "uuid": str(uuid.uuid4())}
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")


class Cli:
    """One run."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.settings = json.loads(args.settings) if args.settings else {}
        self.session = Session(args.resume or args.session_id, args.resume is not None)
        self.turns = 0
        self.output = 0
        self.denials: list[dict[str, Any]] = []
        self.structured: dict[str, Any] | None = None
        self.tool: subprocess.Popen[bytes] | None = None
        self.call = ""
        signal.signal(signal.SIGTERM, self._terminated)

    def _terminated(self, number: int, frame: FrameType | None) -> None:
        if os.environ.get("FAKE_CLAUDE") == "ignores-sigterm":
            return
        if self.tool is not None:
            os.killpg(self.tool.pid, signal.SIGKILL)
            result = {"type": "tool_result", "tool_use_id": self.call, "content": "Exit code 137", "is_error": True}
            self.session.add("user", [result])
        os._exit(143)

    def run(self, prompt: str) -> int:
        known = {"type": "system", "subtype": "init", "session_id": self.session.id, "cwd": str(Path.cwd())}
        mode = self.args.permission_mode or "default"
        servers = [{"name": name, "status": "failed"} for name in self._servers()]
        emit({**known, "model": self.args.model, "permissionMode": mode, "mcp_servers": servers, "tools": ["Bash"],
              "claude_code_version": VERSION, "apiKeySource": "none"})  # fmt: skip
        self.session.add("user", prompt)
        try:
            return self._loop()
        except ApiError as error:
            told = f"API Error: {error.status or ''} {error}"
            self._conclude("success", is_error=True, result=told, terminal_reason="api_error",
                           api_error_status=error.status, api_error_type=error.kind,
                           api_error_code=error.code)  # fmt: skip
            return 1

    def _loop(self) -> int:
        while True:
            if self.args.max_turns and self.turns >= self.args.max_turns:
                self._conclude("error_max_turns", is_error=True, terminal_reason="max_turns",
                               errors=[f"Reached maximum number of turns ({self.args.max_turns})"])  # fmt: skip
                return 1
            self.turns += 1
            message = self._ask()
            self.output += message["usage"].get("output_tokens", 0)
            self.session.add("assistant", message["content"])
            calls = [block for block in message["content"] if block["type"] == "tool_use"]
            if not calls:
                text = "".join(block.get("text", "") for block in message["content"])
                self._conclude("success", result=text, stop_reason=message["stop_reason"], terminal_reason="completed")
                return 0
            for call in calls:
                self._call(call)
            if self.structured is not None:
                self._conclude("success", result=json.dumps(self.structured), structured_output=self.structured,
                               stop_reason="tool_use", terminal_reason="completed")  # fmt: skip
                return 0

    def _servers(self) -> list[str]:
        return list(json.loads(Path(self.args.mcp_config).read_text())["mcpServers"]) if self.args.mcp_config else []

    def _ask(self) -> dict[str, Any]:
        most = int(os.environ.get("CLAUDE_CODE_MAX_RETRIES", "10"))
        for tried in range(most + 1):
            try:
                return self._asked()
            except Retry as error:
                cause = error.__cause__
                failed = cause if isinstance(cause, ApiError) else ApiError(None, str(cause))
                if tried == most:
                    raise failed from error
                emit({"type": "system", "subtype": "api_retry", "attempt": tried + 1, "max_retries": most,
                      "retry_delay_ms": 50, "error_status": failed.status, "error": "server_error"})  # fmt: skip
                time.sleep(0.05)
        raise AssertionError

    def _asked(self) -> dict[str, Any]:
        body = {"model": self.args.model, "max_tokens": 32000, "stream": True, "messages": self.session.messages,
                "system": self.args.append_system_prompt or "", "tools": [{"name": "Bash"}]}  # fmt: skip
        headers = {"content-type": "application/json", "anthropic-version": "2023-06-01", **self._key()}
        base = os.environ.get("ANTHROPIC_BASE_URL", "")
        request = urllib.request.Request(f"{base}/v1/messages?beta=true", json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(
                request, timeout=float(os.environ.get("API_TIMEOUT_MS", "600000")) / 1000
            ) as it:
                return self._hear(it)
        except urllib.error.HTTPError as error:
            told = json.loads(error.read() or b"{}").get("error", {})
            code = (told.get("details") or {}).get("error_code")
            failed = ApiError(error.code, told.get("message", ""), told.get("type"), code)
            is_soon = float(error.headers.get("retry-after") or 0) <= 60
            if is_soon and (error.code in (401, 429) or error.code >= 500):
                raise Retry from failed
            raise failed from error
        except (OSError, ValueError) as error:
            raise Retry from error

    def _key(self) -> dict[str, str]:
        if helper := self.settings.get("apiKeyHelper"):
            key = subprocess.run(["/bin/sh", "-c", helper], capture_output=True, text=True).stdout.strip()
            return {"x-api-key": key, "authorization": f"Bearer {key}"}
        if key := os.environ.get("ANTHROPIC_API_KEY"):
            return {"x-api-key": key}
        if key := os.environ.get("ANTHROPIC_AUTH_TOKEN"):
            return {"authorization": f"Bearer {key}"}
        raise ApiError(None, "Not logged in · Please run /login")

    def _hear(self, stream: Any) -> dict[str, Any]:
        """Read a streamed answer; each block is told when it is whole."""
        message: dict[str, Any] = {}
        pieces: list[str] = []
        for event in _events(stream):
            match event["type"]:
                case "message_start":
                    message = event["message"]
                case "content_block_start":
                    message["content"].append(event["content_block"])
                    pieces = []
                case "content_block_delta":
                    delta = event["delta"]
                    pieces.append(delta.get("text") or delta.get("partial_json") or "")
                case "content_block_stop":
                    block = message["content"][-1]
                    block |= (
                        {"text": "".join(pieces)} if block["type"] == "text" else {"input": json.loads("".join(pieces))}
                    )
                    self._tell("assistant", {**message, "content": [block]})
                case "message_delta":
                    message["usage"] = {**message["usage"], **event["usage"]}
                    message["stop_reason"] = event["delta"]["stop_reason"]
                case "message_stop":
                    return message
        raise OSError("the stream was cut")

    def _tell(self, role: str, message: dict[str, Any], **more: Any) -> None:
        known = {"parent_tool_use_id": None, "session_id": self.session.id, "uuid": str(uuid.uuid4())}
        emit({"type": role, "message": message, **known, **more})

    def _call(self, call: dict[str, Any]) -> None:
        self.call = call["id"]
        text, wrong, meta = self._result(call["name"], call["input"])
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": text, "is_error": wrong}
        self.session.add("user", [result])
        more = {"tool_result_meta": [{"id": call["id"], **meta}]} if meta else {}
        self._tell("user", {"role": "user", "content": [result]}, **more)

    def _result(self, name: str, given: dict[str, Any]) -> tuple[str, bool, dict[str, Any]]:
        if name == "StructuredOutput" and self.args.json_schema:
            missing = [key for key in json.loads(self.args.json_schema).get("required", ()) if key not in given]
            if missing:
                return f"Output does not match required schema: {missing}", True, {}
            self.structured = given
            return "Structured output provided successfully", False, {}
        if not self._may(name, given):
            self.denials.append({"tool_name": name, "tool_use_id": self.call, "tool_input": given})
            emit({"type": "system", "subtype": "permission_denied", "tool_name": name, "tool_use_id": self.call})
            said = f"Claude requested permissions to use {name}, but you haven't granted it yet."
            return said, True, {"non_execution_kind": "permission_rule"}
        if name == "Bash":
            return self._bash(given["command"])
        path = Path(given["file_path"])
        if name == "Write":
            path.write_text(given["content"])
            return f"File created successfully at: {path}", False, {}
        return (path.read_text(), False, {}) if path.exists() else ("File does not exist.", True, {})

    def _may(self, name: str, given: dict[str, Any]) -> bool:
        """Whether it may call a tool unasked: `Bash(git log *)` allows commands that begin so."""
        beginning = f"{name}({given.get('command', '')}"
        rules = [rule[: -len("*)")] for rule in self.args.allowedTools if rule.endswith("*)")]
        allowed = name in self.args.allowedTools or any(beginning.startswith(rule) for rule in rules)
        edits = self.args.permission_mode == "acceptEdits" and name == "Write"
        return self.args.permission_mode == "bypassPermissions" or name == "Read" or allowed or edits

    def _bash(self, command: str) -> tuple[str, bool, dict[str, Any]]:
        self.tool = subprocess.Popen(["/bin/bash", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip
        out, _ = self.tool.communicate()
        code, self.tool = self.tool.returncode, None
        text = out.decode("utf-8", "replace").rstrip("\n")
        return (text, False, {}) if code == 0 else (f"Exit code {code}\n{text}", True, {})

    def _conclude(self, subtype: str, **more: Any) -> None:
        more = {"permission_denials": self.denials, "num_turns": self.turns, "usage": self._usage(), **more}
        conclude(self.session, subtype, **more)

    def _usage(self) -> dict[str, int]:
        return {"input_tokens": 100 * self.turns, "output_tokens": self.output}


def conclude(session: Session, subtype: str, **more: Any) -> None:
    emit(
        {
            "type": "result",
            "subtype": subtype,
            "is_error": False,
            "session_id": session.id,
            "total_cost_usd": 0.0,
            **more,
        }
    )


def _events(stream: Any) -> Iterator[dict[str, Any]]:
    for line in stream:
        if line.startswith(b"data: "):
            event = json.loads(line[6:])
            if event["type"] != "ping":
                yield event


def main() -> int:
    if os.environ.get("FAKE_CLAUDE") == "never-starts":
        time.sleep(3600)
    args = arguments()
    if args.output_format == "stream-json" and not args.verbose:
        fail("Error: When using --print, --output-format=stream-json requires --verbose")
    if args.permission_mode == "bypassPermissions" and os.getuid() == 0 and os.environ.get("IS_SANDBOX") != "1":
        fail("--dangerously-skip-permissions cannot be used with root/sudo privileges for security reasons")
    prompt = sys.stdin.read()
    if not prompt.strip():
        fail("Error: Input must be provided either through stdin or as a prompt argument when using --print")
    return Cli(args).run(prompt)


if __name__ == "__main__":
    sys.exit(main())
