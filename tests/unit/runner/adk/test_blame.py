"""Who is to blame when an error has passed through several hands, in agents run under the real ADK."""

import importlib
import json
import logging
import sys

import pytest
from google.adk.integrations.openai import _openai_llm, _openai_responses_llm
from google.adk.models import anthropic_llm
from openai.types.chat import ChatCompletion

from agentjobs_runner.adk import readers
from agentjobs_runner.adk.finish_reasons import is_whole
from agentjobs_runner.adk.readers import make_strict
from agentjobs_runner.endings import StartEnded
from agentjobs_runner.log import logger

SCRIPT = "scripted/script/main"


async def ended(run, module, source, answers=None, **more):
    agent = {"model": SCRIPT, "module": {"ref": f"{module(source)}:root_agent"}}
    return await run(answers or [{"toolCalls": [{"name": "tool"}]}, {"text": "done"}], agent=agent, **more)


def tool(body, *, head=""):
    return f"""
import asyncio, datetime, decimal
import httpx, pydantic
from google.adk.agents import LlmAgent
from google.genai import errors
{head}
class Row(pydantic.BaseModel):
    id: int
def denied():
    raise errors.ClientError(403, {{"error": {{"code": 403, "message": "no"}}}}, httpx.Response(403))
{body}
root_agent = LlmAgent(name="a", model="{SCRIPT}", tools=[tool])
"""


WRAPPED = {
    "from-a-client": "def tool():\n try: denied()\n except Exception as e: raise RuntimeError('no index') from e",
    "over-a-client": "def tool():\n try: denied()\n except Exception: raise RuntimeError('no index')",
    "from-a-row": "def tool():\n try: Row(id='x')\n except Exception as e: raise RuntimeError('no index') from e",
    "a-row": "def tool():\n Row(id='x')",
    "a-task-group": """
async def tool():
 async def part(): denied()
 async with asyncio.TaskGroup() as group: group.create_task(part())
""",
}


@pytest.mark.parametrize("body", WRAPPED.values(), ids=WRAPPED)
async def test_an_error_inside_a_tool_is_a_tool_error(run, module, body):
    ending = await ended(run, module, tool(body))

    assert (ending.verdict.value, ending.reason) == ("Retry", "ToolError")
    assert "tool tool failed: " in ending.message
    assert "(/app/given.py:" in ending.message


@pytest.fixture
def records():
    """What the runner logs; its logger tells no one above it."""
    found = []
    handler = logging.Handler()
    handler.emit = found.append
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


async def test_a_failing_tool_is_named_with_its_line_and_only_the_users_stack(run, module, records):
    source = tool("def tool():\n return inner()['amonut']\ndef inner():\n return {}")
    line = source.splitlines().index(" return inner()['amonut']") + 1

    ending = await ended(run, module, source)

    assert ending.message.startswith("tool tool ")
    assert ending.message.endswith(f": KeyError: 'amonut' (/app/given.py:{line})")
    [record] = [record for record in records if record.getMessage() == "agent.raised"]
    assert record.stack == [f"  /app/given.py:{line} in tool", "KeyError: 'amonut'"]


CALLBACKS = {
    "before_model_callback": "def check(callback_context, llm_request): Row(id='x')",
    "after_model_callback": "def check(callback_context, llm_response): Row(id='x')",
    "before_agent_callback": "async def check(callback_context):\n  Row(id='x')",
}


@pytest.mark.parametrize(("place", "body"), CALLBACKS.items(), ids=CALLBACKS)
async def test_a_callbacks_own_validation_is_the_agents_error_and_names_it(run, module, place, body):
    source = tool(f"{body}\ndef tool(): pass") + f"root_agent.{place} = check\n"

    ending = await ended(run, module, source)

    assert (ending.verdict.value, ending.reason) == ("Retry", "AgentError")
    assert ending.message.startswith("callback check failed: ValidationError")


async def test_a_plugin_that_fails_is_named(run, module):
    source = (
        tool("def tool(): pass")
        + """
from google.adk.apps import App
from google.adk.plugins.base_plugin import BasePlugin
class Watch(BasePlugin):
    async def before_agent_callback(self, *, agent, callback_context):
        raise LookupError("nobody home")
app = App(name="x", root_agent=root_agent, plugins=[Watch("watch")])
"""
    )
    ending = await run(agent={"model": SCRIPT, "module": {"ref": f"{module(source)}:app"}})

    assert ending.message.startswith("plugin watch in before_agent_callback ")
    assert ": LookupError: nobody home (/app/" in ending.message


