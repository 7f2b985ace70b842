"""A start that continues from a journal: recorded steps are replayed, the rest runs, and the result is the same.

Each team runs once to its end. Then, for every number of recorded steps, a second start finds just those.
"""

import json

import pytest
from tests.memoryjournal import MemoryJournal

from agentjobs_runner.adk import engine

# ADK deprecates what people still use, and warns of what it calls experimental.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

TEAMS = """
import datetime
import decimal
import random
import time

from google.adk.agents import BaseAgent, LlmAgent, LoopAgent, ParallelAgent, SequentialAgent
from google.adk.code_executors.base_code_executor import BaseCodeExecutor
from google.adk.code_executors.code_execution_utils import CodeExecutionResult
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.models._fallback_model import FallbackModel
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.models.llm_request import LlmRequest
from google.adk.planners import BuiltInPlanner, PlanReActPlanner
from google.adk.tools import FunctionTool, LongRunningFunctionTool, ToolContext, exit_loop
from google.adk.tools.agent_tool import AgentTool
from google.adk.workflow import START, JoinNode, RetryConfig, Workflow, node
from google.genai import types

effects = []

class Model(BaseLlm):
    turns: list = []

    async def generate_content_async(self, request, stream=False):
        spoken = sum(content.role == "model" for content in request.contents)
        effects.append(f"{self.model} {spoken}")
        turn = self.turns[min(spoken, len(self.turns) - 1)]
        calls = turn if isinstance(turn, list) else []
        parts = [types.Part(text=turn)] if not calls else []
        for tool, args in calls:
            parts.append(types.Part(function_call=types.FunctionCall(name=tool, args=args)))
        if stream:
            yield LlmResponse(content=types.Content(role="model", parts=parts), partial=True)
        yield LlmResponse(content=types.Content(role="model", parts=parts), finish_reason="STOP")

def tool(name):
    async def look(word: str, tool_context: ToolContext) -> dict:
        effects.append(f"{name} {word}")
        tool_context.state[f"{name}.{word}"] = len(tool_context.state.get("seen", [])) or {"first": True}
        call = tool_context.function_call_id if tool_context.function_call_id.startswith("adk-") else ""
        await tool_context.save_artifact(f"{name}-{word}-{call}.txt", types.Part(text=word))
        return {"seen": word, "by": name}
    look.__name__ = name
    return look

def agent(name, *turns, **more):
    return LlmAgent(name=name, model=Model(model=name, turns=[*turns, f"{name} is done"]), **more)

def looking(name, **more):
    both = [("look", {"word": "a"}), ("see", {"word": "b"})]
    return agent(name, both, [("look", {"word": "c"})], tools=[tool("look"), tool("see")], **more)

def asks(inner, *, name="root", **more):
    return agent(name, [(inner, {"request": "a"}), (inner, {"request": "b"})], [(inner, {"request": "c"})], **more)

def single(name="root"):
    return agent(name, [("look", {"word": "a"})], tools=[tool("look")], output_key=f"{name} said")
def parallel_tools(): return looking("root")
def sequence(): return SequentialAgent(name="team", sub_agents=[looking("a"), looking("b")])
def parallel(): return ParallelAgent(name="team", sub_agents=[looking("a"), looking("b")])
def loop():
    asks = [("exit_loop", {})]
    return LoopAgent(name="team", max_iterations=4, sub_agents=[agent("a", "once", "twice", asks, tools=[exit_loop])])
def transfer():
    return agent("root", [("transfer_to_agent", {"agent_name": "sub"})], sub_agents=[looking("sub")])
def agent_tool(): return asks("inner", tools=[AgentTool(agent=looking("inner"))])
def single_turn(): return asks("inner", sub_agents=[looking("inner", mode="single_turn")])
def task():
    turns = [("look", {"word": "a"})], [("finish_task", {"result": "ok"})]
    work = agent("inner", *turns, mode="task", tools=[tool("look")])
    return agent("root", [("inner", {"request": "a"})], sub_agents=[work])
def run_node():
    one = looking("one")
    async def fan(ctx, node_input):
        return [await ctx.run_node(one, node_input=word) for word in "ab"]
    return Workflow(name="graph", edges=[(START, node(rerun_on_resume=True)(fan))])
def graph():
    tries = []
    def begin(ctx, node_input):
        effects.append("begin")
        ctx.state["begun"] = True
        return "begun"
    async def count(ctx, node_input):
        for word in "ab":
            effects.append(f"count {word}")
            ctx.state[word] = 1
            yield Event(content=types.Content(role="model", parts=[types.Part(text=word)]))
        yield Event(output="counted")
    def again(node_input):
        tries.append(1)
        if len(tries) == 1:
            raise OSError("not yet")
        effects.append("again")
        return {"tries": "enough"}
    retried = node(again, retry_config=RetryConfig(max_attempts=3, initial_delay=0.01))
    return Workflow(
        name="graph",
        edges=[(START, begin, (looking("a"), count, retried), JoinNode(name="joined"), looking("c"))],
    )
def routes():
    def choose(ctx, node_input):
        effects.append("choose")
        ctx.route = "left"
        return "chosen"
    def left(node_input):
        effects.append("left")
        return "went left"
    def right(node_input): raise AssertionError("the route was lost")
    return Workflow(name="graph", edges=[(START, choose), (choose, {"left": left, "right": right})])
def custom():
    class Custom(BaseAgent):
        async def _run_async_impl(self, context):
            async for event in self.sub_agents[0].run_async(context):
                yield event
            delta = EventActions(state_delta={"after": context.session.state.get("look.a")})
            yield Event(author=self.name, invocation_id=context.invocation_id, actions=delta)
            async for event in self.sub_agents[1].run_async(context):
                yield event
    return Custom(name="custom", sub_agents=[looking("a"), looking("b")])
def failing():
    async def broken(tool_context: ToolContext):
        effects.append("broken")
        tool_context.state["tried"] = True
        raise OSError("no")
    def excused(tool, args, tool_context, error): return {"error": str(error)}
    return agent("root", [("broken", {})], tools=[broken], on_tool_error_callback=excused)
def model_failing():
    class Broken(Model):
        async def generate_content_async(self, request, stream=False):
            effects.append("broken")
            raise ValueError("no")
            yield
    def excused(callback_context, llm_request, error):
        return LlmResponse(content=types.Content(role="model", parts=[types.Part(text="excused")]))
    return LlmAgent(name="root", model=Broken(model="m"), on_model_error_callback=excused)
def callbacks():
    def answers(callback_context, llm_request):
        if len(llm_request.contents) > 4:
            return LlmResponse(content=types.Content(role="model", parts=[types.Part(text="from a callback")]))
    def replaces(tool, args, tool_context, tool_response):
        tool_context.state[f"replaced {tool.name} {args['word']}"] = True
        return {**tool_response, "more": "from a callback"}
    def shouts(callback_context, llm_response):
        for part in llm_response.content.parts:
            part.text = part.text and part.text.upper()
    def counts(callback_context): callback_context.state["agents"] = callback_context.state.get("agents", 0) + 1
    more = {"before_model_callback": answers, "after_tool_callback": replaces, "after_model_callback": shouts}
    return looking("root", before_agent_callback=counts, **more)
def media():
    def picture():
        effects.append("picture")
        return {"what": "a dot", "picture": types.Part.from_bytes(data=b"\\x89PNG\\xff", mime_type="image/png")}
    return agent("root", [("picture", {})], tools=[picture])
def pending():
    def ask(): effects.append("ask")
    return agent("root", [("ask", {})], tools=[LongRunningFunctionTool(ask)])
def two_answers():
    class Two(Model):
        async def generate_content_async(self, request, stream=False):
            effects.append("two")
            for turn in (request.contents[2:] and ["the end"]) or ["think", None]:
                call = types.Part(function_call=types.FunctionCall(name="look", args={"word": "a"}))
                part = types.Part(text=turn) if turn else call
                yield LlmResponse(content=types.Content(role="model", parts=[part]), finish_reason="STOP")
    return LlmAgent(name="root", model=Two(model="m"), tools=[tool("look")])
def asking_tool():
    inner = Model(model="inner", turns=["inner says"])
    other = LlmAgent(name="other", model=inner)
    async def ask(tool_context: ToolContext):
        request = LlmRequest(contents=[types.Content(role="user", parts=[types.Part(text="?")])])
        async for answer in inner.generate_content_async(request):
            return {"said": answer.content.parts[0].text}
    return SequentialAgent(name="team", sub_agents=[other, agent("root", [("ask", {})], tools=[ask])])
def new_model_each_time():
    class Fresh(LlmAgent):
        @property
        def canonical_model(self):
            return Model(model="fresh", turns=[[("look", {"word": "a"})], "done"])
    return Fresh(name="root", tools=[tool("look")])
def fallback():
    class Away(Model):
        async def generate_content_async(self, request, stream=False):
            effects.append("away")
            error = OSError("away")
            error.status_code = 503
            raise error
            yield
    turns = [("look", {"word": "a"})], [("look", {"word": "b"})], "done"
    models = [Away(model="away"), Model(model="spare", turns=[*turns])]
    return LlmAgent(name="root", model=FallbackModel(models=models), tools=[tool("look")])
def wrapped():
    class Wrapped(Model):
        async def generate_content_async(self, request, stream=False):
            effects.append("wrapper")
            async for answer in super().generate_content_async(request, stream):
                yield answer
    class Around(BaseLlm):
        inner: BaseLlm
        async def generate_content_async(self, request, stream=False):
            copied = request.model_copy()
            async for answer in self.inner.generate_content_async(copied, stream):
                yield answer
    inner = Wrapped(model="inner", turns=[[("look", {"word": "a"})], "done"])
    first = LlmAgent(name="first", model=inner, tools=[tool("look")])
    second = LlmAgent(name="second", model=Around(model="around", inner=inner), tools=[tool("look")])
    return ParallelAgent(name="team", sub_agents=[first, second])
def plan_react(): return looking("root", planner=PlanReActPlanner())
def built_in_planner():
    thinking = types.ThinkingConfig(include_thoughts=True)
    return looking("root", planner=BuiltInPlanner(thinking_config=thinking))
def without_contents():
    return SequentialAgent(name="team", sub_agents=[agent("a"), agent("b", include_contents="none")])
def clock_in_instruction():
    def instruction(context): return f"It is {time.time_ns()}, and the number is {random.random()}."
    return looking("root", instruction=instruction)
def escalating_callback():
    def leave(callback_context):
        callback_context.state["rounds"] = callback_context.state.get("rounds", 0) + 1
        if callback_context.state["rounds"] == 2:
            callback_context._event_actions.escalate = True
            return types.Content(role="model", parts=[types.Part(text="enough")])
    return LoopAgent(name="team", max_iterations=4, sub_agents=[looking("a", after_agent_callback=leave)])
def nested():
    pairs = [
        SequentialAgent(
            name=f"line_{side}",
            sub_agents=[
                ParallelAgent(name=f"pair_{side}", sub_agents=[single(f"{side}1"), single(f"{side}2")]),
                single(f"{side}3"),
            ],
        )
        for side in ("left", "right")
    ]
    return ParallelAgent(name="team", sub_agents=pairs)
def agent_tool_in_loop():
    turns = [("inner", {"request": "a"})], "once", [("inner", {"request": "b"})], "twice", [("exit_loop", {})]
    inner = AgentTool(agent=single("inner"))
    return LoopAgent(name="team", max_iterations=4, sub_agents=[agent("root", *turns, tools=[inner, exit_loop])])
def temporary_state():
    def keep(tool_context: ToolContext):
        effects.append("keep")
        tool_context.state["temp:seen"] = "yes"
        tool_context.state["kept"] = "yes"
        return "kept"
    def read(tool_context: ToolContext):
        effects.append("read")
        return {"temp": tool_context.state.get("temp:seen"), "kept": tool_context.state.get("kept")}
    return agent("root", [("keep", {})], [("read", {})], tools=[keep, read], output_key="said")
def values_in_state():
    def keep(tool_context: ToolContext):
        effects.append("keep")
        day, price = datetime.date(2026, 11, 29), decimal.Decimal("1.50")
        tool_context.state["kept"] = {"day": day, "price": price, "words": {"one"}}
        return {"day": day, "price": price, "words": {"one"}}
    def read(tool_context: ToolContext):
        kept = tool_context.state["kept"]
        effects.append(f"read {kept}")
        return {name: type(value).__name__ for name, value in kept.items()}
    def set_by_node(ctx, node_input):
        effects.append("node")
        ctx.state["by_node"] = datetime.date(2026, 11, 29)
        return "set"
    reader = agent("root", [("keep", {})], [("read", {})], tools=[keep, read])
    return Workflow(name="graph", edges=[(START, set_by_node, reader)])
def executor():
    class Executor(BaseCodeExecutor):
        def execute_code(self, context, given):
            effects.append("executed")
            return CodeExecutionResult(stdout="2")
    return agent("root", "```python\\nprint(1 + 1)\\n```", code_executor=Executor())
def tool_in_graph():
    def word(node_input): return {"word": "a"}
    return Workflow(name="graph", edges=[(START, word, FunctionTool(tool("look")))])
"""
TEAM_NAMES = [
    "single",
    "parallel_tools",
    "sequence",
    "parallel",
    "loop",
    "transfer",
    "agent_tool",
    "single_turn",
    "task",
    "run_node",
    "graph",
    "routes",
    "custom",
    "failing",
    "model_failing",
    "callbacks",
    "media",
    "two_answers",
    "asking_tool",
    "tool_in_graph",
    "new_model_each_time",
    "fallback",
    "wrapped",
    "plan_react",
    "built_in_planner",
    "without_contents",
    "clock_in_instruction",
    "escalating_callback",
    "nested",
    "agent_tool_in_loop",
    "temporary_state",
    "values_in_state",
]


