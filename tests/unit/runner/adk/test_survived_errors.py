"""Errors that a run went on after: a later start meets them again, and gets what was recorded after them."""

import pytest
from google.genai.errors import ServerError
from tests.memoryjournal import MemoryJournal
from tests.unit.runner.adk.test_replay import until_step

from agentjobs.contract import ErrorClass, Verdict
from agentjobs_runner.adk.survived_errors import SurvivedErrors
from agentjobs_runner.endings import Ending, StartEnded
from agentjobs_runner.steps import StepKey

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # ADK deprecates what people still use

TEAMS = """
from google.adk.agents import BaseAgent, LlmAgent
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.tools import FunctionTool
from google.adk.workflow import START, RetryConfig, Workflow, node
from google.genai import types

fails, effects = set(), []

def effect(name):
    effects.append(name)
    if name in fails:
        fails.discard(name)
        raise OSError(f"{name} failed")

class Model(BaseLlm):
    async def generate_content_async(self, request, stream=False):
        spoken = sum(content.role == "model" for content in request.contents)
        effect(f"model {spoken}")
        call = types.Part(function_call=types.FunctionCall(name="charge", args={"word": "a"}))
        part = types.Part(text="done") if spoken else call
        yield LlmResponse(content=types.Content(role="model", parts=[part]), finish_reason="STOP")

async def charge(word: str) -> str:
    effect("charge")
    return "charged"

def expert(): return LlmAgent(name="expert", model=Model(model="m"), tools=[charge])
def retried(of): return node(of, retry_config=RetryConfig(max_attempts=3, initial_delay=0.01))
def agent_node(): return Workflow(name="graph", edges=[(START, retried(expert()))])
def tool_node():
    def begin(node_input): return {"word": "a"}
    return Workflow(name="graph", edges=[(START, begin, retried(FunctionTool(charge)))])

class Again(BaseAgent):
    async def _run_async_impl(self, context):
        for _ in range(3):
            try:
                async for event in self.sub_agents[0].run_async(context):
                    yield event
                return
            except Exception as error:
                effects.append(f"caught {type(error).__name__}")
def fallback():
    first, second = expert(), LlmAgent(name="second", model=Model(model="m"), tools=[charge])
    async def choose(ctx, node_input):
        try:
            return await ctx.run_node(first, node_input="x")
        except Exception:
            return await ctx.run_node(second, node_input="x")
    return Workflow(name="graph", edges=[(START, node(rerun_on_resume=True)(choose))])
def plain_node(): return Workflow(name="graph", edges=[(START, expert())])
def custom(): return Again(name="again", sub_agents=[expert()])
"""
FAILURES = [
    *[(team, step) for team in ("agent_node", "custom", "fallback") for step in ("model 0", "model 1", "charge")],
    ("tool_node", "charge"),
]


@pytest.mark.parametrize(("team", "fails"), FAILURES)
async def test_steps_recorded_after_an_error_belong_to_the_next_try(run, module, timeline, team, fails):
    given = __import__(module(TEAMS))
    agent, journal = {"module": {"ref": f"given:{team}"}}, MemoryJournal()
    given.fails.add(fails)
    first = await run(agent=agent, journal=journal)
    begun = next(n for n, (step, _) in enumerate(journal.steps) if step.name == "survived error") + 1

    for count in range(begun, len(journal.steps) + 1):
        again = await until_step(journal, count)
        recorded = {step.key for step, body in journal.steps[:count] if body is not None}
        then = await run(agent=agent, journal=again)
        assert then.result["text"] == first.result["text"]
        new = {step.key for step, body in again.steps if body is not None}
        assert recorded | new == {step.key for step, body in journal.steps if body is not None}
        assert recorded.isdisjoint(new)
    assert not [data for kind, _, data in timeline.entries if "recorded for" in str(data)]


async def test_a_caught_error_is_raised_and_caught_again_in_a_later_start(run, module):
    given = __import__(module(TEAMS))
    agent, journal = {"module": {"ref": "given:custom"}}, MemoryJournal()
    given.fails.add("charge")
    await run(agent=agent, journal=journal)
    given.effects.clear()

    await run(agent=agent, journal=journal.again())

    assert given.effects == ["caught OSError"]


