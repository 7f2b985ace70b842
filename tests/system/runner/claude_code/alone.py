"""Runs Claude Code in a network of its own, where every address is this machine and every name has one, and prints whom
it asked: `unshare -n python -m tests.system.runner.claude_code.alone FOLDER`. The folder becomes its tree.

Names are answered by a server on port 53, whatever the address of the resolver; what then connects to ports 80 and 443
is noted and hung up on. One question of our own shows that both notice.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

from tests.fakeanthropic import FakeAnthropic
from tests.memoryjournal import MemoryJournal

from agentjobs_runner.gate import Gate
from agentjobs_runner.redaction import Redactor
from agentjobs_runner.timeline import Recorder

CONTROL = "control.example"
HOST = bytes([10, 9, 8, 7])
names: list[str] = []
connections: list[str] = []


def answer_names() -> None:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("0.0.0.0", 53))

    def serve() -> None:
        while True:
            query, sender = server.recvfrom(4096)
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1 : at + 1 + query[at]].decode())
                at += 1 + query[at]
            names.append(".".join(labels))
            question, is_a = query[12 : at + 5], query[at + 1 : at + 3] == b"\x00\x01"
            head = query[:2] + b"\x81\x80\x00\x01" + (b"\x00\x01" if is_a else b"\x00\x00") + b"\x00\x00\x00\x00"
            record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04" + HOST if is_a else b""
            server.sendto(head + question + record, sender)

    threading.Thread(target=serve, daemon=True).start()


def note_connections(port: int) -> None:
    server = socket.create_server(("0.0.0.0", port))

    def serve() -> None:
        while True:
            client, _ = server.accept()
            host, at = client.getsockname()[:2]
            connections.append(f"{host}:{at}")
            client.close()

    threading.Thread(target=serve, daemon=True).start()


class Nobody:
    """A gateway that takes everything."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def heartbeat(self) -> None:
        """No one waits for it."""

    def add_events(self, events: list[Any]) -> None:
        """Keep them."""
        self.events += events


def run(tree: Path) -> dict[str, Any]:
    """Run a job with a tool call, and return what was seen."""
    api = FakeAnthropic(
        [{"tools": [{"name": "Bash", "input": {"command": "echo ran", "description": "a test"}}]}, {"text": "Done."}]
    )
    os.chdir(tree)
    os.environ |= {
        "ANTHROPIC_BASE_URL": api.url,
        "ANTHROPIC_API_KEY": "sk-not-a-real-key-0123456789",
        "IS_SANDBOX": "1",
    }
    recorder = Recorder(Nobody(), Redactor(os.environ), print)  # type: ignore[arg-type]  it has what is used
    open_ = threading.Event()
    open_.set()
    gate = Gate(open_, lambda: None, recorder.progressed)
    agent = {"model": "anthropic/claude-sonnet-5-5", "claudeCode": {"permissionMode": "BypassPermissions"}}
    spec = {"agent": agent, "input": {"message": "Say hello."}}
    attempt: Any = {"job": "hello", "uid": "u", "start": 1, "attempt": 1, "resolved": {"spec": spec}}
    from agentjobs_runner.claude_code import engine

    ending = engine.execute(attempt, gate, recorder, MemoryJournal(recorder.usage))
    said = " ".join(json.dumps(request.body) for request in api.requests)
    return {
        "ending": [ending.verdict, ending.reason, ending.message],
        "paths": [request.path for request in api.requests],
        "others": [request.path for request in api.others],
        "names": names,
        "connections": connections,
        "read": [word for word in ("WORD-OF-THE-REPOSITORY", "evil") if word in said],
    }


def main() -> None:
    for words in (["link", "set", "lo", "up"], ["route", "add", "local", "0.0.0.0/0", "dev", "lo"]):
        subprocess.run(["ip", *words], check=True)
    answer_names()
    for port in (80, 443):
        note_connections(port)
    with contextlib.suppress(OSError):
        urllib.request.urlopen(f"http://{CONTROL}/", timeout=10)
    print(json.dumps(run(Path(sys.argv[1]))))


if __name__ == "__main__":
    main()
