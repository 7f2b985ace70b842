"""The shapes of agents that are killed: one factory each, named as in `topologies`. Runs in the runner's process."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from google.adk.agents import BaseAgent, LlmAgent, LoopAgent, ParallelAgent, SequentialAgent
from google.adk.apps.app import App
from google.adk.events.event import Event
from google.adk.tools.agent_tool import AgentTool
from google.adk.workflow import START, JoinNode, RetryConfig, Workflow, node
from tests.crash.acting import Model, agent, app, calls, python, tool
from tests.crash.effects import effect, mark, marks, unmarked

fetch, notify = tool("fetch"), tool("notify")


def looking(name: str, *items: str, **more: Any) -> LlmAgent:
    """An agent that fetches each item, one after the other."""
    return agent(name, *(calls("fetch", item) for item in items or (f"{name}1",)), tools=[fetch], **more)


def parallel_tools() -> App:
    return app(agent("root", calls("fetch", "a", "b", "c"), calls("notify", "d"), tools=[fetch, notify]))


def transfer() -> App:
    sub = looking("sub", "a", "b", "c")
    return app(agent("root", [("transfer_to_agent", {"agent_name": "sub"})], sub_agents=[sub]))


def sequence() -> App:
    return app(SequentialAgent(name="team", sub_agents=[looking("a", "x", "y"), looking("b"), looking("c")]))


def parallel() -> App:
    members = [looking("a", "p", "q"), looking("b", "r"), looking("c", "s")]
    return app(ParallelAgent(name="team", sub_agents=members))


def loop() -> App:
    ends = [("exit_loop", {})]
    from google.adk.tools import exit_loop

    one = agent("one", calls("fetch", "a"), "once", calls("fetch", "b"), ends, tools=[fetch, exit_loop])
    return app(LoopAgent(name="team", max_iterations=5, sub_agents=[one, looking("two")]))


def agent_tool() -> App:
    asks = [("inner", {"request": "first"})], [("inner", {"request": "second"})]
    return app(agent("root", *asks, tools=[AgentTool(agent=looking("inner"))]))


def single_turn() -> App:
    asks = [("inner", {"request": "first"})], [("inner", {"request": "second"})]
    return app(agent("root", *asks, sub_agents=[looking("inner", mode="single_turn")]))


def graph_two() -> App:
    def prepare(node_input: Any) -> str:
        return python("prepare")

    return app(Workflow(name="graph", edges=[(START, prepare, looking("one", "a", "b"))]))


def graph_four() -> App:
    def prepare(node_input: Any) -> str:
        return python("prepare")

    def finish(node_input: Any) -> str:
        return f"finished {python('finish', node_input)}"

    return app(Workflow(name="graph", edges=[(START, prepare, looking("one"), looking("two"), finish)]))


def graph_fan() -> App:
    def prepare(ctx: Any, node_input: Any) -> str:
        ctx.state["prepared"] = "yes"
        return python("prepare")

    def finish(ctx: Any, node_input: Any) -> str:
        ctx.state["joined"] = sorted(node_input)
        return f"finished {python('finish', node_input)}"

    members = (looking("a", output_key="of_a"), looking("b", output_key="of_b"))
    return app(Workflow(name="graph", edges=[(START, prepare, members, JoinNode(name="join"), finish)]))


class Custom(BaseAgent):
    """Plain Python after its sub-agent."""

    async def _run_async_impl(self, ctx: Any) -> AsyncGenerator[Event, None]:
        async for event in self.sub_agents[0].run_async(ctx):
            yield event
        said = python("after", ctx.session.events)
        yield Event(author=self.name, invocation_id=ctx.invocation_id, content=_text(f"and then {said}"))


def _text(text: str) -> Any:
    from google.genai import types

    return types.Content(role="model", parts=[types.Part(text=text)])


def custom() -> App:
    return app(Custom(name="custom", sub_agents=[looking("sub", "a", "b")]))


# --- more than the eleven ---------------------------------------------------------------------------------------------


def nested() -> App:
    inner = ParallelAgent(name="inner", sub_agents=[looking("b"), looking("c")])
    line = SequentialAgent(name="line", sub_agents=[looking("a"), inner])
    return app(ParallelAgent(name="outer", sub_agents=[line, looking("d")]))


def agent_tool_in_loop() -> App:
    asks = [("inner", {"request": "again"})]
    one = agent("one", asks, tools=[AgentTool(agent=looking("inner"))])
    return app(LoopAgent(name="team", max_iterations=2, sub_agents=[one]))


def graph_retry() -> App:
    """A node that fails at first, next to one that does not."""

    tried: list[str] = []

    async def flaky(ctx: Any, node_input: Any) -> str:
        tried.append(python(f"flaky {ctx.attempt_count}", node_input))
        if ctx.attempt_count < 3:
            raise ConnectionError("try again")
        return " ".join(tried)

    async def steady(node_input: Any) -> str:
        return python("steady", node_input)

    def finish(node_input: Any) -> str:
        return f"finished {python('finish', node_input)}"

    again = RetryConfig(max_attempts=4, initial_delay=0.01, jitter=0.0)
    both = (node(flaky, retry_config=again), steady, looking("one"))
    return app(Workflow(name="graph", edges=[(START, both, JoinNode(name="join"), finish)]))


def callbacks() -> App:
    """Callbacks that answer for models and tools, and change what they gave."""

    def before_model(callback_context: Any, llm_request: Any) -> Any:
        from google.adk.models.llm_response import LlmResponse

        asked = callback_context.state.get("asked", 0) + 1
        callback_context.state["asked"] = asked
        if asked == 2:  # the second answer is the callback's own
            return LlmResponse(content=_called("fetch", "own"))
        return None

    def after_model(callback_context: Any, llm_response: Any) -> Any:
        text = llm_response.content.parts[0].text
        if text:
            return llm_response.model_copy(update={"content": _text(f"{text} and checked")})
        return None

    def before_tool(tool: Any, args: Any, tool_context: Any) -> Any:
        return {"ok": "from a cache"} if "cached" in str(args.get("item")) else None

    def after_tool(tool: Any, args: Any, tool_context: Any, tool_response: Any) -> Any:
        tool_context.state[f"seen_{str(args['item'])[0]}"] = True
        return {**tool_response, "checked": True}

    root = agent(
        "root",
        calls("fetch", "a", "cached"),
        calls("fetch", "never"),
        calls("notify", "b"),
        tools=[fetch, notify],
        before_model_callback=before_model,
        after_model_callback=after_model,
        before_tool_callback=before_tool,
        after_tool_callback=after_tool,
    )
    return app(root)


def _called(name: str, item: str) -> Any:
    from google.genai import types

    call = types.FunctionCall(name=name, args={"item": item})
    return types.Content(role="model", parts=[types.Part(function_call=call)])


def artifacts() -> App:
    """Tools that run at the same time and leave artifacts and state."""

    async def save(item: str, tool_context: Any) -> dict[str, Any]:
        """Save an item."""
        from google.genai import types

        name = unmarked(item)
        with effect(f"tool save({name})", marks(item)) as outcome:
            await asyncio.sleep(0.005)
            version = await tool_context.save_artifact(f"{name[0]}.txt", types.Part(text=f"all of {name}"))
            tool_context.state[f"saved_{name}"] = True
            tool_context.state["user:last"] = "saved"
        return {"version": version, "by": outcome}

    save.__annotations__["tool_context"] = _tool_context()
    return app(agent("root", calls("save", "a1", "b1"), calls("save", "a2", "c1"), tools=[save]))


def _tool_context() -> Any:
    from google.adk.tools.tool_context import ToolContext

    return ToolContext


def compaction() -> App:
    from google.adk.apps._configs import EventsCompactionConfig
    from google.adk.apps.llm_event_summarizer import LlmEventSummarizer

    summarizer = LlmEventSummarizer(llm=Model(model="summarizer", turns=["In short."]))
    config = EventsCompactionConfig(summarizer=summarizer, compaction_interval=1, overlap_size=0)
    return app(looking("root", "a", "b"), events_compaction_config=config)


def compacted() -> App:
    """Summaries that the job asks for, by the root's own model."""

    class Sums(Model):
        async def generate_content_async(self, llm_request: Any, stream: bool = False) -> AsyncGenerator[Any, None]:
            asked = self if llm_request.tools_dict else Model(model="summary", turns=["In short."])
            async for answer in super(Sums, asked).generate_content_async(llm_request, stream):
                yield answer

    turns = [*(calls("fetch", item) for item in "abcd"), "all done"]
    return app(LlmAgent(name="root", model=Sums(model="root", turns=turns), tools=[fetch]))


