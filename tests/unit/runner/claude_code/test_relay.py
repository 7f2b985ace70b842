"""Events of the CLI become entries, steps and progress."""

import asyncio
import json
import threading
from contextlib import contextmanager
from datetime import date
from decimal import Decimal

import pytest
from tests.memoryjournal import MemoryJournal

from agentjobs.contract import ErrorClass, Verdict
from agentjobs.models.budget import Limits
from agentjobs_runner.budget import StartBudget
from agentjobs_runner.claude_code.relay import Relay, turns_of, uncertain_calls
from agentjobs_runner.claude_code.session import Calls
from agentjobs_runner.claude_code.stream import Answered, Began, Call, Noise, Reader, Retrying, ToolEnded
from agentjobs_runner.endings import Ending, StartEnded
from agentjobs_runner.gate import Gate
from agentjobs_runner.usage import UsageCounter


class Heard:
    """A recorder that keeps what it is told."""

    def __init__(self):
        self.usage = UsageCounter()
        self.entries = []
        self.signs = 0

    def add(self, kind, author, data):
        self.entries.append((kind, author, data))
        self.progressed()

    def progressed(self):
        self.signs += 1

    async def room(self):
        """There is always some."""


class Here:
    """A relay, and all that it tells."""

    def __init__(self, loop, limits=None, spends=None):
        self.heard = Heard()
        self.journal = MemoryJournal(self.heard.usage)
        flag = threading.Event()
        flag.set()
        self.gate = Gate(flag, lambda: None, self.heard.progressed)
        attempt = {"start": 2, "attempt": 1}
        budget = StartBudget(limits)
        self.held = []
        self.relay = Relay(attempt, self.gate, self.heard, self.journal, budget, spends, loop, self._hold)

    @contextmanager
    def _hold(self):
        self.held.append("held")
        yield
        self.held.append("goes on")

    def tell(self, *seen):
        for one in seen:
            self.relay.pass_on(one)
        return self

    @property
    def kinds(self):
        return [kind for kind, _, _ in self.heard.entries]


def call(n, **given):
    return Call(f"t{n}", "Bash", given or {"command": str(n)})


def answered(n, *calls, text="", main=True, output=1):
    return Answered(f"m{n}", "claude", text, calls, {"inputTokens": 100, "outputTokens": output}, main)


def ended(n, result="ok", *, error=False):
    return ToolEnded(f"t{n}", "Bash", result, error, True, True)


def concluded(output):
    result = {"type": "result", "subtype": "success", "is_error": False, "usage": {"output_tokens": output}}
    return Reader().feed(json.dumps(result).encode())[0]


@pytest.fixture
def make():
    """`make(...)`: a relay in a loop of its own."""
    loop = asyncio.new_event_loop()
    yield lambda *given, **more: Here(loop, *given, **more)
    loop.close()


@pytest.fixture
def here(make):
    return make()


def test_an_answer_in_parts_is_one_step_before_those_of_its_tools(here):
    here.tell(answered(1, text="I look."), answered(1, call(1), text="I look."), answered(1, call(1), call(2)))
    here.tell(ended(2), ended(1), None)

    assert here.journal.names == ["model claude", "tool Bash…", "tool Bash…", "tool Bash", "tool Bash"]
    assert [step.key for step, _ in here.journal.steps] == ["2/m1", "2/t1", "2/t2", "2/t2", "2/t1"]
    assert here.journal.usage.total == {"llmCalls": 1, "toolCalls": 2, "inputTokens": 100, "outputTokens": 1}


def test_a_repeated_id_is_another_call(here):
    here.tell(answered(1, call(1)), ended(1), answered(2, call(1)), ended(1), None)

    assert [step.key for step, body in here.journal.steps if body is not None] == ["2/m1", "2/t1", "2/m2", "2/t1#2"]


def test_tokens_reported_only_in_the_result_are_counted_with_the_last_answer(here):
    here.tell(answered(1, call(1)), ended(1), answered(2, text="Done."), concluded(output=40))

    assert here.journal.usage.total["outputTokens"] == 40


def test_an_answer_without_calls_is_final_and_one_of_a_subagent_is_not(here):
    here.tell(answered(1, text="inner", main=False), answered(2, text="outer"), None)

    texts = [(author, data["text"], data["final"]) for kind, author, data in here.heard.entries if kind == "text"]
    assert texts == [("subagent", "inner", False), ("claude", "outer", True)]


def test_retries_and_other_output_are_not_progress(here):
    before = here.heard.signs

    here.tell(Retrying(1, 2, 0.5, 529, "overloaded"), Noise("system/status"))

    assert here.heard.signs == before


def test_a_process_is_recorded_as_begun_once(here):
    began = Began("s", "claude", "default", {}, "2.1.332")

    here.tell(began, began)

    assert here.kinds == ["started"]


def test_a_result_of_an_unknown_call_is_an_entry_and_not_a_step(here):
    here.tell(ended(9))

    assert (here.kinds, here.journal.steps) == (["tool"], [])
    assert here.relay.has_recorded("t9")


def test_the_running_step_has_a_name(here):
    here.relay.starts({"papers", "mail"})
    assert here.gate.running.endswith(" mail, papers")

    here.tell(Began("s", "claude", "default", {}, "2.1.332"))
    assert here.gate.running == "a model call"

    here.tell(answered(1, call(1)))
    assert (here.gate.running, here.relay.in_tool) == ("tool Bash", True)

    here.tell(ended(1))
    assert (here.gate.running, here.relay.in_tool) == ("a model call", False)


