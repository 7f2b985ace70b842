"""An attempt run in this process: ADK and the agent are real, gateway and process are left out."""

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from tests.adkpatches import undone_after
from tests.memoryjournal import MemoryJournal

from agentjobs_runner.adk import engine
from agentjobs_runner.endings import Ending
from agentjobs_runner.gate import Gate
from agentjobs_runner.usage import UsageCounter


class Timeline:
    """Keeps entries as the recorder would send them."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str, dict[str, Any]]] = []
        self.usage = UsageCounter()
        self.signs = 0
        self.at_boundary = asyncio.Event()
        self.gate: Gate | None = None

    def add(self, kind: str, author: str, data: dict[str, Any]) -> None:
        self.entries.append((kind, author, data))

    def progressed(self) -> None:
        self.signs += 1

    async def room(self) -> None:
        """There is always room."""


@pytest.fixture
def timeline() -> Timeline:
    return Timeline()


@pytest.fixture(autouse=True)
def _models_as_adk_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    undone_after(monkeypatch)


@pytest.fixture
def run(timeline: Timeline) -> Callable[..., Awaitable[Ending]]:
    """`await run(answers, agent=…)`: one start whose model is the script `script/main`."""

    async def start(
        answers: list[dict[str, Any]] | None = None,
        *,
        agent: dict[str, Any] | None = None,
        script: str | None = None,
        start: int = 1,
        state: dict[str, Any] | None = None,
        session: dict[str, str] | None = None,
        output: dict[str, Any] | None = None,
        steps: dict[str, Any] | None = None,
        journal: MemoryJournal | None = None,
        budget: dict[str, Any] | None = None,
    ) -> Ending:
        text = script if script is not None else yaml.safe_dump({"starts": [answers or [{"text": "hi"}]]})
        default = {"model": "scripted/script/main", "inline": {"name": "helper", "instruction": "Help."}}
        spec = {
            "agent": agent or default,
            "input": {"message": "Say hello.", "state": state or {}},
            "session": session or {},
            **({"output": output} if output else {}),
            "steps": steps or {"llm": {"maxAttempts": 1}},
        }
        attempt: Any = {
            "namespace": "default",
            "job": "hello-1.x",
            "uid": "0b6f2a",
            "start": start,
            "attempt": 1,
            "maxAttempts": 3,
            "resolved": {"spec": spec, "scripts": {"script/main": text}},
            "result": None,
            **({"budget": budget} if budget else {}),
        }
        recorded = threading.Event()
        recorded.set()
        recorder: Any = timeline
        timeline.gate = Gate(recorded, timeline.at_boundary.set, recorder.progressed)
        timeline.usage = UsageCounter()
        kept = journal or MemoryJournal()
        kept.usage = timeline.usage
        return await engine.run(attempt, timeline.gate, recorder, kept)

    return start


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """`module(source)` makes an importable module and returns its name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def make(source: str, name: str = "given") -> str:
        sys.modules.pop(name, None)
        made = ModuleType(name)
        made.__file__ = f"/app/{name}.py"
        monkeypatch.setitem(sys.modules, name, made)
        exec(compile(source, made.__file__, "exec"), made.__dict__)  # the test's own text
        return name

    yield make
    for name in set(sys.modules) - before:
        if name.startswith(("given", "some")):
            del sys.modules[name]
