"""Answers that a model did not finish, in whichever agent."""

import pytest


def inline(**more):
    return {"model": "scripted/script/main", "inline": {"name": "helper", "instruction": "Help.", **more}}


def team(kind, *names, **more):
    agents = [{"name": name, "instruction": "Help."} for name in names]
    return inline(agentClass=kind, subAgents=list(names), agents=agents, **more)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # ADK's classes of teams give it
@pytest.mark.parametrize("how", ["text", "toolCalls"])
@pytest.mark.parametrize("kind", ["SequentialAgent", "LoopAgent"])
async def test_a_truncated_answer_in_a_team_never_becomes_part_of_a_success(run, timeline, module, kind, how):
    name = module(CUT)
    agent = {"module": {"ref": f"{name}:make", "args": {"kind": kind, "how": how}}}

    ending = await run([{"text": "whole"}], agent=agent)

    assert (ending.verdict.value, ending.reason) == ("Fail", "ModelOutputTruncated")
    assert "maxOutputTokens" in ending.message
    assert ("text", "one", {"text": "The report has thr", "final": False}) in timeline.entries
    assert not [kind for kind, _, _ in timeline.entries if kind == "tool"]


async def test_the_limit_that_an_agent_sets_is_named(run, module):
    limited = "generate_content_config=types.GenerateContentConfig(max_output_tokens=256)"
    source = f"{CUT}\nroot_agent = LlmAgent(name='a', model=Cut(model='cut', how='text'), {limited})"
    ending = await run(agent={"module": {"ref": f"{module(source)}:root_agent"}})

    assert "256 output tokens" in ending.message


@pytest.mark.filterwarnings("ignore:The `plugins` argument:DeprecationWarning")  # ADK's AgentTool gives it
async def test_a_truncated_answer_inside_a_tool_fails_the_run(run, module):
    name = module(CUT)

    ending = await run(
        [{"toolCalls": [{"name": "one", "args": {"request": "?"}}]}, {"text": "made of a half"}],
        agent={"module": {"ref": f"{name}:make", "args": {"kind": "AgentTool", "how": "text"}}},
    )

    assert ending.reason == "ModelOutputTruncated"


@pytest.mark.parametrize("said", [{"text": "The report has thr"}, {"toolCalls": [{"name": "exit_loop"}]}])
async def test_a_script_can_truncate_an_answer(run, timeline, said):
    agent = inline(tools=[{"name": "exit_loop"}])

    ending = await run([{**said, "finishReason": "MAX_TOKENS"}, {"text": "whole"}], agent=agent)

    assert ending.reason == "ModelOutputTruncated"
    assert not [kind for kind, _, _ in timeline.entries if kind == "tool"]


CUT = """
from google.adk.agents import LlmAgent, LoopAgent, SequentialAgent
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.tools.agent_tool import AgentTool
from google.genai import types

class Cut(BaseLlm):
    how: str
    async def generate_content_async(self, llm_request, stream=False):
        parts = [types.Part(text="The report has thr")]
        if self.how == "toolCalls":
            parts.append(types.Part(function_call=types.FunctionCall(name="purge", args={})))
        yield LlmResponse(content=types.Content(role="model", parts=parts), finish_reason="MAX_TOKENS")

def purge(prefix: str = ""):
    raise AssertionError("a tool ran on a call that was cut")

def make(kind, how):
    one = LlmAgent(name="one", model=Cut(model="cut", how=how), tools=[purge])
    if kind == "AgentTool":
        return LlmAgent(name="root", model="scripted/script/main", tools=[AgentTool(one)])
    two = LlmAgent(name="two", model="scripted/script/main")
    return {"SequentialAgent": SequentialAgent, "LoopAgent": LoopAgent}[kind](name="root", sub_agents=[one, two])
"""
