"""Errors of an agent that another one called: which end the start, and which are returned to the caller."""

import asyncio
import sys

import pytest

AGENTS = """
import json
import warnings
from datetime import timedelta
from google.adk.agents import LlmAgent
from google.adk.apps import App
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.plugins.reflect_retry_tool_plugin import ReflectAndRetryToolPlugin
from google.adk.runners import InMemoryRunner
from google.adk.tools._node_tool import NodeTool
from google.adk.tools.agent_tool import AgentTool
from google.adk.workflow import START, Workflow
from google.genai import types
from agentjobs_runner import Cancel, Permanent, Snooze
warnings.simplefilter("ignore")

class Soft(BaseLlm):
    async def generate_content_async(self, llm_request, stream=False):
        yield LlmResponse(error_code="429", error_message="slow down")

class Page(BaseLlm):
    async def generate_content_async(self, llm_request, stream=False):
        try: json.loads("<html>")
        except ValueError: raise RuntimeError("unreadable")
        yield

class LiteLlm(BaseLlm):
    async def generate_content_async(self, llm_request, stream=False):
        yield LlmResponse(content=types.Content(role="model", parts=[]), finish_reason="STOP")
LiteLlm.__module__ = "google.adk.models.lite_llm"  # the package is large

def before(): pass
def snooze(): raise Snooze(timedelta(minutes=5), "not there yet")
def cancel(): raise Cancel("not wanted")
def permanent(): raise Permanent("never")
def fails(): raise KeyError("amonut")
def odd(callback_context): raise LookupError("nobody home")

def say(name, **more): return LlmAgent(name=name, instruction="Work.", model="scripted/script/main", **more)
def inner(name="in", **more): return say(name, description="d", tools=[snooze, cancel, permanent, fails], **more)
def graph(agent): return Workflow(name="in_graph", input_schema=str, edges=[(START, agent)])

def agent_tool(agent): return say("out", tools=[AgentTool(agent)])
def bare_tool(agent): return say("out", tools=[AgentTool(agent, include_plugins=False)])
def node_tool(agent): return say("out", tools=[NodeTool(graph(agent), name="in")])
def member(mode): return lambda agent: say("out", sub_agents=[LlmAgent(**{**dict(agent), "mode": mode})])
def by_code(agent):
    async def called(request: str, tool_context):
        return await tool_context.run_node(agent, node_input=request)
    called.__name__ = "in"
    return say("out", tools=[called])
def by_runner(agent):
    async def called(request: str):
        before()
        runner = InMemoryRunner(agent, app_name="x")
        await runner.session_service.create_session(app_name="x", user_id="u", session_id="s")
        message = types.Content(role="user", parts=[types.Part(text=request)])
        async for event in runner.run_async(user_id="u", session_id="s", new_message=message):
            pass
        return "read"
    called.__name__ = "in"
    return say("out", tools=[called])
def by_code_that_falls_back(agent):
    async def called(request: str, tool_context):
        try:
            return await tool_context.run_node(agent, node_input=request)
        except Exception:
            return "nobody knows"
    called.__name__ = "in"
    return say("out", tools=[called])
def instead(callback_context, llm_request, error):
    return LlmResponse(content=types.Content(role="model", parts=[types.Part(text="nobody knows")]))
single_turn, task = member("single_turn"), member("task")
def in_single_turn(agent): return say("out", sub_agents=[say("in", tools=[AgentTool(agent)], mode="single_turn")])
"""
CONTAINERS = ["agent_tool", "bare_tool", "node_tool", "single_turn", "task", "by_code", "by_runner"]
CALL = {"agent": "out", "toolCalls": [{"name": "in", "args": {"request": "x"}}]}
MADE_UP = {"agent": "out", "text": "I found three."}


def uses(tool):
    return {"agent": "in", "toolCalls": [{"name": tool}]}


def fails(status, message="no", **more):
    return {"agent": "in", "error": {"status": status, "message": message, **more}}


@pytest.fixture
def started(run, module):
    async def start(expression, *answers):
        name = module(f"{AGENTS}\nagent = {expression}\n")
        return await run([CALL, *answers, MADE_UP], agent={"module": {"ref": f"{name}:agent"}})

    return start


UNTOLD = {
    "rate": (fails(429, retryAfter="9s"), "Snooze ModelRateLimited"),
    "away": (fails(503), "Retry ModelUnavailable"),
    "key": (fails(401), "Fail ModelAuth"),
    "money": (fails(402), "Fail ModelOutOfCredit"),
    "cut": ({"agent": "in", "finishReason": "MAX_TOKENS"}, "Fail ModelOutputTruncated"),
    "snooze": (uses("snooze"), "Snooze Snoozed"),
    "cancel": (uses("cancel"), "Cancel Cancelled"),
    "permanent": (uses("permanent"), "Fail Permanent"),
}


