"""Agents of every form, run under the real ADK in this process."""

from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[4] / "examples"


def inline(**more):
    return {"model": "scripted/script/main", "inline": {"name": "helper", "instruction": "Help.", **more}}


def team(kind, *names, **more):
    agents = [{"name": name, "instruction": "Help."} for name in names]
    return inline(agentClass=kind, subAgents=list(names), agents=agents, **more)


async def test_the_last_answer_of_a_sequence_is_the_result(run):
    answers = [{"agent": "one", "text": "1"}, {"agent": "two", "text": "2"}]

    ending = await run(answers, agent=team("SequentialAgent", "one", "two"))

    assert ending.result["text"] == "2"
    assert ending.result["usage"]["llmCalls"] == 2


@pytest.mark.filterwarnings("ignore:The `plugins` argument:DeprecationWarning")  # ADK's AgentTool gives it
async def test_usage_of_agents_inside_tools_is_counted(run, timeline, module):
    name = module(INSIDE)
    answers = [
        {"agent": "outer", "toolCalls": [{"name": "inner", "args": {"request": "?"}}], "usage": {"inputTokens": 5}},
        {"agent": "inner", "text": "42", "usage": {"inputTokens": 7, "outputTokens": 2}},
        {"agent": "outer", "text": "It is 42.", "usage": {"inputTokens": 11, "outputTokens": 4}},
    ]

    ending = await run(answers, agent={"model": "scripted/script/main", "module": {"ref": f"{name}:root_agent"}})

    used = {"llmCalls": 3, "toolCalls": 1, "inputTokens": 23, "outputTokens": 6}
    assert ending.result["usage"] == timeline.usage.total == used


@pytest.mark.filterwarnings("ignore:The `plugins` argument:DeprecationWarning")  # ADK's AgentTool gives it
async def test_steps_of_agents_inside_tools_are_progress(run, timeline, module):
    name = module(INSIDE)
    read = {"agent": "inner", "toolCalls": [{"name": "read"}]}
    answers = [{"agent": "outer", "toolCalls": [{"name": "inner", "args": {"request": "?"}}]}, *[read] * 4]
    answers += [{"agent": "inner", "text": "42"}, {"agent": "outer", "text": "It is 42."}]

    await run(answers, agent={"model": "scripted/script/main", "module": {"ref": f"{name}:root_agent"}})

    assert timeline.signs >= 3 + 4 * 2 + 1


APART = """
from google.adk.agents import LlmAgent
from google.adk.apps.app import App
from google.adk.plugins.base_plugin import BasePlugin
from google.adk.tools import ToolContext
from google.adk.tools.agent_tool import AgentTool
class Loud(BasePlugin):
    async def before_agent_callback(self, *, agent, callback_context):
        if agent.name == "inner":
            raise AssertionError("a plugin that was kept out ran")
def save(tool_context: ToolContext):
    tool_context.state["saved"] = "inside"
    return {}
inner = LlmAgent(name="inner", model="scripted/script/main", tools=[save])
outer = LlmAgent(name="outer", model="scripted/script/main", tools=[AgentTool(inner, include_plugins=False)])
app = App(name="app", root_agent=outer, plugins=[Loud(name="loud")])
"""


@pytest.mark.filterwarnings("ignore:The `plugins` argument:DeprecationWarning")  # ADK's AgentTool gives it
async def test_steps_of_an_agent_inside_a_tool_without_plugins_pass_the_gate(run, timeline, module):
    ask = {"agent": "outer", "toolCalls": [{"name": "inner", "args": {"request": "?"}}]}
    save = {"agent": "inner", "toolCalls": [{"name": "save"}]}
    answers = [ask, save, {"agent": "inner", "text": "1"}, ask, {"agent": "inner", "text": "2"}, {"text": "Done."}]

    agent = {"module": {"ref": f"{module(APART)}:app"}}
    ending = await run(answers, agent=agent, output={"fromState": "saved"})

    assert ending.result["text"] == "inside"
    assert (timeline.usage.total["llmCalls"], timeline.usage.total["toolCalls"]) == (6, 3)


