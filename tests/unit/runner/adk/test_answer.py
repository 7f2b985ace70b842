"""What is the answer: agents of every kind, run by ADK on scripts, and the rule on made-up events."""

import pytest

AGENTS = """
import asyncio
import warnings
import anyio
from datetime import timedelta
from agentjobs_runner import Snooze
from google.adk.agents import BaseAgent, LlmAgent, LoopAgent, ParallelAgent, SequentialAgent
from google.adk.events.event import Event
from google.adk.tools import FunctionTool, LongRunningFunctionTool, ToolContext, exit_loop
from google.adk.tools.agent_tool import AgentTool
from google.adk.apps.app import App, ResumabilityConfig
from google.adk.events.event_actions import EventActions
from google.genai import types
from google.adk.workflow import START, FunctionNode, JoinNode, Workflow, node
from pydantic import BaseModel
warnings.simplefilter("ignore")

class Row(BaseModel):
    id: int

def say(name, **more): return LlmAgent(name=name, model="scripted/script/main", **more)
def graph(*nodes, name="graph"): return Workflow(name=name, edges=[(START, *nodes)])
def shout(node_input: str) -> str: return node_input.upper()
def table(node_input: str) -> dict: return {"said": node_input}
def row(node_input: str) -> Row: return Row(id=3)
def rows(node_input: str): return [1, 2]
def nothing(node_input: str) -> None: return None
def tell(node_input): return Event(message="told")
join = JoinNode(name="join")
def waits(node_input): raise Snooze(timedelta(minutes=2), "closed")
def save(): return {"ok": 1}
def show(tool_context: ToolContext):
    tool_context.actions.skip_summarization = True
    return {"row": 7}
def show_text(tool_context: ToolContext):
    tool_context.actions.skip_summarization = True
    return "seven"
def leave(tool_context: ToolContext):
    tool_context.actions.escalate = True
    return {}
def keep(text: str, tool_context: ToolContext):
    tool_context.state["document"] = {"text": text}
    return {"ok": 1}
@node(rerun_on_resume=True)
async def falls_back(ctx, node_input: str):
    return await ctx.run_node(say("one"), node_input) or await ctx.run_node(say("two"), node_input)

def note(callback_context): callback_context.state["noted"] = 1
def sign(callback_context): return types.Content(role="model", parts=[types.Part(text="-- by a bot")])
def resumable(root): return App(name="app", root_agent=root, resumability_config=ResumabilityConfig(is_resumable=True))

async def cancels(): raise asyncio.CancelledError("by a library")
async def leaks(callback_context):
    scope = anyio.CancelScope()
    scope.__enter__()
    scope.cancel()
    await anyio.sleep(1)
async def stops_itself(callback_context):
    asyncio.current_task().cancel()
    await asyncio.sleep(1)
async def cancels_node(node_input): raise asyncio.CancelledError("by a library")
async def hangs(): await asyncio.sleep(60)

class First(BaseAgent):
    async def _run_async_impl(self, ctx):
        for agent in self.sub_agents:
            async for event in agent.run_async(ctx):
                yield event

class WithTimeout(BaseAgent):
    async def _run_async_impl(self, ctx):
        first, second = self.sub_agents
        try:
            async with asyncio.timeout(0.2):
                async for event in first.run_async(ctx):
                    yield event
        except TimeoutError:
            async for event in second.run_async(ctx):
                yield event

class Noting(First):
    async def _run_async_impl(self, ctx):
        async for event in super()._run_async_impl(ctx):
            yield event
        yield Event(author=self.name, invocation_id=ctx.invocation_id, actions=EventActions(state_delta={"done": 1}))
"""


def call(name, /, text=None, agent=None, **args):
    return {"toolCalls": [{"name": name, "args": args}]} | ({"text": text} if text else {}) | by(agent)


def by(agent):
    return {"agent": agent} if agent else {}


def says(text, agent=None):
    return {"text": text} | by(agent)


BLOCKED = {"finishReason": "SAFETY"}
EMPTY = {"text": " "}


@pytest.fixture
def started(run, module):
    async def start(expression, answers, **more):
        name = module(f"{AGENTS}\nagent = {expression}\n")
        return await run(answers, agent={"module": {"ref": f"{name}:agent"}}, **more)

    return start


