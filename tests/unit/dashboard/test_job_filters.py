"""Filters of the list of jobs: URL, form and filter agree."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.api.job_filter import JobOrder
from agentjobs.dashboard.views.job_filters import canonical, joined, split, wanted

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 11, 29, 19, 24, 31, tzinfo=UTC)
texts = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=30)


@given(st.lists(texts, unique=True, max_size=8))
def test_values_are_parsed_and_shown_again(values):
    assert split(joined(values)) == tuple(values)


def test_fields_of_the_form_become_parameters_of_the_url():
    sent = [("form", "1"), ("text", " "), ("in.queue", "a, b,a"), ("in.partition", '"x, y", z'), ("phase", "Failed")]

    assert canonical(sent) == (
        ("queue", "a"),
        ("queue", "b"),
        ("partition", "x, y"),
        ("partition", "z"),
        ("phase", "Failed"),
    )


def test_a_complete_url_is_not_changed():
    assert canonical([("partition", "a,b"), ("namespace", "n")]) is None


def test_a_form_leads_to_the_first_page():
    assert canonical([("form", "1"), ("cursor", "c"), ("phase", "Failed")]) == (("phase", "Failed"),)


@pytest.mark.parametrize(
    "parameter", ["name", "queue", "reason", "outcome", "schedule", "template", "partition", "model", "label"]
)
def test_several_values_of_a_field_are_alternatives(parameter):
    found = wanted([(parameter, "a"), (parameter, "b")], NOW)

    assert [pair for pair in found.filter.query() if pair[0] == parameter] == [(parameter, "a"), (parameter, "b")]
    assert found.typed(parameter) == "a, b"


@pytest.mark.parametrize(
    ("word", "since"),
    [
        ("1h", NOW.replace(second=0) - timedelta(hours=1)),
        ("7d", NOW.replace(second=0) - timedelta(days=7)),
        ("today", NOW.replace(hour=0, minute=0, second=0)),
    ],
)
def test_relative_times_are_read_at_the_time_of_the_request(word, since):
    assert wanted([("within", word)], NOW).filter.since == since
    assert wanted([("endedWithin", word)], NOW).filter.ended_since == since


def test_exact_times_costs_text_and_order_are_read():
    found = wanted(
        [("until", "2026-11-29T08:00:00Z"), ("minCost", "0.5"), ("text", "find order"), ("order", "cost")], NOW
    ).filter

    assert (found.until, found.min_cost) == (datetime(2026, 11, 29, 8, tzinfo=UTC), Decimal("0.5"))
    assert (found.text, found.order) == ("find order", JobOrder.COST)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("since", "yesterday"),
        ("endedUntil", "2026-11-29T08:00:00"),
        ("minCost", "abc"),
        ("maxCost", "-1"),
        ("phase", "Broken"),
        ("within", "2y"),
        ("order", "random"),
        ("text", "x" * 201),
        ("queue", "q\0"),
    ],
)
def test_an_invalid_value_is_reported_at_its_field_and_causes_no_request(parameter, value):
    found = wanted([(parameter, value), ("queue", "default")], NOW)

    assert list(found.errors) == [parameter]
    assert found.filter.phase == ()
    assert found.filter.since is None


def test_an_unknown_parameter_is_named_and_causes_no_request():
    found = wanted([("fase", "Failed"), ("fase", "Running"), ("queue", "default")], NOW)

    assert (found.unknown, found.is_valid) == (("fase",), False)


def test_parameters_that_pages_add_are_known():
    assert wanted([("namespace", "n"), ("cursor", "c"), ("within", "7d"), ("nothing", "")], NOW).is_valid


@pytest.mark.parametrize(
    "where", [ROOT / "docs/how-to/dashboard.md", ROOT / "tests/bench/pages.py"], ids=lambda path: path.name
)
def test_views_of_lists_use_known_parameters(where):
    lists = re.findall(r"/jobs\?([^\s\"]+)", where.read_text())

    assert [query for query in lists if not wanted(parse_qsl(query), NOW).is_valid] == []
    assert len(lists) > 3


def test_too_many_values_are_reported_at_the_field():
    assert "at most 20" in wanted([("queue", f"q{number}") for number in range(21)], NOW).errors["queue"]


@pytest.mark.parametrize(
    ("pairs", "field", "values"),
    [
        ([("minCost", "2"), ("maxCost", "1")], "maxCost", ["1", "2"]),
        (
            [("until", "2026-11-28T08:00:00Z"), ("since", "2026-11-29T08:00:00Z")],
            "until",
            ["2026-11-28T08:00:00Z", "2026-11-29T08:00:00Z"],
        ),
    ],
    ids=["costs", "times"],
)
def test_limits_that_no_job_can_match_are_reported_at_the_upper_one_with_both_values(pairs, field, values):
    errors = wanted(pairs, NOW).errors

    assert list(errors) == [field]
    assert re.findall(r"\d\S*\b", errors[field]) == values


def test_each_filter_can_be_removed_and_the_others_are_kept():
    query = [("namespace", "n"), ("queue", "a"), ("queue", "b"), ("order", "cost"), ("cursor", "c")]

    chips = wanted(query, NOW).chips

    assert [(chip.name, chip.value) for chip in chips] == [("queue", "a"), ("queue", "b")]
    assert chips[0].address == "/jobs?namespace=n&queue=b&order=cost"


def test_a_url_with_thousands_of_values_does_not_create_thousands_of_links():
    found = wanted([("phase", str(number)) for number in range(2000)], NOW)

    assert len(found.chips) == 50
    assert "phase" in found.errors
