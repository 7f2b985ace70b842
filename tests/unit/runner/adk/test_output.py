import pytest

SCHEMA = {
    "type": "object",
    "properties": {"outcome": {"enum": ["fix", "wontfix"]}, "size": {"type": "integer"}},
    "required": ["outcome"],
}
GOOD, BAD = {"text": '{"outcome": "fix", "size": 3}'}, {"text": '{"outcome": "maybe", "size": "big"}'}
TEXT = {"text": "I would fix it."}


def kinds(timeline):
    return [kind for kind, _, _ in timeline.entries]


async def test_a_valid_answer_has_its_outcome(run, timeline):
    ending = await run([GOOD], output={"schema": SCHEMA})

    assert ending.result["outcome"] == "fix"
    assert ending.result["structured"] == {"outcome": "fix", "size": 3}
    assert "repair" not in kinds(timeline)


async def test_an_invalid_answer_is_corrected_in_the_same_session(run, timeline):
    ending = await run([TEXT, BAD, GOOD], output={"schema": SCHEMA})

    assert (ending.verdict, ending.result["outcome"]) == ("Succeed", "fix")
    assert ending.result["usage"]["llmCalls"] == 3
    told = [data["problems"] for kind, _, data in timeline.entries if kind == "repair"]
    assert [len(problems) for problems in told] == [1, 2]
    assert "JSON object" in told[0][0]
    assert [problem.partition(": ")[0] for problem in told[1]] == ["outcome", "size"]


@pytest.mark.parametrize(
    ("output", "answers", "verdict", "said"),
    [
        ({}, [TEXT, BAD, BAD], "Retry", "after 2 corrections: outcome: 'maybe'"),
        ({"maxRepairs": 0}, [TEXT], "Retry", "JSON object"),
        ({"onInvalid": "Retry"}, [BAD], "Retry", "output.schema: outcome"),
        ({"onInvalid": "Fail"}, [BAD], "Fail", "output.schema: outcome"),
    ],
    ids=["repairs-used-up", "no-repairs", "retry", "fail"],
)
async def test_an_answer_that_is_not_corrected_is_invalid(run, output, answers, verdict, said):
    ending = await run(answers, output={"schema": SCHEMA, **output})

    assert (ending.verdict, ending.reason) == (verdict, "InvalidOutput")
    assert said in ending.message
    assert ending.result is None


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [('{"decision": "go"}', "go"), ('{"decision": 3}', None), ("{}", None), ('{"decision": "%s"}' % ("x" * 64), None)],
    ids=["text", "number", "missing", "too-long"],
)
async def test_the_outcome_is_the_value_at_its_key_or_null(run, answer, outcome):
    ending = await run([{"text": answer}], output={"schema": {"type": "object"}, "outcomeKey": "decision"})
    assert (ending.verdict, ending.result["outcome"]) == ("Succeed", outcome)


async def test_without_a_schema_there_is_no_outcome(run):
    ending = await run([GOOD])
    assert ending.result["outcome"] is None


async def test_an_error_of_the_model_is_not_an_invalid_answer(run):
    ending = await run([{"error": {"status": 503, "message": "away"}}], output={"schema": SCHEMA})
    assert (ending.verdict, ending.reason) == ("Retry", "ModelUnavailable")


async def test_the_agent_gets_the_schema_in_addition_to_the_message(run, module):
    name = module("""
from google.adk.agents import LlmAgent
heard = []
def hear(callback_context, llm_request):
    heard.append([part.text for part in llm_request.contents[-1].parts])
root_agent = LlmAgent(name="a", before_model_callback=hear)
""")
    agent = {"model": "scripted/script/main", "module": {"ref": f"{name}:root_agent"}}

    await run([TEXT, GOOD], agent=agent, output={"schema": SCHEMA})

    import given

    assert given.heard[0][0] == "Say hello."
    assert '"enum": ["fix", "wontfix"]' in given.heard[0][1]
    assert "JSON object" in given.heard[1][0]


OWN = """
from google.adk.agents import LlmAgent
from pydantic import BaseModel
class Verdict(BaseModel):
    verdict: str
    size: int
agent = LlmAgent(name="judge", model="scripted/script/main", output_schema=Verdict)
"""
FITS, MISFIT = {"text": '{"verdict": "fix", "outcome": "fix", "size": 3}'}, {"text": '{"verdict": "fix"}'}