@pytest.fixture
def team(run, module, monkeypatch):
    """`await team(name, journal)` runs a start; it returns the ending, the effects, and the session as it became."""
    given = __import__(module(TEAMS))
    sessions = []

    class Kept(engine.Sessions):
        def __init__(self):
            super().__init__()
            sessions.append(self)

    monkeypatch.setattr(engine, "Sessions", Kept)

    async def start(name, journal, **more):
        given.effects.clear()
        ending = await run(agent={"module": {"ref": f"given:{name}"}, **more}, journal=journal)
        return ending, list(given.effects), _session(sessions[-1])

    return start


def _session(sessions):
    [session] = [
        session for users in sessions.sessions.values() for found in users.values() for session in found.values()
    ]
    # What a node met before it was tried again is not a step.
    return session.state, [_event(event) for event in session.events if event.error_code is None]


def _event(event):
    told = event.model_dump(mode="json", exclude={"id", "timestamp", "invocation_id"}, exclude_none=True)
    return json.dumps(told, sort_keys=True)


async def until_step(journal, count):
    """The journal as it was when `count` entries were stored."""
    cut = MemoryJournal()
    for step, body in journal.steps[:count]:
        if body is None:
            await cut.begin(step)
        else:
            await cut.record(step, body)
    return cut.again()