@pytest.mark.parametrize(("answer", "ended"), UNTOLD.values(), ids=UNTOLD)
@pytest.mark.parametrize("container", CONTAINERS)
async def test_a_caller_gets_no_answer_for_an_error_that_no_model_can_handle(started, container, answer, ended):
    ending = await started(f"{container}(inner())", answer)

    assert f"{ending.verdict} {ending.reason}" == ended
    assert (ending.delay_seconds == 9.0) == ("ModelRateLimited" in ended)


@pytest.mark.parametrize("container", CONTAINERS)
async def test_a_providers_error_that_is_only_in_an_event_ends_the_start_too(started, container):
    ending = await started(f"{container}(LlmAgent(name='in', model=Soft(model='m')))")

    assert (ending.verdict, ending.reason) == ("Snooze", "ModelRateLimited")


@pytest.mark.parametrize("container", ["single_turn", "node_tool", "agent_tool", "task"])
async def test_an_error_keeps_its_context(started, container):
    ending = await started(f"{container}(LlmAgent(name='in', model=Page(model='m')))")

    assert ending.reason == "ModelUnavailable"


async def test_an_empty_stream_of_litellm_is_not_an_empty_answer(run, module):
    name = module(f"{AGENTS}\nagent = single_turn(LlmAgent(name='in', model=LiteLlm(model='m')))\n")
    agent = {"module": {"ref": f"{name}:agent"}, "runConfig": {"streaming_mode": "SSE"}}

    assert (await run([CALL, MADE_UP], agent=agent)).reason == "ModelUnavailable"


@pytest.mark.parametrize(
    ("agent", "reason"),
    [
        ("say('in', before_agent_callback=odd)", "AgentError"),
        ("LlmAgent(name='in', model='scripted/script/main', instruction='About {topic}.')", "ConfigInvalid"),
    ],
)
async def test_an_invalid_definition_or_callback_is_not_returned_to_the_caller(started, agent, reason):
    ending = await started(f"single_turn({agent})")

    assert ending.reason == reason


@pytest.mark.parametrize("answer", [uses("fails"), {"agent": "in", "finishReason": "SAFETY"}], ids=["tool", "blocked"])
async def test_a_caller_can_handle_a_tool_error_and_a_refusal(started, answer):
    ending = await started("single_turn(inner())", answer)

    assert ending.result is not None, ending
    assert ending.result["text"] == "I found three."


@pytest.mark.parametrize(("answer", "ended"), [UNTOLD["rate"], UNTOLD["permanent"]], ids=["rate", "order"])
async def test_an_error_that_passed_several_callers_keeps_its_cause(started, answer, ended):
    asks = {"agent": "in", "toolCalls": [{"name": "deep", "args": {"request": "x"}}]}

    ending = await started("in_single_turn(inner(name='deep'))", asks, answer | {"agent": "deep"})

    assert f"{ending.verdict} {ending.reason}" == ended


@pytest.mark.parametrize("container", ["agent_tool", "single_turn"])
@pytest.mark.parametrize(("answer", "ended"), [UNTOLD["rate"], UNTOLD["snooze"]], ids=["rate", "order"])
async def test_a_plugin_for_reflection_does_not_handle_such_errors(started, container, answer, ended):
    app = f"App(name='x', root_agent={container}(inner()), plugins=[ReflectAndRetryToolPlugin()])"

    ending = await started(app, answer)

    assert f"{ending.verdict} {ending.reason}" == ended


@pytest.mark.parametrize("container", CONTAINERS)
async def test_steps_are_counted_and_recorded_wherever_an_agent_runs(started, timeline, container):
    said = {"agent": "in", "text": "7", "usage": {"inputTokens": 5, "outputTokens": 2}}
    if container == "task":
        said = said | {"text": None, "toolCalls": [{"name": "finish_task", "args": {"result": "7"}}]}

    await started(f"{container}(say('in', description='d'))", said)

    assert timeline.usage.total["llmCalls"] == 3
    assert (timeline.usage.total["inputTokens"], timeline.usage.total["outputTokens"]) == (5, 2)
    assert timeline.signs >= 3 + 1


@pytest.mark.parametrize(
    "expression", ["by_code_that_falls_back(inner())", "single_turn(inner(on_model_error_callback=instead))"]
)
async def test_an_error_caught_by_code_is_handled(started, timeline, expression):
    ending = await started(expression, UNTOLD["rate"][0])

    assert ending.result is not None, ending
    [told] = [data["result"] for kind, _, data in timeline.entries if kind == "tool"]
    assert "nobody knows" in str(told)


async def test_a_stop_takes_effect_at_a_step_boundary_in_a_tools_own_runner(run, timeline, module):
    name = module(f"{AGENTS}\nagent = by_runner(inner())\n")
    sys.modules[name].before = lambda: timeline.gate.close()

    job = asyncio.create_task(run([CALL, MADE_UP], agent={"module": {"ref": f"{name}:agent"}}))
    await asyncio.wait_for(timeline.at_boundary.wait(), timeout=20)

    assert timeline.usage.total["llmCalls"] == 1
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)
