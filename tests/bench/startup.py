"""Process start to first model call: our runner next to a bare ADK script, in turns, in one run.

    python -m tests.bench.startup [ROUNDS]

The bare script imports ADK, builds an agent and asks its model, and does nothing else a job needs: no gateway, no
timeline, no report. Both stop the clock in their model's first call; it is the monotonic clock the parent started.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from agentjobs import contract

ROUNDS = 11

BARE = """
import asyncio, sys, time
from google.adk.agents.llm_agent import LlmAgent
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.adk.sessions.in_memory_session_service import InMemorySessionService
from google.genai import types

class Fake(BaseLlm):
    async def generate_content_async(self, llm_request, stream=False):
        print("FIRST", time.monotonic(), flush=True)
        yield LlmResponse(content=types.Content(role="model", parts=[types.Part(text="hi")]))

async def main():
    sessions = InMemorySessionService()
    await sessions.create_session(app_name="a", user_id="u", session_id="s")
    runner = Runner(app_name="a", agent=LlmAgent(name="a", model=Fake(model="fake")), session_service=sessions)
    message = types.Content(role="user", parts=[types.Part(text="hello")])
    async for event in runner.run_async(user_id="u", session_id="s", new_message=message):
        pass

asyncio.run(main())
"""

# The runner's own model, with a clock in it: `sitecustomize` of the child, loaded before anything else.
CLOCK = """
import sys, threading
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name != "agentjobs_runner.adk.scripted":
            return None
        sys.meta_path.remove(self)
        import importlib.util, time
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module
        def exec_module(module):
            load(module)
            asked = module.ScriptCursor.next
            def first(stage, script, agent):
                print("FIRST", time.monotonic(), flush=True)
                return asked(stage, script, agent)
            module.ScriptCursor.next = first
        spec.loader.exec_module = exec_module
        return spec
sys.meta_path.insert(0, Finder())
"""


class Gateway(BaseHTTPRequestHandler):
    """Hands out one attempt and takes whatever comes."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        """Stay quiet."""

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        body: Any = {"final": None} if self.command == "PUT" else ATTEMPT
        content = json.dumps(body).encode() if self.command in ("GET", "PUT") else b""
        self.send_response(200 if content else 204)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = _answer


ATTEMPT = {
    "namespace": "default",
    "job": "bench",
    "uid": "u",
    "start": 1,
    "attempt": 1,
    "maxAttempts": 1,
    "resolved": {
        "spec": {
            "agent": {"model": "scripted/bench/script", "inline": {"name": "a", "instruction": "Help."}},
            "input": {"message": "hello"},
        },
        "scripts": {"bench/script": "starts: [[{text: hi}]]"},
    },
    "result": None,
}


def measure(command: list[str], env: dict[str, str]) -> tuple[float, float, float]:
    """Return seconds from the start of `command` to its first model call, and to its end, and of CPU."""
    began, used = time.monotonic(), _cpu()
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    ended = time.monotonic()
    marks = [float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("FIRST ")]
    if not marks:
        raise SystemExit(f"{command} never asked its model:\n{done.stderr}")
    return marks[0] - began, ended - began, _cpu() - used


def _cpu() -> float:
    """The seconds of CPU that all children have used: unlike the clock's, they do not grow with the load."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def environments(folder: Path, url: str) -> tuple[dict[str, str], dict[str, str]]:
    """The environments of the bare script and of the runner."""
    bare = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    (folder / "token").write_text("token")
    (folder / "clock").mkdir()
    (folder / "clock" / "sitecustomize.py").write_text(CLOCK)
    ours = bare | {
        "PYTHONPATH": str(folder / "clock"),
        contract.ENV_GATEWAY_URL: url,
        contract.ENV_TOKEN_FILE: str(folder / "token"),
        contract.ENV_NAMESPACE: "default",
        contract.ENV_JOB: "bench",
        contract.ENV_START: "1",
        contract.ENV_TERMINATION_FILE: str(folder / "termination"),
    }
    return bare, ours


def main(rounds: int = ROUNDS) -> dict[str, float]:
    """Measure, print the table and return the figures, in seconds."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    bare, ours = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare_env, our_env = environments(folder, f"http://127.0.0.1:{server.server_address[1]}")
        for _ in range(rounds + 1):
            bare.append(measure([sys.executable, "-c", BARE], bare_env))
            ours.append(measure([sys.executable, "-m", "agentjobs_runner"], our_env))
    server.shutdown()
    # The first round wrote bytecode and filled the page cache.
    kinds = ("first_call", "process", "cpu")
    figures = {
        f"{name}_{kind}": statistics.median(one[place] for one in all_rounds[1:])
        for name, all_rounds in (("bare", bare), ("runner", ours))
        for place, kind in enumerate(kinds)
    }
    print(f"{f'median of {rounds} rounds, in seconds':<36}{'first model call':>18}{'whole process':>16}{'its CPU':>10}")
    for title, name in (("bare ADK script", "bare"), ("agentjobs_runner", "runner")):
        first, whole, cpu = (figures[f"{name}_{kind}"] for kind in kinds)
        print(f"{title:<36}{first:>18.3f}{whole:>16.3f}{cpu:>10.3f}")
    first, whole, cpu = (figures[f"runner_{kind}"] / figures[f"bare_{kind}"] for kind in kinds)
    print(f"{'ratio':<36}{first:>18.2f}{whole:>16.2f}{cpu:>10.2f}")
    print(f"{'best: bare, runner':<36}{min(one[0] for one in bare):>18.3f}{min(one[0] for one in ours):>16.3f}")
    return figures


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