@pytest.mark.parametrize("name", TEAM_NAMES)
async def test_a_start_continues_from_any_step_and_repeats_none(team, name):
    journal = MemoryJournal()
    ending, _, session = await team(name, journal)
    assert ending.verdict == "Succeed", ending.message
    ends = [place for place, (_, body) in enumerate(journal.steps) if body is not None]

    for count in range(len(journal.steps) + 1):
        again = await until_step(journal, count)
        recorded = {step.key for step, body in journal.steps[:count] if body is not None}
        then, effects, after = await team(name, again)

        assert then.result["text"] == ending.result["text"]
        new = [step.key for step, body in again.steps if body is not None]
        assert set(new).isdisjoint(recorded)
        assert sorted([*recorded, *new]) == sorted(journal.steps[place][0].key for place in ends)
        assert after[0] == session[0]
        assert sorted(after[1]) == sorted(session[1])

    # The last of them found all steps recorded.
    assert effects == []
    assert then.result["usage"] == dict.fromkeys(then.result["usage"], 0)


async def test_a_streamed_run_continues_from_any_step(team):
    journal = MemoryJournal()
    ending, effects, _ = await team("parallel_tools", journal, runConfig={"streaming_mode": "SSE"})
    recorded = await until_step(journal, len(journal.steps) // 2)

    then, again, _ = await team("parallel_tools", recorded, runConfig={"streaming_mode": "SSE"})

    assert then.result["text"] == ending.result["text"]
    assert 0 < len(again) < len(effects)


async def test_a_call_that_waits_for_its_result_also_waits_in_a_later_start(team):
    journal = MemoryJournal()
    await team("pending", journal)

    _, effects, session = await team("pending", journal.again())

    assert effects == []
    assert "function_response" not in "".join(session[1])


async def test_code_that_an_executor_ran_runs_again_in_a_later_start(team):
    journal = MemoryJournal()
    ending, effects, _ = await team("executor", journal)

    then, again, _ = await team("executor", journal.again())

    assert [effects.count("executed"), again] == [1, ["executed"]]
    assert then.result["text"] == ending.result["text"]
