"""Tools with their own Runners, several concurrently: a later start gives each its recorded steps."""

import pytest
from tests.memoryjournal import MemoryJournal
from tests.unit.runner.adk.test_replay import until_step

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # ADK deprecates what people still use

TEAMS = """
import asyncio
from concurrent.futures import ThreadPoolExecutor
from google.adk.agents import LlmAgent
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import InMemoryRunner
from google.genai import types

slow, asked = "", []

def text(said):
    return types.Part(text=said)

def call(name, **args):
    return types.Part(function_call=types.FunctionCall(name=name, args=args))

class Expert(BaseLlm):
    async def generate_content_async(self, request, stream=False):
        topic = request.contents[0].parts[0].text
        await asyncio.sleep(0.02 if topic == slow else 0)
        asked.append(topic)
        part = text(f"answer to {topic}") if len(request.contents) > 1 else call("look", word=topic)
        yield LlmResponse(content=types.Content(role="model", parts=[part]), finish_reason="STOP")

class Root(BaseLlm):
    tool: str

    async def generate_content_async(self, request, stream=False):
        answer = request.contents[-1].parts[0].function_response
        part = text(str(answer.response)) if answer else call(self.tool)
        yield LlmResponse(content=types.Content(role="model", parts=[part]), finish_reason="STOP")

def look(word: str) -> str:
    return f"seen {word}"

async def ask(topic):
    runner = InMemoryRunner(LlmAgent(name="expert", model=Expert(model="expert"), tools=[look]), app_name="own")
    session = await runner.session_service.create_session(app_name="own", user_id="u")
    given = types.Content(role="user", parts=[text(topic)])
    async for event in runner.run_async(user_id="u", session_id=session.id, new_message=given):
        if event.is_final_response():
            return event.content.parts[0].text

async def tasks() -> dict:
    return dict(zip("AB", await asyncio.gather(ask("A"), ask("B"))))

def threads() -> dict:
    with ThreadPoolExecutor() as pool:
        return dict(zip("AB", pool.map(lambda topic: asyncio.run(ask(topic)), "AB")))

def root(tool):
    return LlmAgent(name="root", model=Root(model="root", tool=tool.__name__), tools=[tool])

def with_tasks(): return root(tasks)
def with_threads(): return root(threads)
"""


@pytest.mark.parametrize("name", ["with_tasks", "with_threads"])
async def test_concurrent_runners_in_a_tool_are_distinguished_in_any_order_of_answers(run, module, name):
    given = __import__(module(TEAMS))
    agent, journal = {"module": {"ref": f"given:{name}"}}, MemoryJournal()
    given.slow = "A"
    first = await run(agent=agent, journal=journal)
    given.slow = "B"

    for count in range(len(journal.steps) + 1):
        then = await run(agent=agent, journal=await until_step(journal, count))
        assert then.result["text"] == first.result["text"], count


async def test_recorded_steps_of_runners_in_a_tool_are_not_repeated(run, module):
    given = __import__(module(TEAMS))
    agent, journal = {"module": {"ref": "given:with_tasks"}}, MemoryJournal()
    await run(agent=agent, journal=journal)
    before_end = next(n for n, (step, body) in enumerate(journal.steps) if body and step.name == "tasks")
    given.asked.clear()

    await run(agent=agent, journal=await until_step(journal, before_end))

    assert given.asked == []
