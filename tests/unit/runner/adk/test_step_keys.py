"""Which step is which: each has a key of its own, and the same one whenever the agent runs again."""

import asyncio
import itertools
from collections import Counter

import pytest

from agentjobs_runner.gate import Gate

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # ADK deprecates what people still use

BOTH = """
import asyncio
from google.adk.agents import BaseAgent, LlmAgent
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.workflow import START, Workflow, node
from google.genai import types

answers = [asyncio.Event(), asyncio.Event()]
asked = []

class Model(BaseLlm):
    async def generate_content_async(self, request, stream=False):
        asked.append(request)
        await answers[len(asked) - 1].wait()
        content = types.Content(role="model", parts=[types.Part(text="done")])
        yield LlmResponse(content=content, finish_reason="STOP")

one = LlmAgent(name="one", model=Model(model="m"))

class Custom(BaseAgent):
    async def _run_async_impl(self, context):
        async def run():
            return [event async for event in self.sub_agents[0].run_async(context)]
        for events in await asyncio.gather(run(), run()):
            for event in events:
                yield event

class Merging(BaseAgent):
    async def _run_async_impl(self, context):
        events = asyncio.Queue()
        async def run():
            async for event in self.sub_agents[0].run_async(context):
                await events.put(event)
        runs = asyncio.gather(run(), run())
        for _ in range(2):
            yield await events.get()
        await runs

async def fan(ctx, node_input):
    return str(await asyncio.gather(ctx.run_node(one, node_input="a"), ctx.run_node(one, node_input="b")))

def custom():
    return Custom(name="custom", sub_agents=[one])

def merging():
    return Merging(name="merging", sub_agents=[one])

def graph():
    return Workflow(name="graph", edges=[(START, node(rerun_on_resume=True)(fan))])
"""


async def until(seen):
    for _ in range(3000):
        if seen():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen in time")


@pytest.mark.parametrize("factory", ["custom", "merging", "graph"])
async def test_two_concurrent_calls_of_an_agent_are_two_steps(run, timeline, module, factory):
    name = module(BOTH)
    given = __import__(name)
    start = asyncio.create_task(run(agent={"module": {"ref": f"{name}:{factory}"}}))
    await until(lambda: len(given.asked) == 2)
    both = timeline.gate.running

    given.answers[0].set()
    await until(lambda: both == f"{timeline.gate.running} and {timeline.gate.running}")
    one = timeline.gate.running
    timeline.gate.close()
    given.answers[1].set()
    ending = await start

    assert "model call" in one
    assert timeline.gate.running == ""
    assert ending.verdict == "Succeed"


TEAMS = """
import asyncio, random
from google.adk.agents import LlmAgent, LoopAgent, ParallelAgent, SequentialAgent
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.tools.agent_tool import AgentTool
from google.adk.workflow import START, JoinNode, Workflow, node
from google.genai import types

dice = random.Random()
ids = {"none": lambda: None, "random": lambda: f"call_{dice.random()}", "reused": lambda: "call_1"}
scheme = "none"

class Model(BaseLlm):
    turns: list = []

    async def generate_content_async(self, request, stream=False):
        await asyncio.sleep(dice.random() * 0.01)
        spoken = sum(content.role == "model" for content in request.contents)
        turn = self.turns[min(spoken, len(self.turns) - 1)]
        calls = turn if isinstance(turn, list) else []
        parts = [types.Part(text=turn)] if not calls else []
        for tool, args in calls:
            parts.append(types.Part(function_call=types.FunctionCall(id=ids[scheme](), name=tool, args=args)))
        yield LlmResponse(content=types.Content(role="model", parts=parts), finish_reason="STOP")

def tool(number):
    async def look() -> str:
        await asyncio.sleep(dice.random() * 0.01)
        return "seen"
    look.__name__ = f"look_{number}"
    return look

def agent(name, *turns, **more):
    return LlmAgent(name=name, model=Model(model=name, turns=[*turns, f"{name} is done"]), **more)

def looking(name, **more):
    both = [("look_1", {}), ("look_2", {})]
    return agent(name, both, both[:1], tools=[tool(1), tool(2)], **more)

def asks(inner, *, name="root", **more):
    return agent(name, [(inner, {"request": "a"}), (inner, {"request": "b"})], [(inner, {"request": "c"})], **more)

def parallel_tools(): return looking("root")
def sequence(): return SequentialAgent(name="team", sub_agents=[looking("a"), looking("b")])
def parallel(): return ParallelAgent(name="team", sub_agents=[looking("a"), looking("b"), looking("c")])
def loop(): return LoopAgent(name="team", max_iterations=3, sub_agents=[looking("a")])
def nested():
    inner = LoopAgent(name="inner", max_iterations=2, sub_agents=[looking("c")])
    both = ParallelAgent(name="both", sub_agents=[looking("b"), inner])
    return SequentialAgent(name="team", sub_agents=[looking("a"), both, looking("d")])
def transfer():
    return agent("root", [("transfer_to_agent", {"agent_name": "sub"})], sub_agents=[looking("sub")])
def agent_tool(): return asks("inner", tools=[AgentTool(agent=looking("inner"))])
def agent_tool_twice():
    outer = asks("inner", name="outer", tools=[AgentTool(agent=looking("inner"))])
    return asks("outer", tools=[AgentTool(agent=outer)])
def single_turn(): return asks("inner", sub_agents=[looking("inner", mode="single_turn")])
def task():
    work = agent("inner", [("look_1", {})], [("finish_task", {"result": "ok"})], mode="task", tools=[tool(1)])
    return agent("root", [("inner", {"request": "a"})], sub_agents=[work])
def fans(one, **more):
    async def fan(ctx, node_input):
        return str(await asyncio.gather(*(ctx.run_node(one, node_input=word, **more) for word in "abcd")))
    return Workflow(name="graph", edges=[(START, node(rerun_on_resume=True)(fan))])
def run_node(): return fans(agent("one"))
def run_node_apart(): return fans(looking("one"), use_sub_branch=True)
def graph():
    def begin(node_input): return "begun"
    both = (looking("a"), looking("b"))
    return Workflow(name="graph", edges=[(START, begin, both, JoinNode(name="joined"), looking("c"))])
"""
TEAM_NAMES = [
    "parallel_tools",
    "sequence",
    "parallel",
    "loop",
    "nested",
    "transfer",
    "agent_tool",
    "agent_tool_twice",
    "single_turn",
    "task",
    "run_node",
    "run_node_apart",
    "graph",
]


