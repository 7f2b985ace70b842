"""Which jobs of history a program asks for."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from agentjobs import errors
from agentjobs.api.job_filter import JobFilter, JobOrder
from agentjobs.client.effects import Server
from agentjobs.client.job_filters import filter_of
from agentjobs.client.operations import Operations

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def test_keyword_arguments_become_a_filter():
    chosen = filter_of(
        {"phase": ["Failed", "Deleted"], "name": "", "ended_since": NOW, "min_cost": 0.5, "order": "cost"}
    )

    assert chosen == JobFilter(
        phase=("Failed", "Deleted"), ended_since=NOW, min_cost=Decimal("0.5"), order=JobOrder.COST
    )


@pytest.mark.parametrize("fields", [{"since": datetime(2026, 1, 1)}, {"min_cost": "x"}, {"order": "x"}], ids=str)  # noqa: DTZ001
def test_an_invalid_value_is_refused_by_name(fields):
    with pytest.raises(errors.Invalid, match=r"since|minCost|order"):
        filter_of(fields)


def test_an_unknown_keyword_is_refused():
    with pytest.raises(TypeError, match="'colour'"):
        filter_of({"colour": "red"})


@pytest.mark.parametrize(
    ("everywhere", "path"), [(True, "/v1/agentjobs"), (False, "/v1/namespaces/docs/agentjobs")], ids=["all", "one"]
)
def test_pages_of_a_filter_are_requested_with_all_its_values(everywhere, path):
    chosen = JobFilter(phase=("Failed", "Deleted"), text="quota")
    stream = Operations("docs", retry_for=0).history(chosen, everywhere=everywhere)
    next(stream)
    first = stream.send(0.0)

    assert (first.server, first.path) == (Server.GATEWAY, path)
    assert first.params == {"limit": "500", "phase": ["Failed", "Deleted"], "text": ["quota"]}