@pytest.mark.filterwarnings("ignore:The `plugins` argument:DeprecationWarning")  # ADK's AgentTool gives it
async def test_a_truncated_answer_inside_a_tool_without_plugins_is_not_a_success(run, module):
    ask = {"agent": "outer", "toolCalls": [{"name": "inner", "args": {"request": "?"}}]}
    answers = [ask, {"agent": "inner", "finishReason": "MAX_TOKENS"}, {"agent": "outer", "text": "Fine."}]

    ending = await run(answers, agent={"module": {"ref": f"{module(APART)}:app"}})

    assert (ending.verdict, ending.reason) == ("Fail", "ModelOutputTruncated")


INSIDE = """
from google.adk.agents import LlmAgent
from google.adk.tools.agent_tool import AgentTool

def read():
    return "a page"

inner = LlmAgent(name="inner", model="scripted/script/main", instruction="Answer.", tools=[read])
root_agent = LlmAgent(name="outer", model="scripted/script/main", instruction="Ask.", tools=[AgentTool(inner)])
"""


async def test_parallel_answers_are_in_declared_order(run):
    answers = [{"agent": "slow", "delay": "20ms", "text": "first"}, {"agent": "fast", "text": "second"}]

    ending = await run(answers, agent=team("ParallelAgent", "slow", "fast"))

    assert ending.result["text"] == "first\n\nsecond"


async def test_a_loop_ends_at_max_iterations(run, timeline):
    ending = await run([{"text": str(n)} for n in range(9)], agent=team("LoopAgent", "again", maxIterations=3))

    assert ending.result["text"] == "2"
    assert [data["text"] for kind, _, data in timeline.entries if kind == "text"] == ["0", "1", "2"]


async def test_a_loop_ends_when_a_tool_escalates(run):
    agent = team("LoopAgent", "again", maxIterations=9)
    agent["inline"]["agents"][0]["tools"] = [{"name": "exit_loop"}]

    ending = await run([{"text": "more"}, {"toolCalls": [{"name": "exit_loop"}]}], agent=agent)

    assert ending.result["text"] == "more"


async def test_a_member_can_have_its_own_model(run):
    agent = team("SequentialAgent", "one")
    del agent["model"]
    agent["inline"]["agents"][0]["model"] = "scripted/script/main"

    assert (await run(agent=agent)).result["text"] == "hi"


async def test_instructions_read_the_state_of_the_input(run, module):
    name = module("""
from google.adk.agents import LlmAgent
async def tell(callback_context, llm_request):
    from google.adk.models.llm_response import LlmResponse
    from google.genai import types
    said = llm_request.config.system_instruction
    return LlmResponse(content=types.Content(role="model", parts=[types.Part(text=said)]))
root_agent = LlmAgent(name="a", instruction="About {topic}.", before_model_callback=tell)
""")
    ending = await run(agent={"model": "scripted/script/main", "module": {"ref": name}}, state={"topic": "heat pumps"})

    assert "About heat pumps." in ending.result["text"]


async def test_an_app_from_an_async_factory_keeps_its_plugins(run, module):
    name = module("""
from google.adk.agents import LlmAgent
from google.adk.apps import App
from google.adk.plugins.base_plugin import BasePlugin
class Loud(BasePlugin):
    async def on_event_callback(self, *, invocation_context, event):
        event.content.parts[0].text = event.content.parts[0].text.upper()
        return event
async def make():
    return App(name="shouting", root_agent=LlmAgent(name="a", model="scripted/script/main"), plugins=[Loud("loud")])
""")
    ending = await run(agent={"module": {"ref": f"{name}:make"}})

    assert ending.result["text"] == "HI"


async def test_each_start_has_its_own_answers_and_the_last_list_repeats(run):
    script = "starts: [[{text: one}], [{text: two}]]"

    texts = [(await run(script=script, start=start)).result["text"] for start in (1, 2, 3)]

    assert texts == ["one", "two", "two"]