@pytest.fixture
def steps(monkeypatch):
    """The steps that went through the gate, as (key, name)."""
    seen = []
    enter = Gate.enter

    async def noted(gate, step, named, **more):
        seen.append((str(step), named))
        await enter(gate, step, named, **more)

    monkeypatch.setattr(Gate, "enter", noted)
    return seen


@pytest.fixture
def keys(run, module, steps):
    """`await keys(team, seed, ids)` runs a team and returns the name of each step by its key."""

    async def found(team, seed, ids):
        given = __import__(module(TEAMS))
        given.dice.seed(seed)
        given.scheme = ids
        steps.clear()
        ending = await run(agent={"module": {"ref": f"given:{team}"}})

        assert ending.verdict == "Succeed", ending.message
        assert [key for key, count in Counter(key for key, _ in steps).items() if count > 1] == []
        return dict(steps)

    return found


# ADK mixes the histories of two single_turn agents whose calls have one id, so that they ask otherwise each time.
MIXED = ("single_turn", "reused")


@pytest.mark.parametrize(
    ("team", "ids"),
    [row for row in itertools.product(TEAM_NAMES, ("none", "random", "reused")) if row != MIXED],
)
async def test_a_step_has_the_same_key_regardless_of_concurrent_steps(keys, team, ids):
    first = await keys(team, 0, ids)
    again = [await keys(team, seed, ids) for seed in (1, 2, 3)]

    assert len(first) > 3
    assert again == [first, first, first]
    assert sorted(first) == sorted(await keys(team, 4, "none"))


@pytest.mark.parametrize(
    ("team", "key", "named"),
    [
        ("parallel_tools", "|root@1|root#1", "a model call of root"),
        ("parallel_tools", "|root@1|root#1/2", "tool look_2"),
        ("parallel_tools", "|root@1|root#2/1", "tool look_1"),
        ("transfer", "|root@1/sub@1|sub#1", "a model call of sub"),
        ("parallel", "team.b||b#2/1", "tool look_1"),
        ("loop", "||a#5", "a model call of a"),
        ("agent_tool", "|root@1|root#1/2>|inner@1|inner#1/2", "tool look_2"),
        ("single_turn", "|root@1|root#1/2>inner@|root@1/inner@1|inner#2", "a model call of inner"),
        ("task", "inner@|root@1|root#1/1|root@1/inner@|root@1|root#1/1|inner#1/1", "tool look_1"),
        ("run_node", "|graph@1/fan@1/one@3|one#1", "a model call of one"),
        ("graph", "b@1|graph@1/b@1|b#1/1", "tool look_1"),
    ],
)
async def test_a_key_contains_the_location_of_the_step(keys, team, key, named):
    found = await keys(team, 0, "random")

    assert found.get(key) == named, "\n".join(found)


async def test_a_correction_turn_continues_the_count(run, steps):
    await run([{"text": "no"}, {"text": '{"a": 1}'}], output={"schema": {"type": "object"}, "onInvalid": "Repair"})

    assert [key for key, _ in steps] == ["|helper@1|helper#1", "|helper@1|helper#2"]


CANCELS = """
import asyncio
from google.adk.agents import BaseAgent, LlmAgent
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.genai import types

asked = []
answered = asyncio.Event()

class Model(BaseLlm):
    async def generate_content_async(self, request, stream=False):
        asked.append(request)
        await (asyncio.sleep(60) if len(asked) == 1 else answered.wait())
        yield LlmResponse(content=types.Content(role="model", parts=[types.Part(text="done")]), finish_reason="STOP")

class Repeating(BaseAgent):
    async def _run_async_impl(self, context):
        async def run():
            return [event async for event in self.sub_agents[0].run_async(context)]
        first = asyncio.create_task(run())
        while not asked:
            await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.wait({first})
        events = await run()
        for event in events:
            yield event

def repeating():
    return Repeating(name="repeating", sub_agents=[LlmAgent(name="one", model=Model(model="m"))])
"""


async def test_a_cancelled_call_is_no_longer_running(run, timeline, module):
    given = __import__(module(CANCELS))
    start = asyncio.create_task(run(agent={"module": {"ref": "given:repeating"}}))

    await until(lambda: len(given.asked) == 2)
    running = timeline.gate.running
    given.answered.set()
    ending = await start

    assert running == "a model call of one"
    assert ending.verdict == "Succeed"