async def test_a_node_that_fails_is_named(run, module):
    source = """
from google.adk.workflow import START, Workflow
def count(node_input: str): raise LookupError("no numbers")
root_agent = Workflow(name="w", edges=[(START, count)])
"""
    ending = await run(agent={"module": {"ref": f"{module(source)}:root_agent"}})

    assert ending.reason == "AgentError"
    assert ending.message.startswith("node count ")
    assert ": LookupError: no numbers (/app/given.py:3)" in ending.message


IMPORTS = {
    "module": "def tool():\n import not_there_at_all",
    "name": "def tool():\n from json import not_there",
    "told": "def tool():\n try:\n  import not_there_at_all\n except ImportError as e: raise RuntimeError('no') from e",
}


@pytest.mark.parametrize("body", IMPORTS.values(), ids=IMPORTS)
async def test_a_module_missing_in_the_image_is_not_retried(run, module, body):
    ending = await ended(run, module, tool(body))
    assert (ending.verdict.value, ending.reason) == ("Fail", "ModuleNotFound")


async def test_a_handled_import_error_does_not_determine_the_error_class(run, module):
    body = "def tool():\n try:\n  import not_there_at_all\n except ImportError:\n  raise TimeoutError('slow')"
    assert (await ended(run, module, tool(body))).reason == "ToolError"


@pytest.mark.filterwarnings("ignore:The `plugins` argument:DeprecationWarning")  # ADK's AgentTool gives it
async def test_state_missing_inside_a_tool_is_an_invalid_definition_too(run, module):
    source = f"""
from google.adk.agents import LlmAgent
from google.adk.tools.agent_tool import AgentTool
inner = LlmAgent(name="tool", model="{SCRIPT}", instruction="About {{topic}}.")
root_agent = LlmAgent(name="outer", model="{SCRIPT}", tools=[AgentTool(inner)])
"""
    answers = [{"toolCalls": [{"name": "tool", "args": {"request": "?"}}]}, {"text": "done"}]
    ending = await ended(run, module, source, answers)

    assert (ending.verdict.value, ending.reason) == ("Fail", "ConfigInvalid")
    assert "state 'topic'" in ending.message


DECLARED = {
    "class": ("class Client: pass\ndef tool(client: Client): pass", "parameter client"),
    "list-of-class": ("class Client: pass\ndef tool(ok: int, clients: list[Client]): pass", "parameter clients"),
    "callable": ("from typing import Callable\ndef tool(f: Callable[[int], int]): pass", ""),
}


@pytest.mark.parametrize(("body", "parameter"), DECLARED.values(), ids=DECLARED)
async def test_a_tool_that_cannot_be_declared_fails_immediately_and_is_named(run, module, body, parameter):
    ending = await ended(run, module, tool(body))

    assert (ending.verdict.value, ending.reason) == ("Fail", "ConfigInvalid"), ending.message
    assert "tool tool" in ending.message
    assert parameter in ending.message
    assert len(ending.message) < 500


async def test_a_tool_for_another_model_fails_immediately_and_is_named(run):
    tools = {"name": "a", "instruction": "Help.", "tools": [{"name": "google_search"}]}
    ending = await run(agent={"model": SCRIPT, "inline": tools})

    assert (ending.verdict.value, ending.reason) == ("Fail", "ConfigInvalid")
    assert ending.message.startswith("tool google_search")
    assert "gemini-" in ending.message


async def test_an_error_in_the_users_instruction_code_is_retried(run, module):
    source = tool("def tool(): pass\ndef tell(context): raise ValueError('the prompt store is away')")
    ending = await ended(run, module, f"{source}root_agent.instruction = tell\n")

    assert (ending.verdict.value, ending.reason) == ("Retry", "AgentError")


RESULTS = {
    "date": "datetime.date(2026, 11, 21)",
    "decimal": "decimal.Decimal('1.5')",
    "model": "Row(id=1)",
    "bytes": "b'\\xff\\x00'",
    "set": "{1, 2}",
    "nan": "float('nan')",
}


@pytest.mark.parametrize("value", RESULTS.values(), ids=RESULTS)
async def test_a_tools_result_that_can_be_converted_to_json_is_given_to_the_model(run, module, value):
    ending = await ended(run, module, tool(f"def tool(): return {{'rows': [{{'day': {value}}}]}}"))
    assert ending.verdict.value == "Succeed"


async def test_the_error_for_a_tools_result_that_is_not_json_names_tool_type_and_path(run, module):
    ending = await ended(run, module, tool("def tool(): return {'rows': [{'day': httpx.Client}]}"))

    assert (ending.verdict.value, ending.reason) == ("Retry", "ToolError")
    assert "type type at rows.0.day" in ending.message


async def test_an_error_that_we_explain_has_no_stack_of_ours(run, module, records):
    await ended(run, module, tool("def tool(): return {'rows': [{'day': httpx.Client}]}"))

    assert [record for record in records if record.getMessage() == "agent.raised"] == []


