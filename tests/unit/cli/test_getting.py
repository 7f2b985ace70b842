"""The table of jobs: the API server's, with costs of history."""

from decimal import Decimal

from agentjobs.cli.getting import lacks_cost, with_costs


def a_table(*costs, columns=("Name", "Cost")):
    """Rows of jobs with the uids u0, u1, …"""
    rows = [{"cells": [f"job-{n}", cost], "object": {"metadata": {"uid": f"u{n}"}}} for n, cost in enumerate(costs)]
    return {"columnDefinitions": [{"name": name} for name in columns], "rows": rows}


def test_a_job_that_has_not_ended_gets_the_cost_of_history_rounded_up():
    table = with_costs(a_table(None, "0.5", ""), {"u0": Decimal("0.12345678"), "u1": Decimal(9)})

    assert [row["cells"] for row in table["rows"]] == [["job-0", "0.123457"], ["job-1", "0.5"], ["job-2", ""]]


def test_history_is_read_only_if_a_cost_is_missing():
    assert not lacks_cost(a_table("0.5"))
    assert lacks_cost(a_table("0.5", None))
    assert not lacks_cost(a_table(None, columns=("Name", "Phase")))


def test_a_table_of_another_version_without_costs_is_not_changed():
    table = a_table(None, columns=("Name", "Phase"))

    assert with_costs(table, {"u0": Decimal(1)}) == table