def retried_model() -> App:
    """A model that is overloaded at each first try of a process."""
    from google.genai.errors import ServerError

    tried: set[int] = set()

    class Busy(Model):
        async def generate_content_async(self, llm_request: Any, stream: bool = False) -> AsyncGenerator[Any, None]:
            if (length := len(llm_request.contents)) not in tried:
                tried.add(length)
                python(f"busy {length}")
                raise ServerError(503, {"error": {"code": 503, "status": "UNAVAILABLE", "message": "overloaded"}})
            async for answer in super().generate_content_async(llm_request, stream):
                yield answer

    turns = [calls("fetch", "a"), calls("fetch", "b"), "all done"]
    return app(LlmAgent(name="root", model=Busy(model="root", turns=turns), tools=[fetch]))


def retried_tools() -> App:
    """A tool that fails and one that is too slow, each at its first two tries of a process, both at the same time."""
    tried: dict[str, int] = {}

    def tries(name: str) -> int:
        tried[name] = tried.get(name, 0) + 1
        python(f"try {name} {tried[name]}")
        return tried[name]

    async def flaky(item: str) -> dict[str, Any]:
        """Fail twice."""
        if tries(f"flaky {unmarked(item)}") < 3:
            raise ConnectionError("try again")
        return await _done("flaky", item)

    async def slow(item: str) -> dict[str, Any]:
        """Take too long once."""
        if tries(f"slow {unmarked(item)}") < 2:
            await asyncio.sleep(60)
        return await _done("slow", item)

    both = [*calls("flaky", "a"), *calls("slow", "a")]
    return app(agent("root", both, calls("flaky", "b"), tools=[flaky, slow]))