@pytest.mark.parametrize(
    ("answers", "output", "ended"),
    [
        ([FITS], None, ("Succeed", "fix")),
        ([FITS], {"outcomeKey": "verdict"}, ("Succeed", "fix")),
        ([MISFIT, FITS], None, ("Retry", "InvalidOutput")),
        ([MISFIT, FITS], {"outcomeKey": "verdict"}, ("Succeed", "fix")),
        ([MISFIT], {"outcomeKey": "verdict", "onInvalid": "Fail"}, ("Fail", "InvalidOutput")),
        ([MISFIT], {"schema": {"type": "object"}}, ("Succeed", None)),
        ([{"text": 'Here:\n```json\n{"verdict": "no", "outcome": "no", "size": 1}\n```'}], None, ("Succeed", "no")),
    ],
    ids=["fits", "other-key", "no-surprising-repair", "repaired-if-asked", "fails", "the-jobs-comes-first", "fenced"],
)
async def test_the_agents_own_schema_applies_if_the_job_has_none(run, module, answers, output, ended):
    ending = await run(answers, agent={"module": {"ref": f"{module(OWN)}:agent"}}, output=output)

    assert (ending.verdict, ending.result["outcome"] if ending.result else ending.reason) == ended


OBJECT = '{"outcome": "fix"}'


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        (f"Here it is:\n\n```json\n{OBJECT}\n```\nTell me if you need more.", True),
        (f"<think>{{}} or not?</think>\n{OBJECT}", True),
        (f"First I look at {{}}.\n</think>\n{OBJECT}", True),
        (f"<think>Hm.</think>Well:\n```\n{OBJECT}\n```", True),
        (f"```yaml\na: 1\n```\n```json\n{OBJECT}\n```", True),
        (f"```json {OBJECT} ```", True),
        (f"```json\n{OBJECT}\n```\nor\n```json\n{OBJECT}\n```", False),
        (f"Here it is: {OBJECT}", False),
        (f"<think>{OBJECT}", False),
    ],
    ids=[
        "beside-words",
        "thoughts",
        "thoughts-without-a-beginning",
        "both",
        "one-of-its-kind",
        "on-one-line",
        "two",
        "no-block",
        "unended-thoughts",
    ],
)
async def test_one_json_object_in_a_block_is_the_answer_of_a_job_with_a_schema(run, text, fits):
    ending = await run([{"text": text}], output={"schema": SCHEMA, "maxRepairs": 0})

    assert (ending.reason == "ResultAccepted") is fits