ANSWERS = [
    ("graph-function", "graph(say('one'), shout)", [says("blue")], "BLUE", None),
    ("graph-object", "graph(say('one'), table)", [says("blue")], '{"said": "blue"}', {"said": "blue"}),
    ("graph-model", "graph(say('one'), row)", [says("blue")], '{"id": 3}', {"id": 3}),
    ("graph-list", "graph(say('one'), rows)", [says("blue")], "[1, 2]", None),
    ("graph-ends-with-a-model", "graph(shout, say('one'))", [says("blue")], "blue", None),
    ("graph-ends-with-a-message", "graph(say('one'), tell)", [says("blue")], "told", None),
    (
        "graph-in-a-graph",
        "graph(graph(say('one'), shout, name='inner'), say('two'))",
        [says("a"), says("b")],
        "b",
        None,
    ),
    (
        "graph-ends-with-a-team",
        "graph(say('one'), ParallelAgent(name='p', sub_agents=[say('two'), say('three')]))",
        [says("1", "one"), says("3", "three"), says("2", "two")],
        "2\n\n3",
        None,
    ),
    ("function", "FunctionNode(func=rows, name='f')", [says("-")], "[1, 2]", None),
    (
        "exit-loop-beside-text",
        "LoopAgent(name='l', sub_agents=[say('one', tools=[exit_loop])])",
        [call("exit_loop", "the draft")],
        "the draft",
        None,
    ),
    (
        "own-exit-without-a-text",
        "LoopAgent(name='l', sub_agents=[say('one'), say('two', tools=[leave])])",
        [says("the draft", "one"), call("leave", agent="two"), says(" ", "two")],
        "the draft",
        None,
    ),
    ("result-of-a-tool", "say('one', tools=[show])", [call("show", "Here:")], '{"row": 7}', {"row": 7}),
    ("text-of-a-tool", "say('one', tools=[show_text])", [call("show_text")], "seven", None),
    (
        "transfer",
        "say('one', sub_agents=[say('two')])",
        [call("transfer_to_agent", "I hand over.", "one", agent_name="two"), says("done", "two")],
        "done",
        None,
    ),
    (
        "parallel-in-a-sequence",
        "SequentialAgent(name='s', sub_agents=[say('zero'), ParallelAgent(name='p', sub_agents=[say('b'), say('a')])])",
        [says("0", "zero"), says("A", "a"), {"text": "B", "agent": "b", "delay": "50ms"}],
        "B\n\nA",
        None,
    ),
    (
        "parallel-in-a-parallel",
        "ParallelAgent(name='q', sub_agents=[ParallelAgent(name='p', sub_agents=[say('b'), say('a')]), say('c')])",
        [{"text": "B", "agent": "b", "delay": "50ms"}, says("A", "a"), says("C", "c")],
        "B\n\nA\n\nC",
        None,
    ),
    ("code-that-falls-back", "graph(falls_back)", [BLOCKED | by("one"), says("second", "two")], "second", None),
    (
        "agent-class-that-goes-on",
        "First(name='first', sub_agents=[say('one'), say('two')])",
        [BLOCKED | by("one"), says("second", "two")],
        "second",
        None,
    ),
    (
        "single-turn-that-was-asked-again",
        "say('one', sub_agents=[say('two', mode='single_turn', description='d')])",
        [call("two", None, "one", request="x"), BLOCKED | by("two"), says("without it", "one")],
        "without it",
        None,
    ),
    (
        "task-of-the-root",
        "say('one', mode='task')",
        [call("finish_task", result="done")],
        "done",
        None,
    ),
    (
        "task-of-a-member",
        "say('one', sub_agents=[say('two', mode='task', description='d')])",
        [call("two", None, "one", request="x"), call("finish_task", None, "two", result="r"), says("done", "one")],
        "done",
        None,
    ),
    (
        "schema-of-a-graphs-last-model",
        "graph(shout, say('one', output_schema=Row))",
        [says('{"id": 7}')],
        '{"id": 7}',
        {"id": 7},
    ),
    (
        "one-node-over-many-inputs",
        "graph(rows, node(say('one'), parallel_worker=True))",
        [says("a"), says("a")],
        '["a", "a"]',
        None,
    ),
    (
        "graph-that-joins",
        "Workflow(name='w', edges=[(START, say('one'), join), (START, say('two'), join)])",
        [says("1", "one"), says("2", "two")],
        None,  # in an order of ADK's
        {"one": "1", "two": "2"},
    ),
    (
        "single-turn-inside-a-graph",
        "graph(say('one', sub_agents=[say('two', mode='single_turn', description='d')]), shout)",
        [call("two", None, "one", request="x"), BLOCKED | by("two"), says("alone", "one")],
        "ALONE",
        None,
    ),
    (
        "writer-checked-until-it-is-right",
        "LoopAgent(name='l', max_iterations=3, sub_agents=[say('one'), say('two', tools=[exit_loop])])",
        [says("bad", "one"), says("fix it", "two"), says("good", "one"), call("exit_loop", agent="two")],
        "good",
        None,
    ),
    ("thoughts-in-the-open", "say('one')", [says("<think>Hm.\n{}</think>\n\nblue")], "blue", None),
    ("thoughts-without-a-beginning", "say('one')", [says("Hm.\n</think>\n\nblue")], "blue", None),
    ("a-text-about-thoughts", "say('one')", [says("It writes </think> twice.")], "It writes </think> twice.", None),
    ("thoughts-before-a-function", "graph(say('one'), shout)", [says("<think>Hm.</think>\nblue")], "BLUE", None),
    (
        "a-strand-that-ends-the-others",
        "ParallelAgent(name='p', sub_agents=[say('a', tools=[leave]), say('b', tools=[hangs])])",
        [call("hangs", agent="b"), call("leave", "found", "a")],
        "found",
        None,
    ),
    (
        "a-member-that-code-stops-waiting-for",
        "WithTimeout(name='p', sub_agents=[say('a', tools=[hangs]), say('b')])",
        [call("hangs", agent="a"), says("instead", "b")],
        "instead",
        None,
    ),
    (
        "an-object-that-is-not-a-call",
        "say('one', tools=[save])",
        [says('{"name": "safe", "input": "x"}')],
        '{"name": "safe", "input": "x"}',
        {"name": "safe", "input": "x"},
    ),
]


