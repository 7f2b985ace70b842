"""Charts: what is drawn is inside its field, in proportion, and readable."""

import itertools
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.dashboard.rendering import environment
from agentjobs.dashboard.views.charts import (
    BASE,
    CHARACTER,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Series,
    bars,
    round_ticks,
    short,
    short_dollars,
)
from agentjobs.dashboard.views.time_axis import MOST_SLICES, slices

NOW = datetime(2026, 11, 29, 19, 24, 31, tzinfo=UTC)
RANGES = {"1h": 1, "6h": 6, "24h": 24, "7d": 168, "30d": 720, "90d": 2160}

spans = st.integers(60, 90 * 86400).map(lambda seconds: timedelta(seconds=seconds))
moments = st.integers(1_577_836_800, 2_208_988_800).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
values = st.one_of(st.just(0.0), st.floats(0.0001, 1e12))


@st.composite
def charts(draw):
    shown = slices(until := draw(moments), until + draw(spans))
    count = draw(st.integers(1, 9))
    series = [
        Series(f"s{number}", tuple(draw(st.lists(values, min_size=shown.count, max_size=shown.count))), "c1")
        for number in range(count)
    ]
    return shown, series, bars("c", "Things", shown, series)


def heights(path, shown):
    """Height of each step of an area, read back from its path."""
    wide, found, steps = (RIGHT - LEFT) / shown.count, [], re.findall(r"H([\d.]+)V([\d.]+)", path)
    for place in range(shown.count):
        middle = LEFT + (place + 0.5) * wide
        found.append(BASE - next((float(y) for x, y in reversed(steps[:-1]) if float(x) <= middle), BASE))
    return found


def chart_of(shown, *counts):
    return bars("c", "Things", shown, [Series(f"s{n}", tuple(each), "c1") for n, each in enumerate(counts)])


def drawn(chart):
    return environment().from_string('{% import "charts.html" as charts %}{{ charts.chart(c) }}').render(c=chart)


@given(charts())
def test_bars_are_inside_their_field(made):
    _shown, _, chart = made

    for layer in chart.layers:
        assert all(TOP - 0.1 <= float(y) <= BASE for y in re.findall(r"V([-\d.]+)", layer.path))
        assert all(LEFT - 0.1 <= float(x) <= RIGHT + 0.1 for x in re.findall(r"H([-\d.]+)", layer.path))


@given(charts())
def test_heights_are_proportional_to_counts(made):
    shown, series, chart = made
    sums = [sum(one.values[place] for one in series) for place in range(shown.count)]
    most = max(round_ticks(max(sums), whole=True))

    for height, total in zip(heights(chart.layers[-1].path, shown), sums, strict=True):
        assert height == pytest.approx((BASE - TOP) * total / most, abs=0.51)


@given(charts())
def test_labels_of_times_do_not_overlap_and_are_inside_the_chart(made):
    _, _, chart = made
    ends = [
        (tick.at - len(tick.text) * CHARACTER / 2, tick.at + len(tick.text) * CHARACTER / 2) for tick in chart.across
    ]

    assert all(before[1] < after[0] for before, after in itertools.pairwise(ends))
    assert all(begin >= LEFT and end <= WIDTH for begin, end in ends)


@given(st.floats(1e-6, 1e13), st.booleans())
def test_an_axis_reaches_the_highest_value_in_a_few_round_steps(peak, whole):
    ticks = round_ticks(peak, whole=whole)

    assert ticks[0] == 0
    assert ticks[-1] >= peak * (1 - 1e-9)
    assert 2 <= len(ticks) <= 6
    assert f"{ticks[1]:e}"[0] in "125"
    assert not whole or ticks[1] >= 1


@given(moments, spans, st.sampled_from([1, 60, 300, 864, 7200, 86400]))
def test_a_time_range_is_divided_into_few_slices_that_cover_it(since, span, least):
    shown = slices(since, since + span, least=least)

    assert shown.first <= since
    assert shown.end >= since + span
    assert shown.count <= MOST_SLICES + 1
    assert shown.seconds >= least or shown.seconds == 60
    assert shown.place(since + span / 2) in range(shown.count)


@pytest.mark.parametrize("hours", RANGES.values(), ids=RANGES)
def test_every_range_has_labels(hours):
    shown = slices(NOW - timedelta(hours=hours), NOW)
    chart = chart_of(shown, [1.0] * shown.count)

    assert 2 <= len(chart.across) <= 5


def test_a_chart_of_six_series_is_at_most_8_kilobytes():
    shown = slices(NOW - timedelta(days=90), NOW)
    names = [f"a-queue-with-a-very-long-name-{number}" for number in range(6)]
    each = [tuple(1234567.0 * (1 + (number * place) % 7) for place in range(shown.count)) for number in range(6)]

    page = drawn(bars("usage", "Tokens", shown, [Series(n, v, "c1") for n, v in zip(names, each, strict=True)]))

    assert len(page.encode()) <= 8192


def test_an_empty_chart_says_that_there_are_no_values():
    shown = slices(NOW - timedelta(hours=1), NOW)

    chart = chart_of(shown, [0.0] * shown.count)

    assert chart.is_empty
    assert "No data in this period." in drawn(chart)
    assert "<svg" not in drawn(chart)


def test_a_single_value_is_drawn_and_described():
    shown = slices(NOW - timedelta(hours=1), NOW)
    counts = [0.0] * shown.count
    counts[7] = 3.0

    chart = chart_of(shown, counts)

    assert [mark.text for mark in chart.marks] == ["Nov 29 18:38: 3 s0"]
    assert chart.rows == (("Nov 29 18:38", ("3",)),)


def test_names_of_series_are_escaped():
    shown = slices(NOW - timedelta(hours=1), NOW)
    evil = "<script>\u202ealert(1)"

    page = drawn(bars("c", "Things", shown, [Series(evil, (1.0,) * shown.count, "c1")]))

    assert "<script" not in page
    assert "\u202e" not in page


@pytest.mark.parametrize(
    ("value", "told"), [(0, "0"), (950, "950"), (1234, "1.23k"), (999999, "1M"), (2.5e9, "2.5G"), (0.25, "0.25")]
)
def test_numbers_are_abbreviated(value, told):
    assert short(value) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [(0, "$0"), (0.05, "$0.05"), (0.00002, "$0.00002"), (1, "$1"), (2.5, "$2.50"), (999.9, "$1k"), (1234, "$1.23k")],
)
def test_dollars_are_abbreviated(value, told):
    assert short_dollars(value) == told
