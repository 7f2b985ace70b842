"""Options of the verbs that change jobs."""

import pytest

from agentjobs.cli.failures import USAGE, Failure
from agentjobs.cli.job_actions import limits_of


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("maxLLMCalls=20", 20),
        ("maxCostUSD=2.50", "2.50"),
        ("maxCostUSD=2", "2"),
        ("maxLLMCalls=many", "many"),
        ("maxLLMCalls=" + "9" * 5000, "9" * 5000),
    ],
)
def test_a_limit_of_a_budget_is_a_number_if_it_is_one(text, limit):
    assert list(limits_of([text]).values()) == [limit]


def test_an_incomplete_limit_is_refused_with_the_words_of_the_help():
    with pytest.raises(Failure, match="--budget 'maxTurns': write LIMIT=VALUE") as refused:
        limits_of(["maxTurns"])

    assert refused.value.code == USAGE
