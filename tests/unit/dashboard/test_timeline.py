"""The timeline of a job: nothing overlaps, nothing is lost, and it is small."""

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from tests.dashboardjobs import NOW, a_move, a_span, a_start, a_story, at

from agentjobs.dashboard.views.broken_axis import axis_of
from agentjobs.dashboard.views.timeline import LEFT, MAX_ROWS, WIDTH, Kind, timeline

DAY = 86400.0


@st.composite
def stories(draw):
    """Starts one after the other, with waits of any length between them and steps of any length in them."""
    clock, starts, moves, spans = 0.0, [], [], []
    lengths = st.one_of(st.just(0.0), st.floats(0.001, 5), st.floats(60, 4 * DAY))
    for number in range(1, draw(st.integers(1, 6)) + 1):
        moves.append(a_move(2 * number - 1, clock, draw(st.sampled_from(["Queued", "Retrying", "Suspended"]))))
        began = clock + draw(lengths)
        ended = began + draw(lengths)
        moves.append(a_move(2 * number, began, "Running"))
        starts.append(a_start(number, began, ended, claimed=draw(st.sampled_from([None, at(began)]))))
        for _ in range(draw(st.integers(0, 4))):
            since = draw(st.floats(began - 10, ended + 10))
            until = draw(st.one_of(st.none(), st.floats(since, ended + 20)))
            spans.append(
                a_span(len(spans) + 1, since, until, start=number, kind=draw(st.sampled_from(["model", "tool"])))
            )
        clock = ended
    return a_story(*starts, moves=moves, finished=at(clock)), spans


@given(stories())
def test_blocks_of_a_row_do_not_overlap_and_are_inside_the_picture(drawn):
    found = timeline(*drawn, NOW)

    for row in found.rows if found else ():
        places = [(one.x, one.x + one.width) for one in row.blocks]
        assert all(0 <= left < right <= WIDTH for left, right in places)
        assert all(one[1] <= other[0] for one, other in pairwise(places))


@given(stories())
def test_intervals_of_a_row_do_not_overlap_and_every_start_is_shown(drawn):
    story, spans = drawn
    found = timeline(story, spans, NOW)

    shown = {row.start for row in found.rows} if found else set()
    assert {one.start for one in story.starts if one.ended > one.started} <= shown
    for row in found.rows if found else ():
        assert all(one.until <= other.since + 1e-6 for one, other in pairwise(row.stays))
        assert row.blocks


@given(
    st.lists(st.tuples(st.floats(0, 9 * DAY), st.floats(0, 9 * DAY)).map(sorted), max_size=20),
    st.lists(st.floats(0, 9 * DAY), max_size=20),
    st.lists(st.floats(-10, 10 * DAY), min_size=2, max_size=30).map(sorted),
)
def test_positions_on_the_axis_increase_with_time_and_are_inside_it(work, edges, times):
    axis = axis_of(0, 9 * DAY, work, edges)

    places = [axis.place(time) for time in times]
    assert places == sorted(places)
    assert all(0 <= place <= 1 for place in places)
    assert (axis.place(0), round(axis.place(9 * DAY), 9)) == (0, 1)


def test_work_takes_most_of_the_picture_even_with_a_wait_of_days():
    story = a_story(
        a_start(1, 0, 30, claimed=at(0)),
        a_start(2, 30 + 3 * DAY, 40 + 3 * DAY, claimed=at(30 + 3 * DAY)),
        moves=[a_move(1, 0, "Running"), a_move(2, 30, "Retrying"), a_move(3, 30 + 3 * DAY, "Running")],
        finished=at(40 + 3 * DAY),
    )
    found = timeline(story, [a_span(1, 0, 30), a_span(2, 30 + 3 * DAY, 40 + 3 * DAY, start=2)], NOW)

    first, second = found.rows
    assert [(one.kind, one.width) for one in first.blocks] == [(Kind.MODEL, 705)]
    assert next(one.width for one in second.blocks if one.kind is Kind.MODEL) > 200
    assert [one.text for one in found.breaks] == ["3d"]


def test_five_thousand_steps_make_a_small_picture():
    spans = [a_span(n, n * 2.0, n * 2.0 + 1.5, kind="model" if n % 2 else "tool") for n in range(1, 5001)]
    found = timeline(a_story(a_start(1, 0, 10_010), finished=at(10_010)), spans, NOW)

    drawn = "".join(data for row in found.rows for _, _, data in row.shapes())
    assert len(drawn) < 30_000
    assert {one.kind for one in found.rows[0].blocks} >= {Kind.MODEL, Kind.TOOL}