async def test_a_failed_import_shows_the_users_line_and_no_frame_of_ours(run, tmp_path, monkeypatch, records):
    (tmp_path / "needy.py").write_text("import pandsa\n")
    monkeypatch.syspath_prepend(tmp_path)

    await run([], agent={"model": SCRIPT, "module": {"ref": "needy:agent"}})

    [record] = [record for record in records if record.getMessage() == "agent.raised"]
    assert record.stack == ["  needy.py:1 in <module>: import pandsa", "ModuleNotFoundError: No module named 'pandsa'"]


async def test_a_transfer_to_an_unknown_agent_is_the_models_error(run, module):
    source = (
        tool("def tool(): pass")
        + f"""
root_agent = LlmAgent(name="a", model="{SCRIPT}", sub_agents=[LlmAgent(name="b", model="{SCRIPT}")])
"""
    )
    answers = [{"toolCalls": [{"name": "transfer_to_agent", "args": {"agent_name": "editor"}}]}, {"text": "x"}]
    ending = await ended(run, module, source, answers)

    assert ending.reason == "ResultError"
    assert "'editor'" in ending.message


LOOPS = {
    "asyncio-run": "def tool():\n c = asyncio.sleep(0)\n try: asyncio.run(c)\n finally: c.close()",
    "run-until-complete": "def tool(): later().run_until_complete(later().create_future())",
}


@pytest.mark.parametrize("body", LOOPS.values(), ids=LOOPS)
async def test_code_that_starts_a_second_event_loop_fails_immediately_with_its_line(run, module, body):
    ending = await ended(run, module, tool(body, head="def later(): return asyncio.get_running_loop()"))

    assert (ending.verdict.value, ending.reason) == ("Fail", "ConfigInvalid")
    assert "event loop (/app/given.py:" in ending.message


def chat(written):
    function = {"name": "purge", "arguments": written}
    message = {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": function}]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    return ChatCompletion.model_validate(
        {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    )


@pytest.mark.parametrize(
    "written", ["{prefix: tmp}", "{'prefix': 'tmp'}", "```json\n{}\n```", '{"prefix": "tm', "[]", '"tmp"']
)
def test_adks_parsers_refuse_invalid_arguments(written):
    make_strict()

    with pytest.raises(StartEnded, match="JSON object"):
        _openai_llm._response_to_llm_response(chat(written))
    for read in (_openai_responses_llm._loads_json_object, anthropic_llm._json_utils.safe_json_loads):
        with pytest.raises(StartEnded, match="JSON object"):
            read(written)


@pytest.mark.parametrize(("written", "read"), [("", {}), ("{}", {}), ('{"prefix": "tmp"}', {"prefix": "tmp"})])
def test_adks_parsers_read_all_valid_arguments(written, read):
    make_strict()

    answer = _openai_llm._response_to_llm_response(chat(written))
    assert answer.content.parts[0].function_call.args == read
    assert _openai_responses_llm._loads_json_object(written) == read


@pytest.fixture
def lite_llm(tmp_path, monkeypatch):
    """ADK's reader of LiteLLM's answers; it asks for the package, which is large and not needed to read."""
    (tmp_path / "litellm.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(readers, "_done", set())
    monkeypatch.delitem(sys.modules, "google.adk.models.lite_llm", raising=False)
    reader = importlib.import_module("google.adk.models.lite_llm")
    monkeypatch.setattr(reader, "_LITELLM_IMPORTED", True)
    make_strict()
    yield reader
    del sys.modules["google.adk.models.lite_llm"]


class Both(dict):
    """LiteLLM's objects give their fields as items and as attributes."""

    __getattr__ = dict.__getitem__


def message(written):
    return json.loads(chat(written).choices[0].message.model_dump_json(), object_hook=Both)


REPAIRED = ['{prefix: "tmp"}', "{'prefix': 'tmp'}", "```json\n{}\n```", '{"prefix": "tm', "[]"]


@pytest.mark.parametrize("written", REPAIRED)
def test_litellms_parser_does_not_repair_invalid_arguments(lite_llm, written):
    answer = lite_llm._message_to_generate_content_response(message(written))

    assert answer.content.parts == []
    assert not is_whole(answer.finish_reason)


def test_litellms_parser_reads_all_valid_arguments(lite_llm):
    answer = lite_llm._message_to_generate_content_response(message('{"prefix": "x"}'))

    assert answer.content.parts[0].function_call.args == {"prefix": "x"}


@pytest.mark.parametrize("reason", ["pause_turn", "model_context_window_exceeded"])
def test_adks_parser_of_claude_does_not_accept_a_truncated_turn(reason):
    make_strict()
    assert not is_whole(anthropic_llm.to_google_genai_finish_reason(reason))
