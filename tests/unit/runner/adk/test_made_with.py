"""Was it made with what the job names: tools that cannot be listed, models that reach no agent, what ADK only logs."""

import pytest

AGENTS = """
import logging, warnings
from google.adk.agents import BaseAgent, LlmAgent, LoopAgent, ParallelAgent, SequentialAgent
from google.adk.tools.agent_tool import AgentTool
from google.adk.tools.base_toolset import BaseToolset
from google.adk.tools.openapi_tool import OpenAPIToolset
from google.adk.tools.mcp_tool import McpToolset, StdioConnectionParams, StreamableHTTPConnectionParams
from google.adk.workflow import START, Workflow, node
from agentjobs_runner import Permanent
from mcp import StdioServerParameters
warnings.simplefilter("ignore")

class Away(BaseToolset):
    def __init__(self, error): super().__init__(tool_name_prefix="shop"); self._error = error
    async def get_tools(self, readonly_context=None): raise self._error
    async def close(self): pass

def say(name, **more): return LlmAgent(name=name, instruction="Work.", **more)
def asks(name, **more): return say(name, model="scripted/script/main", **more)
def graph(*nodes): return Workflow(name="graph", edges=[(START, *nodes)])
def two(node_input: str): return ['x']
away = Away(ConnectionError("shop is closed"))
def allowed(tool, context=None): raise ConnectionError("shop is closed")
found = {"operationId": "find", "responses": {"200": {"description": "d"}}}
interface = OpenAPIToolset(tool_filter=allowed, spec_dict={
    "openapi": "3.0.0", "info": {"title": "shop", "version": "1"},
    "servers": [{"url": "http://127.0.0.1:9"}], "paths": {"/find": {"get": found}}})
program = McpToolset(connection_params=StdioConnectionParams(
    server_params=StdioServerParameters(command="/no/such/program")))
server = McpToolset(connection_params=StreamableHTTPConnectionParams(url="http://127.0.0.1:9/mcp", timeout=2))

class Holder(BaseAgent):
    inner: LlmAgent
    async def _run_async_impl(self, ctx):
        async for event in self.inner.run_async(ctx):
            yield event

class Logs(BaseAgent):
    async def _run_async_impl(self, ctx):
        for number in range(3):
            logging.getLogger("google_adk.flows").warning("dropped %d", number)
        async for event in asks("in").run_async(ctx):
            yield event
"""
CALLS = {"toolCalls": [{"name": "in", "args": {"request": "x"}}]}


@pytest.fixture
def started(run, module):
    async def start(expression, answers=None, model=None, **more):
        name = module(f"{AGENTS}\nagent = {expression}\n")
        return await run(answers, agent={"module": {"ref": f"{name}:agent"}} | ({"model": model} if model else {}))

    return start


@pytest.mark.parametrize(
    ("root", "answers", "named"),
    [
        ("asks('a', tools=[away])", None, ["agent a", "Away", "'shop'", "shop is closed"]),
        ("asks('a', tools=[program])", None, ["McpToolset at /no/such/program"]),
        ("asks('a', tools=[server])", None, ["McpToolset at http://127.0.0.1:9/mcp"]),
        ("asks('a', tools=[interface])", None, ["OpenAPIToolset", "shop is closed"]),
        ("graph(asks('a', tools=[away]))", None, ["agent a"]),
        ("SequentialAgent(name='s', sub_agents=[asks('a', tools=[away])])", None, ["agent a"]),
        ("ParallelAgent(name='p', sub_agents=[asks('a', tools=[away])])", None, ["agent a"]),
        ("asks('a', tools=[AgentTool(asks('in', tools=[away]))])", [CALLS], ["agent in"]),
        (
            "asks('a', sub_agents=[asks('in', mode='single_turn', description='d', tools=[away])])",
            [CALLS],
            ["agent in"],
        ),
    ],
    ids=["own", "stdio", "http", "openapi", "graph", "sequence", "parallel", "agent-tool", "single-turn"],
)
async def test_an_agent_does_not_run_without_a_toolset_that_it_names(started, root, answers, named):
    ending = await started(root, [*(answers or []), {"text": "I found three."}])

    assert (ending.verdict, ending.reason) == ("Retry", "ToolError")
    assert [word for word in named if word not in ending.message] == []


SKILL = """
from google.adk.skills import models
from google.adk.tools.skill_toolset import SkillToolset
front = models.Frontmatter(name="trade", description="d", metadata={"adk_additional_tools": ["shop_buy"]})
skills = SkillToolset(skills=[models.Skill(frontmatter=front, instructions="Buy.")], additional_tools=[away])
agent = asks("a", tools=[skills])
"""


async def test_a_skill_does_not_run_without_a_toolset_that_it_names(run, module):
    agent = {"module": {"ref": f"{module(f'{AGENTS}{SKILL}')}:agent"}}
    loads = {"toolCalls": [{"name": "load_skill", "args": {"skill_name": "trade"}}]}

    ending = await run([loads, {"text": "I bought it."}], agent=agent)

    assert (ending.verdict, ending.reason) == ("Retry", "ToolError")
    assert "shop is closed" in ending.message