@pytest.mark.parametrize(
    ("session", "seen"),
    [
        pytest.param({}, "app_hello-1_x system 0b6f2a", id="defaults-are-made-legal"),
        pytest.param(
            {"appName": "shop", "userId": "u 1", "sessionId": "s/1"}, "shop u 1 s/1", id="given-ones-are-used"
        ),
    ],
)
async def test_the_session_has_the_jobs_identity(run, module, session, seen):
    name = module("""
from google.adk.agents import LlmAgent
from google.genai import types
def tell(callback_context):
    s = callback_context.session
    return types.Content(role="model", parts=[types.Part(text=f"{s.app_name} {s.user_id} {s.id}")])
agent = LlmAgent(name="a", before_agent_callback=tell)
""")
    ending = await run(agent={"module": {"ref": f"{name}:agent"}}, session=session)

    assert ending.result["text"] == seen.removeprefix("app_")


async def test_members_without_a_model_get_the_jobs_model(run, module):
    name = module("""
import warnings
from google.adk.agents import LlmAgent, SequentialAgent
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    agent = SequentialAgent(name="s", sub_agents=[LlmAgent(name="a")])
""")
    ending = await run(agent={"model": "scripted/script/main", "module": {"ref": f"{name}:agent"}})

    assert ending.result["text"] == "hi"


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        pytest.param([{"error": {"status": 503}}], ("Retry", "ModelUnavailable"), id="overloaded"),
        pytest.param([{"error": {"status": 504}}], ("Retry", "ModelTimeout"), id="gateway-timeout"),
        pytest.param([{"error": {"status": 429, "retryAfter": "7s"}}], ("Snooze", "ModelRateLimited"), id="rate-limit"),
        pytest.param([{"error": {"status": 401}}], ("Fail", "ModelAuth"), id="unauthenticated"),
        pytest.param([{"error": {"status": 400}}], ("Fail", "ModelBadRequest"), id="bad-request"),
        pytest.param([{"error": {"status": 413}}], ("Fail", "ContextTooLong"), id="too-long"),
        pytest.param([{"finishReason": "SAFETY"}], ("Fail", "ContentBlocked"), id="safety"),
        pytest.param([{"finishReason": "MAX_TOKENS"}], ("Fail", "ModelOutputTruncated"), id="max-tokens"),
        pytest.param([{"finishReason": "MALFORMED_FUNCTION_CALL"}], ("Retry", "ResultError"), id="malformed-call"),
        pytest.param([{"text": " "}], ("Retry", "ResultError"), id="empty-answer"),
        pytest.param([{"toolCalls": [{"name": "nothing"}]}], ("Fail", "ConfigInvalid"), id="script-used-up"),
    ],
)
async def test_scripts_replace_classes_of_real_models(run, answers, verdict):
    ending = await run(answers)

    assert (ending.verdict.value, ending.reason) == verdict
    assert ending.delay_seconds == (7.0 if verdict[0] == "Snooze" else None)


async def test_one_blocked_member_fails_a_team_whose_last_member_answers(run):
    answers = [{"agent": "one", "finishReason": "SAFETY"}, {"agent": "two", "text": "made up"}]

    ending = await run(answers, agent=team("SequentialAgent", "one", "two"))

    assert ending.reason == "ContentBlocked"


async def test_the_cause_of_a_parallel_teams_failure_is_found_inside_the_exception_group(run):
    answers = [{"agent": "one", "error": {"status": 503}}, {"agent": "two", "delay": "5s", "text": "late"}]

    ending = await run(answers, agent=team("ParallelAgent", "one", "two"))

    assert ending.reason == "ModelUnavailable"


TOOLS = """
import time
from datetime import timedelta
from agentjobs_runner import Cancel, Permanent, Snooze

def snooze(): raise Snooze(timedelta(minutes=2), "the shop is closed")
def cancel(): raise Cancel("not wanted")
def permanent(): raise Permanent("never")
def fails(): raise ValueError("no such city")
def times_out(): raise TimeoutError("slow shop")
def cannot_say():
    class Mute(Exception):
        def __str__(self): raise RuntimeError("no words")
    raise Mute
def odd(): return {"nan": float("nan"), "bytes": b"\\x00", "self": odd}
not_a_tool = 3
"""


