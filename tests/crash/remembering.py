"""An agent that lives in a session: it saves an artifact, counts for its user, looks into its memory, and is killed."""

import json
from collections.abc import AsyncGenerator
from typing import Any

from google.adk.agents import LlmAgent
from google.adk.apps.app import App
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.tools.preload_memory_tool import PreloadMemoryTool
from google.adk.tools.tool_context import ToolContext
from google.genai import types
from tests.crash.effects import effect

APP = "remembering"


class Told(BaseLlm):
    """Has the tool called once in each turn, then tells all that it was told."""

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        """Answer."""
        # What memory has stands next to the newest content.
        newest = [part for content in llm_request.contents[-2:] for part in content.parts or ()]
        answered = any(part.function_response for part in newest)
        with effect("model"):
            said = [part.text for content in llm_request.contents for part in content.parts or () if part.text]
            call = types.FunctionCall(name="keep", args={})
            part = types.Part(text=json.dumps(said)) if answered else types.Part(function_call=call)
        yield LlmResponse(content=types.Content(role="model", parts=[part]), finish_reason=types.FinishReason.STOP)


async def keep(tool_context: ToolContext) -> dict[str, Any]:
    """Keep what there is to keep."""
    with effect("tool"):
        # What belongs to the app is shared with the jobs of other tests.
        own = {name: value for name, value in tool_context.state.to_dict().items() if not name.startswith("app:")}
        version = await tool_context.save_artifact("notes.md", types.Part(text=f"{own}"))
        for name in ("turns", "user:jobs", "app:jobs"):
            tool_context.state[name] = tool_context.state.get(name, 0) + 1
    return {"version": version}


def team() -> App:
    """The agent as a job names it."""
    return App(name=APP, root_agent=LlmAgent(name="root", model=Told(model="told"), tools=[keep, PreloadMemoryTool()]))
