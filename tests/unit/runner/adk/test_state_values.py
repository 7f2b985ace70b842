"""What a tool put into the state is in a later start what it was: dates, tuples, objects."""

import pytest
from tests.memoryjournal import MemoryJournal
from tests.unit.runner.adk.test_replay import until_step

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # ADK deprecates what people still use

TEAM = """
import dataclasses, datetime, decimal, enum
from pydantic import BaseModel
from google.adk.agents import LlmAgent
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.tools import ToolContext
from google.genai import types

@dataclasses.dataclass
class Order:
    total: int
    when: datetime.date

class Customer(BaseModel):
    name: str

class Size(enum.Enum):
    LARGE = "large"

VALUES = {
    "dataclass": Order(7, datetime.date(2026, 1, 2)), "model": Customer(name="Ann"), "tuple": (1, "a"), "set": {1},
    "date": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), "decimal": decimal.Decimal("1.10"), "enum": Size.LARGE,
    "dict": {"a": [1, None]}, "text": "a", "looks typed": {"$type": ["builtins", "int"], "value": "1"},
}
kind = ""

def put(tool_context: ToolContext) -> str:
    tool_context.state["x"] = VALUES[kind]
    return "put"

def same(tool_context: ToolContext) -> bool:
    found = tool_context.state["x"]
    return type(found) is type(VALUES[kind]) and found == VALUES[kind]

class Model(BaseLlm):
    async def generate_content_async(self, request, stream=False):
        spoken = sum(content.role == "model" for content in request.contents)
        call = types.Part(function_call=types.FunctionCall(name=("put", "same", "")[spoken], args={}))
        answer = request.contents[-1].parts[0].function_response
        part = types.Part(text=str(answer.response["result"])) if spoken == 2 else call
        yield LlmResponse(content=types.Content(role="model", parts=[part]), finish_reason="STOP")

def agent(): return LlmAgent(name="root", model=Model(model="m"), tools=[put, same])
"""
KINDS = ["dataclass", "model", "tuple", "set", "date", "decimal", "enum", "dict", "text", "looks typed"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_value_of_the_state_is_the_same_in_a_later_start(run, module, kind):
    given = __import__(module(TEAM))
    given.kind, journal = kind, MemoryJournal()
    await run(agent={"module": {"ref": "given:agent"}}, journal=journal)

    for count in range(len(journal.steps) + 1):
        then = await run(agent={"module": {"ref": "given:agent"}}, journal=await until_step(journal, count))
        assert then.result["text"] == "True", count