KEY, NEXT = StepKey("s", "a", 1), StepKey("s", "a", 2)


async def noted(error):
    """What a later start meets of an error after which a run went on."""
    journal = MemoryJournal()
    errors = SurvivedErrors(journal)
    errors.failed(KEY, error)
    await errors.begins(NEXT)
    return SurvivedErrors(journal.again()).again(KEY)


async def test_an_error_keeps_its_class_and_plain_attributes():
    error = OSError("not yet")
    error.place = "shop"

    met = await noted(error)

    assert (type(met), str(met), met.place) == (OSError, "not yet", "shop")


async def test_a_requested_ending_is_replayed_as_the_same_ending():
    met = await noted(StartEnded(Ending(Verdict.RETRY, ErrorClass.RESULT_ERROR, "no answer")))

    assert (met.ending.verdict, met.ending.reason, str(met)) == (Verdict.RETRY, "ResultError", "no answer")


async def test_an_error_whose_class_cannot_be_restored_has_the_same_ending():
    class Own(Exception):
        def __init__(self, shop, count):
            super().__init__()
            self.text = [f"{shop} has {count}"]

        def __str__(self):
            return self.text[0]

    met = await noted(Own("shop", 3))

    assert isinstance(met, StartEnded)
    assert "shop has 3" in str(met)


async def test_the_status_of_a_providers_error_is_kept():
    met = await noted(ServerError(503, {"error": {"message": "overloaded", "status": "UNAVAILABLE"}}))

    assert met.code == 503 if isinstance(met, ServerError) else met.ending.reason == "ModelUnavailable"


async def test_a_recorded_error_that_ends_a_start_is_void():
    journal = MemoryJournal()
    errors = SurvivedErrors(journal)
    errors.failed(KEY, OSError("not yet"))
    await errors.begins(NEXT)
    later = SurvivedErrors(again := journal.again())
    assert later.again(KEY) is not None

    await later.end(None)

    assert SurvivedErrors(again.again()).again(KEY) is None


async def test_a_recorded_error_that_ends_a_start_is_void_regardless_of_concurrent_steps():
    journal = MemoryJournal()
    errors = SurvivedErrors(journal)
    errors.failed(KEY, OSError("not yet"))
    await errors.begins(NEXT)
    later = SurvivedErrors(again := journal.again())
    error = later.again(KEY)
    later.went_on()

    wrapped = RuntimeError("the graph failed")
    wrapped.__cause__ = error
    await later.end(wrapped)

    assert again.voided == ["survived:s|a#1"]


@pytest.mark.parametrize("team", ["plain_node", "expert"])
async def test_a_recorded_error_does_not_fail_a_job_forever(run, module, monkeypatch, team):
    __import__(module(TEAMS))
    agent, journal = {"module": {"ref": f"given:{team}"}}, MemoryJournal()
    site = "|graph@1/expert@1" if team == "plain_node" else "|expert@1"
    errors = SurvivedErrors(journal)
    errors.failed(StepKey(site, "expert", 1), OSError("not yet"))
    await errors.begins(StepKey(site, "expert", 2))
    monkeypatch.setattr(SurvivedErrors, "_newest", property(lambda _: None, lambda *_: None), raising=False)

    second = await run(agent=agent, journal=(again := journal.again()))
    third = await run(agent=agent, journal=again.again())

    assert [second.verdict, third.verdict] == ["Retry", "Succeed"]


async def test_an_error_followed_by_progress_remains_recorded():
    journal = MemoryJournal()
    errors = SurvivedErrors(journal)
    errors.failed(KEY, OSError("not yet"))
    await errors.begins(NEXT)
    errors.went_on()

    await errors.end(None)

    assert journal.voided == []


@pytest.mark.parametrize("beside", [StepKey("t", "a", 2), KEY.tool(2), StepKey("t", "b", 1)])
async def test_a_step_concurrent_to_a_failed_one_records_no_error(beside):
    journal = MemoryJournal()
    errors = SurvivedErrors(journal)
    errors.failed(KEY.tool(1), OSError("not yet"))

    await errors.begins(beside)

    assert journal.steps == []
