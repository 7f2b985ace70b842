"""Budgets and model limits in the whole loop: queries, writes and events, and their numbers."""

import pytest

from agentjobs.api.conditions import Phase
from agentjobs.api.events import severity
from agentjobs.contract import ANNOTATION_RESUME

KEPT = {"maxLLMCalls": 2, "onExceeded": "Suspend"}


async def at_its_budget(world, budget=KEPT):
    """A job has used up its budget; its pod has said so."""
    world.apply(budget=budget)
    await world.act()
    for _ in range(3):
        world.call_model(world.pods()[0])
    return world


async def test_a_job_is_suspended_at_its_budget_and_reported_once(world):
    await at_its_budget(world)
    await world.act(seconds=1)
    await world.act(hours=1)

    status = world.status()
    assert (status.phase, status.reason, status.starts) == (Phase.SUSPENDED, "BudgetExceeded", 1)
    told = [reason for reason, _ in world.events if reason in ("BudgetExceeded", "Suspended")]
    assert told == ["BudgetExceeded"]
    assert severity("BudgetExceeded") == "Warning"


async def test_only_raising_the_limit_resumes_the_job(world):
    await at_its_budget(world)
    await world.act(seconds=1)
    world.edit(annotations={ANNOTATION_RESUME: "please"})
    await world.act(seconds=1)
    assert world.status().phase is Phase.SUSPENDED

    world.edit(budget={**KEPT, "maxLLMCalls": 3})
    await world.act(seconds=1)

    assert (world.status().phase, world.status().starts, world.status().attempts) == (Phase.RUNNING, 2, 1)
    assert '"maxLLMCalls":3' in world.pods()[-1]["metadata"]["annotations"]["agentjobs.dev/budget"]


@pytest.mark.parametrize("on_exceeded", ["Fail", "Suspend"])
async def test_a_limit_raised_in_time_lets_the_job_continue(world, on_exceeded):
    budget = {"maxLLMCalls": 2, "onExceeded": on_exceeded}
    await at_its_budget(world, budget)
    world.edit(budget={**budget, "maxLLMCalls": 9})
    await world.act(seconds=1)
    await world.act(seconds=2)

    assert (world.status().phase, world.status().starts, world.status().attempts) == (Phase.RUNNING, 2, 1)
    assert not [reason for reason, _ in world.events if reason == "Suspended"]


async def test_a_job_fails_at_its_budget_by_default(world):
    await at_its_budget(world, {"maxLLMCalls": 2})
    await world.act(seconds=1)

    assert (world.status().phase, world.status().reason) == (Phase.FAILED, "BudgetExceeded")


async def test_a_restarted_operator_keeps_the_job_suspended(world):
    await at_its_budget(world)
    await world.act(seconds=1)
    world.restart()
    await world.act(seconds=1)

    assert (world.status().phase, world.status().starts) == (Phase.SUSPENDED, 1)


async def test_a_job_is_suspended_and_resumed_even_with_outages_of_history(world):
    await at_its_budget(world)
    world.history_away = True
    await world.act(seconds=1)
    assert world.status().phase is Phase.SUSPENDED
    world.edit(budget={**KEPT, "maxLLMCalls": 3})
    await world.act(seconds=1)
    assert world.status().phase is Phase.SUSPENDED

    world.history_away = False
    await world.act(seconds=5)

    assert (world.status().phase, world.status().starts) == (Phase.RUNNING, 2)


async def test_a_job_waits_for_its_model_and_starts_when_it_can(world):
    world.exhausted["gemini-flash-latest"] = world.now.replace(minute=5)
    world.apply()
    await world.act()
    assert (world.status().phase, world.status().reason) == (Phase.QUEUED, "WaitingForModelLimit")
    assert world.pods() == []

    await world.act(minutes=6)

    assert world.status().phase is Phase.RUNNING


async def test_a_job_that_waits_for_its_model_takes_no_slot(worlds):
    world = worlds(slots=1)
    world.exhausted["gemini-flash-latest"] = world.now.replace(minute=5)
    world.apply("one", priority=0)
    world.apply("two", agent={"model": "gemini-pro-latest", "inline": {"instruction": "x"}})
    await world.act()

    assert (world.status("one").reason, world.status("two").phase) == ("WaitingForModelLimit", Phase.RUNNING)


async def test_exhausted_models_are_read_once_for_all_jobs(worlds):
    world = worlds(slots=100)
    for number in range(50):
        world.apply(f"job-{number}")
    await world.act()

    assert world.asked_for_limits == 1
    assert len(world.pods()) == 50


async def test_a_scripted_job_does_not_wait_for_models(world):
    world.apply(agent={"model": "scripted/texts/a", "inline": {"instruction": "x"}})
    await world.act()

    assert world.asked_for_limits == 0


DOLLARS = {"maxCostUSD": "2.50"}
ALIAS = """
providers: [{name: gemini, kind: Gemini, baseUrl: "http://models"}]
aliases: {team/fast: gemini-flash-latest}
"""
MYSTERY = {"model": "openai/mystery-9", "inline": {"instruction": "x"}}


async def test_a_job_with_a_cost_limit_waits_for_the_price_of_a_model(world):
    world.apply(budget=DOLLARS, agent=MYSTERY)
    await world.act()
    (said,) = [one for one in world.job()["status"]["conditions"] if one["type"] == "Accepted"]
    assert (world.status().phase, world.status().reason) == (Phase.PENDING, "UnknownModelPrice")
    assert "spec.agent.model" in said["message"]
    assert "openai/mystery-9" in said["message"]

    world.models_file = "prices: [{models: [openai/mystery-9], input: 1, output: 2}]"
    world.restart()
    await world.act(seconds=1)

    assert world.status().phase is Phase.RUNNING


@pytest.mark.parametrize(
    ("budget", "agent"),
    [
        pytest.param(DOLLARS, {"model": "gemini-flash-latest", "inline": {"instruction": "x"}}, id="a-shipped-price"),
        pytest.param({"maxTokens": 5}, MYSTERY, id="no-limit-in-dollars"),
        pytest.param(DOLLARS, {"module": {"ref": "my.agent"}}, id="the-code-chooses"),
        pytest.param(DOLLARS, {"model": "team/fast", "inline": {"instruction": "x"}}, id="an-alias"),
    ],
)
async def test_jobs_without_a_cost_limit_start_without_prices(world, budget, agent):
    world.models_file = ALIAS
    world.restart()
    world.apply(budget=budget, agent=agent)
    await world.act()

    assert world.status().phase is Phase.RUNNING


async def test_a_cost_limit_requires_a_proxy(world):
    world.models_url = None
    world.restart()
    world.apply(budget=DOLLARS)
    await world.act()
    assert world.status().reason == "UnknownModelPrice"

    world.edit(budget={"maxLLMCalls": 5})
    await world.act(seconds=1)

    assert world.status().phase is Phase.RUNNING


async def test_a_job_with_an_alias_waits_for_its_model(world):
    world.models_file = ALIAS
    world.restart()
    world.exhausted["gemini-flash-latest"] = world.now.replace(minute=5)
    world.apply(agent={"model": "team/fast", "inline": {"instruction": "x"}})
    await world.act()

    assert world.status().reason == "WaitingForModelLimit"