async def test_a_toolset_can_determine_the_ending_of_the_start(started):
    ending = await started("asks('a', tools=[Away(Permanent('the shop is gone'))])")

    assert (ending.verdict, ending.reason) == ("Fail", "Permanent")


REACHED = [
    ("graph", "graph(say('a'))", [{"text": "hi"}]),
    ("agent-tool", "say('a', tools=[AgentTool(say('in'))])", [CALLS, {"text": "inner"}, {"text": "hi"}]),
    ("graph-agent-tool", "graph(say('a', tools=[AgentTool(say('in'))]))", [CALLS, {"text": "x"}, {"text": "hi"}]),
    ("parallel-node", "graph(two, node(say('a'), parallel_worker=True))", [{"text": "hi"}]),
    ("field-of-a-class", "Holder(name='h', inner=say('in'))", [{"text": "hi"}]),
    (
        "named-in-a-team",
        "SequentialAgent(name='s', sub_agents=[say('a', model='gemini-flash-latest')])",
        [{"text": "hi"}],
    ),
    (
        "named-in-a-tool",
        "say('a', tools=[AgentTool(say('in', model='openai/gpt-4o'))])",
        [CALLS, {"text": "inner"}, {"text": "hi"}],
    ),
]


@pytest.mark.parametrize(("root", "answers"), [row[1:] for row in REACHED], ids=[row[0] for row in REACHED])
async def test_a_script_replaces_every_model(started, root, answers):
    ending = await started(root, answers, model="scripted/script/main")

    assert ending.result is not None, ending
    assert "hi" in ending.result["text"]


TEAM = {"agentClass": "SequentialAgent", "name": "s", "subAgents": ["a"]}


@pytest.mark.parametrize("own", ["gemini-flash-latest", "openai/gpt-4o", "scripted/other/main"])
async def test_a_script_replaces_every_model_of_an_inline_team(run, monkeypatch, own):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    inline = TEAM | {"agents": [{"name": "a", "instruction": "Work.", "model": own}]}

    ending = await run([{"text": "hi"}], agent={"model": "scripted/script/main", "inline": inline})

    assert ending.result is not None, ending


async def test_agents_in_the_tools_of_an_inline_team_get_the_model(run, module):
    source = f"{AGENTS}\ntool = AgentTool(say('in'))\n"
    member = {"name": "a", "instruction": "Work.", "tools": [{"name": f"{module(source)}:tool"}]}
    answers = [CALLS, {"text": "inner"}, {"text": "hi"}]

    ending = await run(answers, agent={"model": "scripted/script/main", "inline": TEAM | {"agents": [member]}})

    assert ending.result is not None, ending


async def test_a_model_that_no_agent_of_an_inline_team_uses_is_refused(run):
    inline = TEAM | {"agents": [{"name": "a", "instruction": "Work.", "model": "scripted/script/main"}]}

    ending = await run(agent={"model": "gemini-flash-latest", "inline": inline})

    assert (ending.reason, "agent.model: 'gemini-flash-latest'" in ending.message) == ("ConfigInvalid", True)


@pytest.mark.parametrize("late", ["say('late')", "say('late', model='gemini-flash-latest')"])
async def test_agents_created_during_the_run_get_the_script(started, late):
    code = f"graph(node(lambda ctx: ctx.run_node({late}), name='n', rerun_on_resume=True))"

    ending = await started(code, [{"text": "hi"}], model="scripted/script/main")

    assert ending.result is not None, ending


@pytest.mark.parametrize(
    "root",
    [
        "SequentialAgent(name='s', sub_agents=[asks('a'), asks('b')])",
        "graph(asks('a'), asks('b'))",
        "LoopAgent(name='l', sub_agents=[asks('a', tools=[AgentTool(asks('b'))])])",
    ],
)
async def test_a_model_that_no_agent_uses_is_refused(started, monkeypatch, root):
    ending = await started(root, model="gemini-flash-latest")

    assert ending.reason == "ConfigInvalid"
    assert "agent.model: 'gemini-flash-latest' has no effect" in ending.message
    assert "a: scripted/script/main, b: scripted/script/main" in ending.message


@pytest.mark.parametrize("name", ["openai/gpt-4o", "anthropic/claude-sonnet-4-5"])
async def test_a_model_name_in_code_means_the_same_as_in_a_job(started, monkeypatch, name):
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(variable, raising=False)

    ending = await started(f"say('a', model={name!r})")

    assert ending.reason == "ModelAuth"
    assert name in ending.message


async def test_a_warning_that_adk_only_logs_is_in_the_timeline_once(started, timeline):
    ending = await started("Logs(name='l')", [{"text": "hi"}])

    assert ending.result is not None, ending
    told = [data["message"] for kind, _, data in timeline.entries if kind == "warning"]
    assert told == ["dropped 0"]
