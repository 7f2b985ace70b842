"""The remaining budget of a job: no call begins beyond it, and no call that fits is refused."""

import asyncio
from contextlib import AsyncExitStack
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs import contract
from agentjobs.models.budget import Limits, Spend
from agentjobs.models.tokens import Tokens
from agentjobs_runner import budget as module
from agentjobs_runner.budget import StartBudget
from agentjobs_runner.endings import Ending, StartEnded

ONE = Spend(llm_calls=1)
DAY = date(2026, 11, 29)


async def made(budget, most=ONE, spent=ONE):
    async with budget.model_call(most) as charge:
        charge.spent = spent


async def test_calls_are_made_up_to_the_limit():
    budget = StartBudget(Limits(llm_calls=5), Spend(llm_calls=3))
    await made(budget)
    await made(budget)

    with pytest.raises(StartEnded) as ended:
        await made(budget)

    assert (ended.value.ending.verdict.value, ended.value.ending.reason) == ("Fail", "BudgetExceeded")
    assert "budget.maxLLMCalls" in ended.value.ending.message
    assert "5 of 5" in ended.value.ending.message


async def test_a_failed_call_does_not_count_against_the_budget():
    budget = StartBudget(Limits(llm_calls=1))
    with pytest.raises(OSError, match="away"):
        async with budget.model_call(ONE):
            raise OSError("away")

    await made(budget)


@pytest.mark.parametrize(
    ("limits", "used"),
    [
        pytest.param(Limits(tokens=100), Spend(tokens=100), id="tokens"),
        pytest.param(Limits(cost=Decimal("2.50")), Spend(cost=Decimal("2.5001")), id="cost"),
        pytest.param(Limits(llm_calls=3), Spend(llm_calls=3), id="calls"),
    ],
)
async def test_usage_of_earlier_starts_counts(limits, used):
    with pytest.raises(StartEnded, match=f"budget.{next(iter(limits.dump()))} is reached"):
        await made(StartBudget(limits, used))


async def test_the_last_call_can_be_larger_than_the_rest_of_the_budget():
    budget = StartBudget(Limits(tokens=100), Spend(tokens=99))
    await made(budget, most=Spend(tokens=5000, llm_calls=1), spent=Spend(tokens=50, llm_calls=1))


async def test_a_call_waits_for_calls_in_progress_that_have_reserved_the_rest():
    budget = StartBudget(Limits(tokens=100))
    async with AsyncExitStack() as stack:
        charge = await stack.enter_async_context(budget.model_call(Spend(tokens=90, llm_calls=1)))
        waiting = asyncio.create_task(made(budget, Spend(tokens=20, llm_calls=1)))
        await asyncio.sleep(3 * module.POLL_SECONDS)
        assert not waiting.done()
        charge.spent = Spend(tokens=10, llm_calls=1)

    await waiting


async def test_a_waiting_call_is_refused_when_calls_in_progress_reach_the_limit():
    budget = StartBudget(Limits(llm_calls=1))
    async with budget.model_call(ONE) as charge:
        waiting = asyncio.create_task(made(budget))
        charge.spent = ONE

    with pytest.raises(StartEnded, match="maxLLMCalls"):
        await waiting


def test_tool_calls_are_made_up_to_their_limit():
    budget = StartBudget(Limits(tool_calls=3), Spend(tool_calls=2))
    budget.tool_call()
    with pytest.raises(StartEnded, match=r"^budget\.maxToolCalls .*3 of 3"):
        budget.tool_call()


async def test_no_step_begins_after_a_limit_is_reached():
    budget = StartBudget(Limits(tool_calls=1))
    budget.tool_call()
    with pytest.raises(StartEnded):
        budget.tool_call()

    with pytest.raises(StartEnded, match="maxToolCalls"):
        await made(budget)
    with pytest.raises(StartEnded, match="maxToolCalls"):
        budget.check()