def test_a_block_links_to_its_step():
    spans = [a_span(7, 10, 20), a_span(8, 20, 40, kind="tool"), a_span(9, 22, 30), a_span(1, 0, 40, start=2)]
    first, second = timeline(a_story(a_start(1, 1, 60), a_start(2, 61, 90)), spans, NOW).rows

    found = [(kind, step) for kind, step, _ in first.shapes() if kind in (Kind.MODEL, Kind.TOOL, Kind.CODE)]
    assert sorted(found[1:]) == [(Kind.MODEL, 7), (Kind.MODEL, 9), (Kind.TOOL, 8)]
    assert found[0] == (Kind.CODE, None)
    assert {step for _, step, _ in second.shapes()} == {None}


def test_many_steps_are_linked_only_in_a_part_of_the_timeline():
    spans = [a_span(n, n * 2.0, n * 2.0 + 1.5) for n in range(1, 101)]
    story = a_story(a_start(1, 0, 210), finished=at(210))

    def linked(**part):
        return {step for row in timeline(story, spans, NOW, **part).rows for _, step, _ in row.shapes()} - {None}

    assert (linked(), linked(since=at(20), until=at(23))) == (set(), {10, 11})


def test_simultaneous_events_are_shown_once():
    spans = [a_span(1, 10, 20), a_span(2, 12, 30, kind="tool"), a_span(3, 13, 25, kind="tool")]
    (row,) = timeline(a_story(a_start(1, 1, 60)), spans, NOW).rows

    assert [(one.kind, one.since - NOW.timestamp()) for one in row.stays[-4:]] == [
        (Kind.CODE, 3),
        (Kind.MODEL, 10),
        (Kind.TOOL, 20),
        (Kind.CODE, 30),
    ]


def test_a_call_in_progress_lasts_until_now():
    story = a_story(a_start(1, 1, None), phase="Running", finished=None)
    (row,) = timeline(story, [a_span(1, 5, None, kind="tool")], at(100)).rows

    assert (row.stays[-1].kind, row.stays[-1].until) == (Kind.TOOL, at(100).timestamp())


def test_a_part_of_the_timeline_can_be_drawn():
    story = a_story(a_start(1, 0, 60), a_start(2, 60, 120), finished=at(120))
    found = timeline(story, [], NOW, since=at(70), until=at(80))

    assert [row.start for row in found.rows] == [2]
    assert (found.since, found.until) == (at(70), at(80))


def test_the_newest_of_many_starts_are_drawn_and_the_others_counted():
    starts = [a_start(n, n * 10.0, n * 10.0 + 5, claimed=at(n * 10.0)) for n in range(1, 101)]
    found = timeline(a_story(*starts, finished=at(1005)), [], NOW)

    assert len(found.rows) == MAX_ROWS
    assert found.rows[-1].start == 100
    assert found.hidden == 100 - MAX_ROWS


def test_the_requested_number_of_starts_is_drawn():
    starts = [a_start(n, n * 10.0, n * 10.0 + 5, claimed=at(n * 10.0)) for n in range(1, 21)]
    found = timeline(a_story(*starts, finished=at(205)), [], NOW, most=5)

    assert ([row.start for row in found.rows], found.hidden) == ([16, 17, 18, 19, 20], 15)


def test_a_path_contains_only_numbers():
    (row,) = timeline(a_story(a_start(1, 1, 60)), [a_span(1, 5, 10)], NOW).rows

    assert all(re.fullmatch(r"(M\d+ \d+h\d+v16h-\d+z)+", data) for _, _, data in row.shapes())
    assert min(int(one) for _, _, data in row.shapes() for one in re.findall(r"M(\d+)", data)) >= LEFT


def test_the_axis_has_round_times_since_its_beginning():
    found = timeline(a_story(a_start(1, 0, 95, claimed=at(0)), finished=at(95)), [], NOW)

    assert [(one.text, one.x) for one in found.scale] == [
        ("+15s", 158),
        ("+30s", 316),
        ("+45s", 474),
        ("+1m", 632),
        ("+1m15s", 789),
        ("+1m30s", 947),
    ]


@given(stories())
def test_labels_of_the_axis_do_not_overlap(drawn):
    found = timeline(*drawn, NOW)

    written = sorted(one.x for one in (*found.ticks, *found.scale)) if found else []
    assert all(other - one >= 40 for one, other in pairwise(written))
