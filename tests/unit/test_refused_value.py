"""An invalid value is kept apart from the sentence about it."""

import pytest

from agentjobs.durations import parse_duration
from agentjobs.refused_value import RefusedValue


def test_value_and_sentence_are_available_separately_and_together():
    with pytest.raises(RefusedValue) as refused:
        parse_duration("five")

    assert refused.value.value == "five"
    assert str(refused.value) == f"'five' {refused.value.message}"


@pytest.mark.parametrize("value", ["x" * 5000, list(range(5000))])
def test_a_long_value_is_cut_in_the_text_only(value):
    error = RefusedValue(value, "is too long")

    assert (len(str(error)) < 100, error.value) == (True, value)
