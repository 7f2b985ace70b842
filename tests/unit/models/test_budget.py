"""Whether one call more fits into a job's budget."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.models.budget import Fits, Limits, Spend, judge

COSTS = st.integers(0, 1000).map(lambda cents: Decimal(cents) / 100)
SPENDS = st.builds(Spend, COSTS, st.integers(0, 1000), st.integers(0, 20))


def test_without_limits_every_call_fits():
    assert judge(Limits(), Spend(Decimal(9), 9, 9), Spend(llm_calls=3), Spend(llm_calls=1)).fits is Fits.YES


def test_a_reached_limit_is_named():
    judged = judge(Limits(cost=Decimal(2), llm_calls=9), Spend(Decimal(2), 0, 3), Spend(), Spend(llm_calls=1))

    assert (judged.fits, judged.limit) == (Fits.NO, "maxCostUSD")


@pytest.mark.parametrize(
    ("used", "most", "shown"),
    [
        ("0.6", "0.50", "0.60 of 0.50"),
        ("2", "2", "2.00 of 2.00"),
        ("0.0495", "0.04", "0.0495 of 0.0400"),
        ("0.123456789", "0.1", "0.1235 of 0.1000"),
        ("0.000012", "0.000010", "0.00001 of 0.00001"),
    ],
)
def test_cost_and_limit_are_written_with_the_same_decimals(used, most, shown):
    assert Limits(cost=Decimal(most)).used_of("maxCostUSD", Spend(Decimal(used))) == shown


@pytest.mark.parametrize("name", ["maxTokens", "maxLLMCalls", "maxToolCalls"])
def test_counts_are_written_like_their_limits(name):
    limits = Limits(tokens=3, llm_calls=3, tool_calls=3)

    assert limits.used_of(name, Spend(tokens=4, llm_calls=4, tool_calls=4)) == "4 of 3"


def test_a_call_without_others_in_progress_can_cost_more_than_is_left():
    assert judge(Limits(cost=Decimal(2)), Spend(Decimal("1.9")), Spend(), Spend(Decimal(1), 0, 1)).fits is Fits.YES


def test_a_call_waits_for_calls_in_progress_if_both_do_not_fit():
    limits, under_way = Limits(cost=Decimal(2)), Spend(Decimal("1.5"), 0, 1)

    assert judge(limits, Spend(), under_way, Spend(Decimal(1), 0, 1)).fits is Fits.NOT_YET


@given(limit=COSTS.filter(bool), calls=st.lists(st.tuples(COSTS, COSTS), min_size=1, max_size=30))
def test_simultaneous_calls_exceed_the_limit_by_one_call_at_most(limit, calls):
    limits, spent, under_way = Limits(cost=limit), Spend(), []
    for most, _ in calls:
        own = Spend(most, 0, 1)
        if judge(limits, spent, sum(under_way, Spend()), own).fits is Fits.YES:
            under_way.append(own)
    total = sum(under_way, Spend()).cost

    assert total <= limit or len(under_way) == 1


@given(SPENDS.filter(lambda spend: spend.llm_calls > 0))
def test_written_limits_are_read_back_unchanged(spend):
    limits = Limits(cost=spend.cost or None, tokens=spend.tokens or None, llm_calls=spend.llm_calls)

    assert Limits.read(limits.dump()) == limits
