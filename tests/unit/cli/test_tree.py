"""How a tree of jobs reads at a terminal."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from agentjobs.cli.tree import tree_page
from agentjobs.client.lineage import Tree, TreeJob

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def a_job(name, parent="", **more):
    facts = {"follow_up": "", "phase": "Succeeded", "outcome": None, "finished": None, "cost_usd": None}
    facts |= {"branch": "", "commit": "", "pull_request": ""}
    facts |= {"created": NOW - timedelta(minutes=5), "is_there": True, **more}
    return TreeJob(name=name, uid=f"uid-{name}", parent_uid=f"uid-{parent}" if parent else "", **facts)


def test_a_tree_is_printed_with_branches():
    jobs = [
        a_job("plan", outcome="go", cost_usd=Decimal("0.0123")),
        a_job("work-a", "plan", follow_up="work"),
        a_job("work-b", "plan", follow_up="work", is_there=False),
        a_job("check", "work-a", phase="Running"),
    ]

    page = tree_page(Tree(jobs), NOW).splitlines()

    assert [line[:12].rstrip() for line in page] == ["JOB", "plan", "├─ work-a", "│  └─ check", "└─ work-b"]
    assert ("go" in page[1], "$0.0123" in page[1], "Succeeded (deleted)" in page[4]) == (True, True, True)


def test_publications_have_a_column_if_a_job_has_one():
    address = "https://git.example.com/shop/pull/7"
    pushed = a_job("work", branch="agents/work", commit="1234567890abcdef", pull_request=address)

    page = tree_page(Tree([pushed]), NOW)

    assert page.splitlines()[0].endswith("PUBLISHED")
    assert f"agents/work at 1234567890ab, {address}" in page
    assert "PUBLISHED" not in tree_page(Tree([a_job("work")]), NOW)


def test_a_cycle_is_shown_once():
    page = tree_page(Tree([a_job("a", "b"), a_job("b", "a")]), NOW)
    assert page.count("a ") >= 1
    assert len(page.splitlines()) == 3