async def _done(name: str, item: str) -> dict[str, Any]:
    with effect(f"tool {name}({unmarked(item)})", marks(item)) as outcome:
        await asyncio.sleep(0.005)
    return {"by": outcome}


def repairs() -> App:
    turns = [calls("fetch", "a"), "no idea", "no, really", '{"outcome": "fine"}']
    return app(LlmAgent(name="root", model=Model(model="root", turns=turns), tools=[fetch]))


def run_node() -> App:
    """One agent that runs three times at the same time."""
    one = looking("one")

    async def fan(ctx: Any, node_input: Any) -> str:
        runs = [ctx.run_node(one, node_input=word, use_sub_branch=True) for word in ("ape", "bee", "cat")]
        return str(await asyncio.gather(*runs))

    return app(Workflow(name="graph", edges=[(START, node(rerun_on_resume=True)(fan))]))


def dynamic() -> App:
    """Instructions that differ at each call: they hold the time."""

    def told(context: Any) -> str:
        import random
        import time

        return f"It is {time.time()}, and the dice say {random.random()}."

    return app(looking("root", "a", "b", instruction=told))


def without_contents() -> App:
    """Agents that do not see the history."""
    second = looking("second", include_contents="none")
    return app(SequentialAgent(name="team", sub_agents=[looking("first", output_key="of_first"), second]))


def task() -> App:
    turns = [calls("fetch", "a"), [("finish_task", {"result": "ok"})]]
    inner = LlmAgent(name="inner", mode="task", model=Model(model="inner", turns=turns), tools=[fetch])
    return app(agent("root", [("inner", {"request": "first"})], sub_agents=[inner]))


def two_levels() -> App:
    """An AgentTool within an AgentTool, two of them at the same time."""
    inner = looking("inner")
    outer = agent("outer", [("inner", {"request": "deep"})], tools=[AgentTool(agent=inner)])
    return app(
        agent("root", [("outer", {"request": "left"}), ("outer", {"request": "right"})], tools=[AgentTool(agent=outer)])
    )


def structured() -> App:
    """A model's answer by a schema, and tools."""
    from pydantic import BaseModel

    class Report(BaseModel):
        outcome: str

    turns = [calls("fetch", "a"), [("set_model_response", {"outcome": "fine"})]]
    root = LlmAgent(
        name="root", model=Model(model="root", turns=turns), tools=[fetch], output_schema=Report, output_key="report"
    )
    return app(root)


def planner() -> App:
    from google.adk.planners.plan_re_act_planner import PlanReActPlanner

    return app(looking("root", "a", "b", planner=PlanReActPlanner()))


def plugin_answers() -> App:
    """A plugin of the user that answers for the model once, and counts."""
    from google.adk.models.llm_response import LlmResponse
    from google.adk.plugins.base_plugin import BasePlugin

    class Answers(BasePlugin):
        async def before_model_callback(self, *, callback_context: Any, llm_request: Any) -> Any:
            count = callback_context.state.get("calls", 0) + 1
            callback_context.state["calls"] = count
            return LlmResponse(content=_called("fetch", "own")) if count == 2 else None

    root = agent("root", calls("fetch", "a"), calls("fetch", "never"), calls("fetch", "b"), tools=[fetch])
    return app(root, plugins=[Answers(name="answers")])


