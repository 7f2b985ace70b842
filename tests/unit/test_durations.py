from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.durations import MAX_DURATION, format_duration, format_time, instant, parse_duration, parse_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("90s", 90), ("15m", 900), ("24h", 86400), ("7d", 604800), ("1h30m", 5400), ("0s", 0)],
)
def test_units_are_summed(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "garbage",
    ["", "5", "s", "five", "5 m", "-5s", "1.5h", "5M", "30m1h", "1m1m", "5s\n", "٣s", "9" * 19 + "d", "1h" * 40],
)
def test_an_invalid_duration_is_refused_with_a_solution(garbage: str) -> None:
    with pytest.raises(ValueError, match=r"90s|366d"):
        parse_duration(garbage)


@pytest.mark.parametrize("value", [5, 1.5, None, True, [], {}], ids=repr)
def test_a_duration_is_a_string(value: object) -> None:
    with pytest.raises(ValueError, match="as a string"):
        parse_duration(value)


@given(st.timedeltas(timedelta(0), MAX_DURATION))
def test_a_formatted_duration_is_read_back_to_the_millisecond(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration - duration % timedelta(milliseconds=1)


@pytest.mark.parametrize(
    "text",
    ["2026-12-01T09:00:00Z", "2026-12-01T10:00:00+01:00", "2026-12-01T09:00:00.000000001Z"],
)
def test_times_become_utc(text: str) -> None:
    assert parse_time(text) == datetime(2026, 12, 1, 9, tzinfo=UTC)
    assert format_time(parse_time(text)) == "2026-12-01T09:00:00Z"


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "0999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"])
def test_a_formatted_time_is_read_back_in_any_year(text: str) -> None:
    assert format_time(parse_time(text)) == text


@pytest.mark.parametrize(
    "garbage",
    [
        "tomorrow",
        "",
        "2026-12-01",
        "2026-12-01T09:00:00",
        "2026-12-01T09:00Z",
        "2026-W49-1T09:00:00Z",
        "2026-13-01T09:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "2026-02-30T00:00:00Z",
        "2026-12-01t09:00:00Z",
        "2026-12-01T09:00:00z",
        "2026-12-01T09:00:00+99:99",
        "2026-12-01T09:00:00,5Z",
        "2026-12-01T24:00:00Z",
        "2026-12-01T23:59:60Z",
        "2026-12-01T09:00:00Z\n",
        5,
        None,
    ],
    ids=repr,
)
def test_an_invalid_time_is_refused_with_a_solution(garbage: object) -> None:
    with pytest.raises(ValueError, match="RFC 3339"):
        parse_time(garbage)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("2026-11-21T09:00:00Z", datetime(2026, 11, 21, 9, tzinfo=UTC)),
        ("2026-11-21T10:00:00.5+01:00", datetime(2026, 11, 21, 9, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-11-21T09:00:00", None),
        ("2026-11-21", None),
        ("9999-12-31T23:59:59Z", None),
        (None, None),
        (5, None),
    ],
    ids=repr,
)
def test_an_instant_of_an_object_is_read_or_absent(value: object, read: datetime | None) -> None:
    assert instant(value) == read