@pytest.mark.parametrize("piece", ["```a\n", "<think>", "```\n{\n", "`", "</thinking>", "\n", "{"])
async def test_any_answer_is_parsed_quickly(run, piece):
    await run([{"text": "a" + piece * (400_000 // len(piece))}], output={"schema": SCHEMA, "maxRepairs": 0})


STATE = """
from google.adk.agents import LlmAgent
from google.adk.tools import ToolContext
def keep(value, tool_context: ToolContext):
    tool_context.state["document"] = value
    return {"ok": 1}
agent = LlmAgent(name="writer", model="scripted/script/main", tools=[keep])
"""


def keeps(value):
    return {"toolCalls": [{"name": "keep", "args": {"value": value}}]}


@pytest.mark.parametrize(
    ("value", "output", "text", "outcome"),
    [
        ("the text", {}, "the text", None),
        ({"outcome": "fix"}, {}, OBJECT, "fix"),
        ([1, 2], {}, "[1, 2]", None),
        ({"outcome": "fix"}, {"schema": SCHEMA}, OBJECT, "fix"),
        (f"```json\n{OBJECT}\n```", {"schema": SCHEMA}, f"```json\n{OBJECT}\n```", "fix"),
    ],
    ids=["text", "object", "list", "object-with-a-schema", "text-with-a-schema"],
)
async def test_the_answer_can_be_taken_from_the_state(run, module, value, output, text, outcome):
    answers = [keeps(value), {"text": "No major issues found."}]

    ending = await run(
        answers, agent={"module": {"ref": f"{module(STATE)}:agent"}}, output={"fromState": "document", **output}
    )

    assert (ending.result["text"], ending.result["outcome"]) == (text, outcome)


@pytest.mark.parametrize("text", ["\u200b", " \u00a0\u2060\n", "\ufeff"], ids=["zero-width", "spaces", "mark"])
async def test_an_answer_of_invisible_characters_does_not_count(run, text):
    ending = await run([{"text": text}])

    assert (ending.verdict, ending.reason) == ("Retry", "ResultError")


@pytest.mark.parametrize("answers", [[{"text": "done"}], [keeps(None), {"text": "done"}], [keeps(""), {"text": "x"}]])
async def test_the_error_for_a_key_without_a_value_lists_keys_with_values(run, module, answers):
    agent = {"module": {"ref": f"{module(STATE)}:agent"}}

    ending = await run(answers, agent=agent, state={"city": "Lyon"}, output={"fromState": "document"})

    assert (ending.verdict, ending.reason) == ("Retry", "ResultError")
    assert "'document'" in ending.message
    assert "city" in ending.message


async def test_an_invalid_value_of_the_state_is_corrected(run, module):
    agent = {"module": {"ref": f"{module(STATE)}:agent"}}
    answers = [keeps({"outcome": "maybe"}), {"text": "a"}, keeps({"outcome": "fix"}), {"text": "b"}]

    ending = await run(answers, agent=agent, output={"fromState": "document", "schema": SCHEMA})

    assert ending.result["outcome"] == "fix"


LARGE = """
from google.adk.workflow import START, Workflow
def large(node_input): return {value}
agent = Workflow(name="g", edges=[(START, large)])
"""


async def test_a_too_large_structured_answer_is_not_requested_again(run, module):
    name = module(LARGE.format(value="{'outcome': 'fix', 'text': 'x' * 5_000_000}"))

    ending = await run(agent={"module": {"ref": f"{name}:agent"}}, output={"schema": SCHEMA})

    assert (ending.verdict, ending.reason) == ("Fail", "InvalidOutput")
    assert ("4.8 MiB" in ending.message, "4.0 MiB" in ending.message) == (True, True)


async def test_a_truncated_text_says_so(run, module):
    name = module(LARGE.format(value="'ü' * 3_000_000"))

    ending = await run(agent={"module": {"ref": f"{name}:agent"}})

    assert ending.result["cutFrom"] == 6_000_000
    assert ("5.7 MiB" in ending.message, "4.0 MiB" in ending.message) == (True, True)


async def test_a_graph_with_an_invalid_output_is_run_again_with_the_problem(run, module):
    name = module("""
from google.adk.agents import LlmAgent
from google.adk.workflow import START, Workflow
def structure(node_input: str) -> dict: return {"outcome": node_input}
agent = Workflow(name="g", edges=[(START, LlmAgent(name="a", model="scripted/script/main"), structure)])
""")
    ending = await run(
        [{"text": "maybe"}, {"text": "fix"}],
        agent={"module": {"ref": f"{name}:agent"}},
        output={"schema": SCHEMA},
    )

    assert ending.result["structured"] == {"outcome": "fix"}


@pytest.mark.parametrize(
    ("agent", "answer"),
    [
        ("say(output_schema=Rows)", "[1, 2]"),
        ("say(output_schema=list[int])", "[1, 2]"),
        ("say(output_schema=Row, after_agent_callback=in_words)", '{"id": 3}'),
        ("say(output_schema=Row, tools=[show])", None),
    ],
    ids=["list-model", "list", "rewritten-by-a-callback", "result-of-a-tool"],
)
async def test_only_output_of_the_model_is_checked_against_the_agents_schema(run, module, agent, answer):
    name = module(f"""
from google.adk.agents import LlmAgent
from google.adk.tools import ToolContext
from google.genai import types
from pydantic import BaseModel, RootModel
class Row(BaseModel):
    id: int
class Rows(RootModel[list[int]]):
    pass
def in_words(callback_context): return types.ModelContent("It is row 3.")
def show(tool_context: ToolContext):
    tool_context.actions.skip_summarization = True
    return {{"other": 1}}
def say(**more): return LlmAgent(name="a", model="scripted/script/main", **more)
agent = {agent}
""")
    ending = await run(
        [{"text": answer} if answer else {"toolCalls": [{"name": "show"}]}],
        agent={"module": {"ref": f"{name}:agent"}},
    )

    assert ending.reason == "ResultAccepted", ending
