"""Agents that behave as badly as code and models can; jobs of test_bad_input run them in real pods."""

import os
import sys
import time

from google.adk.agents import LlmAgent
from google.adk.agents.base_agent import BaseAgent
from google.adk.events.event import Event
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.genai import types

GARBAGE = "half \ud800 a \udfff pair, \x00 nul, \x1b[2J escape, \ufffe no character"
HUGE = 50 * 1024 * 1024


def _said(agent, context, text):
    content = types.Content(role="model", parts=[types.Part(text=text)])
    return Event(author=agent.name, invocation_id=context.invocation_id, content=content)


class Speaker(BaseAgent):
    """Says `size` characters of `text` in each of `events` events."""

    text: str = "x"
    size: int = 1
    events: int = 1

    async def _run_async_impl(self, ctx):
        for _ in range(self.events):
            yield _said(self, ctx, self.text * self.size)


def huge():
    return Speaker(name="huge", size=HUGE)


def garbage():
    return Speaker(name="garbage", text=GARBAGE)


def many(events, size=1):
    return Speaker(name="many", events=events, size=size)


class Endless(BaseLlm):
    """A model that calls its tool forever."""

    async def generate_content_async(self, llm_request, stream=False):
        call = types.FunctionCall(name="spin", args={})
        yield LlmResponse(content=types.Content(role="model", parts=[types.Part(function_call=call)]))


def spin() -> str:
    """Turn once."""
    return "again"


def endless():
    return LlmAgent(name="endless", model=Endless(model="endless"), tools=[spin])


class Once(Endless):
    """A model that calls its tool once and then answers."""

    async def generate_content_async(self, llm_request, stream=False):
        last = llm_request.contents[-1].parts[0]
        if last.function_response is not None:
            yield LlmResponse(content=types.Content(role="model", parts=[types.Part(text="Read.")]))
            return
        async for answer in super().generate_content_async(llm_request):
            yield answer


def tool_of_garbage():
    def spin():
        """Return what no text format can hold."""
        return {"text": GARBAGE, "bytes": bytes(range(256)), "number": float("nan"), GARBAGE: GARBAGE}

    return LlmAgent(name="tool_of_garbage", model=Once(model="once"), tools=[spin])


def tool_that_raises_garbage():
    def spin():
        """Fail with what no text format can hold."""
        raise RuntimeError(GARBAGE)

    return LlmAgent(name="raises", model=Once(model="once"), tools=[spin])


def long_lines():
    """Write a line of a megabyte, and bytes that are not text, to both outputs."""
    for stream in (sys.stdout, sys.stderr):
        stream.buffer.write(b"x" * 1024 * 1024 + b"\n" + bytes(range(256)) + b"\n")
        stream.flush()
    return Speaker(name="long_lines", text="Written.")


def children():
    """Leave behind a child, a daemon that left the session, and one that holds both outputs open."""
    for detached in (False, True):
        if os.fork() == 0:
            if detached:
                os.setsid()
                if os.fork():
                    os._exit(0)
            time.sleep(600)
            os._exit(0)
    return Speaker(name="children", text="Forked.")


def hangs():
    """Never return."""
    time.sleep(600)
