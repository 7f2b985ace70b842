"""Calls of an MCP server's tools as steps: a start that continues from a journal makes none again."""

import threading
from typing import Any

import yaml
from tests.memoryjournal import MemoryJournal
from tests.system.runner.adk.conftest import Silent
from tests.system.runner.adk.test_mcp import CALL, SECRET, VARIABLE, asking, papers

from agentjobs_runner.adk import engine
from agentjobs_runner.gate import Gate

__all__ = ["papers"]  # a fixture

SCRIPT = [CALL, {"toolCalls": [{"name": "search", "args": {"topic": "milk"}}]}, {"text": "There are three."}]


async def started(server, journal, answers):
    """One start with the rest of the script, of which `answers` have been recorded."""
    spec = {"agent": asking(server), "input": {"message": "Search."}, "steps": {"llm": {"maxAttempts": 1}}}
    scripts = {"script/main": yaml.safe_dump({"starts": [SCRIPT[answers:] or [{"text": "more"}]]})}
    resolved = {"spec": spec, "scripts": scripts}
    attempt: Any = {"job": "j", "uid": "u", "start": 1, "attempt": 1, "resolved": resolved}
    recorded = threading.Event()
    recorded.set()
    recorder: Any = Silent()
    journal.usage = recorder.usage
    return await engine.run(attempt, Gate(recorded, lambda: None, recorder.progressed), recorder, journal)


async def cut_after(journal, count):
    cut = MemoryJournal()
    for step, body in journal.steps[:count]:
        await (cut.begin(step) if body is None else cut.record(step, body))
    return cut.again()


async def test_a_servers_tools_are_called_once_even_if_starts_are_killed(papers, tmp_path, monkeypatch):
    server, journal, calls = papers(), MemoryJournal(), tmp_path / "calls"
    monkeypatch.setenv(VARIABLE, SECRET)
    whole = await started(server, journal, 0)
    assert (whole.reason, calls.read_text().split()) == ("ResultAccepted", ["tea", "milk"])

    for count in range(1, len(journal.steps) + 1):
        before = journal.steps[:count]
        calls.write_text("")
        monkeypatch.setenv(VARIABLE, SECRET)  # a start takes it
        answers = sum(step.kind == "model" for step, _ in before)
        then = await started(server, await cut_after(journal, count), answers)

        done = sum(step.kind == "tool" and body is not None for step, body in before)
        assert calls.read_text().split() == ["tea", "milk"][done:], then
        assert then.result["text"] == whole.result["text"]
