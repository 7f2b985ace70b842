"""What is retried within a start, what a later start requests again, and warnings about other requests."""

import pytest
from tests.memoryjournal import MemoryJournal

from agentjobs_runner.adk.step_policies import Backoff, StepPolicies

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # ADK deprecates what people still use

NOW = {"initial": "10ms", "max": "10ms"}
AWAY = {"error": {"status": 503}}


def warnings(timeline):
    return [data["message"] for kind, _, data in timeline.entries if kind == "warning" and "agentjobs" not in data]


def answers(journal):
    return [step.key for step, body in journal.steps if step.kind == "model" and body is not None]


async def test_a_briefly_unavailable_model_is_retried_within_the_start(run, timeline):
    steps = {"llm": {"maxAttempts": 3, "backoff": NOW}}

    ending = await run([AWAY, AWAY, {"text": "there"}], steps=steps)

    assert ending.result["text"] == "there"
    assert [message[:14] for message in warnings(timeline)] == ["attempt 1 of 3", "attempt 2 of 3"]


async def test_after_the_last_try_the_start_ends_with_the_models_error(run, timeline):
    ending = await run([AWAY, AWAY], steps={"llm": {"maxAttempts": 2, "backoff": NOW}})

    assert (ending.verdict, ending.reason) == ("Retry", "ModelUnavailable")


async def test_a_rate_limit_is_a_snooze_and_not_a_try(run):
    ending = await run([{"error": {"status": 429, "retryAfter": "1s"}}], steps={"llm": {"backoff": NOW}})

    assert (ending.verdict, ending.reason) == ("Snooze", "ModelRateLimited")


async def test_a_model_without_any_part_of_an_answer_times_out(run):
    ending = await run([{"delay": "30s", "text": "late"}], steps={"llm": {"maxAttempts": 1, "timeout": "50ms"}})

    assert (ending.verdict, ending.reason) == ("Retry", "ModelTimeout")


TOOLS = """
import asyncio
from agentjobs_runner import Snooze
from google.adk.agents import LlmAgent
calls = []
fails = 99
def flaky():
    calls.append("flaky")
    if len(calls) <= fails:
        raise OSError("not yet")
    return "done"
async def slow():
    calls.append("slow")
    await asyncio.sleep(30)
def later():
    raise Snooze(1)
root_agent = LlmAgent(name="root", model="scripted/script/main", tools=[flaky, slow, later])
"""


@pytest.fixture
def tools(run, module):
    """`await tools(tool, …)` runs an agent whose model calls `tool` and then answers; `.calls` are the tools' own."""
    name = module(TOOLS)
    given = __import__(name)

    async def start(tool, *, fails=99, answered=0, **more):
        given.calls.clear()
        given.fails = fails
        script = [{"toolCalls": [{"name": tool}]}, {"text": "fine"}]
        return await run(script[answered:], agent={"module": {"ref": f"{name}:root_agent"}}, **more), list(given.calls)

    return start


async def test_a_tool_is_retried_if_the_job_says_so(tools):
    steps = {"tools": [{"match": ["fl*"], "maxAttempts": 3, "backoff": NOW}]}

    ending, calls = await tools("flaky", fails=2, steps=steps)

    assert (ending.verdict, calls) == ("Succeed", ["flaky"] * 3)
    assert ending.result["usage"]["toolCalls"] == 3


async def test_a_tool_without_an_entry_is_called_once(tools):
    ending, calls = await tools("flaky", steps={"tools": [{"match": ["other"], "maxAttempts": 3}]})

    assert (ending.reason, calls) == ("ToolError", ["flaky"])


async def test_a_tool_that_takes_too_long_times_out(tools):
    ending, _ = await tools("slow", steps={"tools": [{"match": ["*"], "timeout": "50ms"}]})

    assert (ending.verdict, ending.reason) == ("Retry", "ToolTimeout")
    assert "slow" in ending.message


async def interrupted(tools):
    """The journal of a start that was killed while its tool ran."""
    journal, cut = MemoryJournal(), MemoryJournal()
    await tools("flaky", fails=0, journal=journal)
    for step, body in journal.steps[:2]:
        await (cut.begin(step) if body is None else cut.record(step, body))
    return cut.again()


async def test_an_interrupted_call_runs_again(tools):
    ending, calls = await tools("flaky", fails=0, answered=1, journal=await interrupted(tools))

    assert (ending.verdict, calls) == ("Succeed", ["flaky"])


async def test_an_interrupted_call_fails_a_job_that_says_so(tools):
    journal = await interrupted(tools)

    ending, calls = await tools(
        "flaky", fails=0, journal=journal, steps={"tools": [{"match": ["flaky"], "onInterrupted": "Fail"}]}
    )

    assert (ending.verdict, ending.reason, calls) == ("Fail", "ToolInterrupted", [])


async def test_the_end_of_an_interrupted_call_is_in_the_timeline_once(tools, timeline):
    journal = await interrupted(tools)
    timeline.entries.clear()

    await tools("flaky", journal=journal, steps={"tools": [{"match": ["flaky"], "onInterrupted": "Fail"}]})

    assert [kind for kind, *_ in timeline.entries] == ["started"]


