"""How numbers and times are written on all pages."""

from datetime import timedelta
from decimal import Decimal

import pytest

from agentjobs.amounts import dollars
from agentjobs.dashboard.texts import ago, lasting


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (None, ""),
        (-3, "0s"),
        (0, "0s"),
        (0.0402, "40ms"),
        (0.9999, "1s"),
        (5, "5s"),
        (3.24, "3.2s"),
        (9.96, "10s"),
        (3900, "1h 5m"),
    ],
)
def test_a_duration_has_a_suitable_unit(seconds, told):
    assert lasting(seconds) == told


@pytest.mark.parametrize(("seconds", "told"), [(7.1, "7s ago"), (-1, "0s ago"), (90061, "1d 1h ago")])
def test_relative_times_have_no_tenths_like_those_of_the_script(seconds, told):
    assert ago(timedelta(seconds=seconds)) == told


@pytest.mark.parametrize(
    ("cost", "told"),
    [
        (None, ""),
        ("0", "$0.00"),
        ("0.1", "$0.10"),
        ("0.0396000", "$0.0396"),
        ("0.123456789", "$0.1235"),
        ("0.00002", "<$0.0001"),
        ("1234.5", "$1,234.50"),
    ],
)
def test_costs_of_a_column_have_the_same_format(cost, told):
    assert dollars(None if cost is None else Decimal(cost)) == told
