"""Amounts of money as people read them."""

from decimal import Decimal

import pytest

from agentjobs.amounts import dollars


@pytest.mark.parametrize(
    ("cost", "words"),
    [
        ("0", "$0.00"),
        ("1.5", "$1.50"),
        ("0.0123", "$0.0123"),
        ("0.00004", "<$0.0001"),
        ("1234.56789", "$1,234.57"),
        ("0.184", "$0.1840"),
    ],
)
def test_costs_below_a_dollar_are_exact_to_a_hundredth_of_a_cent(cost, words):
    assert dollars(Decimal(cost)) == words
