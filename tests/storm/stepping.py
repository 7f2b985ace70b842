"""The agent of a storm that takes several steps, each with a side effect. Its model goes by what has been done."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from google.adk.agents import LlmAgent
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.genai import types
from tests.storm.effects import STEPS, note

SECONDS: Final = 0.4


class Model(BaseLlm):
    """Asks for one step after the other."""

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        """Answer after a moment, in which the storm may come."""
        done = sum(part.function_response is not None for one in llm_request.contents for part in one.parts or ())
        await asyncio.sleep(SECONDS)
        call = types.FunctionCall(name="note", args={"step": done + 1})
        part = types.Part(function_call=call) if done < STEPS else types.Part(text="fine")
        content = types.Content(role="model", parts=[part])
        yield LlmResponse(content=content, finish_reason=types.FinishReason.STOP)


agent = LlmAgent(name="stepping", model=Model(model="stepping"), tools=[note])
