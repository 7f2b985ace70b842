"""Anthropic's API in a pod, for coding agents: tests/fakeanthropic.py, whose script is in the prompt.

So several jobs can be played for at the same time, and no one has to reach the pod. A script is begun once: what a
killed start has heard, the next one does not hear again.
"""

import base64
import json
import re
import uuid
from http.server import ThreadingHTTPServer
from typing import Any

PORT = 8001
_SCRIPT = re.compile(r"PLAY:([A-Za-z0-9+/=]+):")


def prompt(*answers: dict[str, Any]) -> str:
    """Return a prompt that is answered so; see tests/fakeanthropic.py for what an answer may be."""
    script = json.dumps({"of": uuid.uuid4().hex, "answers": answers})
    return f"PLAY:{base64.b64encode(script.encode()).decode()}:"


def bash(command: str) -> dict[str, Any]:
    """An answer that calls the shell."""
    return {"tools": [{"name": "Bash", "input": {"command": command, "description": "a test"}}]}


def serve() -> Any:
    """Begin to answer on every address of the pod; returns the fake, whose `requests` are what was asked."""
    import fakeanthropic  # next to this file, in the pod alone

    class Scripted(fakeanthropic.FakeAnthropic):  # type: ignore[misc, name-defined]
        """Finds its script in what it is asked."""

        def pick(self, request: Any) -> tuple[int, dict[str, Any]]:
            found = _SCRIPT.search(request.said)
            answers = json.loads(base64.b64decode(found[1]))["answers"] if found else [{"text": "hi"}]
            with self._lock:
                self.requests.append(request)
                asked = sum(1 for one in self.requests if found and found[0] in one.said)
                return len(self.requests), answers[min(max(asked, 1), len(answers)) - 1]

    def server(_: tuple[str, int], handler: Any) -> ThreadingHTTPServer:
        made = ThreadingHTTPServer(("", PORT), handler)
        made.daemon_threads = True
        return made

    fakeanthropic._Server = server  # type: ignore[attr-defined]
    return Scripted()