def there_and_back() -> App:
    """Control goes to a sub-agent and back."""
    sub = agent("sub", calls("fetch", "a"), [("transfer_to_agent", {"agent_name": "root"})], tools=[fetch])
    goes = [("transfer_to_agent", {"agent_name": "sub"})]
    return app(agent("root", goes, calls("notify", "b"), tools=[notify], sub_agents=[sub]))


def sync_tools() -> App:
    """A tool that is plain, blocking code, several times at the same time with the same arguments."""

    def store(item: str) -> str:
        """Store an item."""
        with effect(f"tool store({unmarked(item)})", marks(item)) as outcome:
            return outcome

    return app(agent("root", calls("store", "a", "a", "a"), calls("store", "a"), tools=[store]))


def mcp() -> App:
    """Tools of an MCP server."""
    from google.adk.tools.mcp_tool.mcp_session_manager import StreamableHTTPConnectionParams
    from google.adk.tools.mcp_tool.mcp_toolset import McpToolset
    from tests.crash.effects import FILE, KILL_AT

    where = {"x-file": os.environ[FILE], "x-kill-at": os.environ.get(KILL_AT, "0"), "x-pid": str(os.getpid())}
    params = StreamableHTTPConnectionParams(url=os.environ["CRASH_MCP_URL"], headers=where)
    tools = McpToolset(connection_params=params)
    return app(agent("root", calls("search", "a", "b"), calls("search", "c"), tools=[tools]))


def mcp_stdio() -> App:
    """Tools of an MCP server that is a process of the runner's own."""
    from google.adk.tools.mcp_tool.mcp_session_manager import StdioConnectionParams
    from google.adk.tools.mcp_tool.mcp_toolset import McpToolset
    from mcp import StdioServerParameters

    server = StdioServerParameters(command=sys.executable, args=["-m", "tests.crash.tool_server"], env=dict(os.environ))
    tools = McpToolset(connection_params=StdioConnectionParams(server_params=server, timeout=30))
    return app(agent("root", calls("search", "a", "b"), calls("search", "c"), tools=[tools]))


class Valued(BaseAgent):
    """Code that keeps its values: a choice, several loads at the same time, and a message at the end."""

    async def _run_async_impl(self, ctx: Any) -> AsyncGenerator[Event, None]:
        from agentjobs_runner import step

        chosen = step("choose", _choose)
        loads = [step("load", _load, item, key=item) for item in ("x", "y", "z")]
        loaded = await asyncio.gather(*loads)
        yield Event(author=self.name, invocation_id=ctx.invocation_id, content=_text(f"{chosen} {loaded}"))
        async for event in self.sub_agents[0].run_async(ctx):
            yield event
        sent = await step("send", _load, "message")
        yield Event(author=self.name, invocation_id=ctx.invocation_id, content=_text(f"sent {sent}"))


def _choose() -> str:
    return python("choose")


async def _load(item: str) -> str:
    with effect(f"code load {item}") as outcome:
        await asyncio.sleep(0.005 if item == "z" else 0.01)
    return outcome


def values() -> App:
    return app(Valued(name="valued", sub_agents=[looking("sub", "a")]))


def values_in_tool() -> App:
    """A tool that keeps what it did half way, and pays under a key of its own."""
    from agentjobs_runner import idempotency_key, step

    async def pay(item: str) -> dict[str, Any]:
        """Pay for an item."""
        name = unmarked(item)
        price = await step("price", _load, f"price of {name}")
        key = idempotency_key().rpartition("-")[2]  # before it stands the job
        with effect(f"tool pay({name}, {key})", [*marks(item), *marks(price)]) as outcome:
            await asyncio.sleep(0.005)
        return {"by": outcome}

    return app(agent("root", calls("pay", "a", "b"), calls("pay", "c"), tools=[pay]))


def values_in_callback() -> App:
    """Callbacks that keep what they did: they run again in each start."""
    from agentjobs_runner import step

    async def before_agent(callback_context: Any) -> None:
        callback_context.state["budget"] = await step("budget", _load, "budget")

    async def after_model(callback_context: Any, llm_response: Any) -> None:
        await step("audit", _load, f"audit {callback_context.state.get('audits', 0)}")
        callback_context.state["audits"] = callback_context.state.get("audits", 0) + 1

    more = {"before_agent_callback": before_agent, "after_model_callback": after_model}
    return app(looking("root", "a", "b", **more))


