"""Replay of long runs: recorded steps that answer immediately, next to the same steps under ADK alone, each in a
process.

A step is a model call or a tool call; each answer of the model but the last calls one tool. The model and the tool take
no time, so all of the time is the engine's. The figures are seconds of processor: they do not grow with the load.
"""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.bench.figures import Figure

STEPS = (100, 300, 1000)
AIM_SECONDS = 10.0
KINDS = ("bare", "record", "replay")


def agent(turns: int) -> Any:
    """An agent that calls its tool `turns` times, one call after the other, and then answers."""
    from google.adk.agents.llm_agent import LlmAgent
    from google.adk.models.base_llm import BaseLlm
    from google.adk.models.llm_response import LlmResponse
    from google.genai import types

    class Model(BaseLlm):
        """Calls the tool until it has been called often enough."""

        asked: int = 0

        async def generate_content_async(self, llm_request: Any, stream: bool = False) -> Any:
            """Give the next answer."""
            self.asked += 1
            call = types.FunctionCall(id=f"call-{self.asked}", name="look", args={"page": self.asked})
            part = types.Part(function_call=call) if self.asked <= turns else types.Part(text="Done.")
            usage = types.GenerateContentResponseUsageMetadata(prompt_token_count=9, candidates_token_count=9)
            yield LlmResponse(content=types.Content(role="model", parts=[part]), usage_metadata=usage)

    def look(page: int) -> dict[str, Any]:
        """Look at a page."""
        return {"page": page, "text": "A line of a page. " * 12}

    return LlmAgent(name="reader", model=Model(model="bench"), instruction="Read all pages.", tools=[look])


async def bare(turns: int) -> float:
    """Run the agent under ADK alone."""
    from google.adk.agents.run_config import RunConfig
    from google.adk.runners import Runner
    from google.adk.sessions.in_memory_session_service import InMemorySessionService
    from google.genai import types

    sessions = InMemorySessionService()
    await sessions.create_session(app_name="bench", user_id="u", session_id="s")
    runner = Runner(app_name="bench", agent=agent(turns), session_service=sessions)
    message = types.Content(role="user", parts=[types.Part(text="Read.")])
    began = time.process_time()
    run = runner.run_async(
        user_id="u", session_id="s", new_message=message, run_config=RunConfig(max_llm_calls=turns + 1)
    )
    async for _ in run:
        pass
    return time.process_time() - began


async def ours(turns: int, *, replayed: bool) -> float:
    """Run the agent in the runner's engine, from a journal that has all of its steps or none."""
    from tests.memoryjournal import MemoryJournal

    from agentjobs_runner.usage import UsageCounter

    journal = MemoryJournal(UsageCounter())
    first = await _start(turns, journal)
    if not replayed:
        return first
    recorded = len(journal.steps)
    again = journal.again(UsageCounter())
    seconds = await _start(turns, again)
    if recorded < 2 * turns or again.steps:
        raise SystemExit(f"{recorded} steps were recorded and {len(again.steps)} were not replayed")
    return seconds


async def _start(turns: int, journal: Any) -> float:
    from agentjobs_runner.adk import engine
    from agentjobs_runner.gate import Gate

    class Recorder:
        usage = journal.usage

        def add(self, *_: Any) -> None:
            pass

        progressed = add

        async def room(self) -> None:
            pass

    made: Any = ModuleType("bench_agent")
    made.root_agent, made.__file__ = agent(turns), __file__
    sys.modules[made.__name__] = made
    given = {"module": {"ref": "bench_agent:root_agent"}, "runConfig": {"max_llm_calls": turns + 1}}
    attempt: Any = {"namespace": "default", "job": "bench", "uid": "u", "start": 1, "attempt": 1, "maxAttempts": 1}
    attempt |= {"resolved": {"spec": {"agent": given, "input": {"message": "Read."}}, "scripts": {}}, "result": None}
    open_now = threading.Event()
    open_now.set()
    recorder: Any = Recorder()
    began = time.process_time()
    ended = await engine.run(attempt, Gate(open_now, lambda: None, lambda: None), recorder, journal)
    if ended.result is None:
        raise SystemExit(f"the run failed: {ended.message}")
    return time.process_time() - began


def seconds(kind: str, steps: int) -> float:
    """Measure in a process of its own: our engine changes ADK."""
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": str(root), "ADK_CAPTURE_MESSAGE_CONTENT_IN_SPANS": "false"}
    command = [sys.executable, "-m", "tests.bench.replay", kind, str(steps)]
    done = subprocess.run(command, env=env, cwd=root, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise SystemExit(f"{kind} of {steps} steps:\n{done.stderr[-3000:]}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def measure(runs: int) -> list[Figure]:
    """Steps that are replayed and recorded, next to ADK alone."""
    figures = []
    for steps in STEPS:
        found = {kind: tuple(seconds(kind, steps) for _ in range(runs)) for kind in KINDS}
        peer: dict[str, Any] = {"peer": found["bare"], "peer_name": "ADK alone"}
        aim = AIM_SECONDS if steps == max(STEPS) else None
        figures.append(Figure(f"replay of {steps:,} steps, processor", "s", found["replay"], aim, **peer))
        figures.append(Figure(f"first run of {steps:,} steps, processor", "s", found["record"], **peer))
    return figures


def main(kind: str, steps: int) -> None:
    """Measure once and print the seconds."""
    turns = steps // 2
    run = bare(turns) if kind == "bare" else ours(turns, replayed=kind == "replay")
    print(json.dumps(asyncio.run(run)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