@pytest.mark.parametrize(
    ("root", "answers", "text", "structured"), [row[1:] for row in ANSWERS], ids=[r[0] for r in ANSWERS]
)
@pytest.mark.parametrize("mode", ["NONE", "SSE"])
async def test_the_answer_is_the_final_output_of_the_root(run, module, root, answers, text, structured, mode):
    name = module(f"{AGENTS}\nagent = {root}\n")

    ending = await run(answers, agent={"module": {"ref": f"{name}:agent"}, "runConfig": {"streaming_mode": mode}})

    assert ending.result is not None, ending
    assert text in (None, ending.result["text"])
    assert ending.result["structured"] == structured


FAILURES = [
    ("function-stumbles-over-a-blocked-answer", "graph(say('one'), shout)", [BLOCKED], "Fail ContentBlocked"),
    ("graph-node-is-blocked", "graph(say('one'), tell)", [BLOCKED], "Fail ContentBlocked"),
    ("graph-gives-nothing", "graph(say('one'), nothing)", [says("blue")], "Fail ResultError"),
    (
        "sequence-member-is-blocked",
        "SequentialAgent(name='s', sub_agents=[say('a'), say('b')])",
        [BLOCKED | by("a"), says("made up", "b")],
        "Fail ContentBlocked",
    ),
    (
        "strand-is-blocked",
        "ParallelAgent(name='p', sub_agents=[say('a'), say('b')])",
        [BLOCKED | by("a"), says("half", "b")],
        "Fail ContentBlocked",
    ),
    (
        "who-took-over-is-blocked",
        "say('one', sub_agents=[say('two')])",
        [call("transfer_to_agent", "I hand over.", "one", agent_name="two"), BLOCKED | by("two")],
        "Fail ContentBlocked",
    ),
    (
        "caller-is-blocked",
        "say('one', sub_agents=[say('two', mode='single_turn', description='d')])",
        [call("two", None, "one", request="x"), says("fine", "two"), BLOCKED | by("one")],
        "Fail ContentBlocked",
    ),
    ("nothing-after-a-call", "say('one', tools=[save])", [call("save", "I will save it."), EMPTY], "Retry ResultError"),
    ("function-asks-to-wait", "graph(say('one'), waits)", [BLOCKED], "Snooze Snoozed"),
    (
        "blocked-member-keeps-state",
        "SequentialAgent(name='s', sub_agents=[say('a', after_agent_callback=note), say('b')])",
        [BLOCKED | by("a"), says("made up", "b")],
        "Fail ContentBlocked",
    ),
    ("blocked-and-signed", "say('a', after_agent_callback=sign)", [BLOCKED], "Fail ContentBlocked"),
    ("empty-and-signed", "say('a', after_agent_callback=sign)", [EMPTY], "Retry ResultError"),
    (
        "blocked-in-a-resumable-app",
        "resumable(ParallelAgent(name='p', sub_agents=[say('a'), say('b')]))",
        [BLOCKED | by("a"), says("half", "b")],
        "Fail ContentBlocked",
    ),
    (
        "own-class-keeps-state-after-a-blocked-member",
        "Noting(name='n', sub_agents=[say('a'), say('b')])",
        [says("draft", "a"), BLOCKED | by("b")],
        "Fail ContentBlocked",
    ),
    (
        "agents-of-one-name",
        "First(name='s', sub_agents=[First(name='x', sub_agents=[say('w')]), say('v', sub_agents=[say('w')])])",
        [BLOCKED, says("made up")],
        "Fail ConfigInvalid",
    ),
    ("thoughts-without-an-end", "say('one')", [says("<think>The user wants")], "Retry ResultError"),
    (
        "strand-only-thinks",
        "ParallelAgent(name='p', sub_agents=[say('a'), say('b')])",
        [says("<think>hm</think>", "a"), says("half", "b")],
        "Retry ResultError",
    ),
    ("graph-ends-in-thoughts", "graph(shout, say('one'))", [says("<think>hm</think>")], "Retry ResultError"),
    ("tool-is-cancelled", "say('a', tools=[cancels])", [call("cancels"), says("fine")], "Retry ToolError"),
    (
        "strand-is-cancelled",
        "ParallelAgent(name='p', sub_agents=[say('a', tools=[cancels]), say('b')])",
        [call("cancels", agent="a"), says("half", "b")],
        "Retry ToolError",
    ),
    *(
        (
            f"strand-{callback}",
            f"ParallelAgent(name='p', sub_agents=[say('a', before_agent_callback={callback}), say('b')])",
            [says("half", "b")],
            "Retry AgentError",
        )
        for callback in ("leaks", "stops_itself")
    ),
    (
        "agent-in-a-tool-is-cancelled",
        "say('a', tools=[AgentTool(say('b', tools=[cancels]))])",
        [call("b", None, "a", request="x"), call("cancels", agent="b"), says("fine", "a")],
        "Retry ToolError",
    ),
    (
        "node-is-cancelled",
        "Workflow(name='w', edges=[(START, say('one')), (START, cancels_node)])",
        [says("half")],
        "Retry AgentError",
    ),
    ("only-thoughts", "say('one')", [says("<think>hm</think> ")], "Retry ResultError"),
]


