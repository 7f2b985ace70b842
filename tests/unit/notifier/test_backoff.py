"""When a notification is tried again."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.notifier.backoff import OPENS_AFTER, Backoff, Breaker

HOUR, DAY, SECOND = timedelta(hours=1), timedelta(days=1), timedelta(seconds=1)
_chances = st.floats(0, 1)
_waited = st.timedeltas(timedelta(0), 2 * DAY)


@pytest.mark.parametrize(
    ("waited", "next_one"),
    [
        pytest.param(timedelta(0), 5 * SECOND, id="at-once"),
        pytest.param(60 * SECOND, 60 * SECOND, id="as-long-again"),
        pytest.param(DAY, HOUR, id="an-hour-at-most"),
        pytest.param(3 * DAY, None, id="given-up-after-three-days"),
    ],
)
def test_the_delay_equals_the_time_waited_so_far(waited, next_one):
    assert Backoff().wait(waited, retry_after=None, chance=0.5) == next_one


@given(waited=_waited, chance=_chances, retry_after=st.none() | st.timedeltas(timedelta(0), 2 * DAY))
def test_a_delay_is_within_its_maximum_and_the_requested_minimum(waited, chance, retry_after):
    wait = Backoff().wait(waited, retry_after=retry_after, chance=chance)

    assert timedelta(seconds=4) <= wait <= HOUR
    assert wait >= min(retry_after or timedelta(0), HOUR)


def test_a_notification_is_tried_less_than_a_hundred_times_in_three_days():
    waited, tries = timedelta(0), 0
    while (wait := Backoff().wait(waited, retry_after=None, chance=0.5)) is not None:
        waited, tries = waited + wait, tries + 1

    assert 70 < tries < 100


def test_a_healthy_sink_has_its_full_concurrency():
    assert Breaker().room(0.0, concurrency=4, under_way=1) == 3


def test_a_repeatedly_failing_sink_is_paused_and_then_probed_with_one_request():
    breaker = Breaker()
    for _ in range(OPENS_AFTER):
        breaker.failed(100.0)

    rooms = [breaker.room(now, concurrency=4, under_way=under_way) for now, under_way in ((101, 0), (106, 0), (106, 1))]
    breaker.answered()

    assert rooms == [0, 1, 0]
    assert breaker.room(106.0, concurrency=4, under_way=0) == 4


def test_a_sink_is_paused_for_its_requested_delay_of_at_most_an_hour():
    breaker = Breaker()
    breaker.failed(0.0, retry_after=90 * SECOND)
    soon = breaker.room(89.0, concurrency=4, under_way=0), breaker.room(91.0, concurrency=4, under_way=0)
    breaker.failed(100.0, retry_after=DAY)

    assert soon == (0, 4)
    assert breaker.room(100 + 3601.0, concurrency=4, under_way=0) == 4


@given(failures=st.integers(0, 10**6))
def test_a_failing_sink_is_paused_for_at_most_five_minutes(failures):
    breaker = Breaker(failures)
    breaker.failed(0.0)

    assert breaker.room(301.0, concurrency=4, under_way=0) >= 1
