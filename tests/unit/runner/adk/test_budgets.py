"""A start stops at its budget: at the next step, in any agent, and replayed steps do not count."""

import pytest
from google.adk.agents.run_config import RunConfig
from google.genai.types import GenerateContentResponseUsageMetadata as Usage
from tests.memoryjournal import MemoryJournal

from agentjobs.contract import StepKind
from agentjobs.models.tokens import Tokens
from agentjobs_runner.adk.model_usage import input_estimate, name_of, tokens_of

LOOKS = {"toolCalls": [{"name": "look"}]}
TOOL = "def look() -> str:\n    return 'seen'\n"


def limited(limits, **used):
    return {"limits": limits, "used": {"costUSD": "0", "tokens": 0, "llmCalls": 0, "toolCalls": 0, **used}}


def looking(module):
    inline = {"name": "helper", "instruction": "Help.", "tools": [{"name": f"{module(TOOL)}:look"}]}
    return {"model": "scripted/script/main", "inline": inline}


def a_team(kind, *names):
    members = [{"name": name, "instruction": "Help."} for name in names]
    inline = {"name": "team", "agentClass": kind, "subAgents": list(names), "agents": members}
    return {"model": "scripted/script/main", "inline": inline}


def asked(journal):
    """How many model calls were recorded."""
    return sum(step.kind is StepKind.MODEL for step, _ in journal.steps)


def ended(ending):
    return ending.verdict.value, ending.reason


@pytest.mark.parametrize(
    ("limits", "calls"), [({"maxLLMCalls": 2}, 2), ({"maxTokens": 15}, 2), ({"maxToolCalls": 1}, 2)]
)
async def test_a_start_ends_at_the_limit(run, module, limits, calls):
    journal = MemoryJournal()
    answers = [{**LOOKS, "usage": {"inputTokens": 9, "outputTokens": 1}}] * 5

    ending = await run(answers, agent=looking(module), journal=journal, budget=limited(limits))

    assert ended(ending) == ("Fail", "BudgetExceeded")
    assert f"budget.{next(iter(limits))} is reached" in ending.message
    assert asked(journal) == calls


async def test_a_job_whose_limit_was_raised_continues_where_it_stopped(run, module):
    journal, answers = MemoryJournal(), [LOOKS, LOOKS, {"text": "done"}]
    await run(answers, agent=looking(module), journal=journal, budget=limited({"maxLLMCalls": 2}))

    later = journal.again()
    ending = await run(
        answers, agent=looking(module), journal=later, start=2, budget=limited({"maxLLMCalls": 3}, llmCalls=2)
    )

    assert (ending.result["text"], asked(later)) == ("done", 1)


async def test_replayed_steps_do_not_count(run, module):
    journal, answers = MemoryJournal(), [LOOKS, {"text": "done"}]
    await run(answers, agent=looking(module), journal=journal)

    spent = limited({"maxLLMCalls": 2, "maxToolCalls": 1}, llmCalls=2, toolCalls=1)
    ending = await run(answers, agent=looking(module), journal=journal.again(), start=2, budget=spent)

    assert ending.result["text"] == "done"


async def test_parallel_members_do_not_exceed_the_limit_together(run):
    journal, names = MemoryJournal(), [f"m{n}" for n in range(6)]
    answers = [{"agent": name, "text": "hi", "delay": "20ms"} for name in names]

    ending = await run(
        answers, agent=a_team("ParallelAgent", *names), journal=journal, budget=limited({"maxLLMCalls": 3})
    )

    assert ended(ending) == ("Fail", "BudgetExceeded"), ending.message
    assert asked(journal) == 3


SLOW_TOOL = """
import asyncio

async def look(n: int) -> str:
    await asyncio.sleep(0.02)
    return f"seen {n}"
"""


async def test_tools_that_ran_in_parallel_to_the_refused_call_end_and_count_once(run, module):
    journal, tools = MemoryJournal(), [{"name": "look", "args": {"n": n}} for n in range(5)]
    inline = {"name": "helper", "instruction": "Help.", "tools": [{"name": f"{module(SLOW_TOOL)}:look"}]}
    agent, answers = {"model": "scripted/script/main", "inline": inline}, [{"toolCalls": tools}, {"text": "done"}]

    ending = await run(answers, agent=agent, journal=journal, budget=limited({"maxToolCalls": 3}))
    seen = [body for step, body in journal.steps if step.kind is StepKind.TOOL and body is not None]
    later = journal.again()
    after = await run(
        answers, agent=agent, journal=later, start=2, budget=limited({"maxToolCalls": 5}, llmCalls=1, toolCalls=3)
    )

    assert ended(ending) == ("Fail", "BudgetExceeded")
    assert len(seen) == 3
    assert after.result["text"] == "done"


async def test_correction_turns_count(run):
    output = {"schema": {"type": "object", "required": ["a"]}, "onInvalid": "Repair", "maxRepairs": 3}
    ending = await run([{"text": "{}"}] * 4, output=output, budget=limited({"maxLLMCalls": 2}))
    assert ended(ending) == ("Fail", "BudgetExceeded")


