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


async def test_an_answer_that_fits_has_its_outcome(run, timeline):
    ending = await run([GOOD], output={"schema": SCHEMA})

    assert ending.result["outcome"] == "fix"
    assert ending.result["structured"] == {"outcome": "fix", "size": 3}
    assert "repair" not in kinds(timeline)


async def test_a_wrong_answer_is_corrected_in_the_same_session(run, timeline):
    ending = await run([TEXT, BAD, GOOD], output={"schema": SCHEMA})

    assert (ending.verdict, ending.result["outcome"]) == ("Succeed", "fix")
    assert ending.result["usage"]["llmCalls"] == 3
    told = [data["problems"] for kind, _, data in timeline.entries if kind == "repair"]
    assert told == [
        ["the answer is no JSON object"],
        ["outcome: 'maybe' is not one of ['fix', 'wontfix']", "size: 'big' is not of type 'integer'"],
    ]


@pytest.mark.parametrize(
    ("output", "answers", "verdict", "said"),
    [
        ({}, [TEXT, BAD, BAD], "Retry", "the answer does not fit output.schema after 2 corrections: outcome: 'maybe'"),
        ({"maxRepairs": 0}, [TEXT], "Retry", "does not fit output.schema: the answer is no JSON object"),
        ({"onInvalid": "Retry"}, [BAD], "Retry", "does not fit output.schema: outcome"),
        ({"onInvalid": "Fail"}, [BAD], "Fail", "does not fit output.schema: outcome"),
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
async def test_the_outcome_stands_at_its_key_or_is_null(run, answer, outcome):
    ending = await run([{"text": answer}], output={"schema": {"type": "object"}, "outcomeKey": "decision"})
    assert (ending.verdict, ending.result["outcome"]) == ("Succeed", outcome)


async def test_without_a_schema_there_is_no_outcome(run):
    ending = await run([GOOD])
    assert ending.result["outcome"] is None


async def test_an_error_of_the_model_is_no_wrong_answer(run):
    ending = await run([{"error": {"status": 503, "message": "away"}}], output={"schema": SCHEMA})
    assert (ending.verdict, ending.reason) == ("Retry", "ModelUnavailable")


async def test_the_agent_is_told_the_schema_beside_the_message(run, module):
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
    assert "- the answer is no JSON object" in given.heard[1][0]