def odd_results() -> App:
    """Tools whose results are not JSON."""
    import dataclasses
    import datetime
    import decimal
    import enum

    from pydantic import BaseModel

    class Colour(enum.Enum):
        RED = "red"

    class Paper(BaseModel):
        title: str
        pages: set[int]

    @dataclasses.dataclass
    class Point:
        x: float
        when: datetime.datetime

    class Array(list[int]):
        """Compares item by item, as arrays of numpy do: whether two are equal has no single answer."""

        def __eq__(self, other: object) -> Any:
            return Array(item == other for item in self)

        def __ne__(self, other: object) -> Any:
            return Array(item != other for item in self)

        def __bool__(self) -> bool:
            raise ValueError("The truth value of an array with more than one element is ambiguous")

    class Number(float):
        """A number of a library's own."""

        def __repr__(self) -> str:
            return f"number({float(self)})"

    results = {
        "array": Array([1, 2]),
        "arrays": {"all": [Array([1, 2])], "one": Number(1.5)},
        "bytes": b"\x00\xff raw",
        "set": {1, 2, 3},
        "model": Paper(title="t", pages={1}),
        "dataclass": Point(1.5, datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)),
        "decimal": decimal.Decimal("1.10"),
        "enum": Colour.RED,
        "nan": float("nan"),
        "none": None,
        "nul": "a\x00b",
        "surrogate": "a\ud800b",
        "tuple": (1, ("a", b"b")),
        "keys": {1: "one", (2, 3): "pair"},
        "deep": [[[[{"a": {1, 2}}]]]],
        "big": 10**40,
    }

    async def odd(item: str) -> Any:
        """Give something odd."""
        with effect(f"tool odd({unmarked(item)})", marks(item)):
            return results[unmarked(item)]

    turns = [calls("odd", name) for name in results]
    return app(agent("root", *turns, tools=[odd]))


def odd_texts() -> App:
    """A model that answers with text that a database cannot store."""
    odd = agent("odd", calls("fetch", "nul \x00"), "half a pair \ud83d", tools=[fetch])
    return app(SequentialAgent(name="team", sub_agents=[odd, looking("even")]))


# --- for faults -------------------------------------------------------------------------------------------------------


async def hold(item: str) -> str:
    """Wait until the file that HOLD names is there, where it names one."""
    with effect(f"tool hold({unmarked(item)})", marks(item)) as outcome:
        while (gate := os.environ.get("HOLD")) and not Path(gate).exists():
            await asyncio.sleep(0.01)
    return outcome


def held() -> App:
    return app(
        agent("root", calls("fetch", "a"), calls("hold", "b"), calls("notify", "c"), tools=[fetch, hold, notify])
    )


def order() -> App:
    """Two members at the same time, of which the second waits, and an agent that acts on who was first."""
    late = agent("late", calls("hold", "b"), tools=[hold])
    both = ParallelAgent(name="both", sub_agents=[late, looking("early")])

    async def rank(item: str) -> dict[str, Any]:
        """Say in which order the members ended."""
        ended = [what for what in marks(item) if "/2" in what]
        with effect(f"tool rank({' '.join(ended)})") as outcome:
            return {"by": outcome}

    class Reads(Model):
        async def generate_content_async(self, llm_request: Any, stream: bool = False) -> AsyncGenerator[Any, None]:
            async for answer in super().generate_content_async(llm_request, stream):
                for call in (part.function_call for part in answer.content.parts if part.function_call):
                    call.args["item"] = " ".join(mark(what) for what in marks(str(llm_request.contents)))
                yield answer

    reader = LlmAgent(name="reader", model=Reads(model="reader", turns=[calls("rank", ""), "ranked"]), tools=[rank])
    return app(SequentialAgent(name="team", sub_agents=[both, reader]))


def large_result() -> App:
    async def export(item: str) -> str:
        """Export more than a step may hold."""
        with effect(f"tool export({unmarked(item)})"):
            return "x" * int(os.environ["SIZE"])

    return app(agent("root", calls("fetch", "a"), calls("export", "b"), tools=[fetch, export]))


def large_answer() -> App:
    return app(agent("root", calls("fetch", "a"), "x" * (1024 * 1024 + 1), tools=[fetch]))