@pytest.mark.parametrize(
    ("tool", "ended"),
    [
        pytest.param("snooze", ("Snooze", "Snoozed", 120.0), id="snooze"),
        pytest.param("cancel", ("Cancel", "Cancelled", None), id="cancel"),
        pytest.param("permanent", ("Fail", "Permanent", None), id="permanent"),
        pytest.param("fails", ("Retry", "ToolError", None), id="raises"),
        pytest.param("times_out", ("Retry", "ToolError", None), id="times-out"),
        pytest.param("cannot_say", ("Retry", "ToolError", None), id="broken-str"),
        pytest.param("odd", ("Retry", "ToolError", None), id="result-without-json"),
    ],
)
async def test_every_failure_of_a_tool_has_an_error_class(run, module, tool, ended):
    agent = inline(tools=[{"name": f"{module(TOOLS)}:{tool}"}])

    ending = await run([{"toolCalls": [{"name": tool}]}, {"text": "done"}], agent=agent)

    assert (ending.verdict.value, ending.reason, ending.delay_seconds) == ended


async def test_a_tool_that_waits_for_an_answer_from_outside_is_refused(run, module):
    name = module("""
from google.adk.tools import LongRunningFunctionTool
def ask() -> None:
    return None
tool = LongRunningFunctionTool(ask)
""")
    ending = await run([{"toolCalls": [{"name": "ask"}]}, {"text": ""}], agent=inline(tools=[{"name": f"{name}:tool"}]))

    assert ending.reason == "ConfigInvalid"
    assert "tool ask waits" in ending.message


async def test_an_answer_that_does_not_fit_the_agents_schema_is_retried(run, module):
    name = module("""
from google.adk.agents import LlmAgent
from pydantic import BaseModel
class Mood(BaseModel):
    mood: str
agent = LlmAgent(name="a", output_schema=Mood, output_key="mood")
""")
    agent = {"model": "scripted/script/main", "module": {"ref": f"{name}:agent"}}

    wrong, right = await run([{"text": "fine"}], agent=agent), await run([{"text": '{"mood": "fine"}'}], agent=agent)

    assert (wrong.verdict.value, wrong.reason) == ("Retry", "ResultError")
    assert right.result["structured"] == {"mood": "fine"}


async def test_adks_own_limit_of_calls_ends_as_a_budget(run, module, monkeypatch):
    monkeypatch.setenv("ADK_MAX_LLM_CALLS", "2")
    name = module("def more():\n    return {'ok': 1}")

    ending = await run([{"toolCalls": [{"name": "more"}]}] * 3, agent=inline(tools=[{"name": f"{name}:more"}]))

    assert (ending.verdict.value, ending.reason) == ("Fail", "BudgetExceeded")


