"""The calendar of schedules, compared with an independent enumeration of every minute."""

import functools
import itertools
import zoneinfo
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.api.schedule import cron
from agentjobs.api.schedule.cron import expand, parse_cron, parse_zone

Shows = Callable[[datetime], bool]
ANY = tuple(range(60))


def walk(start: datetime, end: datetime, step: int) -> Iterator[datetime]:
    while start <= end:
        yield start
        start += timedelta(minutes=step)


@functools.cache
def clock_of(zone: str, begin: datetime, end: datetime, step: int) -> list[tuple[datetime, datetime]]:
    """What the clock on the wall shows at each instant."""
    there = zoneinfo.ZoneInfo(zone)
    return [(at, at.astimezone(there).replace(tzinfo=None)) for at in walk(begin, end, step)]


@functools.cache
def shown_first(zone: str, begin: datetime, end: datetime, step: int) -> dict[datetime, datetime]:
    """When the clock on the wall first shows each time."""
    first: dict[datetime, datetime] = {}
    for at, wall in clock_of(zone, begin, end, step):
        first.setdefault(wall, at)
    return first


@functools.cache
def skipped_times(zone: str, begin: datetime, end: datetime, step: int) -> list[tuple[datetime, list[datetime]]]:
    """The times that the clock on the wall never shows, with the instant at which it skips them."""
    one = timedelta(minutes=step)
    pairs = itertools.pairwise(clock_of(zone, begin, end, step))
    return [(at, list(walk(shown + one, wall - one, step))) for (_, shown), (at, wall) in pairs if wall - shown > one]


def enumerated(
    shows: Shows, zone: str, after: datetime, until: datetime, *, hourly: bool, step: int = 1
) -> list[datetime]:
    """All starts, by looking at the clock on the wall at every minute, gaps and repeats included."""
    margin = timedelta(hours=30)  # more than any clock was ever set
    seen = (zone, (after - margin).replace(minute=0), until + margin, step)
    if hourly:
        found = {at for at, wall in clock_of(*seen) if shows(wall)}
    else:
        found = {at for wall, at in shown_first(*seen).items() if shows(wall)}
        found |= {at for at, skipped in skipped_times(*seen) if any(map(shows, skipped))}
    return sorted(at for at in found if after < at <= until)


def day(year: int, month: int = 1, number: int = 1) -> datetime:
    return datetime(year, month, number, tzinfo=UTC)