async def test_a_failed_call_is_repeated_within_the_limit(run):
    answers = [{"error": {"status": 503}}, {"text": "hi"}]
    steps = {"llm": {"maxAttempts": 2, "backoff": {"initial": "1ms"}}}
    ending = await run(answers, steps=steps, budget=limited({"maxLLMCalls": 1}))
    assert ending.result["text"] == "hi"


SURVIVES = """
from google.adk.agents import BaseAgent, LlmAgent

class Stubborn(BaseAgent):
    async def _run_async_impl(self, context):
        for agent in self.sub_agents:
            try:
                async for event in agent.run_async(context):
                    yield event
            except Exception:
                pass

def answer(callback_context, llm_request, error):
    from google.adk.models import LlmResponse
    from google.genai import types
    return LlmResponse(content=types.Content(role="model", parts=[types.Part(text="made up")]))

members = [LlmAgent(name=f"m{n}", instruction="Help.", on_model_error_callback=answer) for n in range(3)]
root_agent = Stubborn(name="stubborn", sub_agents=members)
"""


async def test_code_that_continues_after_the_limit_calls_no_model_and_returns_no_answer(run, module):
    journal = MemoryJournal()
    agent = {"model": "scripted/script/main", "module": {"ref": f"{module(SURVIVES)}:root_agent"}}

    ending = await run([{"text": "hi"}] * 3, agent=agent, journal=journal, budget=limited({"maxLLMCalls": 1}))

    assert ended(ending) == ("Fail", "BudgetExceeded")
    assert asked(journal) == 1
    assert [step.name for step, _ in journal.steps] == ["scripted/script/main"]


async def test_adks_default_limit_ends_no_run(run):
    await run()
    assert RunConfig().max_llm_calls > 1_000_000


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        pytest.param(
            Usage(prompt_token_count=10, candidates_token_count=5, thoughts_token_count=3, total_token_count=18),
            Tokens(input=10, output=8, thinking=3),
            id="gemini-beside",
        ),
        pytest.param(
            Usage(prompt_token_count=10, candidates_token_count=5, thoughts_token_count=3, total_token_count=15),
            Tokens(input=10, output=5, thinking=3),
            id="openai-within",
        ),
        pytest.param(
            Usage(prompt_token_count=10, candidates_token_count=5, total_token_count=18),
            Tokens(input=10, output=8, thinking=3),
            id="in-the-total-alone",
        ),
        pytest.param(
            Usage(prompt_token_count=10, candidates_token_count=5, thoughts_token_count=3),
            Tokens(input=10, output=8, thinking=3),
            id="without-a-total",
        ),
        pytest.param(
            Usage(prompt_token_count=10, tool_use_prompt_token_count=4, candidates_token_count=5, total_token_count=19),
            Tokens(input=14, output=5),
            id="built-in-tools",
        ),
        pytest.param(
            Usage(prompt_token_count=10, cached_content_token_count=7, total_token_count=10),
            Tokens(input=10, cached=7),
            id="cached",
        ),
        pytest.param(Usage(prompt_token_count=-10, candidates_token_count=5), Tokens(output=5), id="below-nothing"),
        pytest.param(Usage(prompt_token_count=10, candidates_token_count=10**15), Tokens(input=10), id="beyond-any"),
    ],
)
def test_thoughts_and_cached_tokens_are_counted_once(usage, tokens):
    from google.adk.models import LlmResponse

    assert tokens_of(LlmResponse(usage_metadata=usage)) == tokens


def test_a_model_built_by_code_has_the_name_used_in_jobs(monkeypatch):
    from google.adk.integrations.openai import OpenAILlm
    from google.adk.models import Gemini
    from google.adk.models.anthropic_llm import AnthropicLlm

    whole = "projects/p/locations/l/publishers/google/models/gemini-2.5-pro"
    made = [Gemini(model="gemini-x"), Gemini(model=whole), OpenAILlm(model="gpt-x"), AnthropicLlm(model="claude-x")]

    assert [name_of(model) for model in made] == [
        "gemini-x",
        "gemini-2.5-pro",
        "openai/gpt-x",
        "anthropic/claude-x",
    ]


def test_an_estimate_is_at_least_the_size_of_a_request():
    from google.adk.models import LlmRequest
    from google.genai import types

    parts = [types.Part(text="x" * 3000), types.Part(inline_data=types.Blob(data=b"x" * 10**6, mime_type="image/png"))]
    config = types.GenerateContentConfig(system_instruction="y" * 300)
    request = LlmRequest(contents=[types.Content(role="user", parts=parts)], config=config)

    assert 3000 <= input_estimate(request) <= 3200


async def test_an_ending_requested_by_a_step_keeps_its_class_in_parallel_agents(run):
    names = ["m0", "m1"]
    journal = MemoryJournal()
    await run([{"agent": name, "text": "hi"} for name in names], agent=a_team("ParallelAgent", *names), journal=journal)
    later = journal.again()
    for step in later.found.values():
        step["request"] = {**step["request"], "instruction": "another"}

    ending = await run(
        [{"text": "hi"}] * 2, agent=a_team("ParallelAgent", *names), journal=later, steps={"onDivergence": "Fail"}
    )

    assert ended(ending) == ("Fail", "Diverged")
