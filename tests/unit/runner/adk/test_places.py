"""Where user code calls `step` and `idempotency_key`: each place has keys of its own, the same in every start."""

import threading
from collections import Counter

import pytest
from tests.memoryjournal import MemoryJournal

from agentjobs_runner import user_steps
from agentjobs_runner.gate import Gate
from agentjobs_runner.user_steps import UserSteps

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # ADK deprecates what people still use

CODE = """
import asyncio, random
from google.adk.agents import BaseAgent, LlmAgent, ParallelAgent, SequentialAgent
from google.adk.events.event import Event
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.tools.agent_tool import AgentTool
from google.adk.workflow import START, Workflow, node
from google.genai import types
from agentjobs_runner import idempotency_key, step

ran, keys, values = [], [], []

def new(name):
    ran.append(name)
    return random.random()

def noted(name):
    values.append((name, step("value", new, name)))
    keys.append(step("key", idempotency_key))

def sync() -> dict:
    noted("sync")
    keys.append(idempotency_key())
    return {"ok": 1}

async def later() -> dict:
    await asyncio.sleep(random.random() / 100)
    values.append(("later", await asyncio.to_thread(step, "value", new, "later")))
    keys.append(idempotency_key())
    return {"ok": 1}

class Model(BaseLlm):
    turns: list = []

    async def generate_content_async(self, request, stream=False):
        spoken = sum(content.role == "model" for content in request.contents)
        turn = self.turns[min(spoken, len(self.turns) - 1)]
        parts = [types.Part(text=turn)] if isinstance(turn, str) else [
            types.Part(function_call=types.FunctionCall(name=name, args=args)) for name, args in turn
        ]
        yield LlmResponse(content=types.Content(role="model", parts=parts), finish_reason="STOP")

def agent(name, *turns, **more):
    return LlmAgent(name=name, model=Model(model=name, turns=[*turns, f"{name} is done"]), **more)

def tools(name, **more):
    calls = [("sync", {}), ("later", {}), ("later", {})]
    return agent(name, calls, [("sync", {})], tools=[sync, later], **more)

def called(callback_context):
    noted("callback")

def sequence(): return SequentialAgent(name="team", sub_agents=[tools("a"), tools("b")])
def parallel(): return ParallelAgent(name="team", sub_agents=[tools("a"), tools("b")])
def agent_tool():
    asks = [("inner", {"request": "a"}), ("inner", {"request": "b"})]
    return agent("root", asks, tools=[AgentTool(agent=tools("inner"))])
def callbacks(): return tools("a", before_agent_callback=called, after_agent_callback=called)
def custom():
    class Custom(BaseAgent):
        async def _run_async_impl(self, context):
            noted("before")
            async for event in self.sub_agents[0].run_async(context):
                yield event
            noted("after")
            await step("slept", asyncio.sleep, 0)
            yield Event(author=self.name, content=types.Content(role="model", parts=[types.Part(text="ok")]))
    return Custom(name="custom", sub_agents=[tools("a")])
def graph():
    async def one(ctx, node_input):
        noted("one")
        return "one"
    async def two(ctx, node_input):
        noted("two")
        return "two"
    return Workflow(name="graph", edges=[(START, one, tools("a"), two)])
"""
SHAPES = ["sequence", "parallel", "agent_tool", "callbacks", "custom", "graph"]


@pytest.fixture
def started(run, timeline, module):
    """`await started(shape, journal)` runs one start, and returns what its code noted."""
    name = module(CODE)
    given = __import__(name)
    recorded = threading.Event()
    recorded.set()

    async def start(shape, journal):
        given.ran[:], given.keys[:], given.values[:] = [], [], []
        gate = Gate(recorded, lambda: None, lambda: None)
        user_steps.install(UserSteps("uid-1", journal, gate))
        ending = await run(agent={"module": {"ref": f"{name}:{shape}"}}, journal=journal)
        assert ending.verdict == "Succeed", ending.message
        return list(given.ran), sorted(given.keys), sorted(given.values)

    yield start
    user_steps.install(None)


class ForgetsTools(MemoryJournal):
    """A start that was killed in each of its tools: their values are recorded, their results are not."""

    def ended(self, key):
        found = super().ended(key)
        return found if found and found["kind"] == "value" else None


@pytest.mark.parametrize("shape", SHAPES)
async def test_each_place_has_its_own_keys_which_are_the_same_in_every_start(started, shape):
    first = MemoryJournal()
    ran, keys, values = await started(shape, first)
    again = await started(shape, ForgetsTools(found=first.again().found))

    assert again == ([], keys, values)
    assert len(ran) == len(values) >= 4
    assert max(Counter(keys).values()) == 1


async def test_code_after_a_sub_agent_belongs_to_its_own_agent_again(started):
    journal = MemoryJournal()
    await started("custom", journal)

    assert [made.agent for made, _ in journal.steps if made.name in ("value", "slept")].count("custom") == 3
