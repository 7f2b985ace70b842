"""What counts as another question than the recorded one."""

import pytest
from google.adk.models.llm_request import LlmRequest
from google.genai import types
from tests.memoryjournal import MemoryJournal

from agentjobs_runner.adk.requests import difference, in_any_order, of_model_call

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # ADK deprecates what people still use

TEAM = """
import asyncio
from google.adk.agents import LlmAgent, ParallelAgent, SequentialAgent
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.genai import types

slow = ""

class Model(BaseLlm):
    async def generate_content_async(self, request, stream=False):
        await asyncio.sleep(0.02 if self.model == slow else 0)
        content = types.Content(role="model", parts=[types.Part(text=f"{self.model} is done")])
        yield LlmResponse(content=content, finish_reason="STOP")

def agent(name): return LlmAgent(name=name, model=Model(model=name))
def team():
    members = [agent(name) for name in "abcde"]
    return SequentialAgent(name="team", sub_agents=[ParallelAgent(name="all", sub_agents=members), agent("end")])
"""


def asked(*texts):
    contents = [types.Content(role="user", parts=[types.Part(text=text)]) for text in texts]
    request = LlmRequest(contents=contents)
    return of_model_call(request, "m") | in_any_order(request)


def test_contents_in_another_order_are_the_same_request():
    assert not difference(asked("a", "b", "c", "d", "e"), asked("e", "d", "c", "b", "a"))


@pytest.mark.parametrize("other", [("a", "b", "x"), ("a", "x", "c"), ("a", "b"), ("a", "b", "b")])
def test_other_contents_are_another_request(other):
    assert difference(asked("a", "b", "c"), asked(*other))


def test_a_step_without_the_unordered_digest_is_compared_in_order():
    before = {name: value for name, value in asked("a", "b").items() if name != "unordered"}

    assert difference(before, asked("b", "a"))


async def test_parallel_agents_that_end_in_another_order_are_not_a_divergence(run, module):
    given = __import__(module(TEAM))
    agent, steps = {"module": {"ref": "given:team"}}, {"onDivergence": "Fail"}
    journal, given.slow = MemoryJournal(), "a"
    await run(agent=agent, journal=journal, steps=steps)
    given.slow = "e"

    then = await run(agent=agent, journal=journal.again(), steps=steps)

    assert (then.verdict, then.result["text"]) == ("Succeed", "end is done")