async def test_a_call_that_ended_in_an_error_was_not_interrupted(tools):
    journal = MemoryJournal()
    steps = {"tools": [{"match": ["flaky"], "onInterrupted": "Fail"}]}
    await tools("flaky", journal=journal, steps=steps)

    ending, _ = await tools("flaky", fails=0, journal=journal.again(), steps=steps)

    assert ending.verdict == "Succeed"


async def test_a_call_that_requested_a_snooze_was_not_interrupted(tools):
    journal = MemoryJournal()
    steps = {"tools": [{"match": ["later"], "onInterrupted": "Fail"}]}
    verdicts = []
    for _ in range(3):
        ending, _ = await tools("later", journal=journal, steps=steps)
        verdicts.append(ending.verdict)
        journal = journal.again()

    assert verdicts == ["Snooze"] * 3


async def test_a_model_is_called_again_after_its_call_failed_in_two_starts(tools):
    journal, asked = MemoryJournal(), []
    for _ in range(3):
        await tools("flaky", journal=journal)
        asked.append(len(answers(journal)))
        journal = journal.again()

    assert asked == [1, 0, 1]


async def test_an_answer_that_made_the_run_fail_is_requested_again(run):
    output = {"schema": {"type": "object"}, "onInvalid": "Fail"}
    journal = MemoryJournal()
    first = await run([{"text": "no object"}], output=output, journal=journal)

    then = await run([{"text": '{"a": 1}'}], output=output, journal=journal.again())

    assert first.reason == "InvalidOutput"
    assert then.verdict == "Succeed"


async def test_failed_correction_turns_are_repeated_from_the_first(run):
    output = {"schema": {"type": "object"}, "onInvalid": "Repair"}
    journal = MemoryJournal()
    first = await run([{"text": "no"}] * 9, output=output, journal=journal)

    assert first.reason == "InvalidOutput"
    assert journal.voided == answers(journal)


async def test_a_failure_of_the_platform_voids_no_answer(run, module):
    journal, agent = MemoryJournal(), {"module": {"ref": f"{module(TOOLS)}:root_agent"}}
    __import__("given").fails = 0

    ending = await run([{"toolCalls": [{"name": "flaky"}]}, AWAY], agent=agent, journal=journal)

    assert ending.reason == "ModelUnavailable"
    assert journal.voided == []


ASKS = {"model": "scripted/script/main", "inline": {"name": "helper", "instruction": "Help, {who}."}}


async def test_a_recorded_answer_to_another_request_is_used_with_a_warning(run, timeline):
    journal = MemoryJournal()
    await run([{"text": "hi"}], agent=ASKS, state={"who": "Ann"}, journal=journal)

    ending = await run([], agent=ASKS, state={"who": "Bob"}, journal=journal.again())

    assert ending.result["text"] == "hi"
    assert "a different system instruction" in warnings(timeline)[-1]


async def test_another_request_fails_a_job_that_says_so(run):
    journal = MemoryJournal()
    await run([{"text": "hi"}], agent=ASKS, state={"who": "Ann"}, journal=journal)

    steps = {"onDivergence": "Fail"}
    ending = await run([], agent=ASKS, state={"who": "Bob"}, journal=journal.again(), steps=steps)

    assert (ending.verdict, ending.reason) == ("Fail", "Diverged")


async def test_a_summary_is_a_step(tools, run, module):
    module(TOOLS)
    __import__("given").fails = 0
    script = [{"toolCalls": [{"name": "flaky"}]}, {"text": "a summary"}, {"text": "fine"}]
    steps = {"compaction": {"everyEvents": 3}}
    agent, journal = {"module": {"ref": "given:root_agent"}}, MemoryJournal()
    first = await run(script, agent=agent, steps=steps, journal=journal)

    again = journal.again()
    then = await run([], agent=agent, steps=steps, journal=again)

    assert [first.reason, then.reason] == ["ResultAccepted"] * 2, (first, then)
    assert first.result["text"] == then.result["text"] == "fine"
    assert len(answers(journal)) == 3
    assert answers(again) == []


def test_delays_grow_to_the_maximum():
    backoff = Backoff(initial=1, factor=2, longest=5, jitter=0)

    assert [backoff.wait(tried, 0.5) for tried in (1, 2, 3, 4, 2000)] == [1, 2, 4, 5, 5]


def test_the_first_entry_that_matches_a_tool_applies():
    policies = StepPolicies.read(
        {"tools": [{"match": ["pay_*"], "maxAttempts": 2}, {"match": ["*"], "maxAttempts": 3}]}
    )

    assert (policies.tool("pay_bill").tries, policies.tool("look").tries) == (2, 3)


async def test_a_script_with_one_list_continues_with_its_start(tools):
    ending, calls = await tools("flaky", fails=0, journal=await interrupted(tools), start=2)

    assert (ending.verdict, calls) == ("Succeed", ["flaky"])
