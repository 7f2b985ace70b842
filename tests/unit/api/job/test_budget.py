"""`spec.budget`: amounts are texts and exact, wrong ones name their cure, and it may change at any time."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.api.job.budget import Budget, limits_of
from agentjobs.api.job.resolve import accepted_spec, edited_fields, resolve, spec_hash
from agentjobs.api.job.validation import validate_job
from agentjobs.models.budget import Limits, Scope

Job = Callable[..., dict[str, Any]]


def told(job: dict[str, Any]) -> str:
    return "; ".join(map(str, validate_job(job)))


@pytest.mark.parametrize("amount", ["2.50", "2", "0.000001", "999999999", "12.5"])
def test_an_amount_is_kept_exactly(a_job: Job, amount: str) -> None:
    job = a_job(budget={"maxCostUSD": amount})
    budget = accepted_spec(resolve(job, {})).budget

    assert told(job) == ""
    assert limits_of(budget, max_llm_calls=None) == Limits(cost=Decimal(amount))


@pytest.mark.parametrize("amount", ["0", "0.00", "-1", "1e3", "2,50", "$2", "01", "2.", ".5", "2.50\n", "NaN", ""])
def test_an_invalid_amount_is_refused(a_job: Job, amount: str) -> None:
    assert told(a_job(budget={"maxCostUSD": amount})).startswith("spec.budget.maxCostUSD: ")


@pytest.mark.parametrize("number", [2.5, 2])
def test_a_number_is_refused_with_a_solution(a_job: Job, number: float) -> None:
    said = told(a_job(budget={"maxCostUSD": number}))

    assert said.startswith(f"spec.budget.maxCostUSD: {number} ")
    assert '"2.50"' in said


def test_a_limit_of_claude_code_is_refused_for_agents_of_adk(a_job: Job) -> None:
    said = told(a_job(budget={"maxTurns": 4}))

    assert said.startswith("spec.budget.maxTurns: ")
    assert "maxLLMCalls" in said


def test_the_installations_limit_applies_if_the_job_sets_none() -> None:
    own = Budget.model_validate({"maxLLMCalls": 7})
    other = Budget.model_validate({"maxTokens": 9, "scope": "Attempt"})

    assert limits_of(None, max_llm_calls=500) == Limits(llm_calls=500)
    assert limits_of(own, max_llm_calls=500).llm_calls == 7
    assert limits_of(other, max_llm_calls=500) == Limits(tokens=9, llm_calls=500, scope=Scope.ATTEMPT)
    assert limits_of(other, max_llm_calls=None) == Limits(tokens=9, scope=Scope.ATTEMPT)


def test_a_budget_is_not_part_of_the_work(a_job: Job) -> None:
    job, richer = a_job(budget={"maxTokens": 5}), a_job(budget={"maxTokens": 50})
    accepted = resolve(job, {})

    assert spec_hash(accepted) == spec_hash(resolve(richer, {}))
    assert edited_fields(richer, accepted) == []


@given(
    cost=st.none() | st.decimals("0.000001", "999999", places=6).map(str),
    tokens=st.none() | st.integers(1, 10**12),
    calls=st.none() | st.integers(1, 100_000),
    tools=st.none() | st.integers(1, 100_000),
    scope=st.sampled_from(["Job", "Attempt"]),
)
def test_limits_read_from_a_pods_annotation_are_equal(
    cost: str | None, tokens: int | None, calls: int | None, tools: int | None, scope: str
) -> None:
    given_ = {"maxCostUSD": cost, "maxTokens": tokens, "maxLLMCalls": calls, "maxToolCalls": tools, "scope": scope}
    limits = limits_of(Budget.model_validate(given_), max_llm_calls=None)

    assert Limits.read(limits.dump()) == limits