def test_a_result_counts_as_recorded_only_after_it_is_stored(here):
    here.tell(answered(1, call(1)))
    assert not here.relay.has_recorded("t1")

    here.tell(ended(1))
    assert here.relay.has_recorded("t1")


def test_a_tool_beyond_the_budget_is_recorded_as_begun_and_ends_the_start(make):
    here = make(Limits(tool_calls=1))
    here.tell(answered(1, call(1)), ended(1))

    with pytest.raises(StartEnded, match="maxToolCalls"):
        here.tell(answered(2, call(2)))

    assert here.journal.names[-1] == "tool Bash…"


def test_model_calls_are_counted_if_there_is_no_proxy(make):
    here = make(spends=StartBudget(Limits(tokens=150)))
    here.tell(answered(1, call(1)), ended(1))

    with pytest.raises(StartEnded, match="maxTokens"):
        here.tell(answered(2, call(2), output=60))

    assert here.journal.names[-1] == "model claude"


def test_an_answer_that_exceeds_a_limit_can_be_the_final_one(make):
    here = make(spends=StartBudget(Limits(tokens=50)))

    here.tell(answered(1, text="Done."), None)

    with pytest.raises(StartEnded, match="maxTokens"):
        here.relay.check()


def test_a_step_is_truncated_to_the_recordable_size(here):
    calls = [Call(f"t{n}", "Write", {"content": "x" * 60_000}) for n in range(40)]

    here.tell(answered(1, *calls, text="y" * 200_000))

    assert here.journal.names[0] == "model claude"


def recorded(key, kind="model", ended_=True, **request):
    ended, start = "t" if ended_ else None, int(key.partition("/")[0])
    return {"key": key, "start": start, "kind": kind, "name": "Bash", "ended": ended, "request": request}


def test_turns_are_answers_of_the_main_model_of_the_attempts_that_count():
    steps = [
        recorded("1", turn=True, attempt=1),
        recorded("2", turn=False, attempt=1),
        recorded("3", kind="tool", id="t1"),
        recorded("4", turn=True, attempt=2),
    ]

    assert (turns_of(steps, None), turns_of(steps, 2)) == (2, 1)


def test_calls_without_a_result_in_the_session_are_uncertain():
    asked = {n: {"id": n, "name": "Bash", "input": {"command": n}} for n in ("t1", "t2")}
    calls = Calls(asked, frozenset({"t1"}))
    steps = [recorded(f"1/t{n}", kind="tool", id=f"t{n}") for n in (1, 2, 3)]

    found = uncertain_calls(calls, steps)

    assert [(call.id, call.input) for call in found] == [("t2", '{"command": "t2"}'), ("t3", "")]


def test_an_unrecorded_result_in_the_session_is_uncertain():
    asked = {n: {"id": n, "name": "Edit", "input": {}} for n in ("t1", "t2", "t3")}
    calls = Calls(asked, frozenset(asked))
    steps = [
        recorded("1/t1", kind="tool", ended_=False, id="t1"),  # of which the second start was told
        recorded("2/t2", kind="tool", id="t2"),
        recorded("2/t3", kind="tool", ended_=False, id="t3"),
    ]

    assert [one.id for one in uncertain_calls(calls, steps)] == ["t3"]


def test_the_cli_is_paused_while_a_step_cannot_be_stored(here, monkeypatch):
    record = here.journal.record

    async def slow(step, body, **more):
        while not here.held:
            await asyncio.sleep(0.01)
        await record(step, body, **more)

    monkeypatch.setattr(here.journal, "record", slow)
    monkeypatch.setattr("agentjobs_runner.claude_code.relay._AHEAD_SECONDS", 0.05)
    here.tell(answered(1), None)
    assert here.held == ["held", "goes on"]
    monkeypatch.setattr("agentjobs_runner.claude_code.relay._AHEAD_SECONDS", 60)
    here.tell(answered(2), None)

    assert here.held == ["held", "goes on"]
    assert here.journal.names == ["model claude", "model claude"]


def test_a_step_that_cannot_be_recorded_does_not_pause_the_cli(here, monkeypatch):
    async def refused(step, body, **more):
        while not here.held:
            await asyncio.sleep(0.01)
        raise StartEnded(Ending(Verdict.FAIL, ErrorClass.JOURNAL_FULL, "no room"))

    monkeypatch.setattr(here.journal, "record", refused)
    monkeypatch.setattr("agentjobs_runner.claude_code.relay._AHEAD_SECONDS", 0.01)
    with pytest.raises(StartEnded):
        here.tell(answered(1), None)
    assert here.held == ["held", "goes on"]


def test_without_a_proxy_a_call_is_recorded_with_its_cost(make):
    spends = StartBudget(Limits(cost=Decimal(5)), prices=True, on=date(2026, 11, 29))
    answer = Answered("m1", "claude-sonnet-5-5", "Done.", (), {"inputTokens": 1000, "outputTokens": 9}, True)

    counted, not_here = (make(spends=one).tell(answer, None).journal.steps[-1][0] for one in (spends, None))

    assert Decimal(counted.request["costUSD"]) > 0
    assert "costUSD" not in not_here.request