@pytest.mark.parametrize(("root", "answers", "ended"), [row[1:] for row in FAILURES], ids=[row[0] for row in FAILURES])
async def test_some_final_outputs_of_the_root_are_not_an_answer(started, root, answers, ended):
    ending = await started(root, answers)

    assert f"{ending.verdict} {ending.reason}" == ended


CALL = '{"name": "save", "arguments": {"text": "a"}}'


@pytest.mark.parametrize(
    "written",
    [
        CALL,
        f"```json\n{CALL}\n```",
        f"[{CALL}]",
        f'{{"type": "function", "function": {CALL}}}',
        f"I will save it.\n<tool_call>\n{CALL}\n</tool_call>",
        "<think>hm</think><function=save><parameter=text>a</parameter></function>",
        f"[TOOL_CALLS][{CALL}]",
    ],
)
async def test_a_call_that_a_model_wrote_as_a_text_is_not_an_answer(started, written):
    ending = await started("say('one', tools=[save])", [says(written)])

    assert (ending.verdict, ending.reason) == ("Retry", "ResultError")
    assert "tool save" in ending.message


ASKS = [
    ("confirmation", "say('one', tools=[FunctionTool(save, require_confirmation=True)])", [call("save")], "tool save "),
    ("input", "graph(ask)", [], "node ask "),
    ("long-running", "say('one', tools=[LongRunningFunctionTool(wait)])", [call("wait"), EMPTY], "tool wait "),
    (
        "in-a-team",
        "SequentialAgent(name='s', sub_agents=[say('a', tools=[FunctionTool(save, require_confirmation=True)])])",
        [call("save")],
        "require_confirmation",
    ),
]


@pytest.mark.parametrize(("root", "answers", "named"), [row[1:] for row in ASKS], ids=[row[0] for row in ASKS])
async def test_a_tool_that_requests_human_input_is_named_as_its_author_knows_it(run, module, root, answers, named):
    more = (
        "from google.adk.events.request_input import RequestInput\n"
        "async def ask(node_input): yield RequestInput(message='sure?')\n"
        "def wait() -> None: return None\n"
    )
    name = module(f"{AGENTS}\n{more}\nagent = {root}\n")

    ending = await run(answers, agent={"module": {"ref": f"{name}:agent"}})

    assert ending.reason == "ConfigInvalid"
    assert named in ending.message
    assert "adk_request" not in ending.message