async def test_no_step_begins_after_a_refusal_of_the_proxy():
    budget = StartBudget()
    budget.end(Ending(contract.Verdict.FAIL, "BudgetExceeded", "of the proxy"))
    with pytest.raises(StartEnded, match="of the proxy"):
        await made(budget)


@given(
    limit=st.integers(1, 30),
    calls=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 10), st.booleans()), min_size=1, max_size=12),
)
def test_concurrent_calls_exceed_a_limit_by_one_call_at_most(limit, calls):
    spent = []

    async def call(budget, steps, tokens, fails):
        try:
            async with budget.model_call(Spend(tokens=tokens, llm_calls=1)) as charge:
                for _ in range(steps):
                    await asyncio.sleep(0)
                if not fails:
                    charge.spent = Spend(tokens=tokens, llm_calls=1)
                    spent.append(tokens)
        except StartEnded:
            return

    async def all_of_them():
        budget = StartBudget(Limits(tokens=limit))
        await asyncio.gather(*(call(budget, *one) for one in calls))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "POLL_SECONDS", 0)
        asyncio.run(all_of_them())

    assert sum(spent) <= limit or sum(spent[:-1]) < limit
    # What was refused was refused rightly.
    assert len(spent) == sum(not fails for *_, fails in calls) or sum(spent) >= limit


def read(limits, used=None, **variables):
    nothing = {"costUSD": "0", "tokens": 0, "llmCalls": 0, "toolCalls": 0}
    return StartBudget.read({"budget": {"limits": limits, "used": {**nothing, **(used or {})}}}, variables)


def test_the_budget_of_an_attempt_is_read():
    budget = read({"maxToolCalls": 3, "scope": "Attempt"}, {"toolCalls": 3})
    with pytest.raises(StartEnded, match=r"maxToolCalls .*attempt used 3 of 3"):
        budget.tool_call()


def test_an_attempt_without_a_budget_has_no_limits():
    budget = StartBudget.read({}, {})
    assert not budget.counts_tokens
    budget.tool_call()


def test_an_invalid_limit_is_an_error_of_the_job():
    with pytest.raises(StartEnded) as ended:
        read({"maxTokens": "many"})
    assert ended.value.ending.reason == "ConfigInvalid"


def test_a_model_without_a_price_is_refused_under_a_cost_limit():
    with pytest.raises(StartEnded, match="openai/of-my-own") as ended:
        read({"maxCostUSD": "1.00"}).most("openai/of-my-own", 10, None)
    assert ended.value.ending.reason == "UnknownModelPrice"


def test_a_script_needs_no_price():
    budget = read({"maxCostUSD": "1.00"})
    assert budget.most("scripted/a/b", 10, 20) == Spend(tokens=30, llm_calls=1)
    assert budget.cost("scripted/a/b", Tokens(input=1)) is None


def test_with_a_proxy_the_runner_does_not_check_the_cost():
    budget = read({"maxCostUSD": "1.00"}, **{contract.ENV_MODELS_URL: "https://models"})
    assert budget.most("openai/of-my-own", 10, 20) == Spend(tokens=30, llm_calls=1)
    assert budget.cost("gemini-2.5-flash", Tokens(input=1)) is None


def test_tokens_from_a_cache_cost_less():
    budget = StartBudget(prices=True, on=DAY)
    plain = budget.cost("gemini-2.5-flash", Tokens(input=1_000_000, output=1000))
    cached = budget.cost("gemini-2.5-flash", Tokens(input=1_000_000, output=1000, cached=900_000))
    assert (plain, cached) == (Decimal("0.3025"), Decimal("0.0595"))


def test_the_maximum_answer_of_a_call_without_a_limit_is_that_of_its_model():
    budget = StartBudget(Limits(cost=Decimal(1)), prices=True, on=DAY)
    assert budget.most("gemini-2.5-flash", 1000, None).tokens == 1000 + 65536
    assert budget.most("gemini-2.5-flash", 1000, 100) == Spend(Decimal("0.00055"), 1100, 1)