EXPRESSIONS: dict[str, tuple[Shows, bool]] = {
    "0 * * * *": (lambda wall: wall.minute == 0, True),
    "*/15 * * * *": (lambda wall: wall.minute % 15 == 0, True),
    "30 2 * * *": (lambda wall: (wall.hour, wall.minute) == (2, 30), False),
    "0,30 0-3 * * *": (lambda wall: wall.hour < 4 and wall.minute in (0, 30), False),
    "45 23 * * sun": (lambda wall: (wall.hour, wall.minute, wall.isoweekday()) == (23, 45, 7), False),
    "0 */2 * * *": (lambda wall: wall.hour % 2 == 0 and wall.minute == 0, False),
    "15 1 1,15 * 1": (
        lambda wall: (wall.hour, wall.minute) == (1, 15) and (wall.day in (1, 15) or wall.weekday() == 0),
        False,
    ),
    "0 0 29 2 *": (lambda wall: (wall.month, wall.day, wall.hour, wall.minute) == (2, 29, 0, 0), False),
    "0 22-2 31 * *": (lambda wall: wall.day == 31 and wall.hour in (22, 23, 0, 1, 2) and wall.minute == 0, False),
}
ZONES = {
    "Europe/Berlin": (2023, 2),
    "America/New_York": (2026, 1),
    "Europe/Dublin": (2026, 1),  # its winter is the exception, as far as the zone's rules say
    "Australia/Lord_Howe": (2026, 1),  # half an hour
    "Antarctica/Troll": (2026, 1),  # two hours
    "Africa/Casablanca": (2026, 1),  # for the month of Ramadan
    "Asia/Kathmandu": (2026, 1),
    "America/Sao_Paulo": (2017, 2),  # at midnight
    "America/St_Johns": (2008, 1),  # a minute after midnight, back into the day before
    "Asia/Tehran": (2021, 1),
    "Pacific/Apia": (2011, 1),  # the 30th of December did not take place
}


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_times_over_years_are_those_of_the_local_clock(zone: str, expression: str) -> None:
    first, years = ZONES[zone]
    shows, hourly = EXPRESSIONS[expression]
    step = 1 if zone == "America/St_Johns" else 15
    until = day(first + years) if step > 1 else day(first, 11, 10)
    # At 00:01 the clock goes back to 23:01 there: no step of a quarter of an hour would meet it.
    after = day(first) if step > 1 else day(first, 10, 20)
    expected = enumerated(shows, zone, after, until, hourly=hourly, step=step)

    calendar = parse_cron(expression, zone)
    assert list(calendar.between(after, until)) == expected
    for earlier, later in itertools.pairwise(range(0, len(expected), len(expected) // 40 + 1)):
        assert calendar.next_after(expected[earlier]) == expected[earlier + 1]
        assert calendar.latest_until(expected[later] - timedelta(seconds=1)) == expected[later - 1]
    assert calendar.latest_until(until) == (expected[-1] if expected else calendar.latest_until(after))


NUMBERS = {0: (0, 59), 1: (0, 23), 2: (1, 31), 3: (1, 12), 4: (0, 6)}


@st.composite
def fields(draw: st.DrawFn) -> tuple[str, list[set[int] | None]]:
    sets: list[set[int] | None] = []
    for low, high in NUMBERS.values():
        numbers = st.sets(st.integers(low, high), min_size=1, max_size=4)
        sets.append(draw(st.none() | numbers))
    return " ".join("*" if part is None else ",".join(map(str, sorted(part))) for part in sets), sets


CHANGES = st.sampled_from(
    [
        ("Europe/Berlin", day(2026, 3, 29)),
        ("Europe/Berlin", day(2026, 10, 25)),
        ("America/New_York", day(2026, 11, 1)),
        ("Australia/Lord_Howe", day(2026, 4, 4)),
        ("Africa/Casablanca", day(2026, 2, 15)),
        ("America/Sao_Paulo", day(2018, 11, 4)),
        ("America/St_Johns", day(2010, 11, 7)),
        ("Pacific/Apia", day(2011, 12, 30)),
        ("UTC", day(2024, 2, 29)),
    ]
)


@given(fields=fields(), change=CHANGES, shift=st.integers(-2000, 2000))
def test_times_of_any_expression_are_correct_around_a_clock_change(
    fields: tuple[str, list[set[int] | None]], change: tuple[str, datetime], shift: int
) -> None:
    (text, (minutes, hours, days, months, weekdays)), (zone, near) = fields, change

    def shows(wall: datetime) -> bool:
        by_month, by_week = days is None or wall.day in days, weekdays is None or wall.isoweekday() % 7 in weekdays
        fits = by_month or by_week if days is not None and weekdays is not None else by_month and by_week
        clock = (minutes is None or wall.minute in minutes) and (hours is None or wall.hour in hours)
        return fits and clock and (months is None or wall.month in months)

    after, until = near + timedelta(minutes=shift - 1500), near + timedelta(minutes=shift + 1500)
    expected = enumerated(shows, zone, after, until, hourly=hours is None)
    calendar = parse_cron(text, zone)

    assert list(calendar.between(after, until)) == expected
    assert calendar.count(after, until) == len(expected)
    latest = calendar.latest_until(until)
    assert latest == expected[-1] if expected else latest is None or latest <= after


def test_an_hourly_schedule_is_regular_across_a_clock_change() -> None:
    for change in (day(2026, 3, 28), day(2026, 10, 24)):
        starts = list(parse_cron("*/20 * * * *", "Europe/Berlin").between(change, change + timedelta(days=2)))
        assert {later - earlier for earlier, later in itertools.pairwise(starts)} == {timedelta(minutes=20)}


# --- cost -------------------------------------------------------------------------------------------------------------


class Counted:
    """Counts how many days of the calendar are looked at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.days = 0
        real = cron.Cron._starts

        def starts(calendar: cron.Cron, when: object) -> object:
            self.days += 1
            return real(calendar, when)  # type: ignore[arg-type]

        monkeypatch.setattr(cron.Cron, "_starts", starts)


@pytest.mark.parametrize("expression", ["* * * * *", "0 6 * * *", "0 0 29 2 *"])
@pytest.mark.parametrize("downtime", [timedelta(hours=1), timedelta(days=365), timedelta(days=3650)], ids=str)
def test_the_latest_and_the_next_start_cost_the_same_after_any_downtime(
    monkeypatch: pytest.MonkeyPatch, expression: str, downtime: timedelta
) -> None:
    calendar, counted, now = parse_cron(expression, "Europe/Berlin"), Counted(monkeypatch), day(2026, 11, 21)

    latest = calendar.latest_until(now)
    calendar.next_after(now - downtime)

    assert latest is not None
    assert latest > now - timedelta(days=1461)
    assert counted.days <= 10


@pytest.mark.parametrize("years", [1, 50])
def test_counting_missed_times_takes_work_per_day_and_not_per_time(monkeypatch: pytest.MonkeyPatch, years: int) -> None:
    calendar, counted, now = parse_cron("* * * * *"), Counted(monkeypatch), day(2026, 11, 21)

    found = calendar.count(now - timedelta(days=365 * years), now)

    assert counted.days <= cron.MAX_COUNTED
    assert found == 365 * 1440 if years == 1 else found >= 365 * 1440


# --- expressions ------------------------------------------------------------------------------------------------------

READ = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "0 6 * JAN-mar Mon-FRI": "0 6 * 1,2,3 1,2,3,4,5",
    "0 6 * * 7": "0 6 * * 0",
    "0 6 * * 5-7": "0 6 * * 0,5,6",
    "0 6 * * sat-sun": "0 6 * * 0,6",
    "*/20 5/8 */10 * *": "0,20,40 5,13,21 1,11,21,31 * *",
    "0-59/30 8-18/5 * * *": "0,30 8,13,18 * * *",
    "0 22-2 * nov-feb *": "0 0,1,2,22,23 * 1,2,11,12 *",
    "0 22-4/2 * * *": "0 0,2,4,22 * * *",
    "0 22-6/3 * * *": "0 1,4,22 * * *",
    "25-4/2 * * * *": "1,3,25,27,29,31,33,35,37,39,41,43,45,47,49,51,53,55,57,59 * * * *",
    "0 0 1 nov-feb/2 *": "0 0 1 1,11 *",
    "0 0 28-3/2 * *": "0 0 1,3,28,30 * *",
    "0 6 * * 7-2": "0 6 * * 0,1,2",
    "0 6 * * 1/3": "0 6 * * 1,4",
    "*/60 */24 * * *": "0 0 * * *",
    "0 0 */19 * thu-wed": "0 0 * * *",
    "59/15 * * * *": "59 * * * *",
    " 0\t6  * * ? ": "0 6 * * *",
    "0 0-23 * * *": "0 * * * *",
    "0 6 * * 0-6": "0 6 * * *",
    "0 6 * * sun-7": "0 6 * * *",
}


@pytest.mark.parametrize(("text", "plain"), READ.items(), ids=READ)
def test_names_ranges_steps_and_macros_are_equal_to_their_lists(text: str, plain: str) -> None:
    assert parse_cron(text) == parse_cron(plain)


REFUSED = {
    "": "0 fields",
    "6 * * *": "4 fields",
    "0 30 6 * * 1-5": "seconds",
    "0 0 6 * * * 2027": "7 fields",
    "@every 1h": "@hourly",
    "@reboot": "@hourly",
    "CRON_TZ=UTC 0 6 * * *": "timeZone",
    "60 * * * *": "out of range",
    "0 24 * * *": "out of range",
    "0 0 0 * *": "out of range",
    "0 0 32 * *": "out of range",
    "0 0 * 13 *": "out of range",
    "0 0 * * 8": "out of range",
    "0 0 * foo *": "1 to 12, or jan",
    "0 mon * * *": "0 to 23",
    "*/0 * * * *": "1 to 60",
    "*/90 * * * *": "60 values",
    "0 */36 * * *": "24 values",
    "0 0 */45 * *": "31 values",
    "5,* * * * *": "* means all",
    "*,5 * * * *": "* means all",
    "0 0 * * mon,?": "? means all",
    "5, * * * *": "has '' as minute",
    "0 6 * * 7-0": "use 7",
    "0 6-6 * * *": "use 6",
    "0 6 * * 7-7": "a range of one",
    "0 0 l * *": "has 'l' as day of month",
    "0 0 15w * *": "has '15w' as day of month",
    "0 0 * * 5#2": "has '5#2' as day of week",
    "r * * * *": "has 'r' as minute",
    "h(0-5) * * * *": "has 'h(0-5)' as minute",
    "1,,2 * * * *": "has '' as minute",
    "-5 * * * *": "has '-5' as minute",
    "５ * * * *": "not ASCII",
    "0 6 * * *\u00a01": "not ASCII",
}


@pytest.mark.parametrize(("text", "message"), REFUSED.items(), ids=REFUSED)
def test_an_unsupported_cron_expression_is_refused_with_a_solution(text: str, message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011  the message is what is tested
        expand(text)
    assert message in str(refused.value)


@given(st.text(alphabet="0123456789*/,-? \t@abcdefjlmnorsuwy#", max_size=30) | st.text(max_size=20))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        calendar = parse_cron(text)
    except ValueError:
        return
    assert (calendar.next_after(day(2026)) is not None) == calendar.can_match


@given(st.sampled_from(range(5)), st.data())
def test_a_range_with_a_step_can_wrap_around(index: int, data: st.DataObject) -> None:
    low, high = NUMBERS[index]
    begin, end = data.draw(st.integers(low, high)), data.draw(st.integers(low, high))
    step = data.draw(st.integers(1, high - low + 1))
    if begin == end:
        return
    walked, at, ahead = {begin}, begin, 0
    while at != end:
        at, ahead = (low if at == high else at + 1), ahead + 1
        if ahead % step == 0:
            walked.add(at)
    parts = ["*"] * 5
    parts[index] = f"{begin}-{end}/{step}"

    assert expand(" ".join(parts))[index] == (None if len(walked) == high - low + 1 else walked)


@pytest.mark.parametrize("text", ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "0 0 31 feb *"])
def test_a_day_that_never_occurs_is_detected_without_a_search(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    counted = Counted(monkeypatch)

    assert not parse_cron(text).can_match
    assert parse_cron(text).next_after(day(2026)) is None
    assert parse_cron(text).latest_until(day(2026)) is None
    assert counted.days == 0


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("0 0 29 2 *", day(2028, 2, 29)),
        ("0 0 30 2 mon", day(2026, 2, 2)),  # either of the two days is enough
        ("0 0 31 12 *", day(2026, 12, 31)),
    ],
)
def test_a_rare_day_is_found(text: str, first: datetime) -> None:
    assert parse_cron(text).can_match
    assert parse_cron(text).next_after(day(2026)) == first


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("Europe/Berlim", "IANA"),
        ("berlin", "did you mean Europe/Berlin?"),
        ("europe/berlin", "did you mean Europe/Berlin?"),
        ("new york", "did you mean America/New_York?"),
        ("Local", "IANA"),
        ("", "IANA"),
        ("../../etc/passwd", "IANA"),
        ("/etc/localtime", "IANA"),
        ("UTC+2", "IANA"),
        ("a\0b", "IANA"),
    ],
)
def test_an_unknown_time_zone_is_refused_with_a_solution(name: str, cure: str) -> None:
    with pytest.raises(ValueError, match="time zone") as refused:
        parse_zone(name)
    assert cure in str(refused.value)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ("2026-03-29T01:59", "2026-03-29T00:59+00:00"),
        ("2026-03-29T02:30", "2026-03-29T01:00+00:00"),
        ("2026-03-29T03:00", "2026-03-29T01:00+00:00"),
        ("2026-10-25T02:30", "2026-10-25T00:30+00:00"),
    ],
    ids=["before", "in the gap", "behind it", "shown twice"],
)
def test_a_skipped_local_time_becomes_the_end_of_the_gap(shown: str, expected: str) -> None:
    found = cron.instant_of(datetime.fromisoformat(shown), parse_zone("Europe/Berlin"))

    assert found == datetime.fromisoformat(expected)


def test_the_start_for_a_skipped_time_is_not_before_that_time() -> None:
    calendar, skipped = parse_cron("30 2 * * *", "Europe/Berlin"), datetime.fromisoformat("2026-03-29T02:30")

    found = cron.instant_of(skipped, calendar.zone)

    assert calendar.next_after(found - timedelta(seconds=1)) == found
