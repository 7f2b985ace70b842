"""A failed run does not fail again in the same way: answers of a model are requested again."""

from itertools import pairwise

import pytest
from tests.memoryjournal import MemoryJournal

from agentjobs_runner.adk.steps_of_start import StepsOfStart
from agentjobs_runner.steps import StepKey

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # ADK deprecates what people still use

TEAMS = """
from google.adk.agents import BaseAgent, LlmAgent, LoopAgent, ParallelAgent, SequentialAgent
from google.adk.events.event import Event
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.tools import exit_loop
from google.adk.tools.agent_tool import AgentTool
from google.genai import types

asked, raised = [], []

class Model(BaseLlm):
    turns: list = []

    async def generate_content_async(self, request, stream=False):
        asked.append(self.model)
        spoken = sum(content.role == "model" for content in request.contents)
        turn = self.turns[min(spoken, len(self.turns) - 1)]
        calls = turn if isinstance(turn, list) else []
        parts = [types.Part(text=turn)] if not calls else []
        for tool, args in calls:
            parts.append(types.Part(function_call=types.FunctionCall(name=tool, args=args)))
        yield LlmResponse(content=types.Content(role="model", parts=parts), finish_reason="STOP")

def look(): return {"seen": "a"}
def agent(name, *turns, **more): return LlmAgent(name=name, model=Model(model=name, turns=[*turns]), **more)
def fails(**given):
    raised.append(1)
    raise RuntimeError("no")

def leaves(): return agent("root", [("exit_loop", {})], tools=[exit_loop])
def leaves_inside(): return SequentialAgent(name="team", sub_agents=[LoopAgent(name="loop", sub_agents=[leaves()])])
def after_tool():
    return agent("root", [("look", {})], "fine", tools=[look], after_tool_callback=lambda **given: fails())
def before_second():
    def check(callback_context, llm_request):
        if len(llm_request.contents) > 1: fails()
    return agent("root", [("look", {})], "fine", tools=[look], before_model_callback=check)
def after_answer(): return agent("root", "hm", after_model_callback=fails)
def after_agent(): return agent("root", [("look", {})], "hm", tools=[look], after_agent_callback=fails)
def in_tool():
    return agent("top", [("root", {"request": "a"})], "fine", tools=[AgentTool(agent=after_tool())])
def code():
    class Custom(BaseAgent):
        async def _run_async_impl(self, context):
            async for event in self.sub_agents[0].run_async(context):
                yield event
            fails()
    return Custom(name="custom", sub_agents=[agent("a", [("look", {})], "said", tools=[look])])
def tool(): return agent("root", [("fails", {})], tools=[fails])
def parallel():
    slow = agent("slow", *[[("look", {})]] * 8, "slow is done", tools=[look])
    def check(callback_context, llm_request):
        if any(part.function_response for part in llm_request.contents[-1].parts): fails()
    quick = agent("quick", [("look", {})], "quick is done", tools=[look], before_model_callback=check)
    return ParallelAgent(name="team", sub_agents=[quick, slow])
def nested(): return SequentialAgent(name="outer", sub_agents=[agent("first", "one"), parallel()])
def broken_model():
    class Broken(Model):
        async def generate_content_async(self, request, stream=False):
            asked.append("broken")
            raise RuntimeError("cannot read the history")
            yield
    return SequentialAgent(name="team", sub_agents=[agent("a", "said"), LlmAgent(name="b", model=Broken(model="b"))])
"""
FAILING = [
    "leaves",
    "leaves_inside",
    "after_tool",
    "before_second",
    "after_answer",
    "after_agent",
    "in_tool",
    "code",
    "tool",
    "parallel",
    "nested",
    "broken_model",
]


@pytest.fixture
def failing(run, module):
    """`await failing(name, starts)` runs starts that fail; it returns what each asked, its ending and its journal."""
    given = __import__(module(TEAMS))

    async def starts(name, count=5):
        journal, found = MemoryJournal(), []
        for number in range(1, count + 1):
            given.asked.clear()
            ending = await run(agent={"module": {"ref": f"given:{name}"}}, journal=journal, start=number)
            found.append((list(given.asked), ending, journal))
            journal = journal.again()
        return found

    return starts


@pytest.mark.parametrize("name", FAILING)
async def test_one_of_two_failed_starts_calls_the_model_again(failing, name):
    found = await failing(name)

    assert [ending.verdict for _, ending, _ in found] == ["Retry"] * 5
    asked = [bool(models) for models, _, _ in found]
    assert all(one or other for one, other in pairwise(asked)), asked


@pytest.mark.parametrize("name", ["leaves", "leaves_inside", "after_answer", "after_agent"])
async def test_an_answer_directly_before_a_failure_is_requested_again_in_the_next_start(failing, name):
    assert all(asked for asked, _, _ in await failing(name, 3))


@pytest.mark.parametrize("name", ["parallel", "nested"])
async def test_only_the_failed_branch_calls_its_model_again(failing, name):
    found = await failing(name)

    voided = {key.rpartition("#")[0].rpartition("|")[2] for _, _, journal in found for key in journal.voided}
    assert voided == {"quick"}


async def test_an_answer_before_a_failed_model_call_is_kept_while_starts_make_progress(failing):
    [(asked, _, first), (again, _, second)] = await failing("broken_model", 2)

    assert (asked, again) == (["a", "broken"], ["broken"])
    assert first.voided == []
    assert [key.rpartition("|")[2] for key in second.voided] == ["a#1"]


REFUSED = {"toolCalls": [{"name": "look"}]}, {"text": "half", "finishReason": "MAX_TOKENS"}


async def test_a_rejected_answer_voids_no_other(run, module):
    module(TEAMS)
    source = (
        "import given\ndef root(): return given.LlmAgent(name='r', model='scripted/script/main', tools=[given.look])"
    )
    journal = MemoryJournal()

    ending = await run(list(REFUSED), agent={"module": {"ref": f"{module(source, 'some')}:root"}}, journal=journal)

    assert ending.reason == "ModelOutputTruncated"
    assert [key.rpartition("|")[2] for key in journal.voided] == ["r#2"]


HALVES = {
    "model": "scripted/script/main",
    "inline": {
        "name": "halves",
        "agentClass": "SequentialAgent",
        "subAgents": ["first", "second"],
        "agents": [{"name": name, "instruction": "Do it."} for name in ("first", "second")],
    },
}


async def test_the_last_agent_of_a_sequence_runs_again_after_an_empty_answer(run):
    journal, nothing = MemoryJournal(), {"agent": "second", "finishReason": "STOP"}
    failed = await run([{"agent": "first", "text": "half"}, nothing], agent=HALVES, journal=journal)
    again = journal.again()
    ended = await run([{"agent": "second", "text": "rest"}], agent=HALVES, journal=again, start=2)

    assert (failed.reason, journal.voided) == ("ResultError", ["||second#1"])
    assert (ended.result["text"], again.names) == ("rest", ["model scripted/script/main"])


def test_answers_after_a_void_answer_are_void_except_in_other_branches():
    first, second = StepKey("|", "first", 1), StepKey("|", "second", 1)
    left, right = StepKey("team.left|", "left", 1), StepKey("team.right|", "right", 1)
    start = StepsOfStart(MemoryJournal(), None, lambda *entry: None, answers=[first, left, right, second])

    assert start.built_on(first) == [first, left, right, second]
    assert start.built_on(left) == [left, second]
    assert start.built_on(second) == [second]