REFUSED = [
    pytest.param({"module": {"ref": "nowhere:agent"}}, "ModuleNotFound", "no module 'nowhere'", id="no-module"),
    pytest.param(
        {"module": {"ref": "agentjobs_runner.nothing:agent"}}, "ModuleNotFound", "it has: Cancel", id="no-submodule"
    ),
    pytest.param({"module": {"ref": "given:agnet"}}, "ModuleNotFound", "it has: LlmAgent, agent,", id="no-attribute"),
    pytest.param({"module": {"ref": "given"}}, "ModuleNotFound", "an agent called 'root_", id="no-conventional-name"),
    pytest.param({"module": {"ref": "given:agent"}}, "ConfigInvalid", "an Agent, an App", id="no-agent"),
    pytest.param({"module": {"ref": "given:needs"}}, "ConfigInvalid", "without arguments", id="factory-with-arguments"),
    pytest.param({"module": {"ref": "given:makes_none"}}, "ConfigInvalid", "NoneType", id="factory-of-nothing"),
    pytest.param({"module": {"ref": "given:misnamed"}}, "ConfigInvalid", "name", id="factory-of-an-illegal-agent"),
    pytest.param({}, "ConfigInvalid", "agent.inline and agent.module", id="neither"),
    pytest.param({"inline": {"name": "a"}}, "ConfigInvalid", "agent.model", id="no-model"),
    pytest.param({"model": "some-model", "inline": {"name": "a"}}, "ConfigInvalid", "gemini-", id="unknown-model"),
    pytest.param(
        {"model": "scripted/a/b", "inline": {"name": "a"}},
        "ConfigInvalid",
        "it has: scripted/script/main",
        id="no-script",
    ),
    pytest.param(inline(name="not-legal"), "ConfigInvalid", "not-legal", id="name-adk-refuses"),
    pytest.param(inline(agentClass="Robot"), "ConfigInvalid", "LlmAgent, SequentialAgent", id="unknown-class"),
    pytest.param(inline(subAgents=["x"]), "ConfigInvalid", "'x' is not in", id="unknown-member"),
    pytest.param(
        inline(subAgents=["x", "x"], agents=[{"name": "x"}]), "ConfigInvalid", "belongs to", id="member-twice"
    ),
    pytest.param(
        inline(subAgents=["x"], agents=[{"name": "x", "subAgents": ["x"]}]), "ConfigInvalid", "cycle", id="circle"
    ),
    pytest.param(inline(tools=[{"name": "google_serach"}]), "ModuleNotFound", "google_search", id="no-built-in"),
    pytest.param(inline(tools=[{"name": "shop:buy"}]), "ModuleNotFound", "tools[0].name", id="no-tool-module"),
    pytest.param(inline(tools=[{"name": "given:agent"}]), "ConfigInvalid", "a tool is", id="no-tool"),
    pytest.param(inline(instruction="Tell {nobody}."), "ConfigInvalid", "nobody", id="unknown-state-key"),
]


@pytest.mark.parametrize(("agent", "reason", "said"), REFUSED)
async def test_an_invalid_definition_fails_and_is_named(run, module, agent, reason, said):
    module("""
from google.adk.agents import LlmAgent
agent = 1
def needs(x): return x
def makes_none(): return None
def misnamed(): return LlmAgent(name="not-legal")
""")
    ending = await run(agent=agent or {"other": {}})

    assert (ending.verdict.value, ending.reason) == ("Fail", reason)
    assert said in ending.message


@pytest.mark.parametrize(
    ("source", "ended", "said"),
    [
        pytest.param("1/0", ("Retry", "AgentError"), "ZeroDivisionError", id="raises"),
        pytest.param("raise SystemExit(1)", ("Retry", "AgentError"), "sys.exit(1)", id="exits"),
        pytest.param("agent =", ("Fail", "ConfigInvalid"), "is not valid Python", id="syntax"),
        pytest.param("import missing_lib", ("Fail", "ModuleNotFound"), "missing_lib", id="missing-dependency"),
        pytest.param("from json import no_such", ("Fail", "ModuleNotFound"), "no_such", id="missing-name"),
        pytest.param(
            "from google.adk.agents import LlmAgent\nagent = LlmAgent(name='user')",
            ("Fail", "ConfigInvalid"),
            "user",
            id="agent-adk-refuses",
        ),
    ],
)
async def test_a_module_that_cannot_be_imported_is_named(run, tmp_path, monkeypatch, source, ended, said):
    (tmp_path / "some.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "some", raising=False)

    ending = await run(agent={"module": {"ref": "some:agent"}})

    assert (ending.verdict.value, ending.reason) == ended
    assert said in ending.message


async def test_an_invalid_app_name_is_refused(run):
    ending = await run(session={"appName": "2 fast"})

    assert (ending.reason, "session.appName" in ending.message) == ("ConfigInvalid", True)


async def test_the_maximum_output_of_a_job_is_sent_to_the_model(run, monkeypatch):
    from agentjobs_runner.adk.scripted import ScriptedModel

    asked = []
    answers = ScriptedModel.generate_content_async

    def heard(self, llm_request, stream=False):
        asked.append(llm_request.config.max_output_tokens)
        return answers(self, llm_request, stream)

    monkeypatch.setattr(ScriptedModel, "generate_content_async", heard)
    agent = team("SequentialAgent", "one", "two")
    agent["inline"]["agents"][0]["maxOutputTokens"] = 9000
    await run([{"text": "1"}, {"text": "2"}], agent=agent)

    assert asked == [9000, None]
